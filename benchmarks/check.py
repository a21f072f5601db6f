"""Speed of datasets/check.py by number of threads: `python benchmarks/check.py`.

Drawn photographs and label maps of COCO's size (640 x 480) and of Cityscapes' (2048 x 1024) in a temporary folder; the
median of three rounds, each with every number of threads, so that they share the state of the machine.
"""

from __future__ import annotations

from _root import ROOT  # isort: skip

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from proxyclip.utils.system import count_cores

DRAWN = 40  # pictures that differ; the others are further names of them
SIZES = {"COCO 640x480": ((640, 480), ".jpg", 1000), "Cityscapes 2048x1024": ((2048, 1024), ".png", 120)}


def draw(folder: Path, size: tuple[int, int], suffix: str, count: int) -> None:
    """Smooth noise as images and its levels as labels: they compress about as photographs and label maps do."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    random = np.random.default_rng(0)
    for i in range(DRAWN):
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
        grain = random.normal(0, 6, (size[1], size[0], 3))
        image = Image.fromarray((np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8))
        image.save(folder / f"images/{i}{suffix}")
        levels = np.asarray(coarse.convert("L").filter(ImageFilter.ModeFilter(3))) // 13
        Image.fromarray(levels).save(folder / f"masks/{i}.png")
    for i in range(DRAWN, count):
        for name in (f"images/{{}}{suffix}", "masks/{}.png"):
            (folder / name.format(i)).hardlink_to(folder / name.format(i % DRAWN))
    (folder / "classes.txt").write_text("".join(f"class {i}\n" for i in range(20)))


def seconds(folder: Path, workers: int) -> float:
    """One check in a process of its own; the time its report gives, without the start of Python."""
    report = folder / "report.json"
    arguments = ["--config", "configs/cfg_folder.py", "--data-root", str(folder), "--workers", str(workers)]
    command = [sys.executable, str(ROOT / "datasets/check.py"), *arguments, "--report", str(report)]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    return json.loads(report.read_text())["seconds"]


def main() -> None:
    """Print a line for each kind of data and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cores = count_cores()
    parser.add_argument("--workers", type=int, nargs="+", default=sorted({1, 2, cores}))
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(f"{cores} cores; images/s, median of {args.rounds}; ratio to {args.workers[0]} thread(s)")
    for name, (size, suffix, count) in SIZES.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            draw(folder, size, suffix, count)
            taken: dict[int, list[float]] = {workers: [] for workers in args.workers}
            for _ in range(args.rounds):
                for workers in args.workers:
                    taken[workers].append(seconds(folder, workers))
            first = statistics.median(taken[args.workers[0]])
            for workers, times in taken.items():
                median = statistics.median(times)
                rate, gain = count / median, first / median
                print(f"{name:22s} {count:4d} images  {workers:2d} threads  {rate:7.1f}/s  {gain:5.2f}x")


if __name__ == "__main__":
    begin = time.perf_counter()
    main()
    print(f"({time.perf_counter() - begin:.0f} s in all)")
