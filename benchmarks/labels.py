"""Time that eval.py takes to look at the labels of a set: `python benchmarks/labels.py`.

5,000 drawn label maps of COCO's size (640 x 480), as PNG in a temporary folder: the look-up before an evaluation, first
and from its cache, beside the listing of the files and a look at all maps. Seconds, and ratios to the first look-up.
"""

from __future__ import annotations

from _root import ROOT  # isort: skip  # noqa: F401

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from proxyclip.data.files.layout import DatasetLayout, find_samples
from proxyclip.data.label_lookup import MAX_LABEL_MAPS, look_up_labels
from proxyclip.utils.system import count_cores

DRAWN = 200  # maps that differ; the others are further names of them
SIZE = (640, 480)


def draw_maps(root: Path, count: int) -> None:
    """Draw label maps of 20 classes, and empty files in place of the images, which are not read."""
    for part in ("images", "masks"):
        (root / part).mkdir()
    random = np.random.default_rng(0)
    for i in range(count):
        (root / f"images/{i}.jpg").touch()
        path = root / f"masks/{i}.png"
        if i >= DRAWN:
            path.hardlink_to(root / f"masks/{i % DRAWN}.png")
            continue
        coarse = Image.fromarray(random.integers(0, 256, (12, 16), np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
        Image.fromarray(np.asarray(coarse.filter(ImageFilter.ModeFilter(3))) // 13).save(path)


def measure(run: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that a call takes, and its result."""
    begin = time.perf_counter()
    result = run()
    return time.perf_counter() - begin, result


def main() -> None:
    """Print a line for each way to look."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000)
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        draw_maps(root, count)
        listing, (pairs, _) = measure(lambda: find_samples(DatasetLayout(root / "images", root / "masks")))
        first, _ = measure(lambda: look_up_labels(pairs, folder=root / "cache"))
        cached, _ = measure(lambda: look_up_labels(pairs, folder=root / "cache"))
        everything, _ = measure(lambda: look_up_labels(pairs, count, folder=root / "cache"))
    print(f"{count} label maps of {SIZE[0]} x {SIZE[1]}, {count_cores()} cores")
    looked = min(count, MAX_LABEL_MAPS)
    rows = {"listing": listing, f"first look, {looked} maps": first, "cached": cached, "a look at all": everything}
    for name, seconds in rows.items():
        print(f"{name:24s} {seconds:8.2f} s  {seconds / first:6.3f}x")


if __name__ == "__main__":
    main()
