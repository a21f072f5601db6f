"""results.xlsx: a summary of all runs, the IoU of every class, and the environment of every run.

The same records give the same bytes: every time inside the file is that of the newest record.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from openpyxl import Workbook
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet
from openpyxl.writer.excel import ExcelWriter

from . import classes, style
from .columns import COLUMNS, ZERO_SHOT, Run, cell, row, value, whole
from .published import target_of

SUMMARY, ENVIRONMENT = "Summary", "Environment"
_LONG_AGO = datetime(2000, 1, 1)  # a workbook's times have no zone
_METRICS = ("aAcc", "mIoU", "mAcc", "mIoU_gt", "fwIoU", *ZERO_SHOT)
_AS_GIVEN = ("prob_thd", "logit_scale")  # may need more than two decimals
# column -> paths into a record, the first that leads to anything counts: older records have other ones
_ENVIRONMENT = {
    "identity": ("identity",),
    "date": ("end",),
    "start": ("start",),
    "config": ("config_name",),
    "device": ("device",),
    "device name": ("device_name",),
    "processes": ("processes",),
    "git commit": ("git.commit",),
    "dirty": ("git.dirty",),
    "code sha256": ("code_sha256",),
    "CLIP sha256": ("weights.clip", "arguments.clip_sha256"),
    "VFM sha256": ("weights.vfm", "arguments.vfm_sha256"),
    "checkpoint": ("trained.checkpoint",),
    "checkpoint sha256": ("trained.sha256",),
    "iteration": ("trained.iteration",),
    "vocabulary": ("vocabulary.file", "arguments.name_path"),
    "classes": ("vocabulary.classes",),
    "names": ("vocabulary.names",),
    "vocabulary sha256": ("vocabulary.sha256",),
    "templates": ("templates.count",),
    "templates sha256": ("templates.sha256",),
    "dataset": ("dataset.type",),
    "images": ("dataset.images",),
    "list sha256": ("dataset.list_sha256",),
    "files sha256": ("dataset.files_sha256",),
    "config sha256": ("config_sha256",),
    "setup s": ("times.setup_s",),
    "text s": ("times.text_s",),
    "images s": ("times.images_s",),
    "gallery s": ("times.gallery_s",),
    "total s": ("times.total_s",),
    "images/s": ("images_per_second",),
    "peak MiB": ("peak_memory_mib",),
}


def build(runs: Sequence[Run]) -> bytes:
    """The content of results.xlsx for records, oldest first."""
    book = Workbook()
    summary: Any = book.active
    summary.title = SUMMARY
    environment = book.create_sheet(ENVIRONMENT)
    _summary(summary, runs)
    classes.add_sheets(book, runs)
    book.move_sheet(environment, len(book.sheetnames))
    _environment(environment, runs)
    return _packed(book, _moment(runs))


def _summary(sheet: Worksheet, runs: Sequence[Run]) -> None:
    titles = list(COLUMNS)
    style.rows(sheet, titles, [row(run) for run in runs], frozen="E2")
    at = {title: titles.index(title) + 1 for title in titles}
    comparable: dict[Any, list[Any]] = {}
    for number, run in enumerate(runs, start=2):
        if whole(run):
            comparable.setdefault(str(run.get("config_name")), []).append(sheet.cell(number, at["mIoU"]))
        else:
            for title, column in at.items():
                style.mark(sheet.cell(number, column), star=title in _METRICS)
        for title in _AS_GIVEN:
            sheet.cell(number, at[title]).number_format = "General"
        target = target_of(run)
        for title in ("published", "difference"):
            if target is not None and not target.exact:
                style.aside(sheet.cell(number, at[title]))
    for cells in comparable.values():
        style.shade_among(sheet, cells)
    if runs:
        letter = get_column_letter(at["difference"])
        style.shade_sign(sheet, f"{letter}2:{letter}{len(runs) + 1}")
    sheet.print_title_rows = "1:1"


def _environment(sheet: Worksheet, runs: Sequence[Run]) -> None:
    found = [value(run, "versions") for run in runs]
    versions = [one if isinstance(one, Mapping) else {} for one in found]
    known = {str(name) for one in versions for name in one}
    packages: list[str] = [name for name in ("python", "proxyclip") if name in known]
    packages += sorted(known - set(packages), key=str.lower)
    lines = [
        [_first(run, paths) for paths in _ENVIRONMENT.values()] + [cell(one.get(name)) for name in packages] + [command]
        for run, one, command in zip(runs, versions, map(_command, runs), strict=True)
    ]
    style.rows(sheet, [*_ENVIRONMENT, *packages, "command"], lines, frozen="B2")
    sheet.print_title_rows = "1:1"


def _first(run: Run, paths: Sequence[str]) -> Any:
    return next((cell(found) for found in (value(run, path) for path in paths) if found is not None), None)


def _command(run: Run) -> str | None:
    words = run.get("command")
    return shlex.join(map(str, words)) if isinstance(words, list) else cell(words)  # type: ignore[return-value]


def _moment(runs: Sequence[Run]) -> datetime:
    """When the newest record ended, in UTC, to the second."""
    found = []
    for run in runs:
        try:
            end = datetime.fromisoformat(str(run.get("end")).replace("Z", "+00:00"))
        except ValueError:
            continue
        end = end.astimezone(timezone.utc) if end.tzinfo else end
        found.append(end.replace(tzinfo=None, microsecond=0))
    return max(found, default=_LONG_AGO)


def _packed(book: Workbook, when: datetime) -> bytes:
    """The workbook as a file whose every time is `when`; openpyxl puts the present into it."""
    book.properties.creator, book.properties.created, book.properties.modified = "proxyclip", when, when
    raw, packed = BytesIO(), BytesIO()
    ExcelWriter(book, ZipFile(raw, "w")).save()
    stamp = max(when, datetime(1980, 1, 1)).timetuple()[:6]  # no zip is older
    with ZipFile(raw) as source, ZipFile(packed, "w", ZIP_DEFLATED) as target:
        for name in source.namelist():
            entry = ZipInfo(name, stamp)
            entry.compress_type, entry.external_attr = ZIP_DEFLATED, 0o600 << 16
            target.writestr(entry, source.read(name))
    return packed.getvalue()
