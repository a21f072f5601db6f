"""Label maps have the values that their files store, whatever the form, or are refused by name."""

import numpy as np
import pytest
from helpers.image_bytes import encode, encode_gray_png, encode_tiff
from PIL import Image

from proxyclip.data.files.label_maps import decode_label_map

LABELS = np.array([[0, 1, 2, 3, 1], [3, 0, 0, 2, 1], [2, 2, 3, 1, 0]])  # not square, fits into 2 bits


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("form", ["png", "tiff"])
def test_gray_samples_of_few_bits_are_exact(bits, form):
    labels = LABELS * 5 if bits == 4 else LABELS if bits > 1 else LABELS % 2
    data = encode_gray_png(labels, bits) if form == "png" else encode_tiff([labels.astype(np.uint8)], bits)
    decoded = decode_label_map(data, "mask")
    assert decoded.dtype == np.int32
    np.testing.assert_array_equal(decoded, labels)


@pytest.mark.parametrize("maximum", [3, 20, 255, 1000, 65535])
def test_pgm_of_any_maximum_is_exact(maximum):
    labels = LABELS * (maximum // 3)
    dtype = ">u2" if maximum > 255 else "u1"
    data = f"P5\n# labels\n5 3\n{maximum}\n".encode() + labels.astype(dtype).tobytes()
    np.testing.assert_array_equal(decode_label_map(data, "mask.pgm"), labels)


@pytest.mark.parametrize(
    ("dtype", "bits", "sample_format"), [("i1", 8, 2), ("<u2", 16, 1), ("<i2", 16, 2), ("<u4", 32, 1), ("<i4", 32, 2)]
)
def test_tiff_numbers_of_any_width_are_exact(dtype, bits, sample_format):
    labels = LABELS - 1 if "i" in dtype else LABELS
    labels = labels * (40 if bits == 8 else 9000)
    data = encode_tiff([labels], bits, sample_format=sample_format, dtype=dtype)
    np.testing.assert_array_equal(decode_label_map(data, "mask.tif"), labels)


def test_palettes_of_few_bits_give_indices():
    image = Image.fromarray(LABELS.astype(np.uint8))
    image.putpalette([9, 9, 9, 0, 80, 0, 5, 5, 5, 1, 2, 3])
    for form, options in (("PNG", {"bits": 2}), ("PNG", {}), ("TIFF", {}), ("BMP", {}), ("GIF", {})):
        np.testing.assert_array_equal(decode_label_map(encode(image, form, **options), "mask"), LABELS)


def test_overviews_of_a_tiff_are_no_pages():
    data = encode_tiff([LABELS.astype(np.uint8), LABELS[:2, :3].astype(np.uint8)], subfile_types=(0, 1))
    np.testing.assert_array_equal(decode_label_map(data, "mask.tif"), LABELS)


def animation(form):
    frames = [Image.fromarray((k == LABELS).astype(np.uint8) * 255) for k in range(3)]
    return encode(frames[0], form, save_all=True, append_images=frames[1:])


GRAY = LABELS.astype(np.uint8)
LARGE = np.full((4, 4), 2**31, np.uint32)
REFUSED = {
    "a page a class": (lambda: encode_tiff([(k == GRAY).astype(np.uint8) for k in range(3)]), "has 3 pages"),
    "two maps": (lambda: encode_tiff([GRAY, GRAY], subfile_types=(0, 0)), "has 2 pages"),
    "animated PNG": (lambda: animation("PNG"), "has 3 frames"),
    "animated GIF": (lambda: animation("GIF"), "has 3 frames"),
    "white is zero": (lambda: encode_tiff([GRAY], photometric=0), "whose 0 is white"),
    "white is zero, 1 bit": (lambda: encode_tiff([GRAY % 2], bits=1, photometric=0), "whose 0 is white"),
    "PBM": (lambda: encode(Image.fromarray(GRAY % 2 == 1), "PPM"), "is a PBM"),
    "JPEG": (lambda: encode(Image.fromarray(GRAY), "JPEG"), "changes labels"),
    "JPEG in TIFF": (lambda: encode(Image.fromarray(np.tile(GRAY, (8, 8))), "TIFF", compression="jpeg"), "changes"),
    "JPEG 2000": (lambda: encode(Image.fromarray(np.tile(GRAY, (8, 8))), "JPEG2000"), "changes labels"),
    "gray and alpha": (lambda: encode(Image.fromarray(GRAY).convert("LA"), "PNG"), "has 2 channels"),
    "above 31 bits": (lambda: encode_tiff([LARGE], 32), "values up to 2147483648"),
    "fractions": (lambda: encode_tiff([LABELS / 2], 32, sample_format=3, dtype="<f4"), "fractions"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_cannot_be_exact_is_refused(name):
    make, text = REFUSED[name]
    with pytest.raises(ValueError, match=text) as refusal:
        decode_label_map(make(), "some/mask.png")
    assert str(refusal.value).startswith("some/mask.png: ")
    assert "; " in str(refusal.value)  # a remedy


@pytest.mark.parametrize("data", [b"", b"GIF89a", encode_gray_png(GRAY, 8)[:50], encode_tiff([GRAY])[:60]])
def test_damaged_maps_are_errors_of_their_file(data):
    with pytest.raises(OSError, match=r"some/mask\.png: "):
        decode_label_map(data, "some/mask.png")
