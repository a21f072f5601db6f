"""COCO-Stuff10k (cfg_coco_stuff10k.py): the ids of the .mat files become 1..171, unlabelled stays 0.

    python datasets/prepare_coco_stuff10k.py DOWNLOADS/cocostuff-10k-v1.1 -o DATA/coco_stuff10k

needs cocostuff-10k-v1.1.zip (calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset; v1.0 has other ids),
unpacked: images/*.jpg, annotations/*.mat, imageLists/test.txt and train.txt. Writes
DST/annotations/test2014/<name>_labelTrainIds.png and takes the images over to DST/images/test2014, as hard links
where that is possible and --copy is not given; train2014 likewise.
"""

import sys
from pathlib import Path

from _coco import USED
from _common import command, finish, make_parser, parse, pick
from _files import read_list
from _jobs import Job, run
from _maps import encode, load, matlab, relabel, same_size, table

SUFFIX = "_labelTrainIds.png"
EXPECTED = {"test2014": 1000, "train2014": 9000}
TABLE = table(183, {0: 0} | {value + 1: label for label, value in enumerate(USED, 1)})


def make(mat: Path, image: Path, copy: bool) -> tuple[bytes | Path, bytes]:
    """The image as it is, and the label map."""
    labels = relabel(mat, matlab(mat, "S", 182), TABLE, "COCO-Stuff10k v1.1")
    same_size(image, load(image).size, mat, labels.shape[::-1])
    return image.read_bytes() if copy else image, encode(labels)


@command
def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    args = parse(make_parser(__doc__, EXPECTED), argv, ("cocostuff-10k-v1.1",), marker="annotations")
    folder = next((f for f in (args.source / "imageLists", args.source / "imagesLists") if f.is_dir()), args.source)
    lists = {name: folder / f"{name[:-4]}.txt" for name in EXPECTED}
    expected = f"{args.source} with images, annotations and imageLists/test.txt of cocostuff-10k-v1.1.zip, unpacked"
    splits = pick(args, [name for name in lists if lists[name].is_file()], expected)
    reports = []
    for split in splits:
        jobs = []
        for name in read_list(lists[split]):
            inputs = (args.source / f"annotations/{name}.mat", args.source / f"images/{name}.jpg", args.copy)
            outputs = args.out / f"images/{split}/{name}.jpg", args.out / f"annotations/{split}/{name}{SUFFIX}"
            jobs.append(Job(name, make, inputs, outputs))
        reports.append(run(split, jobs, args, EXPECTED[split]))
    return finish(reports, args.out, "cfg_coco_stuff10k.py")


if __name__ == "__main__":
    sys.exit(main())
