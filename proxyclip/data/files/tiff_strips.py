"""Values of TIFF pages in strips, without compression or deflated, of any number format.

Pillow opens no colors of 32 bits, and both Pillow and OpenCV take channels of 16 bits that are stored one after the
other for something else, without an error.
"""

import zlib

import numpy as np

from proxyclip.data.files.tiff_pages import TiffPage

DEFLATE = (8, 32946)  # compressions
KINDS = {1: "u", 2: "i", 3: "f"}  # of numpy, by sample format


def read_strips(data: bytes, page: TiffPage) -> np.ndarray | None:
    """Read a page (H, W, samples), not turned; None for tiles, other compressions and odd numbers of bits."""
    h, w = page.size
    kind, size = KINDS.get(page.sample_format), page.bits // 8
    known = page.compression in (1, *DEFLATE) and page.predictor in (1, 2) and page.bits in (8, 16, 32, 64)
    if not page.strips or not known or kind is None or (kind == "f" and size == 1):
        return None
    dtype = np.dtype(f"{'<' if data[:2] == b'II' else '>'}{kind}{size}")
    planes, samples = (page.samples, 1) if page.is_planar else (1, page.samples)
    rows_per_strip = min(page.rows_per_strip or h, h)
    per_plane = -(-h // rows_per_strip)
    if len(page.strips) < planes * per_plane:
        return None
    values = np.empty((planes, h, w, samples), dtype.newbyteorder("="))
    for number, (start, length) in enumerate(page.strips[: planes * per_plane]):
        content = data[start : start + length]
        if page.compression in DEFLATE:
            content = zlib.decompress(content)
        plane, strip = divmod(number, per_plane)
        rows = values[plane, strip * rows_per_strip : (strip + 1) * rows_per_strip]
        part = np.frombuffer(content, dtype, rows.size).reshape(rows.shape)
        rows[...] = _undo_differences(part) if page.predictor == 2 else part
    return values[0] if planes == 1 else np.moveaxis(values[..., 0], 0, -1)


def _undo_differences(part: np.ndarray) -> np.ndarray:
    """Values from differences to the left neighbor, which wrap around."""
    native = part.astype(part.dtype.newbyteorder("="))
    unsigned = native.view(f"u{native.itemsize}")
    return np.cumsum(unsigned, axis=1, dtype=unsigned.dtype).view(native.dtype)
