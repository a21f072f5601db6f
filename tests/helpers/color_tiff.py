"""Bytes of uncompressed color TIFFs of any number format, channels and tags, which Pillow does not write."""

import struct

SIZES = {3: 2, 4: 4}  # bytes of a short and a long


def encode_color_tiff(
    *pages, photometric=2, bits=None, sample_format=None, extra_samples=(), planar=1, subfile_types=(), tags=()
):
    """A TIFF with a page for each array, (H, W) or (H, W, C).

    Args:
        bits, sample_format: default those of the arrays' type.
        planar: 1: channels side by side; 2: one after the other.
        tags: more of them for the first page, (number, 3 for shorts or 4 for longs, values).
    """
    data = b"II*\0\0\0\0\0"
    link = 4
    for number, page in enumerate(pages):
        samples = 1 if page.ndim == 2 else page.shape[2]
        content = (page if planar == 1 else page.transpose(2, 0, 1)).astype(page.dtype.newbyteorder("<")).tobytes()
        strips = samples if planar == 2 else 1
        form = {"u": 1, "i": 2, "f": 3, "c": 6}[page.dtype.kind]
        entries = [
            (254, 4, [subfile_types[number] if subfile_types else 0]), (256, 4, [page.shape[1]]),
            (257, 4, [page.shape[0]]), (258, 3, [bits or 8 * page.itemsize] * samples), (259, 3, [1]),
            (262, 3, [photometric]), (277, 3, [samples]), (278, 4, [page.shape[0]]), (284, 3, [planar]),
            (273, 4, [len(data) + i * (len(content) // strips) for i in range(strips)]),
            (279, 4, [len(content) // strips] * strips), (339, 3, [sample_format or form] * samples),
        ]  # fmt: skip
        entries += [(338, 3, list(extra_samples))] if extra_samples else []
        entries += tags if number == 0 else []
        data += content + b"\0" * (len(content) % 2)
        directory = b""
        for tag, kind, values in sorted(entries):
            raw = struct.pack(f"<{len(values)}{'HI'[kind - 3]}", *values)
            if len(raw) > 4:
                raw, data = struct.pack("<I", len(data)), data + raw
            directory += struct.pack("<HHI", tag, kind, len(values)) + raw.ljust(4, b"\0")
        data = data[:link] + struct.pack("<I", len(data)) + data[link + 4 :]
        data += struct.pack("<H", len(entries)) + directory + struct.pack("<I", 0)
        link = len(data) - 4
    return data
