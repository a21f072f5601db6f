"""Look-up of the label values of a data set before it is scored, cached on disk."""

import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from proxyclip.data.files.errors import FileIssue
from proxyclip.data.files.inspection import count_labels
from proxyclip.data.files.label_counts import LabelCounts
from proxyclip.data.files.layout import SampleFiles
from proxyclip.utils.hashing import hash_value
from proxyclip.utils.io import replace_file
from proxyclip.utils.paths import get_cache_folder
from proxyclip.utils.system import count_cores

logger = logging.getLogger(__name__)
CACHE_FORMAT = 1
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
    path = (folder or get_cache_folder()) / f"labels-{hash_value([CACHE_FORMAT, states])[:40]}.json"
    with suppress(OSError, ValueError, TypeError):  # none yet, or damaged: count again
        return LabelCounts.from_json(json.loads(path.read_text(encoding="utf-8"))), []
    counts, problems = count_labels(chosen, min(count_cores(), MAX_WORKERS), max_megapixels)
    if not problems:
        content = json.dumps(counts.to_json())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, lambda temporary: temporary.write_text(content, encoding="utf-8"))
        except OSError as error:
            logger.debug("The counts of the labels are not cached: %s", error)
    return counts, problems


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
