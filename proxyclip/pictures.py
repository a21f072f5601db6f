"""Pictures of an evaluation: image, ground truth and prediction side by side, with a legend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from mmengine.hooks import Hook


class Pictures(Hook):
    """Writes image | ground truth | prediction side by side, with a legend, one PNG an image."""

    def __init__(self, folder: Path, alpha: float = 0.6) -> None:
        self.folder, self.alpha = folder, alpha
        folder.mkdir(parents=True, exist_ok=True)

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Draw each sample of the batch; without ground truth the middle picture is left out."""
        meta = runner.test_dataloader.dataset.metainfo
        names = list(meta["classes"])
        palette = class_palette(meta.get("palette"), len(names))
        inputs = (data_batch or {}).get("inputs") or [None] * len(outputs)
        for number, (sample, given) in enumerate(zip(outputs, inputs, strict=True)):
            prediction = _labels(sample.pred_sem_seg)
            image = _image(sample, given, prediction.shape)
            maps = {"prediction": prediction}
            if "gt_sem_seg" in sample:
                maps = {"ground truth": _labels(sample.gt_sem_seg), **maps}
            shown = {"image": image, **{title: self._paint(image, labels, palette) for title, labels in maps.items()}}
            present = sorted(set().union(*(np.unique(labels) for labels in maps.values())) & set(range(len(names))))
            picture = np.concatenate([_titled(*pair) for pair in shown.items()], axis=1)
            picture = np.concatenate([picture, _legend(present, names, palette, picture.shape[1])], axis=0)
            cv2.imwrite(str(self.folder / f"{_name(sample, batch_idx, number)}.png"), picture)

    def _paint(self, image: np.ndarray, labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
        if labels.shape != image.shape[:2]:
            labels = cv2.resize(labels, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        known = (labels >= 0) & (labels < len(palette))
        painted = image.copy()
        colours = palette[labels[known]][:, ::-1]
        painted[known] = (self.alpha * colours + (1 - self.alpha) * image[known]).astype(np.uint8)
        painted[~known] //= 3
        return painted


def class_palette(palette: Sequence | None, classes: int) -> np.ndarray:
    """(classes, 3) uint8 RGB: the dataset's own colours, or evenly spread hues where it has too few."""
    if palette is not None and len(palette) >= classes:
        return np.asarray(palette, np.uint8)[:classes]
    i = np.arange(classes)
    hsv = np.stack([(i * 111.25) % 180, 255 - 80 * (i % 2), 255 - 60 * (i % 3)], -1).astype(np.uint8)
    return cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0]


def _labels(field) -> np.ndarray:
    return field.data.squeeze().cpu().numpy().astype(np.int32)


def _image(sample, given, shape: tuple[int, ...]) -> np.ndarray:
    """BGR (h, w, 3): the file the sample came from, else the model's input brought to the size of the labels."""
    path = Path(sample.metainfo.get("img_path") or "")
    image = cv2.imread(str(path)) if path.is_file() else None
    if image is None and given is not None:
        image = given.cpu().numpy().transpose(1, 2, 0).astype(np.uint8)
    if image is None:
        image = np.zeros((*shape, 3), np.uint8)
    return image if image.shape[:2] == shape else cv2.resize(image, shape[::-1])


def _name(sample, batch: int, number: int) -> str:
    path = sample.metainfo.get("img_path")
    return "_".join((*Path(path).parts[-2:-1], Path(path).stem)) if path else f"{batch:06d}_{number}"


def _titled(title: str, picture: np.ndarray) -> np.ndarray:
    bar = np.full((22, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(bar, title, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([bar, picture], axis=0)


def _legend(present: list[int], names: list[str], palette: np.ndarray, width: int) -> np.ndarray:
    columns = max(1, width // 170)
    bar = np.full((20 * -(-len(present) // columns) + 6, width, 3), 255, np.uint8)
    for i, label in enumerate(present):
        x, y = i % columns * 170 + 4, i // columns * 20 + 4
        cv2.rectangle(bar, (x, y), (x + 14, y + 12), palette[label][::-1].tolist(), -1)
        cv2.putText(bar, names[label][:20], (x + 20, y + 11), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return bar
