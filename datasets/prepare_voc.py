"""PASCAL VOC 2012 (cfg_voc21.py, cfg_voc20.py): nothing to convert, so this checks that all is there, and links it.

    python datasets/prepare_voc.py DOWNLOADS/VOCdevkit/VOC2012 -o DATA/VOCdevkit/VOC2012

needs VOCtrainval_11-May-2012.tar of host.robots.ox.ac.uk/pascal/VOC/voc2012, unpacked. Every image and mask that
ImageSets/Segmentation/val.txt and train.txt name is opened to its end. With -o, JPEGImages, SegmentationClass and
ImageSets are linked. SegmentationClassAug (SBD) is another set of files, which is not used.
"""

import sys

from _common import command, finish, make_parser, parse, pick
from _files import Stop, place, read_list
from _jobs import Job, run
from _maps import check_pair, table

EXPECTED = {"val": 1449, "train": 1464}
FOLDERS = ("JPEGImages", "SegmentationClass", "ImageSets")
TABLE = table(256, {value: value for value in (*range(21), 255)})


@command
def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    args = parse(make_parser(__doc__, EXPECTED), argv, ("VOC2012", "VOCdevkit/VOC2012"), marker="JPEGImages")
    images, masks, lists = (args.source / name for name in FOLDERS)
    lists = lists / "Segmentation"
    expected = f"{images}, {masks} and {lists}/val.txt of VOCtrainval_11-May-2012.tar, unpacked"
    if not images.is_dir() or not masks.is_dir():
        aug = masks.with_name("SegmentationClassAug").is_dir()
        raise Stop(f"expected {expected}" + (" (SegmentationClassAug is another set of files)" if aug else ""))
    splits = pick(args, [name for name in EXPECTED if (lists / f"{name}.txt").is_file()], expected)
    for name in FOLDERS:
        place(args.source / name, args.out / name, args.copy)
    reports = []
    for split in splits:
        stems = read_list(lists / f"{split}.txt")
        pairs = [(images / f"{stem}.jpg", masks / f"{stem}.png") for stem in stems]
        jobs = [Job(pair[0].stem, check_pair, (*pair, TABLE, "a VOC mask")) for pair in pairs]
        reports.append(run(split, jobs, args, EXPECTED[split]))
    return finish(reports, args.out, "cfg_voc21.py")


if __name__ == "__main__":
    sys.exit(main())
