"""Bytes of image files that Pillow reads but does not write: samples of few bits, several pages, odd tags."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encode_gray_png(values, bits):
    """A gray PNG with samples of 1, 2, 4 or 8 bits."""
    values = np.asarray(values, np.uint8)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    rows = b"".join(b"\0" + pack_row(row, bits) for row in values)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def pack_row(values, bits):
    """Samples of a row, the first in the highest bits."""
    if bits >= 8:
        return np.asarray(values).tobytes()
    per_byte = 8 // bits
    padded = np.pad(np.asarray(values, np.uint8), (0, -len(values) % per_byte)).reshape(-1, per_byte)
    shifts = np.arange(per_byte - 1, -1, -1) * bits
    return (padded << shifts).sum(1).astype(np.uint8).tobytes()


def encode_tiff(pages, bits=8, photometric=1, sample_format=1, subfile_types=(), dtype=None):
    """An uncompressed gray TIFF with a page for each array."""
    data = b"II*\0\0\0\0\0"
    link = 4
    for number, page in enumerate(pages):
        page = np.asarray(page) if dtype is None else np.asarray(page, dtype)
        pixels = b"".join(pack_row(row, bits) for row in page)
        subfile_type = subfile_types[number] if subfile_types else 0
        tags = [
            (254, 4, subfile_type), (256, 4, page.shape[1]), (257, 4, page.shape[0]), (258, 3, bits), (259, 3, 1),
            (262, 3, photometric), (273, 4, len(data)), (277, 3, 1), (278, 4, page.shape[0]), (279, 4, len(pixels)),
            (339, 3, sample_format),
        ]  # fmt: skip
        data += pixels + b"\0" * (len(pixels) % 2)
        offset = len(data)
        entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
        data = data[:link] + struct.pack("<I", offset) + data[link + 4 :]
        data += struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
        link = len(data) - 4
    return data


def encode(image, file_format, **options):
    """An image as Pillow writes it."""
    file = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file, file_format, **options)
    return file.getvalue()
