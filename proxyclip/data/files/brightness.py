"""Brightness of 8 bits from values of any width, and the range that values use."""

import numpy as np

from proxyclip.data.files.errors import FileIssue, InvalidFile

RANGE_PERCENTILES = (0.1, 99.9)  # so that single dead or hot pixels do not set the range
MIN_USED_RANGE = 2**14  # of 16-bit values: with less, fewer than 64 of 256 levels are left
STRETCH_REMEDY = (
    "spread them with stretch=True, demo.py --stretch, or in an evaluation "
    "--cfg-options test_dataloader.dataset.pipeline.0.stretch=True"
)


def find_value_range(values: np.ndarray) -> tuple[float, float]:
    """Range (low, high) from the 0.1th to the 99.9th percentile over all pixels and channels.

    Where both are the same it goes from the smallest to the largest value. NaN and infinities do not count.
    """
    if values.dtype == np.uint16:
        counts = np.bincount(values.ravel(), minlength=65536)
        steps = np.cumsum(counts)
        ranks = [share / 100 * (int(steps[-1]) - 1) for share in RANGE_PERCENTILES]
        low, high = (float(np.searchsorted(steps, rank, side="right")) for rank in ranks)
        used = np.flatnonzero(counts)
        extremes = float(used[0]), float(used[-1])
    else:
        finite = values[np.isfinite(values)]
        if not finite.size:
            return 0.0, 0.0
        low, high = (float(value) for value in np.percentile(finite, RANGE_PERCENTILES))
        extremes = float(finite.min()), float(finite.max())
    return extremes if low == high else (low, high)


def stretch_to_uint8(values: np.ndarray) -> np.ndarray:
    """Spread `find_value_range` of the values over 0 to 255, linearly; NaN becomes 0."""
    low, high = find_value_range(values)
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    if values.dtype == np.uint16:  # a table takes less memory than floats
        levels = np.arange(65536, dtype=np.float64)
        return _spread(levels, low, high)[values]
    return _spread(np.nan_to_num(values.astype(np.float64), nan=low), low, high)


def _spread(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.rint((np.clip(values, low, high) - low) * (255 / (high - low))).astype(np.uint8)


def check_used_range(values: np.ndarray, path: str) -> FileIssue | None:
    """Note on 16-bit values that use less than a quarter of their range, or None."""
    if not values.size:
        return None
    low, high = find_value_range(values)
    if not 0 < high - low < MIN_USED_RANGE:
        return None
    text = (
        f"has 16 bits a channel, but its values go from {low:.0f} to {high:.0f} of 65535: its upper 8 bits, which are "
        f"taken, are {int(low) >> 8} to {int(high) >> 8} of 255"
    )
    return FileIssue("unused range", path, text, STRETCH_REMEDY, level="note")


def reduce_file_values(values: np.ndarray, path: str, stretch: bool) -> tuple[np.ndarray, FileIssue | None]:
    """Reduce values of a file, of more than 8 bits, to uint8.

    Unsigned 16 bits give their upper 8; wider integers that fit into 8 or 16 bits are taken as such.

    Args:
        stretch: spread the values instead, of any type.

    Returns:
        uint8 of the same shape, and a note if the values leave most of 16 bits unused.

    Raises:
        InvalidFile: floating-point values, or integers beyond 16 bits, without `stretch`.
    """
    if stretch:
        return stretch_to_uint8(values), None
    if values.dtype.kind == "f":
        raise InvalidFile(_describe_unknown_range(values, path, "floating-point values of an unknown range"))
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low < 0 or high > 65535:
        raise InvalidFile(_describe_unknown_range(values, path, f"{values.dtype} values"))
    if values.dtype != np.uint16 and high <= 255:
        return values.astype(np.uint8), None
    wide = values.astype(np.uint16, copy=False)
    return (wide >> 8).astype(np.uint8), check_used_range(wide, path)


def _describe_unknown_range(values: np.ndarray, path: str, kind: str) -> FileIssue:
    low, high = find_value_range(values)
    text = f"holds {kind}, mostly from {low:g} to {high:g}, but expected 8 or 16 bits"
    remedy = f"read it yourself and give an array of values from 0 to 1, or save it as 8-bit PNG, or {STRETCH_REMEDY}"
    return FileIssue("unsupported image", path, text, remedy)
