"""What a person sees of a grid: a live table in a terminal, lines elsewhere, and the table at the end."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from rich.box import MARKDOWN, SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from proxyclip.grid import compare, jobs
from proxyclip.grid.cells import Cell
from proxyclip.grid.runs import how_far

WIDTH, WIDER, UNFOLDED = 160, 240, 10_000  # of tables where there is no terminal, and of Markdown
OVER = ("done", "kept", "refused", "no data", "failed", "interrupted", "would run")
LATER = ("refused", "no data")  # said once for all cells, at the end
STYLES = {"done": "green", "failed": "bold red", "interrupted": "yellow", "running": "cyan"}
_AROUND = 7  # lines of the live table that are no rows


class Board:
    """The cells of a grid as they go on.

    Args:
        lines: print a line for what happens; else there is a live table, which follows the cells by itself.
        together: cells may run at once, so that a line of an end has to name its cell.
        clock: gives the seconds.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        lines: bool,
        together: bool = False,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cells, self.lines, self.together, self.clock = cells, lines, together, clock
        self.console = console or Console(highlight=False)
        self._ended: list[Cell] = []
        self._before: dict[int, float] = {}  # images that a run had done when it was first heard of
        self._start = clock()

    def show(self) -> AbstractContextManager:
        """The live table while the block lasts; nothing where lines are printed."""
        self._start = self.clock()
        if self.lines:
            return nullcontext()
        return Live(get_renderable=self.render, console=self.console, refresh_per_second=2, transient=True)

    def settling(self) -> AbstractContextManager:
        """A sign of life in a terminal while the block lasts, before anything runs."""
        return nullcontext() if self.lines else self.console.status("finding out what is to be done")

    def tell(self, cell: Cell) -> None:
        """A cell is settled, starts, or has ended."""
        if cell.state in OVER:
            self._ended.append(cell)
        if not self.lines or (cell.state == "waiting" and cell.twin is None):
            return
        head = f"[{cell.number}/{len(self.cells)}]"
        ran = cell.progress is not None
        if cell.state == "running" or not ran:
            print(f"{head} {cell.words}", flush=True)
        if cell.state != "running":
            state = f"as [{cell.twin.number}]" if cell.twin is not None else said(cell)
            print(f"{head if ran and self.together else '   '} {state}", flush=True)

    def render(self) -> RenderableType:
        """The header and as many rows as the screen has room for."""
        rows, rest = self._choose(max(3, self.console.height - _AROUND))
        titles = ("", "config", "method", "VFM", "CLIP", "state", "images/s", "left", "mIoU")
        table = Table(*titles, box=SIMPLE_HEAD, pad_edge=False, expand=False)
        for column in (*table.columns[:1], *table.columns[6:]):
            column.justify, column.no_wrap = "right", True
        for cell in rows:
            table.add_row(str(cell.number), escape(cell.short), *map(escape, cell.named), *self._progress(cell))
        return Group(self._header(), table, *([Text(f"and {rest}")] if rest else []))

    def seconds_left(self) -> float | None:
        """About how long the rest takes: images to come over images a second so far; None before that is known."""
        sizes = {cell.config: size for cell in self.cells if (size := _images(cell))}
        ahead = made = 0.0
        usual = sum(sizes.values()) / len(sizes) if sizes else 0.0
        for cell in self.cells:
            done = self._done(cell)
            made += done - self._before.get(cell.number, 0.0) if cell.state in ("running", "done") else 0.0
            if cell.state == "running" or (cell.state == "waiting" and cell.twin is None):
                ahead += max(0.0, (_images(cell) or sizes.get(cell.config, usual)) - done)
        passed = self.clock() - self._start
        return ahead / (made / passed) if made > 0 and passed > 0 else None

    def _done(self, cell: Cell) -> float:
        """Images of a cell that are done, for a run also those of an earlier one that it goes on with."""
        if cell.state == "done" and cell.run is not None:
            self._before.setdefault(cell.number, float(cell.run.get("resumed_images") or 0))
            return float(_images(cell) or 0)
        heard = how_far(cell) if cell.state == "running" else None
        if heard is None:
            return 0.0
        self._before.setdefault(cell.number, heard["done"])
        return heard["done"]

    def _header(self) -> Text:
        count = Counter(cell.state for cell in self.cells)
        over = sum(count[state] for state in OVER)
        parts = [f"{over}/{len(self.cells)} cells", f"{count['running']} running"]
        parts += [f"{count['failed']} failed"] if count["failed"] else []
        parts.append(f"{duration(self.clock() - self._start)} so far")
        left = self.seconds_left()
        if jobs.stopping.is_set():
            parts.append("stopping: what was counted is saved (Ctrl-C again: end at once)")
        elif left is not None:
            parts.append(f"about {duration(left)} left")
        return Text(", ".join(parts))

    def _choose(self, room: int) -> tuple[list[Cell], str]:
        """The cells to show, and the others in words: those that run, that failed, that ended last, that come next."""
        if len(self.cells) <= room:
            return list(self.cells), ""
        states = ("running", "failed")
        first = [cell for state in states for cell in self.cells if cell.state == state]
        later = [*reversed(self._ended), *(cell for cell in self.cells if cell.state == "waiting"), *self.cells]
        chosen = list(dict.fromkeys([*first, *later]))[:room]
        rest = Counter(cell.state for cell in self.cells if cell not in chosen)
        words = ", ".join(f"{number} {state or 'to be looked at'}" for state, number in rest.most_common())
        return sorted(chosen, key=lambda cell: cell.number), f"{sum(rest.values())} more: {words}"

    def _progress(self, cell: Cell) -> tuple[RenderableType, str, str, str]:
        """State, images a second, time left and mIoU of a cell."""
        heard = how_far(cell) if cell.state == "running" else None
        if heard is None or not heard["total"]:
            rate = (cell.run or {}).get("images_per_second") if cell.state == "done" else None
            state = Text(cell.state, style=STYLES.get(cell.state, ""))
            return state, f"{rate:.1f}" if rate else "", duration(cell.seconds) if cell.seconds else "", miou(cell)
        done, total, rate = heard["done"], heard["total"], heard["images_per_second"]
        bar = Table.grid(padding=(0, 1))
        bar.add_row(ProgressBar(total=total, completed=done, width=16), f"{100 * done / total:.0f} %")
        return bar, f"{rate:.1f}", duration((total - done) / rate) if rate else "", ""


def table(cells: Sequence[Cell], markdown: bool = False, comparison: bool = False) -> None:
    """Print one line a cell, and below it in words what went wrong or cannot be."""
    titles = ["config", "method", "VFM", "CLIP", "state", "mIoU", "aAcc", "mAcc", "images", "record"]
    shown = Table(*titles, *(compare.TITLES if comparison else ()), box=MARKDOWN if markdown else SIMPLE_HEAD)
    for cell in cells:
        run = cell.run or {}
        images = str(run.get("dataset", {}).get("images", "-")) + (" (partial)" if run.get("partial") else "")
        numbers = [_number(run.get("metrics", {}).get(key)) for key in ("mIoU", "aAcc", "mAcc")]
        more = map(escape, compare.columns(cell)) if comparison else ()
        named = map(escape, (cell.short, *cell.named))
        shown.add_row(*named, cell.state, *numbers, images, run.get("identity", "-"), *more)
    for column in shown.columns:
        column.overflow = "fold"  # a cut identity is none
    width = UNFOLDED if markdown else None if sys.stdout.isatty() else WIDER if comparison else WIDTH
    Console(highlight=False, width=width).print(shown)
    if comparison and any(compare.columns(cell)[0].startswith("~") for cell in cells):
        print(compare.FOOTNOTE)
    for state in ("done", "refused", "no data", "failed", "interrupted"):
        notes: dict[str, list[str]] = {}
        for cell in cells:
            if cell.state == state and cell.note:
                notes.setdefault(cell.note, []).append(cell.words)
        for note, names in notes.items():
            print(f"{state}: {note}\n    {'; '.join(names[:3])}{f'; {len(names) - 3} more' if names[3:] else ''}")


def said(cell: Cell) -> str:
    """What became of a cell, in a line."""
    parts = [f"mIoU {miou(cell)}"] if cell.run is not None else []
    parts += [cell.note] if cell.note and cell.state not in LATER else []
    took = f" ({duration(cell.seconds)})" if cell.seconds else ""
    return cell.state + (f": {', '.join(parts)}" if parts else "") + took


def miou(cell: Cell) -> str:
    """The number of a cell as it is shown; empty before there is one."""
    return _number(cell.run.get("metrics", {}).get("mIoU")) if cell.run is not None else ""


def duration(seconds: float) -> str:
    """A time for a person: 12 s, 1 min 26 s, 3 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return (
        f"{whole // 60} min {whole % 60:02d} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    )


def _images(cell: Cell) -> float | None:
    """How many images a cell has, where its record or its run says."""
    if cell.run is not None:
        return (cell.run.get("dataset") or {}).get("images")
    heard = how_far(cell)
    return heard["total"] if heard else None


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
