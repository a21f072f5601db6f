"""The results of evaluations: one JSON record a run, and results.xlsx as a view of all records in a folder.

A record is written whole or not at all, under its identity: a repeated run replaces its own record and no other.
The workbook holds nothing of its own, so it can be deleted and rebuilt: `table(folder)`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from openpyxl import Workbook
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

from proxyclip.provenance import sha256

SCHEMA = 3  # 2: confusion as sparse entries; scoring, classes_in, data_check. 3: approximations, as lists of words
WORKBOOK = "results.xlsx"
FIRST_COLUMNS = ("Model", "CLIP", "VFM", "Dataset", "aAcc", "mIoU", "mAcc")

# column of the sheet -> where its value is in a record
COLUMNS = {
    "Model": "arguments.model_type",
    "CLIP": "arguments.clip_type",
    "VFM": "arguments.vfm_model",
    "Dataset": "dataset.type",
    "aAcc": "metrics.aAcc",
    "mIoU": "metrics.mIoU",
    "mAcc": "metrics.mAcc",
    "mIoU_gt": "metrics.mIoU_gt",
    "fwIoU": "metrics.fwIoU",
    "scoring": "scoring",
    "method": "method",
    "attention": "arguments.attention",
    "refine": "arguments.refine",
    "VFM model": "arguments.vfm_model.model",
    "vocabulary": "arguments.name_path",
    "prob_thd": "arguments.prob_thd",
    "logit_scale": "arguments.logit_scale",
    "crop": "arguments.slide_crop",
    "stride": "arguments.slide_stride",
    "pad": "arguments.pad_multiple",
    "resize": "protocol.resize",
    "precision": "precision",
    "device": "device_name",
    "processes": "processes",
    "images": "dataset.images",
    "limit": "limit",
    "partial": "partial",
    "approximations": "approximations",
    "images/s": "images_per_second",
    "peak MiB": "peak_memory_mib",
    "seed": "seed",
    "config": "config_name",
    "commit": "git.commit",
    "dirty": "git.dirty",
    "date": "end",
    "CLIP sha256": "arguments.clip_sha256",
    "VFM sha256": "arguments.vfm_sha256",
    "identity": "identity",
}
_SUMMARY, _PER_CLASS = "Summary", "Per class"


def identity(*parts: Any) -> str:
    """Short hash of what can change the number of a run: config, files it names, code, precision, limit."""
    return sha256(parts)[:12]


def record(run: Mapping[str, Any], folder: Path) -> Path:
    """Write the record of one run as `<folder>/records/<identity>.json`, atomically, and return its path.

    Args:
        run: JSON-able; must have `identity` and `metrics`. NaN is written as null.
    """
    target = folder / "records" / f"{run['identity']}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_plain({"schema": SCHEMA, **run}), indent=1, allow_nan=False)
    _replace(target, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return target


def records(folder: Path) -> list[dict[str, Any]]:
    """All readable records of a folder, oldest first; an unreadable one is named on stderr and left out."""
    found = []
    for path in sorted((folder / "records").glob("*.json")):
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
            run["identity"], run["metrics"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            print(f"warning: {path} is no readable record ({error}); left out of the table", file=sys.stderr)
        else:
            found.append(run)
    return sorted(found, key=lambda run: str(run.get("end")))


def table(folder: Path) -> Path:
    """Rebuild `<folder>/results.xlsx` from all records of the folder, and return the path of the workbook.

    Processes that finish at once wait for each other. A workbook that cannot be replaced (open in a spreadsheet
    program, say) is left alone: the new one is written beside it, with a message.
    """
    target = folder / WORKBOOK
    with FileLock(str(folder / ".results.lock"), timeout=120):
        book = _book(records(folder))
        try:
            _replace(target, lambda temporary: book.save(temporary))
        except OSError as error:
            beside = folder / f"results-{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}.xlsx"
            print(f"warning: {target} cannot be replaced ({error}); written to {beside} instead", file=sys.stderr)
            book.save(beside)
            return beside
    return target


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


def now() -> str:
    """The present moment in UTC, as records have it: fine enough to order runs that end within one second."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


def _replace(target: Path, write) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _book(runs: list[dict[str, Any]]) -> Workbook:
    book = Workbook()
    summary, per_class = book.active, book.create_sheet(_PER_CLASS)
    summary.title = _SUMMARY
    _fill(summary, list(COLUMNS), [[_value(run, where) for where in COLUMNS.values()] for run in runs])
    labels = ("Model", "CLIP", "VFM", "Dataset", "method", "identity")
    parts = ("name", "iou", "acc", "pixels")
    rows = [
        [*(_value(run, COLUMNS[label]) for label in labels), number, *(one.get(part) for part in parts)]
        for run in runs
        for number, one in enumerate(run.get("per_class") or [])
    ]
    _fill(per_class, [*labels, "class", "name", "IoU", "acc", "pixels"], rows)
    return book


def _fill(sheet, header: list[str], rows: list[list[Any]]) -> None:
    for row in [header, *rows]:
        sheet.append([_cell(value) for value in row])
    sheet.freeze_panes = "A2"
    if rows:
        sheet.auto_filter.ref = sheet.dimensions
    for i, title in enumerate(header, start=1):
        sheet.cell(1, i).font = Font(bold=True)
        cells = [sheet.cell(r, i) for r in range(2, len(rows) + 2)]
        widest = max((len(str(c.value)) if not isinstance(c.value, float) else 7 for c in cells), default=0)
        sheet.column_dimensions[get_column_letter(i)].width = min(48, max(len(title) + 3, widest + 2))
        for cell in cells:
            if isinstance(cell.value, float):
                cell.number_format = "0.00"


def _value(run: Mapping[str, Any], where: str) -> Any:
    value: Any = run
    for key in where.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if where.endswith("vfm_model"):
        return value.get("type", value) if isinstance(value, Mapping) else value or "none"
    if where.endswith("clip_type"):
        return value or "-"  # the weights lie beside the architecture, in Model
    return value


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    return json.dumps(value)


def _plain(value: Any) -> Any:
    """The value in JSON's own types: numpy and torch numbers unpacked, NaN and infinities as None."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if value - value == 0 else None
    return value if value is None or isinstance(value, (str, int)) else str(value)
