"""Segmenter: a model that is loaded once and looks for any words in any picture."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator, Sized
from itertools import islice
from numbers import Real
from pathlib import Path
from typing import Any, overload

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from tqdm import tqdm

from ..vocabulary import Vocabulary
from . import attention, words
from .images import Image, as_rgb, file_name, is_batch
from .load import REAL, load, pick_device
from .segmentation import Maps, Segmentation
from .words import Background, Classes

_TEXTS = 4096  # names whose features are kept; a few kilobytes each
_MOST = 1e6  # for numbers of the attention: far beyond what makes sense, and far below an overflow


class Segmenter:
    """Open-vocabulary segmentation of single pictures, with the numbers of an evaluation of the same config.

    Args:
        classes: what to look for; see `set_classes`. Without them those of the config, where it has any.
        clip: open_clip name (`ViT-L-14`), `NAME,TAG`, `NAME,FILE`, `hf-hub:REPOSITORY` or `local-dir:FOLDER`; default
            the config's, OpenAI's ViT-B/16.
        vfm: `dino`, `dinov2-l-reg`, `sam`, ..., `NAME,MODEL`, `NAME,FILE`, a file of your own, or `none`; default the
            config's, DINO ViT-B/8.
        method: a name of `configs/method` (`naclip`, `sclip`, ...) or a file of your own; default the config's, proxy.
        background, threshold: see `set_classes`.
        config: a config file, whose model, resize and windows are used; `configs/cfg_tinyworld.py` needs no download.
        device: `cuda`, `cpu`, `cuda:1`, ..., or `auto`, a GPU if there is one.
        precision: `fp32`, `fp16`, `bf16`, or `auto` (see `proxyclip.runtime.pick_dtype`).
        options: any argument of the segmentor (`beta`, `gamma`, `slide_crop`, `refine`, ...); `checkpoint`, the file
            of train.py, for the config of a trained model.

    Raises:
        WeightsError: weights that are not on this machine and cannot be fetched. ValueError, TypeError: words and
            options that are unknown or do not go together. The message says what to do.
    """

    def __init__(
        self,
        classes: Classes | None = None,
        *,
        clip: str | None = None,
        vfm: str | None = None,
        method: str | None = None,
        background: Background = None,
        threshold: float = 0.0,
        config: str = REAL,
        device: str | torch.device = "auto",
        precision: str | None = None,
        **options: Any,
    ) -> None:
        if classes is not None:
            words.read(classes, background, threshold)  # before the minutes a download may take
        elif background is not None or threshold:
            raise ValueError("Expected classes beside background and threshold; a config's own words have both already")
        if precision is not None:
            options["precision"] = precision
        self.device = pick_device(device)
        model, self._pipeline = load(str(config), clip, vfm, method, options)
        self._model = model.to(self.device)
        self._text: dict[str, Tensor] = {}
        self._words = words.of_config(model.vocabulary, model.prob_thd)
        if classes is not None:
            model.set_vocabulary(Vocabulary(()))  # nobody asks for the texts of the config
            self.set_classes(classes, background, threshold)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels, in order; the background first, where there is one."""
        return self._words.names

    def set_classes(self, classes: Classes, background: Background = None, threshold: float = 0.0) -> Segmenter:
        """Look for other words from now on; only the texts that are new are encoded.

        Args:
            classes: names, each with synonyms if it is a list (`["horse", ["grass", "lawn"]]`); or a dict from name to
                synonyms; or text, `"horse; grass, lawn"`, where without any `;` commas separate classes; or the path of
                a vocabulary file.
            background: None: every pixel gets one of the classes. Words (`["wall", "ceiling"]`): class 0 is
                `background`, and has these words. A number from 0 to 1: class 0 is `other`, and has no words: it gets
                the pixels whose best probability is below that number.
            threshold: beside words, pixels below it become background too; without words the same as a number there.

        Returns:
            The segmenter itself. Segmentations made before keep their own classes.

        Raises:
            ValueError, TypeError: nothing to look for, or something that is no name.
        """
        chosen = words.read(classes, background, threshold)
        model = self._view()
        model.prob_thd = 0.0 if chosen.has_other else chosen.threshold
        model.set_vocabulary(chosen.vocabulary, self._embed(chosen.vocabulary))
        self._model, self._words = model, chosen
        return self

    @property
    def tunable(self) -> dict[str, float]:
        """Numbers of the attention that `tune` changes: `beta` and `gamma` of proxy attention, none of many others."""
        strategy = self._model.attention
        fields = dataclasses.fields(strategy) if dataclasses.is_dataclass(strategy) else ()
        found = {field.name: getattr(strategy, field.name) for field in fields}
        guided = self._model.vfm is not None
        return {k: v for k, v in found.items() if type(v) in (int, float) and (guided or k not in ("beta", "gamma"))}

    def tune(self, **numbers: float) -> Segmenter:
        """Change numbers of the attention without loading anything.

        Raises:
            ValueError: one that the method does not have, or too large a number; the message says what goes.
        """
        wrong = {k: v for k, v in numbers.items() if not (isinstance(v, Real) and abs(v) <= _MOST)}
        if wrong:
            raise ValueError(f"Expected numbers up to {_MOST:g}, but got {wrong}")
        unknown = sorted(set(numbers) - set(self.tunable))
        if unknown:
            known = ", ".join(self.tunable) or "none"
            raise ValueError(f"Expected numbers that this method has ({known}), but got {', '.join(unknown)}")
        if numbers:
            model = self._view()
            model.attention = dataclasses.replace(model.attention, **numbers)
            self._model = model
        return self

    def fork(self) -> Segmenter:
        """Another segmenter of the same networks, whose words and numbers are its own; nothing is loaded.

        Two that share networks may not work at the same time.
        """
        return copy.copy(self)

    @overload
    def __call__(self, image: list[Image] | tuple[Image, ...]) -> list[Segmentation]: ...
    @overload
    def __call__(self, image: Image) -> Segmentation: ...
    def __call__(self, image: Any) -> Segmentation | list[Segmentation]:
        """Segment a picture, or each of several.

        Args:
            image: path, bytes, PIL image, array (H, W) or (H, W, C), or tensor (C, H, W); C is 1 to 4. Values are
                uint8, uint16, bool, or floats from 0 to 1. Lists, and arrays and tensors of four dimensions, are
                batches.

        Returns:
            A `Segmentation` at the full size of the picture; of a batch a list of them.

        Raises:
            OSError: a file that is missing, damaged or no picture. ValueError, TypeError: something that is none.
        """
        if is_batch(image):
            return list(self.each(image, progress=False))
        return next(self.each([image], progress=False))

    def each(self, images: Iterable[Image], batch: int = 4, progress: bool = True) -> Iterator[Segmentation]:
        """Segment one picture after the other, reading them when it is their turn.

        Words and numbers are those of the time of this call, whatever is set while it goes on.

        Args:
            batch: pictures whose windows share forwards.
            progress: whether a bar on the terminal shows how far it is.
        """
        if batch < 1:
            raise ValueError(f"Expected batch to be 1 or more, but got {batch}")
        if isinstance(images, (str, Path, bytes, PIL.Image.Image)) or getattr(images, "ndim", 4) != 4:
            raise TypeError(f"Expected several pictures, but got a single {type(images).__name__}: put it into a list")
        return copy.copy(self)._each(images, batch, progress)

    def _each(self, images: Iterable[Image], batch: int, progress: bool) -> Iterator[Segmentation]:
        total = len(images) if isinstance(images, Sized) else None
        rest = iter(images)
        with tqdm(total=total, unit="picture", disable=not progress) as bar:
            while some := list(islice(rest, batch)):
                for found in self._segment(some):
                    yield found
                    bar.update()

    @torch.no_grad()
    def attention(self, image: Image, x: int, y: int) -> np.ndarray:
        """Where the patch under a pixel looks: its row of proxy attention, in the window whose middle is nearest.

        Args:
            x, y: column and row of the pixel, counted from 0, in the picture as it is segmented.

        Returns:
            (H, W) float32: the weight of the patch each pixel belongs to; NaN outside the window. The weights of the
            patches of a window sum to 1.

        Raises:
            ValueError: a pixel outside the picture, or a method without proxy attention.
        """
        rgb = as_rgb(image)
        inputs = self._prepared([rgb])[0]
        return attention.of_pixel(self._model, inputs, rgb.shape[:2], x, y)

    def describe(self) -> dict[str, Any]:
        """Everything that can change a result: arguments, attention, precision, hashes of the weights, words."""
        self._ready()
        names = [list(synonyms) for synonyms in self._words.vocabulary.classes]
        now = dict(prob_thd=self._words.threshold, classes=names, names=self.classes)
        found = self._model.describe()
        return found | {k: v for k, v in self.tunable.items() if k in found} | now

    @torch.no_grad()
    def _segment(self, images: list[Image]) -> Iterator[Segmentation]:
        pictures = [as_rgb(image) for image in images]
        inputs = self._prepared(pictures)
        scored = list(self._model.score(inputs))
        for image, picture, given, strips in zip(images, pictures, inputs, scored, strict=True):
            maps = Maps(self._model, self._words, strips, given, picture.shape[:2])
            name = file_name(image)
            yield Segmentation(picture, maps.labels(), self._words.names, Path(name).stem or "image", name, maps)

    def _prepared(self, pictures: list[np.ndarray]) -> list[Tensor]:
        """RGB pictures -> CLIP-normalised (3, h, w) each, on the device; the model is ready then."""
        self._ready()
        inputs = [self._pipeline(picture) for picture in pictures]
        return list(self._model.data_preprocessor(dict(inputs=inputs, data_samples=None), False)["inputs"])

    def _ready(self) -> None:
        if not self.classes:
            raise ValueError('Expected classes to look for: Segmenter(["horse", "grass"]), or set_classes')
        self._model.prepare(self.device)

    def _view(self) -> Any:
        """A copy of the model that shares its networks: what is set on it does not reach earlier segmentations."""
        self._model.prepare(self.device)
        model = copy.copy(self._model)
        model._buffers = dict(model._buffers)
        return model

    @torch.no_grad()
    def _embed(self, chosen: Vocabulary) -> Tensor:
        """Text features (names, d) float32 of a vocabulary; those of earlier words are reused."""
        if len(self._text) > _TEXTS:
            self._text.clear()
        new = [name for name in chosen.names if name not in self._text]
        if new:
            self._text |= zip(new, self._model.clip.embed(new, self._model.templates), strict=True)
        return torch.stack([self._text[name] for name in chosen.names])
