"""Images a second that the prepare_*.py scripts convert, by number of processes.

    python benchmarks/prepare.py [--count 600] [--workers 1 2]

Runs the scripts as a user does, start-up included, on made-up inputs of real size, and prints medians of three runs.
"""

from __future__ import annotations

from _root import ROOT  # isort: skip

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from proxyclip.utils.system import count_cores

SCRIPTS = ROOT / "datasets"
VARIANTS = 8  # different pictures; the others are links to them


def blobs(width: int, height: int, values: list[int], seed: int) -> np.ndarray:
    """(height, width) uint8: round patches of these values."""
    rng = np.random.default_rng(seed)
    pixels = np.full((height, width), values[0], np.uint8)
    rows, columns = np.ogrid[:height, :width]
    for value in rng.choice(values, 30):
        y, x, radius = rng.integers(height), rng.integers(width), rng.integers(height // 20, height // 3)
        pixels[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = value
    return pixels


def photo(width: int, height: int, seed: int) -> Image.Image:
    """Coloured patches with a little noise."""
    rng = np.random.default_rng(seed)
    patches = np.stack([blobs(width, height, list(range(30, 220, 9)), seed + i) for i in range(3)], -1)
    return Image.fromarray(patches + rng.integers(0, 12, patches.shape, np.uint8))


def coco(root: Path, number: int, seed: int) -> None:
    """A raw map of COCO-Stuff164k, 640 x 480."""
    place(root / f"annotations/val2017/{number:012}.png", Image.fromarray(blobs(640, 480, [255, 0, 5, 60, 181], seed)))


def cityscapes(root: Path, number: int, seed: int) -> None:
    """A map of Cityscapes, 2048 x 1024."""
    name = f"gtFine/val/city/city_{number:06}_000019_gtFine_labelIds.png"
    place(root / name, Image.fromarray(blobs(2048, 1024, [0, *range(4, 34)], seed)))


def ade847(root: Path, number: int, seed: int) -> None:
    """A pair of the full ADE20K, 2048 x 1536."""
    path = root / f"images/ADE/validation/scene/ADE_val_{number:08}.jpg"
    place(path, photo(2048, 1536, seed))
    mask = np.stack([blobs(2048, 1536, list(range(0, 130, 10)), seed + i) for i in range(3)], -1)
    place(path.with_name(f"{path.stem}_seg.png"), Image.fromarray(mask))


def place(path: Path, image: Image.Image) -> None:
    """Save a picture in a folder that may not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def fill(root: Path, make, count: int) -> None:
    """`count` inputs, all but a few of them links."""
    for number in range(min(count, VARIANTS)):
        make(root, number, number)
    for path in [path for path in root.rglob("*") if path.is_file()]:
        digits = next(part for part in path.stem.split("_") if part.isdigit())
        for number in range(int(digits) + VARIANTS, count, VARIANTS):
            os.link(path, path.with_name(path.name.replace(digits, f"{number:0{len(digits)}}", 1)))


def seconds(script: str, source: Path, workers: int, fresh: bool) -> float:
    """Time a run, with nothing done yet or all."""
    out = source.with_name("out")
    if fresh:
        shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, str(SCRIPTS / f"{script}.py"), str(source), "-o", str(out), "--workers", str(workers)]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """The command line."""
    cores = count_cores()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=600, help="inputs of 640 x 480; a quarter of that of larger ones")
    parser.add_argument("--workers", type=int, nargs="+", default=sorted({1, 2, cores}), help="default: %(default)s")
    args = parser.parse_args()
    cases = {
        "prepare_coco_stuff164k, 640 x 480": (coco, args.count),
        "prepare_cityscapes, 2048 x 1024": (cityscapes, args.count // 4),
        "prepare_ade847, 2048 x 1536": (ade847, args.count // 4),
    }
    load = f"; load before the start {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{cores} cores{load}; images a second, median of 3 runs, start-up included")
    print(f"{'':43}" + "".join(f"{f'workers {n}':>12}{'ratio':>7}" for n in args.workers))
    for title, (make, count) in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "source")
            fill(source, make, count)
            for what, fresh in (("", True), (", all kept", False)):
                times: dict[int, list[float]] = {workers: [] for workers in args.workers}
                for _ in range(3):
                    for workers, durations in times.items():
                        durations.append(seconds(title.partition(",")[0], source, workers, fresh))
                speed = [count / statistics.median(durations) for durations in times.values()]
                print(f"{title + what:43}" + "".join(f"{s:>12.1f}{s / speed[0]:>7.2f}" for s in speed), flush=True)


if __name__ == "__main__":
    main()
