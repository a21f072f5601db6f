"""COCO-Stuff164k's raw maps, for the two data sets made of them."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np
from _common import command, finish, make_parser, parse, pick
from _files import place
from _jobs import Job, run
from _maps import relabelled

EXPECTED = {"val2017": 5000, "train2017": 118287}
UNUSED = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
USED = [value for value in range(182) if value not in UNUSED]  # raw values: COCO id - 1
DERIVED = ("_labelTrainIds.png", "_instanceTrainIds.png")
PLACES = ("annotations", "stuffthingmaps_trainval2017", "stuffthingmaps", "")


def raw_maps(source: Path, split: str) -> list[Path]:
    """The raw maps of a split, from the first of the places where there are some."""
    found = [sorted((source / place / split).glob("[!.]*.png")) for place in PLACES]
    raw = [[path for path in paths if not path.name.endswith(DERIVED)] for paths in found]
    return next(filter(None, raw), [])


def place_images(args: Namespace, splits: list[str]) -> None:
    """Make images/<split> appear in the target; they may lie beside the maps, in SRC/<split>."""
    beside = [name for name in splits if not (args.source / "images" / name).exists()]
    beside = [name for name in beside if next((args.source / name).glob("*.jpg"), None)]
    if not beside:
        place(args.source / "images", args.out / "images", args.copy)
        return
    for name in splits:
        source = args.source / name if name in beside else args.source / "images" / name
        place(source, args.out / "images" / name, args.copy)


@command
def prepare(words: list[str] | None, doc: str | None, labels: np.ndarray, suffix: str, config: str) -> int:
    """The command line of both scripts; returns the exit code.

    Args:
        labels: (256,) int16, raw value -> label.
        suffix: of the files that are written, annotations/<split>/<id><suffix>.
    """
    args = parse(make_parser(doc, EXPECTED), words)
    found = {name: raw_maps(args.source, name) for name in EXPECTED}
    expected = (
        f"{args.source}/annotations/val2017 or .../train2017 with the maps of stuffthingmaps_trainval2017.zip "
        f"(or these in {args.source}/{PLACES[1]})"
    )
    splits = pick(args, [name for name in found if found[name]], expected)
    place_images(args, splits)
    reports = []
    for split in splits:
        folder = args.out / "annotations" / split
        inputs = [(path, labels, "a raw COCO-Stuff map") for path in found[split]]
        jobs = [Job(i[0].stem, relabelled, i, (folder / f"{i[0].stem}{suffix}",)) for i in inputs]
        reports.append(run(split, jobs, args, EXPECTED[split]))
    return finish(reports, args.out, config)
