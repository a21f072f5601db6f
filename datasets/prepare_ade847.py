"""ADE20K, 847 classes (cfg_ade847.py): object ids become 0..846 in 16-bit TIFF, all others 65535.

    python datasets/prepare_ade847.py DOWNLOADS/ADE20K_2021_17_01 -o DATA/ADE20K_2021_17_01

needs the release ADE20K_2021_17_01 (on request, groups.csail.mit.edu/vision/datasets/ADE20K), unpacked: images/ADE/
validation/<scene>/.../ADE_val_*.jpg with *_seg.png beside. Its index file is not read. Image and map are made smaller
so that the short side is at most 512 pixels, and the image is encoded again, as the published preparation does.
Writes images_detectron2/<split>/*.jpg, annotations_detectron2/<split>/*.tif and the list <split>.txt; only the
validation split unless --split says otherwise. ADEChallengeData2016 is another data set: see prepare_ade20k.py.
"""

import io
import json
import sys
from pathlib import Path

import numpy as np
from _common import command, finish, make_parser, parse, pick
from _files import Stop, walk, write_list
from _jobs import Job, run
from _maps import Bad, encode, load, same_size
from PIL import Image

EXPECTED = {"validation": 2000, "training": None}
IGNORE = 65535
IDS = json.loads(Path(__file__).with_name("ade20k847_ids.json").read_text())  # object ids in the order of the classes
TABLE = np.full(26 * 256, IGNORE, np.uint16)  # every id that R // 10 * 256 + G can be
TABLE[IDS] = np.arange(len(IDS))
SHORT = 512


def make(path: Path, quality: int) -> tuple[bytes, bytes]:
    """The JPEG and the TIFF of an image and the *_seg.png beside it."""
    image, mask = load(path), load(seg := path.with_name(f"{path.stem}_seg.png"))
    if mask.mode != "RGB":
        raise Bad(f"{seg}: expected red, green and blue, but got mode {mask.mode}; get the original file")
    same_size(path, image.size, seg, mask.size)
    short = min(image.size)
    if short > SHORT:
        width, height = (int(side * SHORT / short + 0.5) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        mask = mask.resize((width, height), Image.Resampling.NEAREST)
    red, green = np.moveaxis(np.asarray(mask, np.uint16), 2, 0)[:2]
    file = io.BytesIO()
    (image if image.mode == "L" else image.convert("RGB")).save(file, format="JPEG", quality=quality)
    return file.getvalue(), encode(TABLE[red // 10 * 256 + green])


@command
def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = make_parser(__doc__, EXPECTED)
    parser.add_argument("--quality", type=int, default=75, help="of the JPEG files (default: %(default)s, Pillow's)")
    args = parse(parser, argv, ("ADE20K_2021_17_01",), marker="images/ADE")
    args.split = args.split or ["validation"]
    folder = args.source / "images/ADE"
    expected = f"{folder}/validation/<scene>/*.jpg with *_seg.png of ADE20K_2021_17_01, unpacked"
    if (args.source / "annotations").is_dir() and not folder.is_dir():
        raise Stop(f"expected {expected}; this looks like ADEChallengeData2016: use prepare_ade20k.py")
    found = {name: walk(folder / name, ".jpg") for name in args.split}
    reports = []
    for split in pick(args, [name for name in found if found[name]], expected):
        jobs = []
        for path in found[split]:
            targets = [args.out / f"{kind}_detectron2" / split / path.stem for kind in ("images", "annotations")]
            outputs = targets[0].with_suffix(".jpg"), targets[1].with_suffix(".tif")
            jobs.append(Job(path.stem, make, (path, args.quality), outputs))
        reports.append(run(split, jobs, args, EXPECTED[split]))
        write_list(args.out / f"{split}.txt", reports[-1].done)
    return finish(reports, args.out, "cfg_ade847.py")


if __name__ == "__main__":
    sys.exit(main())
