"""Hooks of an evaluation: vocabulary check and comparison images."""

import contextlib
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from PIL import Image

from proxyclip.data.files.image_files import check_image_bytes
from proxyclip.data.files.images import decode_rgb
from proxyclip.engine.wrappers import unwrap_model
from proxyclip.visualization.figure import draw_comparison
from proxyclip.visualization.palette import class_colors


@HOOKS.register_module()
class VocabularyCheckHook(Hook):
    """Refuse a vocabulary and a data set of different numbers of classes."""

    priority = "VERY_HIGH"

    def before_test(self, runner: Any) -> None:
        """Compare both numbers of classes.

        Raises:
            ValueError: they differ; the message has both numbers, the vocabulary's file and the data set's class.
        """
        vocabulary = getattr(unwrap_model(runner.model), "vocabulary", None)
        dataset = runner.test_dataloader.dataset
        classes = getattr(dataset, "metainfo", {}).get("classes")
        if vocabulary is None or classes is None or len(vocabulary.classes) == len(classes):
            return
        file = runner.cfg.get("model", {}).get("name_path", "the model's name_path")
        raise ValueError(
            f"Expected one line of the vocabulary for each class of the dataset, but {file} has "
            f"{len(vocabulary.classes)} lines and {type(dataset).__name__} has {len(classes)} classes. "
            "Choose the vocabulary of this dataset with model.name_path."
        )


class ComparisonImageHook(Hook):
    """Write image | ground truth | prediction over a legend, one PNG an image."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Draw each sample of the batch, without a panel for missing ground truth."""
        meta = runner.test_dataloader.dataset.metainfo
        names = list(meta["classes"])
        colors = class_colors(len(names), background=names[:1] == ["background"])
        inputs = (data_batch or {}).get("inputs") or [None] * len(outputs)
        for index, (sample, model_input) in enumerate(zip(outputs, inputs, strict=True)):
            prediction = get_sample_labels(sample.pred_sem_seg)
            image = load_sample_image(sample, model_input, prediction.shape)
            label_maps = {"Prediction": prediction}
            if "gt_sem_seg" in sample:
                truth = get_sample_labels(sample.gt_sem_seg)
                truth = np.where(truth == meta.get("ignore_index", 255), -1, truth)
                label_maps = {"Ground truth": truth, **label_maps}
            sheet = draw_comparison(image, label_maps, names, colors)
            path = sample.metainfo.get("img_path")
            stem = "_".join((*Path(path).parts[-2:-1], Path(path).stem)) if path else f"{batch_idx:06d}_{index}"
            Image.fromarray(sheet).save(self.folder / f"{stem}.png")


def get_sample_labels(field: Any) -> np.ndarray:
    """Return the label map (H, W) int32 of a data sample's field."""
    return field.data[0].cpu().numpy().astype(np.int32)


def load_sample_image(sample: Any, model_input: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Load the image of a sample, uint8 RGB, resized to the (H, W) of its labels.

    Args:
        model_input: (3, h, w) BGR, taken where there is no such file; None leaves the image black.
    """
    path = Path(sample.metainfo.get("img_path") or "")
    image = None
    with contextlib.suppress(OSError, ValueError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata
        check_image_bytes(path)
        image = decode_rgb(path.read_bytes(), path)[0]
    if image is None and model_input is not None:
        image = model_input.cpu().numpy().transpose(1, 2, 0).astype(np.uint8)[..., ::-1]
    if image is None:
        image = np.zeros((*shape, 3), np.uint8)
    if image.shape[:2] != shape:
        image = cv2.resize(np.ascontiguousarray(image), shape[::-1])
    return np.ascontiguousarray(image)
