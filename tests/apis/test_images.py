"""Conversion of any image input to RGB arrays, and errors for what is no image."""

import io
import re
import warnings
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import torch
from helpers import bad_inputs
from helpers.bad_inputs import encoded
from PIL import features

from proxyclip.apis.images import ImageWarning, get_image_file_name, is_batch, to_rgb_array
from proxyclip.data.transforms import LoadImageFromFile


def noise(h=6, w=9, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8)


RGB = noise()
IMAGE = PIL.Image.fromarray(RGB)
MODES = ("1", "L", "P", "LA", "PA", "RGB", "RGBA", "RGBX", "La", "RGBa", "CMYK", "YCbCr", "HSV")
WIDE_MODES = ("I", "I;16", "I;16B", "I;16L", "F")


def test_to_rgb_array_accepts_all_forms(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    png = encoded(IMAGE, "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(png)
    wide = RGB.astype(np.uint16) << 8
    tensor = torch.from_numpy(RGB).permute(2, 0, 1)
    forms = [
        path, str(path), "~/a.png", png, bytearray(png), memoryview(png), io.BytesIO(png), IMAGE, PIL.Image.open(path),
        RGB, RGB[::-1][::-1], np.asfortranarray(RGB), RGB.astype(np.int64), wide, wide.astype(">u2"), RGB / 255,
        (RGB / 255).astype(np.float32), (RGB / 255).astype(np.float16), np.ma.array(RGB),
        np.dstack([RGB, RGB[..., :1]]), tensor,
        tensor.float() / 255, tensor.double() / 255, tensor.half() / 255, tensor.int(),
        (tensor.float() / 255).requires_grad_(), torch.cat([tensor, tensor[:1]]),
        torch.from_numpy(wide).permute(2, 0, 1),
    ]  # fmt: skip
    for form in forms:
        rgb = to_rgb_array(form)
        assert rgb.dtype == np.uint8 and rgb.flags.c_contiguous
        assert np.array_equal(rgb, RGB), type(form)
    rounded = to_rgb_array((tensor.float() / 255).bfloat16())  # 8 bits of precision
    assert np.abs(rounded.astype(int) - RGB).max() <= 1
    with path.open("rb") as file:
        assert np.array_equal(to_rgb_array(file), RGB)


@pytest.mark.parametrize("gray", [RGB[..., 0], RGB[..., :1], RGB[..., [0, 1]]], ids=["2", "1 channel", "with alpha"])
def test_to_rgb_array_repeats_gray(gray):
    expected = RGB[..., :1].repeat(3, 2)
    assert np.array_equal(to_rgb_array(gray), expected)
    tensor = torch.from_numpy(np.ascontiguousarray(gray))
    assert np.array_equal(to_rgb_array(tensor.permute(2, 0, 1) if gray.ndim == 3 else tensor), expected)


def test_to_rgb_array_of_masks_is_black_and_white():
    mask = RGB[..., 0] > 127
    expected = (mask[..., None] * np.uint8(255)).repeat(3, 2)
    for form in (mask, torch.from_numpy(mask), mask.astype(float), PIL.Image.fromarray(mask)):
        assert np.array_equal(to_rgb_array(form), expected)


def test_to_rgb_array_copies_memory():
    for form in (RGB.copy(), torch.from_numpy(RGB.copy()).permute(2, 0, 1)):
        rgb = to_rgb_array(form)
        form[:] = 7
        assert np.array_equal(rgb, RGB)
        rgb[:] = 0  # nor is it read-only


@pytest.mark.parametrize("mode", MODES)
def test_to_rgb_array_of_pillow_modes(mode):
    steps = {"La": ("LA", "La"), "RGBa": ("RGBA", "RGBa"), "PA": ("P", "PA")}.get(mode, (mode,))
    image = IMAGE.convert("RGBA") if mode in ("LA", "La", "RGBa", "RGB", "RGBA") else IMAGE
    for step in steps:
        image = image.convert(step)
    assert image.mode == mode
    direct = image.convert({"La": "LA", "RGBa": "RGBA"}.get(mode, mode)).convert("RGB")
    assert np.array_equal(to_rgb_array(image), np.asarray(direct))
    assert np.asarray(direct).std() > 20


def test_to_rgb_array_of_lab():
    image_cms = pytest.importorskip("PIL.ImageCms")
    profiles = image_cms.createProfile("sRGB"), image_cms.createProfile("LAB")
    lab = image_cms.profileToProfile(IMAGE, *profiles, outputMode="LAB")
    assert np.abs(to_rgb_array(lab).astype(int) - RGB).mean() < 12


@pytest.mark.parametrize("mode", WIDE_MODES)
def test_to_rgb_array_of_wide_pillow_modes(mode):
    gray = IMAGE.convert("L")
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
def test_to_rgb_array_applies_exif_orientation(kind, options, turn):
    smooth = PIL.Image.fromarray(cv2.resize(noise(3, 4, 1), (40, 24), interpolation=cv2.INTER_LINEAR))
    tags = PIL.Image.Exif()
    tags[274] = turn
    data = encoded(smooth, kind, exif=tags, **options)
    expected = np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(data))).convert("RGB"))
    assert expected.shape == ((24, 40, 3) if turn < 5 else (40, 24, 3))
    if turn != 1:
        assert expected.shape != (24, 40, 3) or np.abs(expected.astype(int) - np.asarray(smooth)).mean() > 10
    for form in (data, PIL.Image.open(io.BytesIO(data))):
        rgb = to_rgb_array(form)
        assert rgb.shape == expected.shape
        assert np.abs(rgb.astype(int) - expected).mean() < 1


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "TGA", "PCX", "SGI", "DDS"])
def test_to_rgb_array_decodes_formats(kind):
    image = IMAGE.quantize(16).convert("RGB")
    options = dict(lossless=True) if kind == "WEBP" else {}
    data = encoded(image.quantize(16) if kind == "GIF" else image, kind, **options)
    assert np.array_equal(to_rgb_array(data), np.asarray(image))


def test_to_rgb_array_reduces_bits_and_channels():
    gray = np.asarray(IMAGE.convert("L"))
    wide = gray.astype(np.uint16) * 256 + 77
    expected = gray[..., None].repeat(3, 2)
    assert np.array_equal(to_rgb_array(encoded(PIL.Image.fromarray(wide), "PNG")), expected)
    assert np.array_equal(to_rgb_array(encoded(PIL.Image.fromarray(wide), "TIFF")), expected)
    assert np.array_equal(to_rgb_array(bad_inputs.png_rgb16(wide)), expected)
    clear = IMAGE.convert("RGBA")
    clear.putalpha(PIL.Image.fromarray(RGB[..., 0]))
    assert np.array_equal(to_rgb_array(encoded(clear, "PNG")), RGB)  # alpha is dropped
    indexed = IMAGE.quantize(9)
    data = encoded(indexed, "PNG", transparency=3)
    assert np.array_equal(to_rgb_array(data), np.asarray(indexed.convert("RGB")))
    assert np.array_equal(to_rgb_array(PIL.Image.open(io.BytesIO(data))), np.asarray(indexed.convert("RGB")))
    smooth = PIL.Image.fromarray(cv2.resize(noise(2, 3), (48, 32)))
    cmyk = encoded(smooth.convert("CMYK"), "JPEG", quality=98)
    assert np.abs(to_rgb_array(cmyk).astype(int) - np.asarray(smooth)).mean() < 4


def test_to_rgb_array_takes_the_first_frame():
    second = PIL.Image.fromarray(255 - RGB)
    for kind, options in (("GIF", {}), ("TIFF", {}), ("PNG", {}), ("WEBP", dict(lossless=True))):
        first = IMAGE.quantize(200) if kind == "GIF" else IMAGE
        data = encoded(first, kind, save_all=True, append_images=[second], **options)
        with pytest.warns(ImageWarning, match="the given bytes: holds 2 pictures"):
            assert np.array_equal(to_rgb_array(data), np.asarray(first.convert("RGB"))), kind


def test_to_rgb_array_refuses_floating_point_files():
    data = encoded(PIL.Image.fromarray(np.full((4, 5), 3.5, np.float32)), "TIFF")
    with pytest.raises(ValueError, match="floating-point values of an unknown range"):
        to_rgb_array(data)


def check_against_loader(path):
    """Compare pixels and errors with an evaluation; returns True if the file was read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = LoadImageFromFile(color_type="color")({"img_path": str(path)})["img"][..., ::-1]
        except OSError as error:
            with pytest.raises(OSError, match=re.escape(str(error))):
                to_rgb_array(path)
            return False
        for form in (path, path.read_bytes()):
            assert np.array_equal(to_rgb_array(form), expected), path
    return True


def test_to_rgb_array_of_damaged_files_names_the_file(tmp_path):
    for path in sorted((bad_inputs.make(tmp_path / "made") / "images").iterdir()):
        message = bad_inputs.IMAGES[path.name]
        assert check_against_loader(path) == (message is None)
        if message is not None:
            with pytest.raises(OSError, match=f"{re.escape(path.name)}.*{message}"):
                to_rgb_array(str(path))
            with pytest.raises(OSError, match="the given bytes"):
                to_rgb_array(io.BytesIO(path.read_bytes()))


def test_to_rgb_array_of_samples_equals_the_loader(samples):
    endings = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")
    groups = [sorted(p for p in folder.rglob("*") if p.suffix.lower() in endings) for folder in samples.iterdir()]
    read = [check_against_loader(path) for group in groups for path in group[:30]]
    assert sum(read) > len(read) / 2


def test_to_rgb_array_of_damaged_pil_images():
    png = encoded(PIL.Image.fromarray(noise(60, 60)), "PNG")
    jpeg = encoded(PIL.Image.fromarray(noise(60, 60)), "JPEG")
    for data in (png[: len(png) // 2], jpeg[: len(jpeg) // 2], png[:80] + bytes(40) + png[120:]):
        with pytest.raises(OSError, match="cannot be read"):
            to_rgb_array(PIL.Image.open(io.BytesIO(data)))
    closed = PIL.Image.open(io.BytesIO(png))
    closed.close()
    with pytest.raises(OSError, match="cannot be read"):
        to_rgb_array(closed)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "ICO", "PCX", "QOI"])
def test_to_rgb_array_of_changed_bytes_raises_documented_errors(kind):
    rng = np.random.default_rng(0)
    data = np.frombuffer(encoded(IMAGE.resize((40, 30)), kind), np.uint8)
    failed = 0
    for i in range(60):
        changed = data.copy()
        places = rng.integers(0, min(len(data), (40, 400, 10**6)[i % 3]), 1 + i % 7)
        changed[places] = rng.integers(0, 256, len(places))
        try:
            assert to_rgb_array(changed[: rng.integers(1, len(data)) if i % 4 == 0 else None].tobytes()).size
        except (OSError, ValueError) as error:
            assert "the given bytes" in str(error)
            failed += 1
    assert failed > 10


def test_to_rgb_array_refuses_decompression_bombs(monkeypatch, tmp_path):
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 20)
    (tmp_path / "bomb.png").write_bytes(encoded(IMAGE, "PNG"))
    with pytest.raises(OSError, match=r"bomb\.png.*9 x 6 pixels"):
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
def test_to_rgb_array_of_wrong_paths(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if path == "/dev/zero" and not Path(path).exists():
        pytest.skip("no such device here")
    error_type, message = PATHS[path]
    with pytest.raises(error_type, match=message) as error:
        to_rgb_array(path)
    assert len(str(error.value)) < 500


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


@pytest.mark.parametrize(("value", "error_type"), OTHERS)
def test_to_rgb_array_of_wrong_objects(value, error_type):
    with pytest.raises(error_type, match=r"Expected.*but"):
        to_rgb_array(value)


def test_is_batch_and_file_names():
    assert all(map(is_batch, ([], (RGB,), np.zeros((2, 4, 4, 3)), torch.zeros(2, 3, 4, 4))))
    assert not any(map(is_batch, (RGB, "a.jpg", b"", IMAGE, torch.zeros(3, 4, 4), Path("a"))))
    forms = ("b/a.jpg", Path("b/a.tar.gz"), b"", RGB, IMAGE)
    assert [get_image_file_name(form) for form in forms] == ["a.jpg", "a.tar.gz", "", "", ""]
