"""Segmentation: what was found in one picture, as arrays, pictures and files."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from .. import palette
from ..refine import best_class
from ..sliding import SlidingSegmentor, Strips
from . import drawing, files
from .words import Words


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The classes of a picture, pixel by pixel.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) int32, indices of `names`.
        names: the classes; the background first, where there is one.
        name: of the picture's file without its ending, or `image`; what `save` calls its files.
        file_name: of the picture's file, or empty.
    """

    image: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    names: tuple[str, ...]
    name: str
    file_name: str
    _maps: Maps = field(repr=False)

    def __repr__(self) -> str:
        found = ", ".join(f"{name} {share:.1f} %" for name, share in self.areas.items())
        return f"Segmentation({self.name}, {self.image.shape[1]} x {self.image.shape[0]}: {found})"

    @cached_property
    def probabilities(self) -> np.ndarray:
        """(classes, H, W) float32, computed when asked for; the row of `other`, which has no words, is 0.

        Each is the best of a class's names in the softmax over all names, so that with synonyms they need not sum to 1.
        """
        return np.concatenate(list(self._maps.parts()), 1)

    def probability(self, which: str | int) -> np.ndarray:
        """(H, W) float32 of one class, by name or index, without the memory that all of them take.

        Raises:
            ValueError: no such class; the message lists those there are.
        """
        index = self.index(which)
        if "probabilities" in self.__dict__:
            return self.probabilities[index]
        return np.concatenate([part[index] for part in self._maps.parts()])

    def at(self, x: int, y: int) -> np.ndarray:
        """(classes,) float32: the probabilities at the pixel of column x and row y, counted from 0.

        Raises:
            ValueError: a pixel outside the picture.
        """
        height, width = self.labels.shape
        if not (0 <= x < width and 0 <= y < height):
            raise ValueError(f"Expected a pixel inside the picture of {width} x {height}, but got {x}, {y}")
        for part in self._maps.parts():  # from the top, until its row
            if y < part.shape[1]:
                return part[:, y, x]
            y -= part.shape[1]
        raise AssertionError("the strips are shorter than the picture")

    def index(self, which: str | int) -> int:
        """The label of a class."""
        if isinstance(which, str) and which in self.names:
            return self.names.index(which)
        if isinstance(which, (int, np.integer)) and 0 <= which < len(self.names):
            return int(which)
        raise ValueError(f"Expected one of the classes {', '.join(self.names)} or its index, but got {which!r}")

    @cached_property
    def areas(self) -> dict[str, float]:
        """Share of the picture in percent of every class that occurs, largest first."""
        pixels = np.bincount(self.labels.ravel(), minlength=len(self.names))
        order = [int(i) for i in np.argsort(-pixels, kind="stable") if pixels[i]]
        return {self.names[i]: 100 * float(pixels[i]) / self.labels.size for i in order}

    @property
    def colours(self) -> np.ndarray:
        """(classes, 3) uint8 RGB, the same in every picture of these classes; a background is grey."""
        return palette.colours(len(self.names), background=self._maps.words.has_background)

    def overlay(self, alpha: float = 0.6, names: bool = True) -> PIL.Image.Image:
        """The picture under the colours of its classes, their names written on the larger regions."""
        return PIL.Image.fromarray(drawing.overlay(self.image, self.labels, self.names, self.colours, alpha, names))

    def legend(self) -> PIL.Image.Image:
        """Colour, name and share of every class that occurs, largest first."""
        shares = [self.areas.get(name, 0.0) / 100 for name in self.names]
        return PIL.Image.fromarray(drawing.legend(self.names, self.colours, shares))

    def picture(self) -> PIL.Image.Image:
        """Image, overlay and legend side by side."""
        return PIL.Image.fromarray(drawing.picture(self.image, self.labels, self.names, self.colours))

    def mask(self) -> PIL.Image.Image:
        """The labels as a picture: mode `P` in the classes' colours, or `I;16` for more than 256 classes."""
        return files.mask_image(self.labels, self.colours)

    def to_coco(self) -> dict[str, Any]:
        """COCO's format: the image, the categories (ids from 1), and an RLE annotation of every class that occurs."""
        return files.to_coco(self.labels, self.names, self.file_name or self.name)

    def save(self, where: str | Path) -> dict[str, Path]:
        """Write picture, overlay, mask and JSON into a folder; or the overlay (.png, .jpg, .webp) or JSON to a file.

        Returns:
            What was written, by kind.

        Raises:
            OSError, ValueError: a place that cannot be written to, or an ending that is not known.
        """
        return files.save(self, Path(where))

    def _repr_png_(self) -> bytes | None:
        return self.picture()._repr_png_()  # what notebooks show


@dataclass(frozen=True)
class Maps:
    """Score maps of a picture, still on the model's grid, and the model as it was when they were made.

    Args:
        strips: size (H, W) -> score maps (names, rows, W) from the top.
        inputs: (3, h, w), what they were made from.
        size: (H, W) of the picture.
    """

    model: Any
    words: Words
    strips: Strips
    inputs: Tensor
    size: tuple[int, int]

    @torch.no_grad()
    def labels(self) -> np.ndarray:
        """(H, W) int32."""
        if not self.words.has_other:
            return _array(self.model.decide(self.strips(self.size), self.inputs)[0], np.int32)
        return np.concatenate([_array(self._or_other(part), np.int32) for part in self._probabilities()])

    @torch.no_grad()
    def parts(self) -> Iterator[np.ndarray]:
        """Class probabilities (classes, rows, W) float32 from the top, `other` included."""
        for part in self._probabilities():
            found = _array(part, np.float32)
            yield np.pad(found, ((1, 0), (0, 0), (0, 0))) if self.words.has_other else found

    def _or_other(self, part: Tensor) -> Tensor:
        padded = torch.cat([part.new_full((1, *part.shape[1:]), -1.0), part])
        return best_class(padded, self.words.threshold)

    def _probabilities(self) -> Iterator[Tensor]:
        """Of the classes with words, (classes, rows, W): in strips, or whole where something looks at the whole map."""
        if not self.model.refine and type(self.model).decide is SlidingSegmentor.decide:
            yield from map(self.model.classify, self.strips(self.size))
            return
        model = copy.copy(self.model)
        model.keep_logits = True
        whole = model.decide(self.strips(self.size), self.inputs)[1]
        assert whole is not None
        yield whole


def _array(values: Tensor, kind: type) -> np.ndarray:
    return values.cpu().numpy().astype(kind, copy=False)
