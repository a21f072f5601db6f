"""ADE20K, 150 classes (cfg_ade20k.py): nothing to convert, so this checks that all is there, and links it.

    python datasets/prepare_ade20k.py DOWNLOADS/ADEChallengeData2016 -o DATA/ade/ADEChallengeData2016

needs ADEChallengeData2016.zip of data.csail.mit.edu/places/ADEchallenge, unpacked. Every image of images/validation
and images/training and its map in annotations are opened to their ends. With -o, both folders are linked.
The full ADE20K download (folders of scenes, *_seg.png) is another data set: see prepare_ade847.py.
"""

import sys
from pathlib import Path

from _common import command, finish, make_parser, parse, pick
from _files import Stop, place, walk
from _jobs import Job, run
from _maps import check_pair, table

EXPECTED = {"validation": 2000, "training": 20210}
TABLE = table(256, {value: value for value in range(151)})


def is_full_release(source: Path) -> bool:
    """True for the full ADE20K: maps beside the images, in folders of scenes."""
    places = [source / "images" / name for name in ("ADE", *EXPECTED)]
    return places[0].is_dir() or any(True for place in places for _ in place.glob("**/*_seg.png"))


@command
def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    args = parse(make_parser(__doc__, EXPECTED), argv, ("ADEChallengeData2016",), marker="annotations")
    images, maps = args.source / "images", args.source / "annotations"
    expected = f"{images} and {maps} with validation or training, of ADEChallengeData2016.zip, unpacked"
    if is_full_release(args.source):
        raise Stop(f"expected {expected}; this is the full ADE20K, another data set: use prepare_ade847.py")
    splits = pick(args, [name for name in EXPECTED if walk(images / name, ".jpg")], expected)
    for folder in (images, maps):
        place(folder, args.out / folder.name, args.copy)
    reports = []
    for split in splits:
        names = {path.stem for path in (*walk(images / split, ".jpg"), *walk(maps / split, ".png"))}
        pairs = [(images / split / f"{name}.jpg", maps / split / f"{name}.png") for name in sorted(names)]
        jobs = [Job(pair[0].stem, check_pair, (*pair, TABLE, "a map of the 150 classes")) for pair in pairs]
        reports.append(run(split, jobs, args, EXPECTED[split]))
    return finish(reports, args.out, "cfg_ade20k.py")


if __name__ == "__main__":
    sys.exit(main())
