"""Look-up of the label values of a data set before it is scored, cached on disk."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from proxyclip.data.files.errors import FileIssue
from proxyclip.data.files.inspection import count_labels
from proxyclip.data.files.label_counts import LabelCounts
from proxyclip.data.files.layout import SampleFiles
from proxyclip.utils.file_limits import MEGABYTE
from proxyclip.utils.hashing import hash_value
from proxyclip.utils.system import count_cores
from proxyclip.utils.user_cache import iter_cache_entries, write_cache_entry

logger = logging.getLogger(__name__)
CACHE_FORMAT = 2
MAX_COUNT_BYTES = 100 * MEGABYTE  # of a file of the cache
MAX_LABEL_MAPS = 1000  # of a set that are looked at before an evaluation
MAX_WORKERS = 8


def look_up_labels(
    pairs: Sequence[SampleFiles],
    max_maps: int = MAX_LABEL_MAPS,
    folder: Path | None = None,
    max_megapixels: float | None = None,
) -> tuple[LabelCounts, list[FileIssue]]:
    """Count the label values of a data set: of all its maps, or of evenly spaced ones of a large set.

    Counts of files with the same paths, sizes and times are read from a cache; with a bad file nothing is cached.

    Args:
        pairs: of the whole set.
        folder: of the cache; default that of the toolkit.
        max_megapixels: of a map that is read.

    Returns:
        The counts, and the issues of maps that cannot be read.
    """
    chosen = _pick_evenly([pair for pair in pairs if pair.label is not None], max_maps)
    states = [_file_state(pair) for pair in chosen]
    key = hash_value([CACHE_FORMAT, states])
    name = f"{key[:40]}.json"
    for path, content in iter_cache_entries("labels", name, MAX_COUNT_BYTES, folder):
        try:
            if isinstance(content, OSError):
                raise content
            return unpack_label_counts(content, key), []
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            logger.warning("Labels are counted again: the file %s of the cache is not used (%s)", path, error)
    counts, problems = count_labels(chosen, min(count_cores(), MAX_WORKERS), max_megapixels)
    if not problems:
        try:
            write_cache_entry("labels", name, pack_label_counts(counts, key), folder)
        except OSError as error:
            logger.debug("The counts of the labels are not cached: %s", error)
    return counts, problems


def pack_label_counts(counts: LabelCounts, key: str) -> bytes:
    """Pack counts, the key of what they are of, and a hash of both, as JSON."""
    content = {"key": key, "counts": counts.to_json()}
    return json.dumps(content | {"sha256": hash_value(content)}).encode()


def unpack_label_counts(data: bytes, key: str) -> LabelCounts:
    """Unpack what `pack_label_counts` has packed.

    Raises:
        ValueError, TypeError, LookupError, AttributeError, RecursionError: it is damaged, or of another key.
    """
    content = json.loads(data)
    digest = content.pop("sha256")
    if content["key"] != key or digest != hash_value(content):
        raise ValueError("it is damaged")
    return LabelCounts.from_json(content["counts"])


def _pick_evenly(pairs: Sequence[SampleFiles], count: int) -> list[SampleFiles]:
    if len(pairs) <= count:
        return list(pairs)
    return [pairs[k * (len(pairs) - 1) // (count - 1)] for k in range(count)]


def _file_state(pair: SampleFiles) -> list:
    assert pair.label is not None
    try:
        state = pair.label.stat()
    except OSError:  # reported when it is read
        return [str(pair.label)]
    return [str(pair.label), state.st_size, state.st_mtime_ns]
