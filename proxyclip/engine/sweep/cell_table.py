"""Table of a sweep at its end, as narrow as the terminal; whole in Markdown."""

import re
from collections.abc import Sequence

from rich.box import MARKDOWN
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from proxyclip.engine.sweep.cells import Cell
from proxyclip.engine.sweep.display import COMPARISON_COLUMNS, NAME_COLUMNS, PROTOCOL_FOOTNOTE, format_comparison
from proxyclip.results.columns import format_image_count
from proxyclip.utils.formats import format_two_decimals
from proxyclip.utils.text_table import TextTable, measure_columns, shorten_identities


def print_cell_table(cells: Sequence[Cell], markdown: bool = False, comparison: bool = False) -> None:
    """Print one line a cell, and below the reasons of failures and refusals.

    In Markdown the table is whole; else it is made as narrow as the terminal: constant columns, long names and
    identities, sources and, at last, the numbers that the record has are shortened.
    """
    titles = ["config", "method", "VFM", "CLIP", "state", "mIoU", "aAcc", "mAcc", "images", "record"]
    titles += COMPARISON_COLUMNS if comparison else ()
    rows = []
    for cell in cells:
        run = cell.run or {}
        images = str(format_image_count(run) or "-")
        numbers = [format_two_decimals(run.get("metrics", {}).get(key)) for key in ("mIoU", "aAcc", "mAcc")]
        published = format_comparison(cell) if comparison else ()
        identity = str(run.get("identity", "-"))
        rows.append([cell.short_config, *cell.names, cell.state, *numbers, images, identity, *published])
    if markdown:
        table = Table(*titles, box=MARKDOWN)
        for row in rows:
            table.add_row(*map(escape, row))
        Console(highlight=False, width=10_000).print(table)
    else:
        _print_fitted(TextTable(titles, rows, right=("mIoU", "aAcc", "mAcc", "target", "difference")))
    if comparison and any(format_comparison(cell)[0].startswith("~") for cell in cells):
        print(PROTOCOL_FOOTNOTE)
    for state in ("done", "refused", "no data", "failed", "interrupted"):
        notes: dict[str, list[str]] = {}
        for cell in cells:
            if cell.state == state and cell.note:
                notes.setdefault(cell.note, []).append(cell.label)
        for note, names in notes.items():
            print(f"{state}: {note}\n    {'; '.join(names[:3])}{f'; {len(names) - 3} more' if names[3:] else ''}")


def _print_fitted(table: TextTable) -> None:
    """Print the table as narrow as the terminal, and what its short forms mean."""
    columns = measure_columns()
    notes = []
    if table.columns > columns:
        empty = [title for title in ("mIoU", "aAcc", "mAcc", "record") if set(table.cells[title]) == {"-"}]
        table.drop_constant_columns("method", "VFM", "CLIP", "state", "images", "source", *empty)
    if table.columns > columns:
        table.replace_cells("config", lambda cells: [cell.replace("cfg_", "") for cell in cells])
        table.replace_cells("record", shorten_identities)
        table.replace_cells("images", lambda cells: [re.sub(r" \(.*\)", "*", cell) for cell in cells])
        if any("*" in cell for cell in table.cells.get("images", ())):
            notes.append("* not all images of the data set")
    if table.columns > columns and "source" in table.cells:
        sources = [source for source in dict.fromkeys(table.cells["source"]) if source != "-"]
        notes += [f"[{number}] {source}" for number, source in enumerate(sources, start=1)]
        table.replace_cells("source", lambda cells: [f"[{sources.index(c) + 1}]" if c in sources else c for c in cells])
    left_out = []
    for title, at_least in (("", 14), ("mAcc", 14), ("aAcc", 14), ("images", 14), ("record", 8)):
        if title in table.cells:
            left_out.append(title)
            if title == "images" and "mIoU" in table.cells:
                marks = ["*" * cell.endswith("*") for cell in table.cells["images"]]
                table.cells["mIoU"] = list(map("".join, zip(table.cells["mIoU"], marks, strict=True)))
            table.leave_out(title)
        table.shrink(columns, *NAME_COLUMNS, at_least=at_least)
        if table.columns <= columns:
            break
    notes += [f"no space for {', '.join(left_out)}: see results.xlsx, or --markdown"] if left_out else []
    table.print()
    for note in notes:
        print(note)
