"""One decoder for pictures: the same RGB on every path, or an error that names the file and a remedy."""

import struct
import warnings
import zlib

import cv2
import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest
from helpers.color_tiff import encode_color_tiff
from helpers.image_bytes import encode, encode_gray_png
from PIL import features

from proxyclip.apis.images import load_image
from proxyclip.apis.web.inference import read_upload
from proxyclip.data.files.errors import CorruptFile, InvalidFile, UnusableFile
from proxyclip.data.files.images import decode_rgb, verify_image
from proxyclip.data.transforms import LoadImageFromFile


def smooth(h=24, w=36, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (h // 6, w // 6, 3), np.uint8)
    return cv2.resize(coarse, (w, h), interpolation=cv2.INTER_LINEAR)


RGB = smooth()
IMAGE = PIL.Image.fromarray(RGB)
GRAY = np.asarray(IMAGE.convert("L"))
GRAY_RGB = GRAY[..., None].repeat(3, 2)
ALPHA = np.linspace(0, 255, RGB[..., 0].size).reshape(RGB.shape[:2]).astype(np.uint8)
RGBA = np.dstack([RGB, ALPHA])
WIDE = RGB.astype(np.uint16) * 256 + 201


def with_alpha(image):
    image = image.copy()
    image.putalpha(PIL.Image.fromarray(ALPHA))
    return image


def pnm(kind, values, maximum):
    dtype = ">u2" if maximum > 255 else "u1"
    return f"{kind} {RGB.shape[1]} {RGB.shape[0]} {maximum}\n".encode() + values.astype(dtype).tobytes()


PALETTE = IMAGE.quantize(20)
# Forms without loss: (bytes, RGB).
FORMS = {
    "png rgba": (encode(with_alpha(IMAGE), "PNG"), RGB),
    "png la": (encode(with_alpha(IMAGE.convert("L")), "PNG"), GRAY_RGB),
    "png palette": (encode(PALETTE, "PNG"), np.asarray(PALETTE.convert("RGB"))),
    "png transparent palette": (encode(PALETTE, "PNG", transparency=3), np.asarray(PALETTE.convert("RGB"))),
    "png gray 4": (encode_gray_png(GRAY >> 4, 4), (GRAY_RGB >> 4) * 17),
    "png gray 1": (encode_gray_png(GRAY >> 7, 1), (GRAY_RGB >> 7) * 255),
    "png gray 16": (encode(GRAY.astype(np.uint16) * 256 + 99, "PNG"), GRAY_RGB),
    "png rgb 16": (cv2.imencode(".png", WIDE[..., ::-1])[1].tobytes(), RGB),
    "png rgba 16": (cv2.imencode(".png", np.dstack([WIDE[..., ::-1], WIDE[..., 0]]))[1].tobytes(), RGB),
    "webp rgba": (encode(with_alpha(IMAGE), "WEBP", lossless=True, exact=True), RGB),
    "gif transparent": (encode(PALETTE, "GIF", transparency=3), np.asarray(PALETTE.convert("RGB"))),
    "bmp palette": (encode(PALETTE, "BMP"), np.asarray(PALETTE.convert("RGB"))),
    "jp2 rgba": (encode(with_alpha(IMAGE), "JPEG2000"), RGB),
    "jp2 gray 16": (encode(GRAY.astype(np.uint16) * 256, "JPEG2000"), GRAY_RGB),
    "tiff rgba": (encode(with_alpha(IMAGE), "TIFF"), RGB),
    "tiff rgba lzw": (encode(with_alpha(IMAGE), "TIFF", compression="tiff_lzw"), RGB),
    "tiff la": (encode(with_alpha(IMAGE.convert("L")), "TIFF"), GRAY_RGB),
    "tiff cmyk": (encode(IMAGE.convert("CMYK"), "TIFF"), RGB),
    "tiff extra channels": (encode_color_tiff(np.dstack([RGBA, GRAY]), extra_samples=(0, 0)), RGB),
    "tiff planar": (encode_color_tiff(RGB, planar=2), RGB),
    "tiff rgb 16": (encode_color_tiff(WIDE), RGB),
    "tiff rgb 16 planar": (encode_color_tiff(WIDE, planar=2), RGB),
    "tiff rgba 16 planar": (encode_color_tiff(np.dstack([WIDE, WIDE[..., 0]]), planar=2, extra_samples=(2,)), RGB),
    "tiff uint 32 planar": (encode_color_tiff(WIDE.astype(np.uint32), planar=2), RGB),
    "tiff rgba 16": (encode_color_tiff(np.dstack([WIDE, WIDE[..., 0]]), extra_samples=(2,)), RGB),
    "tiff white is zero": (encode_color_tiff(255 - GRAY, photometric=0), GRAY_RGB),
    "tiff white is zero 16": (encode_color_tiff(65535 - (GRAY.astype(np.uint16) << 8), photometric=0), GRAY_RGB),
    "tiff int 32": (encode_color_tiff(GRAY.astype(np.int32) * 256, photometric=1), GRAY_RGB),
    "tiff uint 32": (encode_color_tiff(GRAY.astype(np.uint32), photometric=1), GRAY_RGB),
    "pgm of 4 bits": (pnm("P5", GRAY >> 4, 15), (GRAY_RGB >> 4) * 17),
    "pgm of 16 bits": (pnm("P5", GRAY.astype(np.uint16) << 8, 65535), GRAY_RGB),
    "tga rgba": (encode(with_alpha(IMAGE), "TGA"), RGB),
}
# Forms with loss: (bytes, RGB, mean difference).
LOSSY_FORMS = {
    "jpeg": (encode(IMAGE, "JPEG", quality=95, subsampling=0), RGB, 3),
    "jpeg cmyk": (encode(IMAGE.convert("CMYK"), "JPEG", quality=95), RGB, 3),
    "tiff premultiplied": (
        encode_color_tiff(np.dstack([(RGB * (ALPHA[..., None] / 255)).astype(np.uint8), ALPHA]), extra_samples=(1,)),
        RGB, 8,
    ),
    "tiff ycbcr": (encode(IMAGE.convert("YCbCr"), "TIFF"), RGB, 2),
    "ppm of 100 levels": (pnm("P6", RGB.astype(int) * 100 // 255, 100), RGB, 2),
    **({"avif": (encode(with_alpha(IMAGE), "AVIF", quality=100, subsampling="4:4:4"), RGB, 2)}
       if features.check("avif") else {}),
}  # fmt: skip


def decode_everywhere(data, folder, name="a.tif"):
    """RGB of evaluation, API and page, which must be the same."""
    path = folder / name
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rgb, info = decode_rgb(data, path)
        assert verify_image(data, path) == info
    assert rgb.dtype == np.uint8 and rgb.flags.c_contiguous and rgb.shape == (*info.size, 3)
    evaluated = LoadImageFromFile().transform({"img_path": str(path)})["img"][..., ::-1]
    np.testing.assert_array_equal(evaluated, rgb)
    for image in (load_image(path)[0], load_image(data)[0]):
        np.testing.assert_array_equal(image, rgb)
    return rgb, info


@pytest.mark.parametrize("form", FORMS)
def test_every_path_decodes_the_same_rgb(form, tmp_path):
    data, expected = FORMS[form]
    rgb, info = decode_everywhere(data, tmp_path)
    np.testing.assert_array_equal(rgb, expected)
    assert info.notes == () and info.frames == 1
    read_upload(tmp_path / "a.tif")


@pytest.mark.parametrize("form", LOSSY_FORMS)
def test_every_path_decodes_the_same_rgb_of_lossy_forms(form, tmp_path):
    data, expected, difference = LOSSY_FORMS[form]
    rgb, _ = decode_everywhere(data, tmp_path)
    assert np.abs(rgb.astype(int) - expected).mean() < difference


def test_every_path_decodes_the_same_rgb_of_lab(tmp_path):
    image_cms = pytest.importorskip("PIL.ImageCms")
    profiles = image_cms.createProfile("sRGB"), image_cms.createProfile("LAB")
    lab = image_cms.profileToProfile(IMAGE, *profiles, outputMode="LAB")
    for data in (encode(lab, "TIFF"), encode_color_tiff(np.asarray(lab), photometric=8)):
        rgb, _ = decode_everywhere(data, tmp_path)
        assert np.abs(rgb.astype(int) - RGB).mean() < 2


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {}), ("JPEG", dict(progressive=True)), ("PNG", {}), ("BMP", {}), ("WEBP", dict(quality=80))],
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_formats_of_published_numbers_are_opencvs(kind, options, mode, tmp_path):
    """Their pixels are those of mmcv, bit for bit."""
    data = encode(IMAGE.convert(mode), kind, **options)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    np.testing.assert_array_equal(decode_everywhere(data, tmp_path)[0], expected[..., ::-1])


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_tiff_is_turned_by_its_tag_in_every_form(orientation, tmp_path):
    expected = {1: RGB, 3: RGB[::-1, ::-1], 6: RGB.transpose(1, 0, 2)[:, ::-1]}[orientation]
    for values in (RGB, WIDE, WIDE.astype(np.uint32)):
        rgb, info = decode_everywhere(encode_color_tiff(values, tags=[(274, 3, [orientation])]), tmp_path)
        np.testing.assert_array_equal(rgb, expected)
        assert info.orientation == 1


# Pictures that leave the upper bits unused, and their values.
DARK = {
    "png 12 of 16 bits": (encode(GRAY.astype(np.uint16) * 16, "PNG"), GRAY.astype(np.uint16) * 16),
    "png 8 of 16 bits": (encode(GRAY.astype(np.uint16), "PNG"), GRAY.astype(np.uint16)),
    "png rgb 10 of 16 bits": (cv2.imencode(".png", RGB[..., ::-1] * np.uint16(4))[1].tobytes(), RGB * np.uint16(4)),
    "tiff rgb 12 of 16 bits": (encode_color_tiff(RGB.astype(np.uint16) * 16), RGB.astype(np.uint16) * 16),
    "tiff around 30000": (encode_color_tiff(GRAY.astype(np.uint16) + 30000, photometric=1), GRAY + np.uint16(30000)),
    "tiff int 32": (encode_color_tiff(GRAY.astype(np.int32) * 16, photometric=1), GRAY.astype(np.int32) * 16),
    "pgm 8 of 16 bits": (pnm("P5", GRAY, 65535), GRAY.astype(np.uint16)),
    "jp2 12 of 16 bits": (encode(GRAY.astype(np.uint16) * 16, "JPEG2000"), GRAY.astype(np.uint16) * 16),
}  # fmt: skip


def stretch(values):
    low, high = np.percentile(values, (0.1, 99.9))
    stretched = np.rint(np.clip((values.astype(float) - low) / (high - low), 0, 1) * 255)
    return np.broadcast_to(stretched if stretched.ndim == 3 else stretched[..., None], RGB.shape)


@pytest.mark.parametrize("form", DARK)
def test_unused_bits_are_noted_and_stretched(form, tmp_path, capsys):
    data, values = DARK[form]
    rgb, info = decode_everywhere(data, tmp_path, "scan.tif")
    np.testing.assert_array_equal(rgb[..., 0], (values if values.ndim == 2 else values[..., 0]) >> 8)
    (note,) = info.notes
    assert (note.kind, note.level) == ("unused range", "note")
    assert "scan.tif" in str(note) and "of 65535" in note.text and "--stretch" in note.remedy
    assert capsys.readouterr().err.count("note: ") == 1
    assert load_image(tmp_path / "scan.tif")[1] == (str(note),)
    stretched, info = decode_rgb(data, "a", stretch=True)
    assert info.notes == ()
    assert np.abs(stretched.astype(int) - stretch(values)).max() <= 2
    np.testing.assert_array_equal(load_image(data, stretch=True)[0], stretched)
    loader = LoadImageFromFile(stretch=True)
    np.testing.assert_array_equal(loader.transform({"img_path": tmp_path / "scan.tif"})["img"][..., ::-1], stretched)


def test_used_bits_are_not_noted():
    spread = np.linspace(0, 65535, GRAY.size).astype(np.uint16).reshape(GRAY.shape)
    page = np.full((60, 60), 65535, np.uint16)  # of white paper with a little ink
    page[3, :2] = 0
    for values in (spread, page, np.full((9, 8), 300, np.uint16)):
        assert verify_image(encode(values, "PNG"), "a").notes == ()
    assert verify_image(encode(np.full((9, 8), 3, np.uint8), "PNG"), "a").notes == ()


def test_a_dead_pixel_does_not_hide_unused_bits():
    values = (np.arange(80 * 70) % 4096).astype(np.uint16).reshape(80, 70)
    values[40, 30] = 65535
    assert [note.kind for note in verify_image(encode(values, "PNG"), "a").notes] == ["unused range"]
    stretched = decode_rgb(encode(values, "PNG"), "a", stretch=True)[0]
    assert stretched.max() == 255 and np.unique(stretched).size == 256


@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("values", [RGB / np.float32(1000), (RGB * 3.5 - 200), GRAY.astype(np.float16), GRAY * 1e6])
def test_floating_point_files_are_explained_and_stretched(values, planar):
    data = encode_color_tiff(values, photometric=2 if values.ndim == 3 else 1, planar=planar if values.ndim == 3 else 1)
    for decode in (decode_rgb, verify_image, lambda *args: load_image(args[0])):
        with pytest.raises(InvalidFile, match=r"floating-point values of an unknown range.*give an array.*--stretch"):
            decode(data, "a.tif")
    rgb = decode_rgb(data, "a.tif", stretch=True)[0]
    assert np.abs(rgb.astype(int) - stretch(values)).max() <= 1


def test_signed_values_are_explained_and_stretched():
    for values in (GRAY.astype(np.int16) - 100, (GRAY.astype(int) - 128).astype(np.int8), RGB.astype(np.int16) - 9):
        data = encode_color_tiff(values, photometric=2 if values.ndim == 3 else 1)
        with pytest.raises(InvalidFile, match=r"holds int\w+ values, mostly from -\d+ to .*--stretch"):
            decode_rgb(data, "a.tif")
        assert np.abs(decode_rgb(data, "a.tif", stretch=True)[0].astype(int) - stretch(values)).max() <= 1


@pytest.mark.parametrize("predictor", [1, 2])
def test_deflated_channels_one_after_the_other_are_exact(predictor):
    """Decoders take channels of 16 bits, one after the other, for something else without an error."""
    stored = WIDE.copy()
    if predictor == 2:
        stored[:, 1:] -= WIDE[:, :-1]
    planes = [zlib.compress(stored[..., channel].astype("<u2").tobytes()) for channel in range(3)]
    starts = np.cumsum([8, *map(len, planes)])
    tags = [
        (256, [36]), (257, [24]), (258, [16] * 3), (259, [8]), (262, [2]), (273, starts[:3].tolist()), (277, [3]),
        (278, [24]), (279, [*map(len, planes)]), (284, [2]), (317, [predictor]),
    ]  # fmt: skip
    directory, extra = struct.pack("<H", len(tags)), b""
    end = int(starts[3]) + 2 + 12 * len(tags) + 4
    for tag, values in tags:
        raw = struct.pack(f"<{len(values)}I", *values)
        if len(raw) > 4:
            raw, extra = struct.pack("<I", end + len(extra)), extra + raw
        directory += struct.pack("<HHI", tag, 4, len(values)) + raw
    data = struct.pack("<2sHI", b"II", 42, int(starts[3])) + b"".join(planes) + directory + bytes(4) + extra
    np.testing.assert_array_equal(decode_rgb(data, "a.tif")[0], RGB)
    lzw = data.replace(struct.pack("<HHII", 259, 4, 1, 8), struct.pack("<HHII", 259, 4, 1, 5))
    with pytest.raises(UnusableFile, match=r"a\.tif"):
        decode_rgb(lzw, "a.tif")


# Whole files of other kinds, and what is said of them.
FOREIGN = {
    "heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(90), "HEIC"),
    "mif1": (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heix" + bytes(90), "HEIC"),
    "mp4": (b"\0\0\0\x18ftypisom\0\0\2\0isomavc1" + bytes(90), "a video"),
    "cr3": (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(90), "raw file"),
    "cr2": (b"II*\0\x10\0\0\0CR\2\0" + bytes(90), "raw file"),
    "jxl": (b"\xff\x0a" + bytes(range(1, 90)), "JPEG XL"),
    "jxl container": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(90), "JPEG XL"),
    "dicom": (bytes(128) + b"DICM" + bytes(90), "DICOM"),
    "nifti": (struct.pack("<i", 348) + bytes(340) + b"n+1\0" + bytes(90), "NIfTI"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(90), "HDF5"),
    "npy": (b"\x93NUMPY\1\0" + bytes(90), "numpy array"),
    "pdf": (b"%PDF-1.7\n" + bytes(90), "PDF"),
    "svg": (b'<?xml version="1.0"?>\n<svg xmlns="a"></svg>', "SVG"),
    "zip": (b"PK\3\4" + bytes(90), "zip archive"),
    "gz": (b"\x1f\x8b\x08" + bytes(90), "gzip archive"),
    "matroska": (b"\x1aE\xdf\xa3" + bytes(90), "a video"),
    "exr": (b"v/1\1" + bytes(90), "OpenEXR"),
    "psd of 16 bits": (b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\x18\0\0\0\x24\0\x10\0\3" + bytes(90), "Photoshop"),
    "jpeg without loss": (b"\xff\xd8\xff\xc3\0\x0b\x08\0\x18\0\x24\1\1\x11\0" + bytes(20), "lossless JPEG"),
    "jpeg of 12 bits": (b"\xff\xd8\xff\xc1\0\x0b\x0c\0\x18\0\x24\1\1\x11\0" + bytes(20), "12 bits"),
    "appledouble": (b"\0\5\x16\7" + bytes(90), "side file of macOS"),
    "json": (b'{"error": "not found"}', "JSON"),
    "xml": (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "XML"),
    "text": ("Sieh unter Bilder nach, größer".encode(), "text"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git-lfs pointer"),
    "annex": (b"/annex/objects/SHA256E-s1--0.jpg\n", "git-annex pointer"),
    "8 bands": (encode_color_tiff(np.dstack([RGB, RGBA, GRAY]), photometric=1, extra_samples=[0] * 7), "8 channels"),
    "4 bands": (
        encode_color_tiff(np.dstack([WIDE, WIDE[..., 0]]), photometric=1, extra_samples=[0] * 3),
        "4 channels of 16-bit",
    ),
    "complex": (encode_color_tiff(GRAY.astype(np.complex64), photometric=1), "complex"),
    "2 bands": (encode_color_tiff(RGB[..., :2], photometric=1, extra_samples=(0,)), "2 channels of 8-bit"),
    "dng": (
        encode_color_tiff(RGB[:6, :9], subfile_types=(1,), tags=[(50706, 3, [1, 4])]), "raw file (DNG",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FOREIGN)
def test_whole_files_of_other_kinds_are_not_called_damaged(kind, tmp_path):
    data, name = FOREIGN[kind]
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(UnusableFile) as caught:
        decode_rgb(data, path)
    problem = caught.value.problem
    assert name in problem.text and problem.remedy and "again" not in str(problem)
    for decode in (
        lambda: verify_image(data, path),
        lambda: load_image(path),
        lambda: LoadImageFromFile().transform({"img_path": str(path)}),
    ):
        with pytest.raises(type(caught.value)) as other:
            decode()
        assert str(other.value) == str(problem)
    with pytest.raises(ValueError, match="The picture photo is") as page:
        read_upload(path)
    assert problem.text in str(page.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "WEBP", "JPEG2000", "BMP"])
def test_truncated_files_are_called_damaged(kind):
    data = encode(smooth(120, 90), kind)
    with pytest.raises(CorruptFile, match=r"a\.x.*get that file again"):
        decode_rgb(data[: len(data) * 2 // 3], "a.x")
    with pytest.raises(CorruptFile, match="all zero"):
        decode_rgb(bytes(500), "a.x")


@pytest.mark.parametrize(
    "reason",
    ["image file could not be identified because AVIF support not installed", "decoder jpeg2k not available"],
)
def test_formats_without_their_library_are_not_called_damaged(reason, monkeypatch):
    def refuse(data):
        raise OSError(reason)

    monkeypatch.setattr("proxyclip.data.files.images.open_image", refuse)
    with pytest.raises(CorruptFile, match=r"a\.jp2: cannot be read here .*convert it") as caught:
        decode_rgb(FORMS["jp2 rgba"][0], "a.jp2")
    assert "again" not in str(caught.value)


ERRORS = [
    struct.error("x"), MemoryError(), RuntimeError("Failed to decode image"), OverflowError("y"), SystemError("z"),
    EOFError(), cv2.error("w"), PIL.Image.DecompressionBombError("bomb"), KeyError(3), AssertionError(),
]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("place", ["proxyclip.data.files.images.open_image", "PIL.ImageFile.ImageFile.load"])
def test_any_error_of_a_decoder_is_one_of_the_file(error, place, tmp_path, monkeypatch):
    def fail(*args):
        raise error

    path = tmp_path / "photo.png"
    path.write_bytes(FORMS["png rgba"][0])
    monkeypatch.setattr(place, fail)
    with pytest.raises(CorruptFile, match=r"photo\.png: cannot be read"):
        load_image(path)
    with pytest.raises(CorruptFile, match=r"photo\.png: cannot be read"):
        LoadImageFromFile().transform({"img_path": str(path)})
    with pytest.raises(ValueError, match="The picture photo cannot be read"):
        read_upload(path)


def raise_height(data, tag, height):
    """The TIFF with another height in its first directory."""
    start = struct.unpack_from("<I", data, 4)[0] + 2
    content = bytearray(data)
    for offset in range(start, len(data) - 12, 12):
        if struct.unpack_from("<H", data, offset)[0] == tag:
            struct.pack_into("<I", content, offset + 8, height)
            return bytes(content)
    raise AssertionError(tag)


def test_sizes_of_damaged_tiff_headers_are_refused_before_decoding(monkeypatch):
    monkeypatch.setattr(PIL.ImageFile.ImageFile, "load", lambda image: pytest.fail("decoded"))
    for data in (encode_color_tiff(RGB), FORMS["tiff rgb 16"][0], encode(IMAGE, "TIFF", compression="tiff_lzw")):
        with pytest.raises(CorruptFile, match=r"36 x \d{4,} pixels, but the data of some are missing"):
            decode_rgb(raise_height(data, 257, 4_000_000), "a")


@pytest.mark.parametrize("form", ["png rgba", "png rgb 16"])
def test_long_chunks_of_damaged_pngs_are_kept_from_opencv(form, monkeypatch):
    """OpenCV takes the memory that a chunk says it needs."""
    data = FORMS[form][0]
    start = data.index(b"IDAT")
    monkeypatch.setattr(cv2, "imdecode", lambda *args: pytest.fail("decoded"))
    damaged = data[: start - 4] + struct.pack(">I", 3_000_000_000) + data[start:]
    np.testing.assert_array_equal(decode_rgb(damaged, "a")[0], RGB)


def test_large_images_are_let_through_by_an_option(tmp_path, monkeypatch):
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 300)
    path = tmp_path / "large.png"
    for data in (encode(IMAGE, "PNG"), encode_color_tiff(RGB), encode(IMAGE, "JPEG"), encode_color_tiff(RGB / 255)):
        path.write_bytes(data)
        for decode in (
            lambda: load_image(path),
            lambda data=data: verify_image(data, path),
            lambda: LoadImageFromFile().transform({"img_path": str(path)}),
        ):
            with pytest.raises(CorruptFile, match=r"large\.png: has 36 x 24 pixels.*max_megapixels=1"):
                decode()
    path.write_bytes(FORMS["png rgba"][0])
    with pytest.raises(CorruptFile, match="at most"):
        load_image(path, max_megapixels=0.0008)
    for rgb in (
        load_image(path, max_megapixels=0.001)[0],
        LoadImageFromFile(max_megapixels=1).transform({"img_path": str(path)})["img"][..., ::-1],
    ):
        np.testing.assert_array_equal(rgb, RGB)
    assert PIL.Image.MAX_IMAGE_PIXELS == 300
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 600)  # Pillow would warn
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_image(path)


OTHER = PIL.Image.fromarray(255 - RGB)
SEVERAL = {
    "GIF": encode(IMAGE.quantize(9), "GIF", save_all=True, append_images=[OTHER, IMAGE.rotate(9)]),
    "PNG": encode(IMAGE, "PNG", save_all=True, append_images=[OTHER, IMAGE.rotate(9)]),
    "WEBP": encode(IMAGE, "WEBP", save_all=True, append_images=[OTHER, IMAGE.rotate(9)]),
    "TIFF": encode(IMAGE, "TIFF", save_all=True, append_images=[OTHER, IMAGE.rotate(9)]),
    "MPO": encode(IMAGE, "MPO", save_all=True, append_images=[OTHER, IMAGE.rotate(9)]),
}


@pytest.mark.parametrize("kind", SEVERAL)
def test_first_of_several_pictures_is_used_and_said(kind, tmp_path, capsys):
    rgb, info = decode_everywhere(SEVERAL[kind], tmp_path, "many")
    assert info.frames == 3
    assert np.abs(rgb.astype(int) - RGB).mean() < 25
    (note,) = info.notes
    assert note.level == "note" and "holds 3 pictures" in note.text and "many" in note.file
    assert f"note: {note}" in capsys.readouterr().err
    assert read_upload(tmp_path / "many").notes[0].startswith("The picture many holds 3 pictures")


def test_overviews_and_previews_are_no_pictures(tmp_path):
    small = np.ascontiguousarray(RGB[::4, ::4])
    mask = np.zeros((24, 36), np.uint8)
    files = [
        encode_color_tiff(RGB, small, subfile_types=(0, 1)),
        encode_color_tiff(RGB, mask, subfile_types=(0, 4)),
        encode_color_tiff(small, RGB, subfile_types=(1, 0)),  # the preview comes first
    ]
    for data in files:
        rgb, info = decode_everywhere(data, tmp_path)
        np.testing.assert_array_equal(rgb, RGB)
        assert info.frames == 1 and info.notes == ()
    gain_map = encode(IMAGE, "MPO", save_all=True, append_images=[IMAGE.resize((18, 12))])
    assert decode_everywhere(gain_map, tmp_path)[1].notes == ()


def test_pictures_cut_off_behind_the_first_are_no_error(tmp_path):
    for kind, keep in (("MPO", 0.9), ("GIF", 0.95)):
        data = SEVERAL[kind][: int(len(SEVERAL[kind]) * keep)]
        assert np.abs(decode_everywhere(data, tmp_path)[0].astype(int) - RGB).mean() < 25


def test_damaged_exif_is_no_error():
    tags = PIL.Image.Exif()
    tags[274] = 6
    data = bytearray(encode(IMAGE, "JPEG", exif=tags))
    start = data.index(b"Exif\0\0")
    data[start + 6 : start + 14] = b"XX*\0\xff\xff\xff\xff"
    assert verify_image(bytes(data), "a").orientation == 1
    assert decode_rgb(bytes(data), "a")[0].shape == RGB.shape
