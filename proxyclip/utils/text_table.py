"""Tables of a terminal, a line a row, in its columns and its encoding."""

import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import IO

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.table import Table
from rich.text import Text

DEFAULT_COLUMNS = 80  # of a file or a pipe, where the variable COLUMNS does not say otherwise
_GAP = 2  # columns between two cells
_MIN_NAME_COLUMNS = 8  # a name is not made shorter than that


def measure_columns(file: IO[str] | None = None, default: int = DEFAULT_COLUMNS) -> int:
    """Measure the columns of a terminal, stdout by default.

    A file or a pipe has as many as the variable COLUMNS says, else the default.
    """
    file = file or sys.stdout
    if file.isatty():
        return Console(file=file).width
    text = os.environ.get("COLUMNS", "")
    return int(text) if text.isdigit() and int(text) > 0 else default


def can_encode(text: str, file: IO[str] | None = None) -> bool:
    """Return True if the encoding of a file, or stdout, has all signs of a text."""
    try:
        text.encode(getattr(file or sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def shorten_names(names: Iterable[str], columns: int, ellipsis: str = "…") -> dict[str, str]:
    """Shorten names in their middle to so many columns; they stay different.

    Returns:
        name -> its short form; a number stands in it where only that tells it from another.
    """
    distinct = list(dict.fromkeys(names))
    space = max(1, columns - cell_len(ellipsis))
    for head in sorted(range(space + 1), key=lambda head: abs(head - space // 2)):
        short = {name: _cut_middle(name, columns, head, space - head, ellipsis) for name in distinct}
        if len(set(short.values())) == len(distinct):
            return short
    short = {name: _cut_middle(name, columns, space // 2, space - space // 2, ellipsis) for name in distinct}
    counts = Counter(short.values())
    end = len(str(len(distinct)))
    for number, name in enumerate(distinct, start=1):
        if counts[short[name]] > 1:
            short[name] = f"{_cut_end(name, max(1, space - end))}{ellipsis}{number}"
    return short


def shorten_identities(identities: Sequence[str], min_length: int = 6) -> list[str]:
    """Shorten identities to their first digits, as many as tell all of them apart."""
    distinct = set(identities)
    longest = max(map(len, distinct), default=0)
    lengths = range(min_length, longest + 1)
    length = next((length for length in lengths if len({i[:length] for i in distinct}) == len(distinct)), longest)
    return [identity[:length] for identity in identities]


class TextTable:
    """Cells of a table, which can be made narrower step by step until they fit.

    Args:
        titles: of the columns.
        rows: cells of each row, as many as titles.
        right: titles of the columns that are aligned at the right.
        file: where it is printed, stdout by default.

    Attributes:
        constants: title -> cell of the columns that are left out since all rows have the same there.
    """

    def __init__(
        self,
        titles: Sequence[str],
        rows: Iterable[Sequence[str]],
        right: Iterable[str] = (),
        file: IO[str] | None = None,
    ) -> None:
        self.cells: dict[str, list[str]] = {}
        for title, *column in zip(titles, *rows, strict=True):
            self.cells[title] = [" ".join(cell.split()) for cell in column]
        self.right = set(right)
        self.file = file or sys.stdout
        self.ellipsis = "…" if can_encode("…", self.file) else ".."
        self.constants: dict[str, str] = {}

    @property
    def columns(self) -> int:
        """Columns that it takes."""
        return sum(self._measure(title) for title in self.cells) + _GAP * (len(self.cells) - 1)

    def drop_constant_columns(self, *titles: str) -> None:
        """Leave out those of the columns that are the same in all of several rows."""
        for title in titles:
            cells = self.cells.get(title, [])
            if len(cells) > 1 and len(set(cells)) == 1 and len(self.cells) > 1:
                self.constants[title] = self.cells.pop(title)[0]

    def replace_cells(self, title: str, replace: Callable[[list[str]], Sequence[str]]) -> None:
        """Replace the cells of a column, where there is one."""
        if title in self.cells:
            self.cells[title] = list(replace(self.cells[title]))

    def shrink(self, columns: int, *titles: str, at_least: int = _MIN_NAME_COLUMNS) -> None:
        """Shorten the names of the widest of these columns until the table fits.

        Args:
            columns: of the terminal.
            at_least: columns below which no name is cut.
        """
        widths = {title: self._measure(title) for title in titles if title in self.cells}
        excess = self.columns - columns
        while excess > 0 and widths and max(widths.values()) > at_least:
            widest = max(widths, key=lambda title: widths[title])
            widths[widest] -= 1
            excess -= 1
        for title, width in widths.items():
            short = shorten_names(self.cells[title], width, self.ellipsis)
            self.cells[title] = [short[cell] for cell in self.cells[title]]

    def leave_out(self, title: str) -> None:
        """Leave out a column."""
        self.cells.pop(title, None)

    def print(self) -> None:
        """Print the table, with a line on the columns that all rows have in common."""
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
        for title in self.cells:
            table.add_column(title, justify="right" if title in self.right else "left", no_wrap=True)
        for row in zip(*self.cells.values(), strict=True):
            table.add_row(*map(Text, row))
        width = max(self.columns, 1)
        Console(file=self.file, width=width, highlight=False, soft_wrap=False).print(table)
        if self.constants:
            print(self.format_constants(), file=self.file)

    def format_constants(self) -> str:
        """Format the columns that are left out in one line."""
        shared = [f"{title} {cell}" for title, cell in self.constants.items() if cell != "-"]
        empty = [title for title, cell in self.constants.items() if cell == "-"]
        parts = (
            f"{label}: {', '.join(texts)}" for label, texts in (("in all rows", shared), ("empty", empty)) if texts
        )
        return "; ".join(parts)

    def _measure(self, title: str) -> int:
        return max(map(cell_len, (title, *self.cells[title])))


def _cut_middle(text: str, columns: int, head: int, tail: int, ellipsis: str) -> str:
    if cell_len(text) <= columns:
        return text
    end = _cut_end(text[::-1], tail)[::-1]
    while end and unicodedata.combining(end[0]):  # an accent without its letter
        end = end[1:]
    return _cut_end(text, head) + ellipsis + end


def _cut_end(text: str, columns: int) -> str:
    """Cut a text to at most so many columns."""
    return chop_cells(text, columns)[0] if columns > 0 and text else ""
