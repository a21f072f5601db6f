"""Pictures of an evaluation: what --show-dir writes for each image. All RGB uint8."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from mmengine.hooks import Hook
from PIL import Image, ImageDraw

from proxyclip import letters
from proxyclip.palette import colours

Entry = tuple[str, np.ndarray]  # a line of a legend: words and colour
WIDE, HIGH = 190, 22  # pixels of a legend's column and line


class Pictures(Hook):
    """Writes image | ground truth | prediction side by side over a legend, one PNG an image."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Draw each sample of the batch; without ground truth the middle picture is left out."""
        meta = runner.test_dataloader.dataset.metainfo
        names = list(meta["classes"])
        palette = class_palette(meta.get("palette"), len(names))
        inputs = (data_batch or {}).get("inputs") or [None] * len(outputs)
        for number, (sample, given) in enumerate(zip(outputs, inputs, strict=True)):
            prediction = sample_labels(sample.pred_sem_seg)
            image = sample_image(sample, given, prediction.shape)
            maps = {"prediction": prediction}
            if "gt_sem_seg" in sample:
                truth = sample_labels(sample.gt_sem_seg)
                maps = {"ground truth": np.where(truth == meta.get("ignore_index", 255), -1, truth), **maps}
            shown = {"image": image, **{title: paint(image, labels, palette) for title, labels in maps.items()}}
            present = sorted(set().union(*(np.unique(labels) for labels in maps.values())) & set(range(len(names))))
            row = np.concatenate([titled(*pair) for pair in shown.items()], axis=1)
            below = legend([(names[i], palette[i]) for i in present], row.shape[1])
            Image.fromarray(np.concatenate([row, below])).save(self.folder / f"{_name(sample, batch_idx, number)}.png")


def class_palette(palette: Sequence | None, classes: int) -> np.ndarray:
    """(classes, 3) uint8: the dataset's own colours, or where it has too few those of `proxyclip.palette`."""
    if palette is not None and len(palette) >= classes:
        return np.asarray(palette, np.uint8)[:classes]
    return colours(classes)


def paint(image: np.ndarray, labels: np.ndarray, palette: np.ndarray, alpha: float = 0.6) -> np.ndarray:
    """Classes in their colours over an image (H, W, 3); pixels of no class are darkened."""
    if labels.shape != image.shape[:2]:
        labels = cv2.resize(labels, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    known = (labels >= 0) & (labels < len(palette))
    painted = image.copy()
    painted[known] = (alpha * palette[labels[known]] + (1 - alpha) * image[known]).astype(np.uint8)
    painted[~known] //= 3
    return painted


def titled(title: str, picture: np.ndarray) -> np.ndarray:
    """The picture under a white line with its title."""
    bar = np.full((HIGH, picture.shape[1], 3), 255, np.uint8)
    return np.concatenate([_write(bar, [(4, 3, title)]), picture])


def legend(entries: Sequence[Entry], width: int) -> np.ndarray:
    """Colours and words in as many columns as `width` pixels hold."""
    columns = max(1, width // WIDE)
    bar = np.full((HIGH * -(-len(entries) // columns) + 6, width, 3), 255, np.uint8)
    words = []
    for i, (text, colour) in enumerate(entries):
        x, y = i % columns * WIDE + 6, i // columns * HIGH + 4
        bar[y + 1 : y + 15, x : x + 14] = colour
        words.append((x + 20, y, letters.fitting(letters.clean(text), 12, WIDE - 30)))
    return _write(bar, words)


def _write(picture: np.ndarray, words: Sequence[tuple[int, int, str]]) -> np.ndarray:
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    for x, y, text in words:
        draw.text((x, y + 7), text, (0, 0, 0), letters.font(text, 12), anchor="lm")
    return np.array(image)


def sample_labels(field) -> np.ndarray:
    """The label map (H, W) int32 of a data sample's field."""
    return field.data[0].cpu().numpy().astype(np.int32)


def sample_image(sample, given, shape: tuple[int, ...]) -> np.ndarray:
    """The file the sample came from, else the model's BGR input, at the size of the labels."""
    path = Path(sample.metainfo.get("img_path") or "")
    image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if path.is_file() else None
    if image is None and given is not None:
        image = given.cpu().numpy().transpose(1, 2, 0).astype(np.uint8)
    if image is None:
        image = np.zeros((*shape, 3), np.uint8)
    image = image if image.shape[:2] == shape else cv2.resize(image, shape[::-1])
    return np.ascontiguousarray(image[..., ::-1])


def _name(sample, batch: int, number: int) -> str:
    path = sample.metainfo.get("img_path")
    return "_".join((*Path(path).parts[-2:-1], Path(path).stem)) if path else f"{batch:06d}_{number}"
