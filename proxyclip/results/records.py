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

from proxyclip.utils.hashing import hash_value
from proxyclip.utils.io import replace_file

RECORD_SCHEMA = 4  # of the fields that docs/results.md lists; records of another schema are not read
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

    A record of the same identity is replaced. `schema` and `metrics_sha256` are added.

    Args:
        run: JSON-able; must have `identity` and `metrics`. NaN is written as null.
    """
    kept = to_json_types({"schema": RECORD_SCHEMA, **run})
    kept["metrics_sha256"] = hash_metrics(kept)
    target = folder / "records" / f"{run['identity']}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    text = _layout_json(kept) + "\n"
    replace_file(target, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return target


def load_records(folder: Path) -> list[dict[str, Any]]:
    """Read all records of a folder, oldest first; warn of unreadable ones on stderr."""
    runs = []
    for path in sorted((folder / "records").glob("*.json")):
        try:
            runs.append(_read(path))
        except (OSError, ValueError, RecursionError) as error:
            print(f"warning: {path} is no readable record ({error}); left out of the table", file=sys.stderr)
    return sorted(runs, key=lambda run: str(run.get("end")))


def load_record(folder: Path, identity: str) -> dict[str, Any] | None:
    """Read the record of an identity; None if there is none that can be read."""
    if not identity or Path(identity).name != identity:
        return None
    try:
        run = _read(folder / "records" / f"{identity}.json")
    except (OSError, ValueError, RecursionError):
        return None
    return run if run["identity"] == identity else None


def extract_metrics(run: Mapping[str, Any]) -> dict[str, Any]:
    """Extract the metric fields of a record as plain JSON; absent ones are null."""
    return to_json_types({key: run.get(key) for key in METRIC_KEYS})


def hash_metrics(run: Mapping[str, Any]) -> str:
    """Hash `extract_metrics`: equal for two runs with the same numbers to the last digit."""
    return hash_value(extract_metrics(run))


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


def _read(path: Path) -> dict[str, Any]:
    run = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(run, dict) and run.get("schema") != RECORD_SCHEMA:
        raise ValueError(f"expected schema {RECORD_SCHEMA}, but got {run.get('schema')}: evaluate again")
    if not (isinstance(run, dict) and isinstance(run.get("identity"), str) and isinstance(run.get("metrics"), dict)):
        raise ValueError("expected a JSON object with `identity`, a text, and `metrics`, an object")
    return run


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
