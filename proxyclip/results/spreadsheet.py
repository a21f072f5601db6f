"""Needs of spreadsheet programs: no formulas, a mark of UTF-8, sheet titles.

Every table that the package writes for them goes through here, as CSV or as a workbook.
"""

import codecs
import csv
import io
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from proxyclip.utils.io import replace_file

# of a formula; the wide ones are signs of Chinese and Japanese keyboards, which some programs take for the others
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
MAX_TITLE_UNITS = 31  # of a sheet title, in UTF-16
_ILLEGAL_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_FORBIDDEN = re.compile(r"[\[\]:*?/\\\s]+")  # in a sheet title; white space becomes a blank
_FLAG_LETTERS = "".join(map(chr, range(0x1F1E6, 0x1F200)))
_JOINER = "\u200d"  # of emoji that are drawn as one


def quote_formula(value: Any) -> Any:
    """Put `'` before a text that would be a formula; `-` alone is none."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) and value != "-" else value


def format_spreadsheet_csv(rows: Iterable[Sequence[Any]]) -> bytes:
    """Format rows as CSV by RFC 4180, in UTF-8 with its mark.

    Without the mark Excel shows 天空 as garbage. Texts that would be formulas have a `'` before them. Read it with the
    encoding `utf-8-sig`.
    """
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows([quote_formula(value) for value in row] for row in rows)
    return codecs.BOM_UTF8 + text.getvalue().encode("utf-8", "replace")


def write_spreadsheet_csv(path: Path, rows: Iterable[Sequence[Any]]) -> Path:
    """Write rows as CSV, beside a file that cannot be replaced; return the path."""
    return replace_or_write_beside(path, format_spreadsheet_csv(rows))


def replace_or_write_beside(target: Path, content: bytes) -> Path:
    """Replace a file, else write a new one beside it and say so; return its path.

    A spreadsheet program that has a file open may keep others from replacing it.
    """
    try:
        if target.is_file() and not target.stat().st_mode & 0o222:
            raise PermissionError("it is write-protected")
        replace_file(target, lambda temporary: temporary.write_bytes(content))
    except OSError as error:
        beside = target.with_name(f"{target.stem}-{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}{target.suffix}")
        replace_file(beside, lambda temporary: temporary.write_bytes(content))
        print(f"warning: {target} cannot be replaced ({error}); written to {beside} instead", file=sys.stderr)
        return beside
    return target


def strip_illegal_xml(text: str) -> str:
    """Strip what XML cannot hold: controls, noncharacters, bytes that are no UTF-8."""
    return _ILLEGAL_XML.sub("", text.encode("utf-8", "replace").decode())


def make_sheet_title(name: str, others: Iterable[str]) -> str:
    """Make a sheet title that Excel takes, and that no other sheet has in any case.

    Excel counts UTF-16 units, two for an emoji; no letter is cut from its accents, no emoji in two.
    """
    text = unicodedata.normalize("NFC", strip_illegal_xml(name))
    base = _FORBIDDEN.sub(" ", text).strip(" '") or "runs"
    reserved = {other.casefold() for other in others} | {"history"}  # the last one by Excel
    title = _cut_title(base, MAX_TITLE_UNITS)
    number = 1
    while title.casefold() in reserved:
        number += 1
        end = f" ({number})"
        title = _cut_title(base, MAX_TITLE_UNITS - len(end)) + end
    return title


def count_utf16_units(text: str) -> int:
    """Count UTF-16 units: one for most characters, two beyond the first 65536."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _cut_title(text: str, units: int) -> str:
    """Cut a title to so many UTF-16 units, no character from its accents."""
    end = 0
    for end, size in enumerate(_accumulate_units(text), start=1):
        if size > units:
            end -= 1
            break
    cut = end
    while 0 < cut < len(text) and _is_inside_character(text, cut):
        cut -= 1
    return text[: cut or end].strip(" '") or "runs"


def _accumulate_units(text: str) -> Iterable[int]:
    total = 0
    for character in text:
        total += count_utf16_units(character)
        yield total


def _is_inside_character(text: str, cut: int) -> bool:
    """Return True if a cut would part a letter and its accent, an emoji, a flag."""
    before, after = text[cut - 1], text[cut]
    flag_letters = len(text[:cut]) - len(text[:cut].rstrip(_FLAG_LETTERS))
    is_flag = after in _FLAG_LETTERS and flag_letters % 2 == 1
    is_tone = "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f"
    return is_flag or is_tone or _JOINER in (before, after) or unicodedata.category(after) in ("Mn", "Me", "Mc")
