"""Pictures of any form become the same RGB array, and what is no picture is refused in words."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import torch
from helpers import bad_inputs
from PIL import features

from proxyclip.apis.images import get_image_file_name, is_batch, to_rgb_array
from proxyclip.data.transforms import LoadImageFromFile

DOCUMENTED = (OSError, ValueError, TypeError)


def colours(h=6, w=9, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8)


RGB = colours()
PICTURE = PIL.Image.fromarray(RGB)
MODES = ("1", "L", "P", "LA", "PA", "RGB", "RGBA", "RGBX", "La", "RGBa", "CMYK", "YCbCr", "HSV", "LAB")
WIDE_MODES = ("I", "I;16", "I;16B", "I;16L", "F")


def encoded(picture, kind, **options):
    return bad_inputs.encoded(picture, kind, **options)


def test_every_form_of_one_picture(tmp_path):
    png = encoded(PICTURE, "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(png)
    wide = RGB.astype(np.uint16) << 8
    tensor = torch.from_numpy(RGB).permute(2, 0, 1)
    forms = [
        path, str(path), png, bytearray(png), memoryview(png), io.BytesIO(png), PICTURE, PIL.Image.open(path), RGB,
        RGB[::-1][::-1], np.asfortranarray(RGB), RGB.astype(np.int64), wide, wide.astype(">u2"), RGB / 255,
        (RGB / 255).astype(np.float32), (RGB / 255).astype(np.float16), np.ma.array(RGB),
        np.dstack([RGB, RGB[..., :1]]), tensor,
        tensor.float() / 255, tensor.double() / 255, tensor.half() / 255, tensor.int(),
        (tensor.float() / 255).requires_grad_(), torch.cat([tensor, tensor[:1]]),
        torch.from_numpy(wide).permute(2, 0, 1),
    ]  # fmt: skip
    for form in forms:
        found = to_rgb_array(form)
        assert found.dtype == np.uint8
        assert found.flags.c_contiguous
        assert np.array_equal(found, RGB), type(form)
    rounded = to_rgb_array((tensor.float() / 255).bfloat16())  # 8 bits of precision
    assert np.abs(rounded.astype(int) - RGB).max() <= 1
    with path.open("rb") as file:
        assert np.array_equal(to_rgb_array(file), RGB)


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.png").write_bytes(encoded(PICTURE, "PNG"))
    assert np.array_equal(to_rgb_array("~/a.png"), RGB)


@pytest.mark.parametrize("gray", [RGB[..., 0], RGB[..., :1], RGB[..., [0, 1]]], ids=["2", "1 channel", "with alpha"])
def test_gray(gray):
    expected = RGB[..., :1].repeat(3, 2)
    assert np.array_equal(to_rgb_array(gray), expected)
    tensor = torch.from_numpy(np.ascontiguousarray(gray))
    assert np.array_equal(to_rgb_array(tensor.permute(2, 0, 1) if gray.ndim == 3 else tensor), expected)


def test_black_and_white():
    mask = RGB[..., 0] > 127
    expected = (mask[..., None] * np.uint8(255)).repeat(3, 2)
    for form in (mask, torch.from_numpy(mask), mask.astype(float), PIL.Image.fromarray(mask)):
        assert np.array_equal(to_rgb_array(form), expected)


def test_what_comes_back_is_no_view():
    for form in (RGB.copy(), torch.from_numpy(RGB.copy()).permute(2, 0, 1)):
        found = to_rgb_array(form)
        form[:] = 7
        assert np.array_equal(found, RGB)
        found[:] = 0  # nor is it read-only


@pytest.mark.parametrize("mode", MODES)
def test_modes_of_pillow(mode):
    opaque = PICTURE.convert("RGBA")
    if mode == "LAB":
        pytest.importorskip("PIL.ImageCms")
        from PIL import ImageCms

        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(PICTURE, *profiles, outputMode="LAB")
        expected, far = RGB, 12
    else:
        steps = {"La": ("LA", "La"), "RGBa": ("RGBA", "RGBa"), "PA": ("P", "PA")}.get(mode, (mode,))
        image, far = opaque, 0
        for step in steps:
            image = (PICTURE if step in ("P", "HSV", "CMYK", "YCbCr", "1", "L", "RGBX") else image).convert(step)
        through = {"La": "LA", "RGBa": "RGBA"}.get(mode, mode)
        expected = np.asarray(image.convert(through).convert("RGB"))
    assert image.mode == mode
    found = to_rgb_array(image)
    assert found.shape == RGB.shape
    assert np.abs(found.astype(int) - expected).mean() <= far
    assert found.std() > 20


@pytest.mark.parametrize("mode", WIDE_MODES)
def test_wide_modes_of_pillow(mode):
    gray = PICTURE.convert("L")
    values = np.asarray(gray)
    if mode == "F":
        image = PIL.Image.fromarray((values / np.float32(255)).astype(np.float32))
    elif mode == "I":
        image = PIL.Image.fromarray(values.astype(np.int32) * 256)
        assert np.array_equal(to_rgb_array(gray.convert("I")), to_rgb_array(gray))  # no wider than 8 bits
    else:
        order = ">" if mode.endswith("B") else "<"
        image = PIL.Image.frombytes(mode, gray.size, (values.astype(np.uint16) * 256).astype(f"{order}u2").tobytes())
    assert image.mode == mode
    assert np.array_equal(to_rgb_array(image), to_rgb_array(gray))


FORMATS = [
    ("JPEG", dict(quality=95)), ("PNG", {}), ("WEBP", dict(lossless=True)), ("TIFF", {}),
    *([("AVIF", dict(quality=100, subsampling="4:4:4"))] if features.check("avif") else []),
]  # fmt: skip


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize(("kind", "options"), FORMATS, ids=[kind for kind, _ in FORMATS])
def test_turned_by_exif_as_a_viewer_turns_it(kind, options, turn):
    smooth = PIL.Image.fromarray(cv2.resize(colours(3, 4, 1), (40, 24), interpolation=cv2.INTER_LINEAR))
    tags = PIL.Image.Exif()
    tags[274] = turn
    data = encoded(smooth, kind, exif=tags, **options)
    expected = np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(data))).convert("RGB"))
    assert expected.shape == ((24, 40, 3) if turn < 5 else (40, 24, 3))
    if turn != 1:
        assert expected.shape != (24, 40, 3) or np.abs(expected.astype(int) - np.asarray(smooth)).mean() > 10
    for form in (data, PIL.Image.open(io.BytesIO(data))):
        found = to_rgb_array(form)
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).mean() < 1


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "TGA", "PCX", "SGI", "DDS"])
def test_formats(kind):
    picture = PICTURE.quantize(16).convert("RGB")
    options = dict(lossless=True) if kind == "WEBP" else {}
    data = encoded(picture.quantize(16) if kind == "GIF" else picture, kind, **options)
    assert np.array_equal(to_rgb_array(data), np.asarray(picture))


def test_files_of_more_bits_or_other_channels():
    gray = np.asarray(PICTURE.convert("L"))
    wide = gray.astype(np.uint16) * 256 + 77
    expected = gray[..., None].repeat(3, 2)
    assert np.array_equal(to_rgb_array(encoded(PIL.Image.fromarray(wide), "PNG")), expected)
    assert np.array_equal(to_rgb_array(encoded(PIL.Image.fromarray(wide), "TIFF")), expected)
    assert np.array_equal(to_rgb_array(bad_inputs.png_rgb16(wide)), expected)
    clear = PICTURE.convert("RGBA")
    clear.putalpha(PIL.Image.fromarray(RGB[..., 0]))
    assert np.array_equal(to_rgb_array(encoded(clear, "PNG")), RGB)  # alpha is dropped, not painted on something
    indexed = PICTURE.quantize(9)
    data = encoded(indexed, "PNG", transparency=3)
    assert np.array_equal(to_rgb_array(data), np.asarray(indexed.convert("RGB")))
    assert np.array_equal(to_rgb_array(PIL.Image.open(io.BytesIO(data))), np.asarray(indexed.convert("RGB")))
    smooth = PIL.Image.fromarray(cv2.resize(colours(2, 3), (48, 32)))
    cmyk = encoded(smooth.convert("CMYK"), "JPEG", quality=98)
    assert np.abs(to_rgb_array(cmyk).astype(int) - np.asarray(smooth)).mean() < 4


def test_the_first_picture_of_several():
    second = PIL.Image.fromarray(255 - RGB)
    for kind, options in (("GIF", {}), ("TIFF", {}), ("PNG", {}), ("WEBP", dict(lossless=True))):
        first = PICTURE.quantize(200) if kind == "GIF" else PICTURE
        data = encoded(first, kind, save_all=True, append_images=[second], **options)
        assert np.array_equal(to_rgb_array(data), np.asarray(first.convert("RGB"))), kind


def test_a_file_with_numbers_of_unknown_range():
    data = encoded(PIL.Image.fromarray(np.full((4, 5), 3.5, np.float32)), "TIFF")
    with pytest.raises(ValueError, match="floating-point values of an unknown range"):
        to_rgb_array(data)


def check_against_the_loader(paths):
    """The same pixels as an evaluation reads; upright, where a tag says so. Returns how many were read."""
    read = 0
    for path in paths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                expected = LoadImageFromFile(color_type="color")({"img_path": str(path)})["img"][..., ::-1]
            except OSError as error:
                with pytest.raises(OSError, match=path.name) as mine:
                    to_rgb_array(path)
                assert str(mine.value) == str(error)
                continue
            found = to_rgb_array(path)
        assert np.array_equal(found, expected), path
        assert np.array_equal(to_rgb_array(path.read_bytes()), expected), path
        read += 1
    return read


def test_odd_and_damaged_files(tmp_path):
    folder = bad_inputs.make(tmp_path / "made") / "images"
    for name, words in bad_inputs.IMAGES.items():
        if words is None:
            assert to_rgb_array(folder / name).ndim == 3
            continue
        for form in (folder / name, str(folder / name)):
            with pytest.raises(OSError, match=words) as error:
                to_rgb_array(form)
            assert name in str(error.value)
        with pytest.raises(OSError, match="the given bytes"):
            to_rgb_array((folder / name).read_bytes())
    assert check_against_the_loader(sorted(folder.iterdir())) == sum(w is None for w in bad_inputs.IMAGES.values())


def test_samples_as_an_evaluation_reads_them(samples):
    endings = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")
    groups = [sorted(p for p in folder.rglob("*") if p.suffix.lower() in endings) for folder in samples.iterdir()]
    some = [path for group in groups for path in group[:30]]
    assert check_against_the_loader(some) > len(some) / 2


def test_pil_pictures_whose_file_is_damaged():
    noise = encoded(PIL.Image.fromarray(colours(60, 60)), "PNG")
    jpeg = encoded(PIL.Image.fromarray(colours(60, 60)), "JPEG")
    for data in (noise[: len(noise) // 2], jpeg[: len(jpeg) // 2], noise[:80] + bytes(40) + noise[120:]):
        with pytest.raises(OSError, match="cannot be read"):
            to_rgb_array(PIL.Image.open(io.BytesIO(data)))
    closed = PIL.Image.open(io.BytesIO(noise))
    closed.close()
    with pytest.raises(OSError, match="cannot be read"):
        to_rgb_array(closed)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "ICO", "PCX", "QOI"])
def test_changed_bytes_never_surprise(kind):
    """A picture, or an OSError or ValueError that says what it is about."""
    draw = np.random.default_rng(0)
    data = np.frombuffer(encoded(PICTURE.resize((40, 30)), kind), np.uint8)
    failed = 0
    for i in range(60):
        changed = data.copy()
        places = draw.integers(0, min(len(data), (40, 400, 10**6)[i % 3]), 1 + i % 7)
        changed[places] = draw.integers(0, 256, len(places))
        try:
            found = to_rgb_array(changed[: draw.integers(1, len(data))].tobytes() if i % 4 == 0 else changed.tobytes())
        except (OSError, ValueError) as error:
            assert "the given bytes" in str(error)
            failed += 1
        else:
            assert found.ndim == 3
            assert found.size
    assert failed > 10


def test_bombs_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 20)
    (tmp_path / "bomb.png").write_bytes(encoded(PICTURE, "PNG"))
    with pytest.raises(OSError, match=r"bomb\.png.*54 pixels"):
        to_rgb_array(tmp_path / "bomb.png")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 40)  # a warning of Pillow's, which is no error
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(to_rgb_array(tmp_path / "bomb.png"), RGB)


PATHS = {
    "nowhere.jpg": (FileNotFoundError, "no picture nowhere.jpg"),
    "http://example.org/a.jpg": (ValueError, "save the picture first"),
    "data:image/png;base64,iVBOR": (ValueError, "save the picture first"),
    ".": (IsADirectoryError, "folder"),
    "": (OSError, "folder"),
    "a\0b": (OSError, "cannot be read"),
    "x" * 5000: (OSError, "cannot be read"),
    "~nobody-of-this-name/a.jpg": (OSError, "cannot be read|no picture"),
    "/dev/zero": (OSError, "device"),
}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: repr(path[:20]))
def test_paths_that_are_no_picture(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if path == "/dev/zero" and not Path(path).exists():
        pytest.skip("no such device here")
    kind, words = PATHS[path]
    with pytest.raises(kind, match=words) as error:
        to_rgb_array(path)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("data", [b"", b"\0", b"GIF89a", b"<!DOCTYPE html><p>no</p>", b"%PDF-1.7", bytes(1000)])
def test_bytes_that_are_no_picture(data):
    for form in (data, io.BytesIO(data)):
        with pytest.raises(OSError, match="the given bytes"):
            to_rgb_array(form)


OTHERS = [
    (5, TypeError), (None, TypeError), (object(), TypeError), ([RGB], TypeError), (io.StringIO("a"), TypeError),
    (np.zeros(4), ValueError), (np.zeros(()), ValueError), (np.zeros((3, 8, 9)), ValueError),
    (np.zeros((2, 8, 9, 3)), ValueError), (np.zeros((0, 9, 3)), ValueError), (np.zeros((9, 0)), ValueError),
    (np.full((4, 4), np.nan), ValueError), (np.full((4, 4), np.inf), ValueError), (np.full((4, 4), 255.0), ValueError),
    (np.full((4, 4), -0.1), ValueError), (np.full((4, 4), 256), ValueError), (np.full((4, 4), -1), ValueError),
    (np.zeros((4, 4), complex), TypeError), (np.full((4, 4), None), TypeError), (np.full((4, 4), "a"), TypeError),
    (np.zeros((4, 4), "datetime64[s]"), TypeError), (np.zeros((4, 4), [("a", "u1")]), TypeError),
    (torch.zeros(8, 9, 3), ValueError), (torch.zeros(3, 0, 4), ValueError), (torch.zeros(()), ValueError),
    (torch.full((3, 4, 4), 255.0), ValueError), (torch.zeros(3, 4, 4, dtype=torch.complex64), TypeError),
    (torch.zeros(3, 4, 4).to_sparse(), TypeError), (torch.zeros(3, 4, 4, device="meta"), TypeError),
    (PIL.Image.new("RGB", (0, 4)), ValueError), (PIL.Image.new("F", (4, 4), 255), ValueError),
    (PIL.Image.new("I", (4, 4), -3), ValueError), (PIL.Image.new("I", (4, 4), 70000), ValueError),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(OTHERS)))
def test_objects_that_are_no_picture(number):
    thing, kind = OTHERS[number]
    with pytest.raises(kind, match="Expected") as error:
        to_rgb_array(thing)
    assert "but" in str(error.value)


def test_batches_and_names():
    assert all(map(is_batch, ([], (RGB,), np.zeros((2, 4, 4, 3)), torch.zeros(2, 3, 4, 4))))
    assert not any(map(is_batch, (RGB, "a.jpg", b"", PICTURE, torch.zeros(3, 4, 4), Path("a"))))
    forms = ("b/a.jpg", Path("b/a.tar.gz"), b"", RGB, PICTURE)
    assert [get_image_file_name(one) for one in forms] == ["a.jpg", "a.tar.gz", "", "", ""]
