"""Records of runs: one JSON file a run, written whole or not at all, under its identity."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from proxyclip.atomic import replace
from proxyclip.provenance import sha256

# 2: confusion as sparse entries; scoring, classes_in, data_check. 3: approximations, as lists of words.
# 4: options, changes, weights, vocabulary, templates, per_image, left_out, gallery, times, metrics_sha256.
SCHEMA = 4
METRIC_KEYS = ("metrics", "per_class", "classes_in", "confusion", "per_image", "scoring", "left_out")
_STALE_SECONDS = 24 * 3600  # no writer takes that long


def identity(*parts: Any) -> str:
    """Short hash of what can change the number of a run: config, files it names, code, precision, limit."""
    return sha256(parts)[:12]


def now() -> str:
    """The present moment in UTC, as records have it: fine enough to order runs that end within one second."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


def record(run: Mapping[str, Any], folder: Path) -> Path:
    """Write the record of one run as `<folder>/records/<identity>.json`, atomically, and return its path.

    A repeated run replaces its own record and no other. `schema` and `metrics_sha256` are added.

    Args:
        run: JSON-able; must have `identity` and `metrics`. NaN is written as null.
    """
    kept = plain({"schema": SCHEMA, **run})
    kept["metrics_sha256"] = metrics_sha256(kept)
    target = folder / "records" / f"{run['identity']}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    text = _layout(kept) + "\n"
    replace(target, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return target


def records(folder: Path) -> list[dict[str, Any]]:
    """All readable records of a folder, oldest first; an unreadable one is named on stderr and left out."""
    found = []
    for path in sorted((folder / "records").glob("*.json")):
        try:
            found.append(_read(path))
        except (OSError, ValueError, RecursionError) as error:
            print(f"warning: {path} is no readable record ({error}); left out of the table", file=sys.stderr)
    return sorted(found, key=lambda run: str(run.get("end")))


def find(folder: Path, identity: str) -> dict[str, Any] | None:
    """The record of that identity, or None if there is none that can be read; no other file is opened."""
    if not identity or Path(identity).name != identity:
        return None
    try:
        run = _read(folder / "records" / f"{identity}.json")
    except (OSError, ValueError, RecursionError):
        return None
    return run if run["identity"] == identity else None


def metric_part(run: Mapping[str, Any]) -> dict[str, Any]:
    """What a run measured, and nothing of when, where and how fast, as plain JSON; what it lacks is null."""
    return plain({key: run.get(key) for key in METRIC_KEYS})


def metrics_sha256(run: Mapping[str, Any]) -> str:
    """Hash of `metric_part`: equal for two runs with the same numbers to the last digit."""
    return sha256(metric_part(run))


def sparse(confusion: np.ndarray) -> dict[str, Any]:
    """A (K, K) confusion matrix as a record has it: its entries that are not zero, row by row."""
    label, prediction = confusion.nonzero()
    return {"classes": len(confusion), "label": label, "prediction": prediction, "count": confusion[label, prediction]}


def confusion(run: Mapping[str, Any]) -> np.ndarray:
    """The (K, K) int64 confusion matrix of a record: rows are labels, columns predictions."""
    entries = run["confusion"]
    matrix = np.zeros((entries["classes"],) * 2, np.int64)
    matrix[entries["label"], entries["prediction"]] = entries["count"]
    return matrix


def clean(folder: Path) -> None:
    """Remove what writers that were killed have left in a folder of records and tables, once it is a day old."""
    left = [*(folder / "records").glob(".*.json.*.tmp"), *folder.glob(".results*.tmp")]
    for path in left:
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                path.unlink()


def plain(value: Any) -> Any:
    """The value in JSON's own types: numpy and torch numbers unpacked, NaN and infinities as None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if value - value == 0 else None
    return value if value is None or isinstance(value, (str, int)) else str(value)


def _read(path: Path) -> dict[str, Any]:
    run = json.loads(path.read_text(encoding="utf-8"))
    if not (isinstance(run, dict) and isinstance(run.get("identity"), str) and isinstance(run.get("metrics"), dict)):
        raise ValueError("expected a JSON object with `identity`, a text, and `metrics`, an object")
    return run


def _layout(value: Any, indent: str = "") -> str:
    """JSON that a person can read and `diff` can compare: a key a line, but a list of numbers on one line, as is each
    flat object of a list."""
    inner = indent + " "
    if isinstance(value, dict) and value:
        lines = [f"{inner}{json.dumps(key)}: {_layout(part, inner)}" for key, part in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list) and not _flat(value):
        lines = [inner + (_dump(part) if _flat(part) else _layout(part, inner)) for part in value]
        return "[\n" + ",\n".join(lines) + f"\n{indent}]"
    return _dump(value)


def _flat(value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not any(isinstance(part, (dict, list)) for part in parts)


def _dump(value: Any) -> str:
    return json.dumps(value, allow_nan=False)
