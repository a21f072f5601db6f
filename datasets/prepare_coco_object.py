"""COCO-Object (cfg_coco_object.py): 80 things become 1..80, stuff and unlabelled pixels background 0.

    python datasets/prepare_coco_object.py PATH_TO_COCO_STUFF164K -o PATH_TO_COCO_OBJECT

needs what prepare_coco_stuff164k.py needs: stuffthingmaps_trainval2017.zip, unpacked as SRC/annotations,
SRC/stuffthingmaps_trainval2017 or SRC itself, and val2017.zip and/or train2017.zip, unpacked in SRC/images or SRC.
Reads <id>.png, writes DST/annotations/<split>/<id>_instanceTrainIds.png; DST/images is linked.
MMSegmentation's own COCO-Stuff converter counts all PNG files: run that one first if both write into one folder.
"""

import sys

from _coco import USED, prepare
from _maps import table

SUFFIX = "_instanceTrainIds.png"
THINGS = USED[:80]
TABLE = table(256, dict.fromkeys((*USED, 255), 0) | {value: label for label, value in enumerate(THINGS, 1)})


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return prepare(argv, __doc__, TABLE, SUFFIX, "cfg_coco_object.py")


if __name__ == "__main__":
    sys.exit(main())
