"""Raw maps of COCO-Stuff164k, for the two data sets made of them."""

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
    """Raw maps of a split, from the first of the folders that has some."""
    for folder in PLACES:
        paths = sorted((source / folder / split).glob("[!.]*.png"))
        if raw := [path for path in paths if not path.name.endswith(DERIVED)]:
            return raw
    return []


def place_images(args: Namespace, splits: list[str]) -> None:
    """Place images/<split> in the target; the source may be SRC/<split>."""
    beside = [name for name in splits if not (args.source / "images" / name).exists()]
    beside = [name for name in beside if next((args.source / name).glob("*.jpg"), None)]
    if not beside:
        place(args.source / "images", args.out / "images", args.copy)
        return
    for name in splits:
        source = args.source / name if name in beside else args.source / "images" / name
        place(source, args.out / "images" / name, args.copy)


@command
def prepare(argv: list[str] | None, doc: str | None, labels: np.ndarray, suffix: str, config: str) -> int:
    """Run the command line of both scripts; return the exit code.

    Args:
        labels: (256,) int16, raw value -> label.
        suffix: end of the written files, annotations/<split>/<id><suffix>.
    """
    args = parse(make_parser(doc, EXPECTED), argv)
    maps = {name: raw_maps(args.source, name) for name in EXPECTED}
    expected = (
        f"{args.source}/annotations/val2017 or .../train2017 with the maps of stuffthingmaps_trainval2017.zip "
        f"(or these in {args.source}/{PLACES[1]})"
    )
    splits = pick(args, [name for name in maps if maps[name]], expected)
    place_images(args, splits)
    reports = []
    for split in splits:
        folder = args.out / "annotations" / split
        inputs = [(path, labels, "a raw COCO-Stuff map") for path in maps[split]]
        jobs = [Job(i[0].stem, relabelled, i, (folder / f"{i[0].stem}{suffix}",)) for i in inputs]
        reports.append(run(split, jobs, args, EXPECTED[split]))
    return finish(reports, args.out, config)
