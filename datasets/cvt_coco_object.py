"""Make COCO-Object label maps from COCO-Stuff164k: 80 things are 1..80, stuff and unlabelled pixels are background 0.

    python datasets/cvt_coco_object.py PATH_TO_COCO_STUFF164K -o PATH_TO_COCO_OBJECT

reads annotations/<split>/<id>.png and writes annotations/<split>/<id>_instanceTrainIds.png for the splits it finds.
The image folder is linked, not copied. It can be stopped and started again: finished files are kept.
MMSegmentation's own COCO-Stuff converter counts all PNG files: run that one first if both write into one folder.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

EXPECTED = {"val2017": 5000, "train2017": 118287}
SUFFIX = "_instanceTrainIds.png"
DERIVED = (SUFFIX, "_labelTrainIds.png")
ILLEGAL = 255  # in TABLE: a raw value that COCO-Stuff does not have
PNG_END = b"IEND\xaeB`\x82"


def table() -> np.ndarray:
    """(256,) uint8: raw value (COCO id - 1; 255 unlabelled) -> label."""
    unused = [11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90]
    things = [value for value in range(90) if value not in unused]
    found = np.full(256, ILLEGAL, np.uint8)
    found[91:182] = found[255] = 0
    found[things] = np.arange(1, len(things) + 1)
    return found


TABLE = table()


def convert(source: Path, target: Path) -> str | None:
    """Write one label map, whole or not at all. Returns what is wrong with the raw one, or None."""
    try:
        with Image.open(source) as image:
            if image.mode not in ("L", "P"):
                return f"{source}: expected one channel of 8 bits, but got mode {image.mode}"
            raw = np.array(image)
    except (OSError, SyntaxError, ValueError) as error:
        return f"{source}: cannot be read ({error}); get it again"
    labels = TABLE[raw]
    if (labels == ILLEGAL).any():
        values = np.unique(raw[labels == ILLEGAL]).tolist()
        return f"{source}: has values {values[:10]} that COCO-Stuff does not; is it a raw COCO-Stuff map?"
    part = target.with_name(f".{target.name}.part")
    Image.fromarray(labels).save(part, format="PNG")
    part.replace(target)
    return None


def complete(path: Path) -> bool:
    """Whether a PNG file is there to its end."""
    try:
        with path.open("rb") as file:
            file.seek(-len(PNG_END), os.SEEK_END)
            return file.read() == PNG_END
    except OSError:
        return False


def convert_split(source: Path, target: Path, workers: int) -> bool:
    """Convert one folder of raw maps, report on it, and return whether all went well."""
    raw = sorted(path for path in source.glob("*.png") if not path.name.endswith(DERIVED) and path.name[0] != ".")
    target.mkdir(parents=True, exist_ok=True)
    jobs = [(path, target / f"{path.stem}{SUFFIX}") for path in raw]
    jobs = [job for job in jobs if not complete(job[1])]
    wrong = [problem for problem in _run(jobs, workers, source.name) if problem]
    for problem in wrong:
        print(f"error: {problem}", file=sys.stderr)
    done, kept = len(jobs) - len(wrong), len(raw) - len(jobs)
    expected = EXPECTED[source.name]
    said = f"{source.name}: {done + kept} of {expected} expected ({done} written, {kept} kept, {len(wrong)} failed)"
    print(said if len(raw) == expected else f"{said}; {source} has {len(raw)} raw maps")
    return bool(raw) and not wrong


def _run(jobs: list[tuple[Path, Path]], workers: int, title: str):
    progress = partial(tqdm, total=len(jobs), desc=title, unit="map", disable=not jobs)
    if workers <= 1 or len(jobs) < 2:
        yield from progress(convert(*job) for job in jobs)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from progress(pool.map(convert, *zip(*jobs, strict=True), chunksize=16))


def place_images(source: Path, target: Path, copy: bool) -> None:
    """Make `images` of the source appear in the target: a link, or with `copy` a copy. What is there stays."""
    if not source.is_dir():
        print(f"note: there is no {source}; link or copy the images to {target} yourself", file=sys.stderr)
    elif target.exists():
        print(f"{target} is there already")
    elif copy:
        part = target.with_name(f".{target.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(source, part)
        part.replace(target)
    else:
        if target.is_symlink():
            target.unlink()  # it leads nowhere
        target.symlink_to(source.resolve(), target_is_directory=True)


def main(words: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("source", type=Path, help="folder of COCO-Stuff164k, with annotations/val2017 and images/val2017")
    add("-o", "--out-dir", type=Path, help="folder for COCO-Object (default: the source itself)")
    add("--workers", type=int, default=min(os.cpu_count() or 1, 16), help="processes (default: %(default)s)")
    add("--copy", action="store_true", help="copy the images instead of linking their folder")
    args = parser.parse_args(words)
    source, out = args.source.expanduser(), (args.out_dir or args.source).expanduser()
    splits = [name for name in EXPECTED if (source / "annotations" / name).is_dir()]
    if not splits:
        print(
            f"error: expected {source / 'annotations'}/val2017 or .../train2017 with the maps of "
            "stuffthingmaps_trainval2017.zip, but neither folder exists",
            file=sys.stderr,
        )
        return 2
    out.mkdir(parents=True, exist_ok=True)
    if out.resolve() != source.resolve():
        try:
            place_images(source / "images", out / "images", args.copy)
        except OSError as error:
            print(f"error: cannot place the images ({error}); try --copy", file=sys.stderr)
            return 2
    results = [
        convert_split(source / "annotations" / name, out / "annotations" / name, args.workers) for name in splits
    ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
