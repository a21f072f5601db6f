"""Workbook results.xlsx: summary, IoU of every class, environments.

The same records give the same bytes: every time inside the file is that of the newest record.
"""

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from openpyxl import Workbook
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet
from openpyxl.writer.excel import ExcelWriter

from proxyclip.results import columns
from proxyclip.results import xlsx_style as style
from proxyclip.results.class_sheets import add_class_sheets
from proxyclip.results.columns import METRIC_COLUMNS, Record, is_rankable, is_whole_dataset, record_value, to_cell_value
from proxyclip.results.published import find_published_result

# column -> path of its value in a record
_ENVIRONMENT = {
    "identity": "identity", "date": "end", "start": "start", "config": "config_name", "device": "device",
    "device name": "device_name", "processes": "processes", "git commit": "git.commit", "dirty": "git.dirty",
    "code sha256": "code_sha256", "CLIP sha256": "weights.clip", "VFM sha256": "weights.vfm",
    "checkpoint": "trained.checkpoint", "checkpoint sha256": "trained.sha256", "iteration": "trained.iteration",
    "vocabulary": "vocabulary.file", "classes": "vocabulary.classes", "names": "vocabulary.names",
    "vocabulary sha256": "vocabulary.sha256", "templates": "templates.count", "templates sha256": "templates.sha256",
    "text features sha256": "text_features_sha256",
    "dataset": "dataset.type", "images": "dataset.images", "list sha256": "dataset.list_sha256",
    "files sha256": "dataset.files_sha256", "config sha256": "config_sha256", "setup s": "times.setup_s",
    "text s": "times.text_s", "images s": "times.images_s", "gallery s": "times.gallery_s", "total s": "times.total_s",
    "images/s": "images_per_second", "peak MiB": "peak_memory_mib",
}  # fmt: skip
_ZIP_TIMES = datetime(1980, 1, 1), datetime(2107, 12, 31)  # that a zip can hold
_MAX_PACKAGES = 500  # columns of the environments


def build_workbook(runs: Sequence[Record]) -> bytes:
    """Build the content of results.xlsx for records, oldest first."""
    book = Workbook()
    summary: Any = book.active
    summary.title = "Summary"
    environment = book.create_sheet("Environment")
    _fill_summary(summary, runs)
    add_class_sheets(book, runs)
    book.move_sheet(environment, len(book.sheetnames))
    _fill_environment(environment, runs)
    return _zip_with_time(book, _newest_end(runs))


def _fill_summary(sheet: Worksheet, runs: Sequence[Record]) -> None:
    titles = list(columns.RECORD_COLUMNS)
    number_of = {title: column for column, title in enumerate(titles, start=1)}
    frozen_columns = titles.index(METRIC_COLUMNS[0])  # the names of a run stay in sight beside its numbers
    style.fill_table_sheet(sheet, titles, [columns.build_record_row(run) for run in runs], frozen_columns)
    comparable: dict[tuple[Any, Any], list[Any]] = {}
    for row, run in enumerate(runs, start=2):
        if is_rankable(run):
            dataset = run.get("config_name"), record_value(run, "dataset.list_sha256")
            comparable.setdefault(dataset, []).append(sheet.cell(row, number_of["mIoU"]))
        if not is_whole_dataset(run):
            for title, column in number_of.items():
                style.style_partial(sheet.cell(row, column), star=title in METRIC_COLUMNS)
        for title in ("prob_thd", "logit_scale"):  # may need more than two decimals
            sheet.cell(row, number_of[title]).number_format = "General"
        target = find_published_result(run)
        for title in ("published", "difference"):
            if target is not None and not target.exact:
                style.style_other_protocol(sheet.cell(row, number_of[title]))
    for cells in comparable.values():
        style.shade_min_to_max(sheet, cells)
    if runs:
        letter = get_column_letter(number_of["difference"])
        style.shade_sign(sheet, f"{letter}2:{letter}{len(runs) + 1}")


def _fill_environment(sheet: Worksheet, runs: Sequence[Record]) -> None:
    versions = [entry if isinstance(entry, Mapping) else {} for entry in (run.get("versions") for run in runs)]
    names = {str(name) for entry in versions for name in entry}
    packages: list[str] = [name for name in ("python", "proxyclip") if name in names]
    packages += sorted(names - set(packages), key=lambda name: (name.lower(), name))[:_MAX_PACKAGES]
    lines = []
    for run, entry in zip(runs, versions, strict=True):
        values = [record_value(run, path) for path in _ENVIRONMENT.values()] + [entry.get(name) for name in packages]
        argv = run.get("command")
        values.append(shlex.join(map(str, argv)) if isinstance(argv, list) else argv)
        lines.append([to_cell_value(value) for value in values])
    style.fill_table_sheet(sheet, [*_ENVIRONMENT, *packages, "command"], lines, frozen_columns=1)


def _newest_end(runs: Sequence[Record]) -> datetime:
    """Return the time when the newest record ended, in UTC, to the second."""
    ends = []
    for run in runs:
        with suppress(ValueError, OverflowError):
            end = datetime.fromisoformat(str(run.get("end")).replace("Z", "+00:00"))
            end = end.astimezone(timezone.utc) if end.tzinfo else end
            ends.append(end.replace(tzinfo=None, microsecond=0))
    newest = max(ends, default=datetime(2000, 1, 1))  # a workbook's times have no zone
    return min(max(newest, _ZIP_TIMES[0]), _ZIP_TIMES[1])


def _zip_with_time(book: Workbook, time: datetime) -> bytes:
    """Pack the workbook with `time` for every time in it, where openpyxl has now."""
    book.properties.creator = "proxyclip"
    book.properties.created = time
    book.properties.modified = time
    raw = BytesIO()
    packed = BytesIO()
    ExcelWriter(book, ZipFile(raw, "w")).save()
    stamp = time.timetuple()[:6]
    with ZipFile(raw) as source, ZipFile(packed, "w", ZIP_DEFLATED) as target:
        for name in source.namelist():
            entry = ZipInfo(name, stamp)
            entry.compress_type = ZIP_DEFLATED
            entry.external_attr = 0o600 << 16
            target.writestr(entry, source.read(name))
    return packed.getvalue()
