"""Select and render the best, worst and most confused images of an evaluation.

They are selected by the counts of all images, then predicted once more, so no prediction is kept meanwhile.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from proxyclip.engine.evaluation.metrics import PairCounts
from proxyclip.engine.hooks import get_sample_labels, load_sample_image
from proxyclip.utils.io import replace_folder

GALLERY_MAX_SIDE = 640  # pixels of the longer side of what is kept


def rank_gallery_images(
    scores: Sequence[float], counts: dict[int, PairCounts], names: Sequence[str], number: int
) -> list[dict[str, Any]]:
    """Rank images: up to `number` each of best, worst and most frequent confusions.

    Args:
        scores: mIoU of each image of the data set; NaN where there is none.
        counts: of each image that is scored.
        names: of the classes.

    Returns:
        Dicts of index, why and note.
    """
    order = sorted((index for index in counts if scores[index] == scores[index]), key=lambda i: (scores[i], i))
    per_side = min(number, len(order) // 2)
    worst = order[:per_side]
    best = order[::-1][: min(number, len(order) - per_side)]
    picks = [dict(index=index, why="best", note="") for index in best]
    picks += [dict(index=index, why="worst", note="") for index in worst]
    return picks + _rank_confusions(counts, names, number)


def render_gallery_images(
    model: Any, dataset: Any, collate: Any, picks: Sequence[dict[str, Any]], folder: Path
) -> None:
    """Predict the picked images, and replace `folder` by their panels.

    Files are `<index>-image.jpg`, `<index>-truth.png` and `<index>-prediction.png`. The last two are label maps; what
    is not scored has the largest value of their 8 bits, 16 from 255 classes on. All of them appear at once, or none.
    """
    classes = len(dataset.metainfo["classes"])
    ignore_index = dataset.metainfo.get("ignore_index", 255)

    def render(temporary: Path) -> None:
        for index in sorted({pick["index"] for pick in picks}):
            batch = collate([dataset[index]])
            with torch.no_grad():
                (sample,) = model.test_step(batch)
            prediction = get_sample_labels(sample.pred_sem_seg)
            truth = get_sample_labels(sample.gt_sem_seg)
            image = load_sample_image(sample, (batch.get("inputs") or [None])[0], prediction.shape)
            _save_panels(temporary, index, image, np.where(truth == ignore_index, -1, truth), prediction, classes)

    replace_folder(folder, render)


def _rank_confusions(counts: dict[int, PairCounts], names: Sequence[str], number: int) -> list[dict[str, Any]]:
    """Pick the image with most pixels of each frequent confusion (label, prediction)."""
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
        pixels = {index: int(count[pairs == pair].sum()) for index, (pairs, count) in counts.items()}
        index = max(pixels, key=lambda i: (pixels[i], -i))
        note = f"{names[pair // classes]} called {names[pair % classes]}, {pixels[index]} pixels"
        picks.append(dict(index=index, why="failure", note=note))
    return picks


def _save_panels(
    folder: Path, index: int, image: np.ndarray, truth: np.ndarray, prediction: np.ndarray, classes: int
) -> None:
    h, w = prediction.shape
    scale = min(1.0, GALLERY_MAX_SIDE / max(h, w))
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    photo = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    Image.fromarray(photo).save(folder / f"{index}-image.jpg", quality=85)
    dtype = np.uint8 if classes < 255 else np.uint16
    for name, labels in (("truth", truth), ("prediction", prediction)):
        labels = np.where(labels < 0, np.iinfo(dtype).max, labels).astype(dtype)
        resized = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
        Image.fromarray(resized).save(folder / f"{index}-{name}.png")
