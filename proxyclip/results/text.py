"""The tables of results as text: a CSV for programs, with everything, and a Markdown table for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from .columns import COLUMNS, ZERO_SHOT, Run, cell, difference, left_out, methods, row, tower, value, vfm
from .published import target_of

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LEGEND = "Numbers are mIoU, aAcc and mAcc in percent. ~: of a source with another protocol, or one that is not stated."
_SPLIT = "mIoU_seen, mIoU_unseen: over the classes with and without labels in training; hIoU: their harmonic mean."
TITLES = (
    "config", "method", "CLIP", "VFM", "mIoU", "aAcc", "mAcc", "published", "difference", "images", "precision", "date",
    "identity",
)  # fmt: skip
_RIGHT = (*TITLES[4:10], *ZERO_SHOT)
_AFTER = TITLES.index("mAcc") + 1


def to_csv(runs: Sequence[Run]) -> bytes:
    """All columns of the summary in full precision, by RFC 4180, in UTF-8. A text that a spreadsheet program would take
    for a formula has a `'` before it."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows([_harmless(one) for one in row(run)] for run in runs)
    return text.getvalue().encode("utf-8", "replace")


def to_markdown(runs: Sequence[Run]) -> bytes:
    """The columns that people compare, two decimals, in UTF-8; also readable as it is, without rendering.

    Where some run has a zero-shot split there are three more columns, after mAcc.
    """
    more = ZERO_SHOT if any(value(run, f"metrics.{name}") is not None for run in runs for name in ZERO_SHOT) else ()
    titles = [*TITLES[:_AFTER], *more, *TITLES[_AFTER:]]
    table = [titles, *([_escaped(part) for part in _words(run, more)] for run in runs)]
    widths = [max(3, *map(len, column)) for column in zip(*table, strict=True)]
    right = [title in _RIGHT for title in titles]
    rule = ["-" * (width - 1) + ":" if last else "-" * width for width, last in zip(widths, right, strict=True)]
    lines = [
        "| " + " | ".join(t.rjust(w) if r else t.ljust(w) for t, w, r in zip(texts, widths, right, strict=True)) + " |"
        for texts in [table[0], rule, *table[1:]]
    ]
    return ("\n".join([*lines, "", " ".join([_LEGEND, *([_SPLIT] if more else [])])]) + "\n").encode("utf-8", "replace")


def _words(run: Run, more: Sequence[str]) -> list[str]:
    target, apart, out = target_of(run), difference(run), left_out(run)
    about = "" if target is None or target.exact else " ~"
    marks = [*(["partial"] if run.get("partial") else []), *([f"{out} left out"] if out else [])]
    images = _text(value(run, "dataset.images")) + (f" ({', '.join(marks)})" if marks else "")
    name = _text(run.get("config_name") or value(run, "dataset.type"))
    date = str(run.get("end") or "-")[:16].replace("T", " ")
    numbers = [_two(value(run, f"metrics.{key}")) for key in ("mIoU", "aAcc", "mAcc", *more)]
    compared = [_two(target and target.value) + about, "-" if apart is None else f"{apart:+.2f}{about}"]
    return [
        name, methods(run), tower(run), vfm(run), *numbers, *compared, images, _text(run.get("precision")), date,
        _text(run.get("identity")),
    ]  # fmt: skip


def _two(number: Any) -> str:
    number = cell(number)
    return f"{number:.2f}" if isinstance(number, (int, float)) else "-"


def _text(found: Any) -> str:
    found = cell(found)
    return "-" if found is None else str(found)


def _escaped(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").split())


def _harmless(found: Any) -> Any:
    return f"'{found}" if isinstance(found, str) and found.startswith(_FORMULA) and found != "-" else found
