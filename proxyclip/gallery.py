"""The telling images of an evaluation, kept beside its record: its best, its worst, and its commonest mistakes.

They are chosen from the counts of all images, then predicted once more, so nothing has to be kept meanwhile.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from proxyclip.journal import Counts
from proxyclip.pictures import sample_image, sample_labels

SIDE = 640  # pixels of the longer side of what is kept


def choose(
    scores: Sequence[float], counts: dict[int, Counts], names: Sequence[str], number: int
) -> list[dict[str, Any]]:
    """Up to `number` of the best, of the worst, and of the commonest mistakes: dicts of index, why and note.

    Args:
        scores: mIoU of each image of the data set; NaN where there is none.
        counts: pairs label * classes + prediction of each image, and how often each.
        names: of the classes.
    """
    order = sorted((index for index in counts if scores[index] == scores[index]), key=lambda i: (scores[i], i))
    half = min(number, len(order) // 2)
    worst, best = order[:half], order[::-1][: min(number, len(order) - half)]
    picks = [dict(index=index, why="best", note="") for index in best]
    picks += [dict(index=index, why="worst", note="") for index in worst]
    return picks + _mistakes(counts, names, number)


def draw(model: Any, dataset: Any, collate: Any, picks: Sequence[dict[str, Any]], folder: Path) -> None:
    """Predict the chosen images and write image, ground truth and prediction, in place of what is in `folder`.

    Files are `<index>-image.jpg`, `<index>-truth.png` and `<index>-prediction.png`. The last two are label maps; what
    is not scored has the largest value of their 8 bits, 16 from 255 classes on. All of them appear at once, or none.
    """
    new = folder.with_name(f".{folder.name}.new")
    for old in (new, folder):
        shutil.rmtree(old, ignore_errors=True)
    try:
        _draw(model, dataset, collate, sorted({pick["index"] for pick in picks}), new)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _draw(model: Any, dataset: Any, collate: Any, indices: Sequence[int], folder: Path) -> None:
    folder.mkdir(parents=True)
    classes, ignored = len(dataset.metainfo["classes"]), dataset.metainfo.get("ignore_index", 255)
    for index in indices:
        batch = collate([dataset[index]])
        with torch.no_grad():
            (sample,) = model.test_step(batch)
        prediction, truth = sample_labels(sample.pred_sem_seg), sample_labels(sample.gt_sem_seg)
        image = sample_image(sample, (batch.get("inputs") or [None])[0], prediction.shape)
        _write(folder, index, image, np.where(truth == ignored, -1, truth), prediction, classes)


def _mistakes(counts: dict[int, Counts], names: Sequence[str], number: int) -> list[dict[str, Any]]:
    """For each of the commonest pairs of label and other prediction, the image that has most of it."""
    classes = len(names)
    total = np.zeros(classes * classes, np.int64)
    for pairs, count in counts.values():
        inside = pairs < classes * classes
        total[pairs[inside]] += count[inside]
    total[:: classes + 1] = 0  # the diagonal is right
    picks: list[dict[str, Any]] = []
    for pair in np.argsort(-total, kind="stable")[:number]:
        if not total[pair]:
            break
        most, index = max(((count[pairs == pair].sum(), -i) for i, (pairs, count) in counts.items()))
        note = f"{names[pair // classes]} called {names[pair % classes]}, {int(most)} pixels"
        picks.append(dict(index=-index, why="failure", note=note))
    return picks


def _write(
    folder: Path, index: int, image: np.ndarray, truth: np.ndarray, prediction: np.ndarray, classes: int
) -> None:
    h, w = prediction.shape
    scale = min(1.0, SIDE / max(h, w))
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    Image.fromarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA)).save(
        folder / f"{index}-image.jpg", quality=85
    )
    kind, none = (np.uint8, 255) if classes < 255 else (np.uint16, 65535)
    for name, labels in (("truth", truth), ("prediction", prediction)):
        small = cv2.resize(np.where(labels < 0, none, labels).astype(kind), size, interpolation=cv2.INTER_NEAREST)
        Image.fromarray(small).save(folder / f"{index}-{name}.png")
