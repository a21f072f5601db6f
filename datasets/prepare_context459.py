"""PASCAL Context, 459 classes (cfg_context459.py): each LabelMap minus one, as 16-bit TIFF.

    python datasets/prepare_context459.py DOWNLOADS/VOCdevkit/VOC2010 --mat DOWNLOADS/trainval -o DATA/VOCdevkit/VOC2010

needs trainval.tar.gz of roozbehm.info/pascal-context (one .mat an image), unpacked as SRC/trainval or where --mat says,
and VOCtrainval_03-May-2010.tar of host.robots.ox.ac.uk/pascal/VOC/voc2010 for the images. Writes
annotations_detectron2/pc459_val/*.tif (pc459_train with --split train). The images are those of
ImageSets/SegmentationContext/val.txt, as prepare_context.py makes it; without that, those of ImageSets/Main/val.txt
but 2010_001606, which has no map in the other PASCAL Context data sets, and the list is written.
"""

import sys
from pathlib import Path

import numpy as np
from _common import command, finish, make_parser, parse, pick
from _files import Stop, place, read_list, write_list
from _jobs import Job, run
from _maps import encode, matlab

EXPECTED = {"val": 5104, "train": None}
TABLE = np.arange(-1, 459).astype(np.uint16)  # 0 becomes 65535, which is ignored
LEFT_OUT = "2010_001606"


def make(mat: Path) -> tuple[bytes]:
    """The TIFF of a .mat file."""
    return (encode(TABLE[matlab(mat, "LabelMap", 459)]),)


@command
def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = make_parser(__doc__, EXPECTED)
    parser.add_argument("--mat", type=Path, metavar="DIR", help="folder of the .mat files (default: SRC/trainval)")
    args = parse(parser, argv, ("VOC2010", "VOCdevkit/VOC2010"), marker="ImageSets")
    args.split = args.split or ["val"]
    mats = (args.mat or args.source / "trainval").expanduser()
    if not next(mats.glob("*.mat"), None):
        raise Stop(f"expected {mats}/*.mat of PASCAL Context's trainval.tar.gz, unpacked (--mat says where else)")
    lists = {}
    for name in args.split:
        made = f"ImageSets/SegmentationContext/{name}.txt"
        lists[name] = [args.out / made, args.source / made, args.source / f"ImageSets/Main/{name}.txt"]
    expected = f"{args.source}/ImageSets/Main/val.txt of VOCtrainval_03-May-2010.tar, unpacked"
    splits = pick(args, [name for name in lists if any(path.is_file() for path in lists[name])], expected)
    place(args.source / "JPEGImages", args.out / "JPEGImages", args.copy)
    reports = []
    for split in splits:
        used = next(path for path in lists[split] if path.is_file())
        names = [name for name in read_list(used) if name != LEFT_OUT or used.parent.name != "Main"]
        folder = args.out / f"annotations_detectron2/pc459_{split}"
        jobs = [Job(name, make, (mats / f"{name}.mat",), (folder / f"{name}.tif",)) for name in names]
        reports.append(run(split, jobs, args, EXPECTED[split]))
        if used != lists[split][0]:
            write_list(lists[split][0], reports[-1].done)
            print(f"{lists[split][0]} is written: what has a map, of {used}")
    return finish(reports, args.out, "cfg_context459.py")


if __name__ == "__main__":
    sys.exit(main())
