"""Console display of a sweep: live table or lines, outcomes, comparison."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from proxyclip.engine.sweep.cells import Cell
from proxyclip.engine.sweep.jobs import stop_requested
from proxyclip.engine.sweep.run import read_progress
from proxyclip.results.published import find_published_result
from proxyclip.utils.formats import format_difference, format_duration, format_two_decimals
from proxyclip.utils.text_table import TextTable, can_encode

COMPARISON_COLUMNS = ("target", "difference", "source")
PROTOCOL_FOOTNOTE = "~ published under a protocol that differs from this config's, or that the source does not state"
FINAL_STATES = ("done", "kept", "refused", "no data", "failed", "interrupted", "would run")
STATE_STYLES = {"done": "green", "failed": "bold red", "interrupted": "yellow", "running": "cyan"}
NAME_COLUMNS = ("config", "method", "VFM", "CLIP")
_NON_ROW_LINES = 7  # of the live table
_WIDE_COLUMNS = 120  # of a terminal that holds all of the live table
_LIVE_COLUMNS = 46  # of what stands beside the names in a narrower one
_ROUNDING = 1e-9  # 60.8 and 61.3 are 0.5 apart


class SweepDisplay:
    """Progress of the cells of a sweep.

    Args:
        lines: print a line for each event; else show a live table, which follows the cells by itself.
        together: cells may run at once, so that the line at the end of a cell has to name it.
        clock: returns seconds.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        lines: bool,
        together: bool = False,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cells = cells
        self.lines = lines
        self.together = together
        self.clock = clock
        self.console = console or Console(highlight=False)
        self._ended: list[Cell] = []
        self._before: dict[int, float] = {}  # images that a run had done when its progress was first read
        self._start = clock()

    def show(self) -> AbstractContextManager:
        """Show the live table while the block lasts; nothing where lines are printed."""
        self._start = self.clock()
        if self.lines:
            return nullcontext()
        return Live(get_renderable=self.render, console=self.console, refresh_per_second=2, transient=True)

    def show_status(self) -> AbstractContextManager:
        """Show a status in a terminal while the block lasts, before anything runs."""
        spinner = "dots" if can_encode("\u2800\u28ff", self.console.file) else "line"
        return nullcontext() if self.lines else self.console.status("finding out what is to be done", spinner=spinner)

    def update(self, cell: Cell) -> None:
        """Show that a cell is resolved, starts, or has ended."""
        if cell.state in FINAL_STATES:
            self._ended.append(cell)
        if not self.lines or cell.is_pending:
            return
        head = f"[{cell.number}/{len(self.cells)}]"
        ran = cell.progress is not None
        if cell.state == "running" or not ran:
            print(f"{head} {cell.label}", flush=True)
        if cell.state != "running":
            state = f"as [{cell.twin.number}]" if cell.twin is not None else cell_outcome(cell)
            print(f"{head if ran and self.together else '   '} {state}", flush=True)

    def render(self) -> RenderableType:
        """Build the header and as many rows as fit the screen, a line each."""
        rows, rest = self._choose(max(3, self.console.height - _NON_ROW_LINES))
        is_narrow = self.console.width < _WIDE_COLUMNS
        names = TextTable(NAME_COLUMNS, [(c.short_config, *c.names) for c in rows], file=self.console.file)
        if is_narrow:
            names.drop_constant_columns(*NAME_COLUMNS[1:])
            names.shrink(self.console.width - _LIVE_COLUMNS, *NAME_COLUMNS)
        numbers = ("left", "mIoU") if is_narrow else ("images/s", "left", "mIoU")
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for title in ("", *names.cells, "state", *numbers):
            table.add_column(title, justify="right" if title in ("", *numbers) else "left", no_wrap=True)
        for i, cell in enumerate(rows):
            state, rate, *rest_of_row = self._progress(cell, bar_columns=8 if is_narrow else 16)
            progress = [state, *([] if is_narrow else [rate]), *rest_of_row]
            table.add_row(str(cell.number), *(Text(column[i]) for column in names.cells.values()), *progress)
        notes = [names.format_constants()] if names.constants else []
        return Group(self._header(), table, *map(Text, notes + ([f"and {rest}"] if rest else [])))

    def seconds_left(self) -> float | None:
        """Estimate the seconds left from the images a second so far; None if unknown."""
        sizes = {cell.config: size for cell in self.cells if (size := _image_count(cell))}
        mean_size = sum(sizes.values()) / len(sizes) if sizes else 0.0
        images_left = 0.0
        images_done = 0.0
        for cell in self.cells:
            done = self._done(cell)
            if cell.state in ("running", "done"):
                images_done += done - self._before.get(cell.number, 0.0)
            if cell.state == "running" or cell.is_pending:
                images_left += max(0.0, (_image_count(cell) or sizes.get(cell.config, mean_size)) - done)
        seconds = self.clock() - self._start
        return images_left / (images_done / seconds) if images_done > 0 and seconds > 0 else None

    def _done(self, cell: Cell) -> float:
        """Count the images that are done, with those of an earlier run that is resumed."""
        if cell.state == "done" and cell.run is not None:
            self._before.setdefault(cell.number, float(cell.run.get("resumed_images") or 0))
            return float(_image_count(cell) or 0)
        progress = read_progress(cell) if cell.state == "running" else None
        if progress is None:
            return 0.0
        self._before.setdefault(cell.number, progress["done"])
        return progress["done"]

    def _header(self) -> Text:
        count = Counter(cell.state for cell in self.cells)
        final_count = sum(count[state] for state in FINAL_STATES)
        parts = [f"{final_count}/{len(self.cells)} cells", f"{count['running']} running"]
        parts += [f"{count['failed']} failed"] if count["failed"] else []
        parts.append(f"{format_duration(self.clock() - self._start)} so far")
        left = self.seconds_left()
        if stop_requested.is_set():
            parts.append("stopping: what was counted is saved (Ctrl-C again: end at once)")
        elif left is not None:
            parts.append(f"about {format_duration(left)} left")
        return Text(", ".join(parts))

    def _choose(self, max_rows: int) -> tuple[list[Cell], str]:
        """Choose the cells to show, and summarize the others as a text.

        Running and failed ones come first, then those that ended last, then the next ones.
        """
        if len(self.cells) <= max_rows:
            return list(self.cells), ""
        first = [cell for state in ("running", "failed") for cell in self.cells if cell.state == state]
        later = [*reversed(self._ended), *(cell for cell in self.cells if cell.state == "waiting"), *self.cells]
        chosen = list(dict.fromkeys([*first, *later]))[:max_rows]
        rest = Counter(cell.state for cell in self.cells if cell not in chosen)
        counts = ", ".join(f"{number} {state or 'to be looked at'}" for state, number in rest.most_common())
        return sorted(chosen, key=lambda cell: cell.number), f"{sum(rest.values())} more: {counts}"

    def _progress(self, cell: Cell, bar_columns: int) -> tuple[RenderableType, str, str, str]:
        """Format state, images a second, time left and mIoU of a cell."""
        progress = read_progress(cell) if cell.state == "running" else None
        if progress is None or not progress["total"]:
            rate = (cell.run or {}).get("images_per_second") if cell.state == "done" else None
            state = Text(cell.state, style=STATE_STYLES.get(cell.state, ""))
            took = format_duration(cell.seconds) if cell.seconds else ""
            return state, f"{rate:.1f}" if rate else "", took, format_cell_miou(cell)
        done, total, rate = progress.values()
        bar = Table.grid(padding=(0, 1))
        bar.add_row(ProgressBar(total=total, completed=done, width=bar_columns), f"{100 * done / total:.0f} %")
        return bar, f"{rate:.1f}", format_duration((total - done) / rate) if rate else "", ""


def cell_outcome(cell: Cell) -> str:
    """Format the outcome of a cell in one line."""
    parts = [f"mIoU {format_cell_miou(cell)}"] if cell.run is not None else []
    parts += [cell.note] if cell.note and cell.state not in ("refused", "no data") else []  # those come at the end
    took = f" ({format_duration(cell.seconds)})" if cell.seconds else ""
    return cell.state + (f": {', '.join(parts)}" if parts else "") + took


def format_cell_miou(cell: Cell) -> str:
    """Format the mIoU of a cell; empty before there is one."""
    return format_two_decimals(cell.run.get("metrics", {}).get("mIoU")) if cell.run is not None else ""


def _target_and_miou(cell: Cell) -> tuple[Any, float | None]:
    """Return target and mIoU in percent of a cell; None if it has no such record."""
    target = find_published_result(cell.run) if cell.run is not None else None
    if cell.run is None or target is None:
        return cell.target, None
    return target, cell.run.get("metrics", {}).get("mIoU")


def format_comparison(cell: Cell) -> tuple[str, str, str]:
    """Format target, difference and source of a cell."""
    target, miou = _target_and_miou(cell)
    if target is None:
        return "-", "-", "-"
    difference = format_difference(None if miou is None else miou - target.value)
    return f"{'' if target.exact else '~'}{target.value:.2f}", difference, target.source


def check_reproduction(cells: Iterable[Cell], tolerance: float) -> tuple[bool, str]:
    """Check that all exact targets are met; return that and a one-line verdict.

    Args:
        tolerance: the largest difference in points of mIoU. A cell without a result has not met its target.
    """
    met = 0
    off = []
    missing = []
    identities = set()
    for cell in cells:
        target, miou = _target_and_miou(cell)
        if target is None or not target.exact or (cell.identity and cell.identity in identities):
            continue
        identities.add(cell.identity)
        name = " ".join((cell.short_config, *cell.names[:2]))
        if miou is not None and abs(miou - target.value) <= tolerance + _ROUNDING:
            met += 1
        elif miou is not None:
            off.append(f"{name}: {miou:.2f} instead of {target.value:.2f}")
        elif cell.run is not None:
            reason = "images are left out" if cell.run.get("left_out") else "its record cannot be compared"
            off.append(f"{name}: {reason}")
        else:
            missing.append(name)
    total = met + len(off) + len(missing)
    if not total:
        return False, "reproduced: nothing to compare, no cell has a published result of exactly its protocol"
    lists = (("off", off), ("missing", missing))
    reasons = "; ".join(f"{label}: {', '.join(names)}" for label, names in lists if names)
    verdict = f"reproduced: {met} of {total} within {tolerance:g} mIoU"
    return met == total, f"{verdict} ({reasons})" if reasons else verdict


def _image_count(cell: Cell) -> float | None:
    """Number of images of a cell, from its record or its progress, or None."""
    if cell.run is not None:
        return (cell.run.get("dataset") or {}).get("images")
    progress = read_progress(cell)
    return progress["total"] if progress else None
