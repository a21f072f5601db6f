"""Small odd and damaged files, named as in the samples, and their errors.

`IMAGES`: name -> part of the error, or None if the image is read. `MASKS`: name -> kind of the problem, or None.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES, IGNORE = 2, 255
PLAIN = (
    "UPPER.JPG", "bilevel.png", "cmyk.jpg", "gif_named.jpg", "gray.jpg", "gray16.png", "gray_real_lip.jpg", "la.png",
    "ok.jpg", "one_px.png", "palette.png", "png_named.jpg", "progressive.jpg", "rgb16.png", "rgba.png", "strip.png",
    "trailing_garbage.jpg", "webp_named.jpg", "exif2.jpg", "exif3.jpg", "exif6.jpg", "exif8.jpg",
)  # fmt: skip
IMAGES: dict[str, str | None] = {
    **dict.fromkeys(PLAIN),
    "bitrot.jpg": None,  # bytes changed inside a JPEG: no decoder notices
    "empty.jpg": "is empty",
    "header_only.jpg": "cannot be read",
    "html.jpg": "is a web page",
    "lfs_pointer.jpg": "git-lfs pointer",
    "truncated_5.jpg": "cannot be read",
    "truncated_60.jpg": "cannot be read",
}
MASKS: dict[str, str | None] = {
    "mask_ok.png": None,
    "mask_all_ignore.png": "all ignored",
    "mask_half_size.png": "sizes differ",
    "mask_jpeg_named.png": "no label map",
    "mask_out_of_range.png": "illegal label",
    "mask_rgb.png": "no label map",
    "mask_truncated.png": "damaged label map",
    "mask_uint16.png": "illegal label",
}
SIZE = (36, 64)  # (height, width) of ok.jpg and of its masks


def make(folder: Path) -> Path:
    """Write `images` and `masks` into the folder, as the samples have them."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (9, 16, 3), np.uint8)
    image = Image.fromarray(np.kron(coarse, np.ones((4, 4, 1), np.uint8)))
    jpeg = encoded(image, "JPEG")
    wide = np.array(image.convert("L")).astype(np.uint16) * 257
    exif = {turn: Image.Exif() for turn in (2, 3, 6, 8)}
    for turn, tags in exif.items():
        tags[274] = turn
    images = {
        **dict.fromkeys(("UPPER.JPG", "ok.jpg"), jpeg),
        "bilevel.png": encoded(image.convert("1"), "PNG"),
        "bitrot.jpg": jpeg[:-90] + bytes(byte ^ 16 for byte in jpeg[-90:-80]) + jpeg[-80:],
        "cmyk.jpg": encoded(image.convert("CMYK"), "JPEG"),
        "gif_named.jpg": encoded(image.convert("P"), "GIF"),
        **dict.fromkeys(("gray.jpg", "gray_real_lip.jpg"), encoded(image.convert("L"), "JPEG")),
        "gray16.png": encoded(Image.fromarray(wide), "PNG"),
        "la.png": encoded(image.convert("LA"), "PNG"),
        "one_px.png": encoded(Image.new("RGB", (1, 1)), "PNG"),
        "palette.png": encoded(image.convert("P"), "PNG"),
        "png_named.jpg": encoded(image, "PNG"),
        "progressive.jpg": encoded(image, "JPEG", progressive=True),
        "rgb16.png": png_rgb16(wide),
        "rgba.png": encoded(image.convert("RGBA"), "PNG"),
        "strip.png": encoded(image.resize((500, 5)), "PNG"),
        "trailing_garbage.jpg": jpeg + b"garbage" * 9,
        "webp_named.jpg": encoded(image, "WEBP"),
        **{f"exif{turn}.jpg": encoded(image, "JPEG", exif=tags) for turn, tags in exif.items()},
        "empty.jpg": b"",
        "header_only.jpg": jpeg[:100],
        "html.jpg": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "lfs_pointer.jpg": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "truncated_5.jpg": jpeg[: len(jpeg) // 20 * 14],
        "truncated_60.jpg": jpeg[:-40],
    }
    labels = np.zeros(SIZE, np.uint8)
    labels[9:, 20:] = 1
    mask = Image.fromarray(labels)
    masks = {
        "mask_ok.png": encoded(mask, "PNG"),
        "mask_all_ignore.png": encoded(Image.new("L", mask.size, IGNORE), "PNG"),
        "mask_half_size.png": encoded(mask.resize((32, 18), Image.Resampling.NEAREST), "PNG"),
        "mask_jpeg_named.png": encoded(mask, "JPEG"),
        "mask_out_of_range.png": encoded(Image.fromarray(labels * 77), "PNG"),
        "mask_rgb.png": encoded(mask.convert("RGB"), "PNG"),
        "mask_truncated.png": encoded(Image.fromarray(rng.integers(0, 2, SIZE, np.uint8)), "PNG")[:-60],
        "mask_uint16.png": encoded(Image.fromarray(labels.astype(np.uint16) * 300), "PNG"),
    }
    for name, files in (("images", images), ("masks", masks)):
        (folder / name).mkdir(parents=True)
        for file, data in files.items():
            (folder / name / file).write_bytes(data)
    return folder


def encoded(image: Image.Image, image_format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def png_rgb16(gray: np.ndarray) -> bytes:
    """A PNG of three 16-bit channels, which Pillow cannot write."""
    import cv2

    return cv2.imencode(".png", np.dstack([gray] * 3))[1].tobytes()
