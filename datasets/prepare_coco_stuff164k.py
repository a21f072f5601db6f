"""COCO-Stuff164k (cfg_coco_stuff164k.py): the 171 raw values that are used become 0..170, unlabelled stays 255.

    python datasets/prepare_coco_stuff164k.py DOWNLOADS/coco -o DATA/coco_stuff164k

needs stuffthingmaps_trainval2017.zip (calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset), unpacked as
SRC/annotations, SRC/stuffthingmaps_trainval2017 or SRC itself, and val2017.zip and/or train2017.zip
(images.cocodataset.org/zips), unpacked in SRC/images or SRC. Reads <id>.png, writes
DST/annotations/<split>/<id>_labelTrainIds.png; DST/images is linked.
"""

import sys

from _coco import USED, prepare
from _maps import table

SUFFIX = "_labelTrainIds.png"
TABLE = table(256, {255: 255} | {value: label for label, value in enumerate(USED)})


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return prepare(argv, __doc__, TABLE, SUFFIX, "cfg_coco_stuff164k.py")


if __name__ == "__main__":
    sys.exit(main())
