"""PASCAL Context, 59 classes and background (cfg_context60.py, cfg_context59.py): maps and lists from the JSON.

    python datasets/prepare_context.py DOWNLOADS/VOCdevkit/VOC2010 --json DOWNLOADS/trainval_merged.json \\
        -o DATA/VOCdevkit/VOC2010

needs VOCtrainval_03-May-2010.tar of host.robots.ox.ac.uk/pascal/VOC/voc2010, unpacked, and PASCAL Context's
trainval_merged.json (codalabuser.blob.core.windows.net/public; if that link is dead, any copy), in SRC or where
--json says. Writes SegmentationClassContext/*.png and ImageSets/SegmentationContext/{val,train}.txt; JPEGImages is
linked. The maps of the 459 classes are other annotations: see prepare_context459.py.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from _common import command, finish, make_parser, parse, pick
from _files import Failure, Stop, check_name, place, read_limited, write_list
from _jobs import Job, run
from _maps import Bad, encode, same_size
from _masks import decode_mask
from PIL import Image

EXPECTED = {"val": 5104, "train": 4996}
MAX_JSON_BYTES = 2 * 10**9  # four times trainval_merged.json
# The 59 classes' ids, in their order; any other id is background.
IDS = (
    *(2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98),
    *(104, 105, 113, 115, 144, 158, 159, 162, 187, 189, 207, 220, 232, 258, 259, 260, 284, 295, 296, 308),
    *(324, 326, 347, 349, 354, 355, 360, 366, 368, 397, 415, 416, 420, 424, 427, 440, 445, 454, 458),
)
LABELS = {value: label for label, value in enumerate(IDS, 1)}


def paint(image: Path, height: int, width: int, annotations: list[tuple[int, Any]]) -> tuple[bytes]:
    """The PNG of an image's annotations (category id, mask), painted one over the other."""
    try:
        with Image.open(image) as file:
            size = file.size
    except OSError as error:
        raise Bad(f"{image}: cannot be read ({error}); get it from VOCtrainval_03-May-2010.tar") from error
    same_size(image, size, Path("its entry in the JSON"), (width, height))
    labels = np.zeros((height, width), np.uint8)
    for category, segmentation in annotations:
        labels[decode_mask(segmentation, height, width)] = LABELS.get(category, 0)
    return (encode(labels),)


def read_json(path: Path) -> dict[str, list[tuple[str, int, int, list]]]:
    """split -> its images: name, height, width, [(category id, mask), ...] in the order of the file.

    Raises:
        Stop: there is no such file.
        Failure: it is not the JSON of PASCAL Context.
    """
    if not path.is_file():
        raise Stop(f"expected {path}, PASCAL Context's annotations (--json says where else)")
    print(f"reading {path} ...", flush=True)
    splits: dict[str, list[tuple[str, int, int, list]]] = {}
    try:
        content = json.loads(read_limited(path, MAX_JSON_BYTES))
        annotations: dict[Any, list] = {}
        for entry in content["annos_segmentation"]:
            annotations.setdefault(entry["image_id"], []).append((entry["category_id"], entry["segmentation"]))
        for entry in content["images"]:
            mine = annotations.get(entry["image_id"] if "image_id" in entry else entry["id"], [])
            image = check_name(Path(entry["file_name"]).stem, path), entry["height"], entry["width"], mine
            splits.setdefault(entry["phase"], []).append(image)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        problem = f"{error} is missing" if isinstance(error, KeyError) else error
        raise Failure(f"{path}: is not PASCAL Context's trainval_merged.json, whole ({problem})") from error
    return splits


@command
def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = make_parser(__doc__, EXPECTED)
    parser.add_argument("--json", type=Path, metavar="FILE", help="annotations (default: SRC/trainval_merged.json)")
    args = parse(parser, argv, ("VOC2010", "VOCdevkit/VOC2010"), marker="JPEGImages")
    images = args.source / "JPEGImages"
    if not images.is_dir():
        raise Stop(f"expected {images} of VOCtrainval_03-May-2010.tar, unpacked")
    path = (args.json or args.source / "trainval_merged.json").expanduser()
    images_of = read_json(path)
    splits = pick(args, [name for name in EXPECTED if name in images_of], f"images of phase val or train in {path}")
    place(images, args.out / "JPEGImages", args.copy)
    reports = []
    for split in splits:
        folder = args.out / "SegmentationClassContext"
        jobs = [Job(i[0], paint, (images / f"{i[0]}.jpg", *i[1:]), (folder / f"{i[0]}.png",)) for i in images_of[split]]
        reports.append(run(split, jobs, args, EXPECTED[split]))
        write_list(args.out / f"ImageSets/SegmentationContext/{split}.txt", reports[-1].done)
    return finish(reports, args.out, "cfg_context60.py")


if __name__ == "__main__":
    sys.exit(main())
