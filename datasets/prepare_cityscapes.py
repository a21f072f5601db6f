"""Cityscapes (cfg_city_scapes.py): label ids become the 19 train ids, everything else 255.

    python datasets/prepare_cityscapes.py DOWNLOADS/cityscapes -o DATA/cityscapes

needs gtFine_trainvaltest.zip and leftImg8bit_trainvaltest.zip of cityscapes-dataset.com (registration), unpacked in
one folder. Reads gtFine/<split>/<city>/*_gtFine_labelIds.png and writes *_gtFine_labelTrainIds.png there; leftImg8bit
is linked. The test split has no labels. No polygons are drawn, and cityscapesScripts is not needed.
"""

import sys

from _common import command, finish, make_parser, parse, pick
from _files import place, walk
from _jobs import Job, run
from _maps import relabelled, table

EXPECTED = {"val": 500, "train": 2975}
IDS = (7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33)  # in the order of the train ids
RAW, MADE = "_gtFine_labelIds.png", "_gtFine_labelTrainIds.png"
# 255 is how the id -1 (license plate) is stored
TABLE = table(256, dict.fromkeys((*range(34), 255), 255) | {value: label for label, value in enumerate(IDS)})


@command
def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    args = parse(make_parser(__doc__, EXPECTED), argv, ("cityscapes",), marker="gtFine")
    folder = args.source / "gtFine"
    found = {name: walk(folder / name, RAW) for name in EXPECTED}
    expected = f"{folder}/val/<city>/*{RAW} (or train) of gtFine_trainvaltest.zip, unpacked"
    splits = pick(args, [name for name in found if found[name]], expected)
    place(args.source / "leftImg8bit", args.out / "leftImg8bit", args.copy)
    reports = []
    for split in splits:
        jobs = []
        for path in found[split]:
            stem = path.name.removesuffix(RAW)
            target = args.out / path.relative_to(args.source).with_name(stem + MADE)
            jobs.append(Job(stem, relabelled, (path, TABLE, "a labelIds file"), (target,)))
        reports.append(run(split, jobs, args, EXPECTED[split]))
    return finish(reports, args.out, "cfg_city_scapes.py")


if __name__ == "__main__":
    sys.exit(main())
