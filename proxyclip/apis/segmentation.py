"""Segmentation: label map, probabilities and exports of one image."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from proxyclip.apis.classes import ClassQuery
from proxyclip.apis.export import convert_to_coco, make_mask_image, save_segmentation
from proxyclip.apis.images import check_pixel
from proxyclip.models.base_segmentor import OpenVocabSegmentor, RowChunkFunction
from proxyclip.models.sliding.postprocess import labels_from_probabilities, refine_labels
from proxyclip.visualization.figure import compute_class_shares, draw_figure, draw_legend
from proxyclip.visualization.overlay import draw_overlay
from proxyclip.visualization.palette import class_colors


@dataclass(frozen=True)
class ScoreMaps:
    """Score maps of an image on the model's grid, with the model that made them.

    Args:
        row_chunks: size (H, W) -> score maps (names, rows, W) from the top.
        inputs: model input (3, h, w).
        size: (H, W) of the image.
    """

    model: Any
    query: ClassQuery
    row_chunks: RowChunkFunction
    inputs: Tensor
    size: tuple[int, int]

    @torch.no_grad()
    def labels(self) -> np.ndarray:
        """Compute the labels (H, W) int32."""
        if not self.query.has_other:
            return _to_numpy(self.model.decide(self.row_chunks(self.size), self.inputs)[0], np.int32)
        labels = []
        for chunk in self._probabilities():
            padded = torch.cat([chunk.new_full((1, *chunk.shape[1:]), -1.0), chunk])  # `other` never wins by itself
            labels.append(labels_from_probabilities(padded, self.query.threshold).int())
        return _to_numpy(refine_labels(torch.cat(labels), self.inputs, self.model.refine), np.int32)

    def unrefined_labels(self) -> np.ndarray | None:
        """Compute the labels without the steps on probabilities and labels; None without such steps."""
        steps = tuple(step for step in self.model.refine if step.on == "scores")
        if len(steps) == len(self.model.refine):
            return None
        model = copy.copy(self.model)
        model.refine = steps
        return replace(self, model=model).labels()

    @torch.no_grad()
    def iter_probabilities(self) -> Iterator[np.ndarray]:
        """Yield class probabilities (classes, rows, W) float32, `other` included."""
        for chunk in self._probabilities():
            probabilities = _to_numpy(chunk, np.float32)
            yield np.pad(probabilities, ((1, 0), (0, 0), (0, 0))) if self.query.has_other else probabilities

    def _probabilities(self) -> Iterator[Tensor]:
        """Yield probabilities (classes, rows, W) without `other`; whole if refined."""
        steps = tuple(step for step in self.model.refine if step.on != "labels")
        if not steps and type(self.model).decide is OpenVocabSegmentor.decide:
            yield from map(self.model.classify, self.row_chunks(self.size))
            return
        model = copy.copy(self.model)
        model.refine = steps
        model.keep_logits = True
        probabilities = model.decide(self.row_chunks(self.size), self.inputs)[1]
        assert probabilities is not None
        yield probabilities


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Label map of an image, with probabilities and exports.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) int32, indices of `names`.
        names: the classes; the background first, if there is one.
        name: of the image's file without its suffix, or `image`; the stem of the files of `save`.
        file_name: of the image's file, or empty.
        notes: what the user of the image should know, such as that its file holds several.
    """

    image: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    names: tuple[str, ...]
    name: str
    file_name: str
    _maps: ScoreMaps = field(repr=False)
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        areas = ", ".join(f"{name} {share:.1f} %" for name, share in self.areas.items())
        return f"Segmentation({self.name}, {self.image.shape[1]} x {self.image.shape[0]}: {areas})"

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Class probabilities (classes, H, W) float32, computed on first use.

        Those of `other` are 0. Each is the maximum over a class's names of the softmax over all names: with synonyms
        they need not sum to 1.
        """
        return np.concatenate(list(self._maps.iter_probabilities()), 1)

    def probability(self, which: str | int) -> np.ndarray:
        """Compute the probability (H, W) float32 of one class, by name or index.

        It takes less memory than all of them.

        Raises:
            ValueError: no such class; the message lists the classes.
        """
        index = self.index(which)
        if "probabilities" in self.__dict__:
            return self.probabilities[index]
        return np.concatenate([chunk[index] for chunk in self._maps.iter_probabilities()])

    def at(self, x: int, y: int) -> np.ndarray:
        """Compute the probabilities (classes,) float32 of the pixel at column x, row y.

        Raises:
            ValueError: a pixel outside the image.
        """
        check_pixel(x, y, self.labels.shape)
        for chunk in self._maps.iter_probabilities():  # from the top, until its row
            if y < chunk.shape[1]:
                return chunk[:, y, x]
            y -= chunk.shape[1]
        raise AssertionError("the row chunks are shorter than the image")

    def index(self, which: str | int) -> int:
        """Return the label of a class, by name or index."""
        if isinstance(which, str) and which in self.names:
            return self.names.index(which)
        if isinstance(which, (int, np.integer)) and 0 <= which < len(self.names):
            return int(which)
        raise ValueError(f"Expected one of the classes {', '.join(self.names)} or its index, but got {which!r}")

    @cached_property
    def areas(self) -> dict[str, float]:
        """Share of the image in percent of every class that occurs, largest first."""
        pixels = np.bincount(self.labels.ravel(), minlength=len(self.names))
        order = [int(i) for i in np.argsort(-pixels, kind="stable") if pixels[i]]
        return {self.names[i]: 100 * float(pixels[i]) / self.labels.size for i in order}

    @cached_property
    def dropped(self) -> tuple[str, ...]:
        """Classes that the label map would have without its refinement by area or regions; computed on first use."""
        labels = self._maps.unrefined_labels()
        return () if labels is None else tuple(self.names[i] for i in np.setdiff1d(labels, self.labels))

    @property
    def colors(self) -> np.ndarray:
        """Class colors (classes, 3) uint8 RGB, the same for all images; gray background."""
        return class_colors(len(self.names), background=self._maps.query.has_background)

    def overlay(self, alpha: float = 0.6, names: bool = True) -> PIL.Image.Image:
        """Draw the class colors over the image, with names on the larger regions."""
        return PIL.Image.fromarray(draw_overlay(self.image, self.labels, self.names, self.colors, alpha, names))

    def legend(self) -> PIL.Image.Image:
        """Draw color, name and share of every class that occurs, largest first."""
        shares = compute_class_shares(self.labels, len(self.names))
        return PIL.Image.fromarray(draw_legend(self.names, self.colors, shares))

    def picture(self) -> PIL.Image.Image:
        """Draw image, overlay and legend side by side."""
        return PIL.Image.fromarray(draw_figure(self.image, self.labels, self.names, self.colors))

    def mask(self) -> PIL.Image.Image:
        """Make an image of the labels: mode `P`, or `I;16` for more than 256 classes."""
        return make_mask_image(self.labels, self.colors)

    def to_coco(self) -> dict[str, Any]:
        """Convert to COCO format: image, categories (ids from 1), an RLE mask a class."""
        return convert_to_coco(self.labels, self.names, self.file_name or self.name)

    def save(self, where: str | Path) -> dict[str, Path]:
        """Write all exports into a folder, or the overlay or JSON to a file.

        Files of the same name are replaced, each whole or not at all.

        Args:
            where: folder, created if missing, for `<name>_seg.png` (image, overlay, legend), `<name>_overlay.png`,
                `<name>_mask.png` and `<name>.json` (COCO's format, with class names and areas in percent); or a file:
                the overlay for .png, .jpg, .jpeg and .webp, the JSON for .json.

        Returns:
            The files by kind: "picture", "overlay", "mask", "json".

        Raises:
            OSError, ValueError: a path that cannot be written to, or an unknown suffix.
        """
        return save_segmentation(self, where)

    def _repr_png_(self) -> bytes | None:
        return self.picture()._repr_png_()  # for notebooks


def _to_numpy(values: Tensor, dtype: type) -> np.ndarray:
    return values.cpu().numpy().astype(dtype, copy=False)
