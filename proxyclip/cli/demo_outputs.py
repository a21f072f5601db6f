"""Outputs of the demo: files of each picture, tables of areas, remarks."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proxyclip.apis import Segmentation, Segmenter


def make_unique_names(files: Sequence[Path]) -> list[str]:
    """Name the results of each file: its own name without suffix, with a number where another file has it."""
    names: dict[str, str] = {}  # by lower case: some file systems take both for one
    for file in files:
        candidates = (f"{file.stem}-{number}" for number in count(2))
        name = next(name for name in chain([file.stem], candidates) if name.lower() not in names)
        names[name.lower()] = name
    return list(names.values())


def save_demo_outputs(segmentation: Segmentation, segmenter: Segmenter, options: Any) -> list[Path]:
    """Write the files of one image, with --attention the map of the patch too, and return their paths."""
    paths = list(segmentation.save(options.out).values())
    if options.attention is not None:
        paths.append(save_attention_figure(segmentation, segmenter, options))
    return paths


def save_attention_figure(segmentation: Segmentation, segmenter: Segmenter, options: Any) -> Path:
    """Draw the attention of the patch at a pixel; return the path.

    Args:
        options: with the fields `attention`, `vfm`, `method` and `out` of the demo's.
    """
    from PIL import Image

    from proxyclip.results.columns import format_clip, format_vfm
    from proxyclip.visualization.attention_figure import draw_attention_figure

    x, y = options.attention or (0, 0)
    values = segmenter.attention(segmentation.image, x, y)
    settings = segmenter.describe()
    run = {"arguments": settings, "options": {"vfm": options.vfm}}
    method = f"method {Path(options.method).stem}, " if options.method else ""
    title = f"{segmentation.name}: attention of the patch at ({x}, {y})"
    details = [f"{method}{settings.get('attention') or 'proxy'}", f"VFM {format_vfm(run)}, CLIP {format_clip(run)}"]
    path = Path(options.out, f"{segmentation.name}_attention.png")
    Image.fromarray(draw_attention_figure(segmentation.image, values, (x, y), title, details)).save(path)
    return path


def print_remarks(segmentation: Segmentation, file: Path) -> None:
    """Print what is to be known of a picture, and the classes that its refinement has dropped."""
    for note in segmentation.notes:
        print(f"note: {note}", file=sys.stderr, flush=True)
    if segmentation.dropped:
        print(f"note: {file}: refinement dropped {', '.join(segmentation.dropped)}", file=sys.stderr, flush=True)


def build_area_table(segmentation: Segmentation) -> Any:
    """Build the table of class areas, a line each, with the colors of the overlay."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    from proxyclip.utils.text_table import can_encode, measure_columns, shorten_names

    has_blocks = can_encode("█")
    table = Table(*([""] if has_blocks else []), "class", "percent", box=SIMPLE_HEAD)
    table.columns[-1].justify = "right"
    short = shorten_names(segmentation.areas, max(8, measure_columns() - 22), "…" if can_encode("…") else "..")
    for name, share in segmentation.areas.items():
        red, green, blue = segmentation.colors[segmentation.index(name)]
        block = [f"[rgb({red},{green},{blue})]██[/]"] if has_blocks else []
        table.add_row(*block, escape(short[name]), f"{share:.1f}")
    return table


def write_areas_csv(rows: Iterable[tuple[str, dict[str, float]]], names: Sequence[str], path: Path) -> Path:
    """Write the areas in percent of every image and class as CSV; return the path."""
    from proxyclip.results.spreadsheet import write_spreadsheet_csv

    lines = [[file_name, *(f"{areas.get(name, 0.0):.3f}" for name in names)] for file_name, areas in rows]
    return write_spreadsheet_csv(path, [["file", *names], *lines])
