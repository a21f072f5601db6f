"""Records of runs: one JSON file a run, written atomically, under its identity."""

import json
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from proxyclip.results.record_schema import MAX_RECORD_BYTES, check_record, is_identity
from proxyclip.utils.file_limits import read_limited_text
from proxyclip.utils.hashing import hash_value
from proxyclip.utils.io import replace_file
from proxyclip.utils.paths import path_exists

RECORD_SCHEMA = 5  # of the fields that docs/results.md lists; READABLE_SCHEMAS are read
METRIC_KEYS = ("metrics", "per_class", "classes_in", "confusion", "per_image", "scoring", "left_out")
_STALE_SECONDS = 24 * 3600  # no writer takes that long


def hash_identity(*parts: Any) -> str:
    """Hash all that can change the number of a run to 12 digits."""
    return hash_value(parts)[:12]


def utc_timestamp() -> str:
    """Return the time in UTC, fine enough to order runs that end within a second."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


def save_record(run: Mapping[str, Any], folder: Path) -> Path:
    """Write a record and return its path, `<folder>/records/<identity>.json`.

    A record of the same identity is replaced. `schema`, `metrics_sha256` and `record_sha256` are set.

    Args:
        run: JSON-able; must have `identity`, 12 hexadecimal digits, and `metrics`. NaN is written as null.

    Raises:
        ValueError: another identity. OSError: it cannot be written.
    """
    if not is_identity(run["identity"]):
        raise ValueError(f"Expected an identity of 12 hexadecimal digits, but got {run['identity']!r}")
    kept = to_json_types({"schema": RECORD_SCHEMA} | {key: value for key, value in run.items() if key != "schema"})
    kept["metrics_sha256"] = hash_metrics(kept)
    kept["record_sha256"] = hash_record(kept)
    target = folder / "records" / f"{run['identity']}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    text = _layout_json(kept) + "\n"
    replace_file(target, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return target


def load_records(folder: Path, warn: bool = True) -> list[dict[str, Any]]:
    """Read all records of a folder, oldest first; one that cannot be believed is left out.

    Args:
        warn: print a line on stderr for each that is left out.
    """
    runs = [_read_or_warn(path, warn) for path in sorted((folder / "records").glob("*.json"))]
    return sorted((run for run in runs if run is not None), key=lambda run: str(run.get("end")))


def load_record(folder: Path, identity: str, warn: bool = True) -> dict[str, Any] | None:
    """Read the record of an identity; None if there is none that can be believed.

    Args:
        warn: print a line on stderr if there is one that is left out.
    """
    path = folder / "records" / f"{identity}.json"
    return _read_or_warn(path, warn) if is_identity(identity) and path_exists(path) else None


def extract_metrics(run: Mapping[str, Any]) -> dict[str, Any]:
    """Extract the metric fields of a record as plain JSON; absent ones are null."""
    return to_json_types({key: run.get(key) for key in METRIC_KEYS})


def hash_metrics(run: Mapping[str, Any]) -> str:
    """Hash `extract_metrics`: equal for two runs with the same numbers to the last digit."""
    return hash_value(extract_metrics(run))


def hash_record(run: Mapping[str, Any]) -> str:
    """Hash all of a record of plain JSON but `record_sha256`."""
    return hash_value({key: value for key, value in run.items() if key != "record_sha256"})


def to_sparse_confusion(confusion: np.ndarray) -> dict[str, Any]:
    """Convert a (K, K) confusion matrix to its entries that are not zero, row by row."""
    label, prediction = confusion.nonzero()
    return {"classes": len(confusion), "label": label, "prediction": prediction, "count": confusion[label, prediction]}


def to_dense_confusion(run: Mapping[str, Any]) -> np.ndarray:
    """Return the (K, K) int64 confusion matrix of a record; rows are labels."""
    entries = run["confusion"]
    matrix = np.zeros((entries["classes"],) * 2, np.int64)
    matrix[entries["label"], entries["prediction"]] = entries["count"]
    return matrix


def remove_stale_files(folder: Path) -> None:
    """Remove temporary files of killed writers that are a day old from a folder."""
    paths = [*(folder / "records").glob(".*.json.*.tmp"), *folder.glob(".results*.tmp")]
    for path in paths:
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                path.unlink()


def to_json_types(value: Any) -> Any:
    """Convert a value to JSON's own types; NaN and infinities become None."""
    if isinstance(value, Mapping):
        return {str(k): to_json_types(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json_types(v) for v in value]
    if hasattr(value, "tolist"):
        return to_json_types(value.tolist())
    if isinstance(value, float):
        return value if value - value == 0 else None
    return value if value is None or isinstance(value, (str, int)) else str(value)


def _read_or_warn(path: Path, warn: bool) -> dict[str, Any] | None:
    try:
        return _read(path)
    except (OSError, ValueError, RecursionError) as error:
        if warn:
            line = f"warning: {path} is no readable record ({error}); it is left out"
            print("".join(character if character.isprintable() else "?" for character in line), file=sys.stderr)
        return None


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():  # a pipe would never end
        raise ValueError("it is no plain file")
    run = json.loads(read_limited_text(path, MAX_RECORD_BYTES, "a record"), parse_constant=_refuse_constant)
    check_record(run, path.stem)
    if run.get("metrics_sha256") != hash_value({key: run.get(key) for key in METRIC_KEYS}):  # it is plain JSON already
        raise ValueError("its numbers do not fit its `metrics_sha256`: it is damaged or was changed, evaluate again")
    has_hash = run["schema"] >= 5 or "record_sha256" in run
    if has_hash and run.get("record_sha256") != hash_record(run):
        raise ValueError("its content does not fit its `record_sha256`: it is damaged or was changed, evaluate again")
    return run


def _refuse_constant(name: str) -> None:
    raise ValueError(f"expected finite numbers, but got {name}")


def _layout_json(value: Any, indent: str = "") -> str:
    """Lay out JSON with a key a line; flat lists and objects of a list take one."""
    inner = indent + " "
    if isinstance(value, dict) and value:
        lines = [f"{inner}{json.dumps(key)}: {_layout_json(part, inner)}" for key, part in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list) and not _is_flat(value):
        parts = [json.dumps(part, allow_nan=False) if _is_flat(part) else _layout_json(part, inner) for part in value]
        return "[\n" + ",\n".join(inner + part for part in parts) + f"\n{indent}]"
    return json.dumps(value, allow_nan=False)


def _is_flat(value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not any(isinstance(part, (dict, list)) for part in parts)
