"""What demo.py does: finds the pictures, segments one after the other, shows and saves."""

from __future__ import annotations

import csv
import glob
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxyclip.paths import find

if TYPE_CHECKING:
    from proxyclip.api import Segmentation, Segmenter

TINY = "configs/cfg_tinyworld.py"
USUAL = "configs/cls_coco_stuff.txt"  # what is looked for in a picture without --classes
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif")
MADE = ("_seg.png", "_overlay.png", "_mask.png", "_attention.png")  # by an earlier run into the same folder
TABLES = 3  # pictures whose areas are shown as a table each; of more, one line each


@dataclass(frozen=True)
class Wish:
    """What the command line of demo.py says."""

    images: tuple[str, ...] = ()
    classes: str | None = None
    background: str | None = None
    threshold: float = 0.0
    out: str = "demo_out"
    config: str | None = None
    checkpoint: str | None = None
    method: str | None = None
    clip: str | None = None
    vfm: str | None = None
    beta: float | None = None
    gamma: float | None = None
    refine: tuple[str, ...] = ()
    attention: tuple[int, int] | None = None
    device: str = "auto"
    precision: str | None = None
    tiny: bool = False
    seed: int = 21

    @property
    def toy(self) -> bool:
        """Whether the tiny world's model is used: on request, or because there is no picture either."""
        return self.tiny or (not self.images and self.config is None and self.clip is None)


def run(wish: Wish) -> int:
    """Segment every picture; the number of those that could not be."""
    from proxyclip.reporting import console, quiet

    quiet()
    out = Path(wish.out)
    out.mkdir(parents=True, exist_ok=True)
    files = pictures(wish.images) if wish.images else [scene(out, wish.seed)]
    if wish.toy:
        print("The embedded tiny world, a toy that knows drawn scenes only: no download, and no word on photographs.")
    segmenter = model(wish)
    failed, names, rows = 0, unique(files), []
    for file, name in zip(files, names, strict=True):
        try:
            found = replace(segmenter(file), name=name)
            written = save(found, segmenter, wish)
        except (OSError, ValueError) as error:
            print(f"error: {_with(file, error)}", file=sys.stderr)
            failed += 1
            continue
        rows.append((str(file), found.areas))
        if len(files) <= TABLES:
            print(file)
            console().print(table(found))
            print(*written, sep="\n", flush=True)
        else:
            shares = ", ".join(f"{name} {share:.1f} %" for name, share in found.areas.items())
            print(f"{file}: {shares}", flush=True)
    if len(rows) > 1:
        print(f"{areas_file(rows, segmenter.classes, out / 'areas.csv')}: {len(rows)} pictures, results beside it")
    return failed


def pictures(words: Iterable[str]) -> list[Path]:
    """The files of paths, folders and patterns (`photos/*.jpg`, `photos/**/*.png`), each once.

    Raises:
        FileNotFoundError: a folder or a pattern without pictures. A path that does not exist stays, for one message of
            its own.
    """
    found: dict[Path, None] = {}
    for word in words:
        path = Path(word).expanduser()
        if path.is_dir():
            some = sorted(p for p in path.iterdir() if _is_picture(p))
        elif not path.exists() and glob.has_magic(word):
            some = sorted(Path(p) for p in glob.iglob(str(path), recursive=True) if _is_picture(Path(p)))  # noqa: PTH207
        else:
            some = [path]
        if not some:
            raise FileNotFoundError(f"There is no picture in {word}: expected files that end in {', '.join(ENDINGS)}")
        found |= dict.fromkeys(some)
    return list(found)


def _is_picture(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in ENDINGS and not path.name.endswith(MADE)


def unique(files: Sequence[Path]) -> list[str]:
    """A name for the results of each file: its own without ending, with a number where another has it already."""
    taken: set[str] = set()
    names = []
    for file in files:
        name, number = file.stem, 1
        while name.lower() in taken:  # some file systems take both for one
            number += 1
            name = f"{file.stem}-{number}"
        taken.add(name.lower())
        names.append(name)
    return names


def scene(folder: Path, seed: int) -> Path:
    """A drawn scene of the tiny world as a PNG file."""
    from PIL import Image

    from proxyclip.tinyworld import scenes

    path = folder / f"tinyworld_{seed}.png"
    Image.fromarray(scenes.scene(seed, 0).image).save(path)
    return path


def model(wish: Wish) -> Segmenter:
    """The model with its words; weights that are missing are fetched."""
    config = wish.config or (TINY if wish.toy else None)
    classes = wish.classes
    if classes is None and config is None:
        classes = USUAL
        print(f"No --classes: looking for what {USUAL} lists. Name your own: --classes 'horse; grass; sky'")
    from proxyclip.api import Segmenter

    given = dict(config=config, precision=wish.precision, checkpoint=wish.checkpoint)
    options: dict[str, Any] = {k: v for k, v in given.items() if v}
    if wish.refine:
        options["refine"] = list(wish.refine)
    segmenter = Segmenter(
        _file_or_text(classes), clip=wish.clip, vfm=wish.vfm, method=wish.method, device=wish.device,
        background=background(wish.background), threshold=wish.threshold, **options,
    )  # fmt: skip
    numbers = {k: v for k, v in dict(beta=wish.beta, gamma=wish.gamma).items() if v is not None}
    return segmenter.tune(**numbers) if numbers else segmenter


def _file_or_text(words: str | None) -> str | Path | None:
    if words is None:
        return None
    looks = words.endswith(".txt") or Path(words).is_file()
    return find(words, "file of classes") if looks else words


def background(words: str | None) -> float | str | None:
    """`0.3` -> a number; `wall, ceiling` stays text."""
    try:
        return None if words is None else float(words)
    except ValueError:
        return words


def save(found: Segmentation, segmenter: Segmenter, wish: Wish) -> list[Path]:
    """Write the files of one picture, with --attention the map of the patch too, and return their paths."""
    written = list(found.save(wish.out).values())
    if wish.attention is not None:
        written.append(_attention(found, segmenter, wish.attention, Path(wish.out)))
    return written


def _attention(found: Segmentation, segmenter: Segmenter, point: tuple[int, int], out: Path) -> Path:
    from PIL import Image

    from proxyclip.api import drawing

    path = out / f"{found.name}_attention.png"
    values = segmenter.attention(found.image, *point)
    Image.fromarray(drawing.heat(found.image, values, point)).save(path)
    return path


def table(found: Segmentation) -> Any:
    """The areas of a picture as a table with the colours of its overlay."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    shown = Table("", "class", "percent", box=SIMPLE_HEAD)
    shown.columns[2].justify = "right"
    for name, share in found.areas.items():
        red, green, blue = found.colours[found.index(name)]
        shown.add_row(f"[rgb({red},{green},{blue})]██[/]", escape(name), f"{share:.1f}")
    return shown


def areas_file(rows: Iterable[tuple[str, dict[str, float]]], names: Sequence[str], path: Path) -> Path:
    """Areas in percent of every picture and class as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", *names])
        writer.writerows([name, *(f"{areas.get(one, 0.0):.3f}" for one in names)] for name, areas in rows)
    return path


def _with(file: Path, error: Exception) -> str:
    return str(error) if file.name in str(error) else f"{file}: {error}"


def message(error: BaseException) -> str:
    """One message for a person; where weights are missing, what runs without them too."""
    from proxyclip import reporting
    from proxyclip.weights import WeightsError

    text = reporting.message(error)
    if isinstance(error, WeightsError):
        text += "\n  without weights: python demo.py --tiny, a drawn toy that shows what this does"
    return text


def serve(wish: Wish, host: str, port: int) -> int:
    """Serve the page until Ctrl-C, and return the exit code."""
    from proxyclip import web
    from proxyclip.reporting import quiet

    quiet()
    said = {name: getattr(wish, name) for name in web.Settings.__dataclass_fields__ if hasattr(wish, name)}
    web.serve(web.Settings(**said, host=host, port=port))
    return 0


def offline() -> None:
    """Ask Hugging Face's library for nothing; it reads the variable when it is imported."""
    os.environ["HF_HUB_OFFLINE"] = "1"
