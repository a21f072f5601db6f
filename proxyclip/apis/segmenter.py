"""Segmenter: a model that segments images with any class names."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from numbers import Real
from pathlib import Path
from typing import Any, overload

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from tqdm import tqdm

from proxyclip.apis.attention_map import compute_attention_map
from proxyclip.apis.build import BASE_CONFIG, build_segmentor, resolve_device
from proxyclip.apis.classes import (
    BackgroundInput,
    ClassesInput,
    ClassQuery,
    is_from_file,
    parse_class_query,
    query_from_config,
)
from proxyclip.apis.images import ImageInput, ImageWarning, get_image_file_name, is_batch, load_image
from proxyclip.apis.segmentation import ScoreMaps, Segmentation
from proxyclip.data.class_lists.notes import log_note
from proxyclip.data.class_lists.shared_texts import refuse_shared_texts
from proxyclip.data.vocabulary import Vocabulary
from proxyclip.models.clip.name_check import check_class_names
from proxyclip.models.refine import build_refine_steps

_MAX_CACHED_TEXTS = 4096  # names whose features are kept; a few kilobytes each
_MAX_PARAM = 1e6  # for numbers of the attention: far beyond what makes sense, and far below an overflow


class Segmenter:
    """Open-vocabulary segmentation of single images.

    Results are those of an evaluation of the same config.

    Args:
        classes: see `set_classes`; default those of the config, if it has any.
        clip: open_clip name (`ViT-L-14`), `NAME,TAG`, `NAME,FILE`, `hf-hub:REPOSITORY` or `local-dir:FOLDER`; default
            the config's, OpenAI's ViT-B/16.
        vfm: `dino`, `dinov2-l-reg`, `sam`, ..., `NAME,MODEL`, `NAME,FILE`, a file of your own, or `none`; default the
            config's, DINO ViT-B/8.
        method: a name of `configs/method` (`naclip`, `sclip`, ...) or a file of your own; default the config's, proxy.
        background, threshold: see `set_classes`.
        config: a config file, whose model, resize and windows are used; `configs/cfg_tinyworld.py` needs no download.
        device: `cuda`, `cpu`, `cuda:1`, ..., or `auto`, a GPU if there is one.
        precision: `fp32`, `fp16`, `bf16`, or `auto` (see `proxyclip.models.precision.pick_dtype`).
        stretch: spread the values of pictures of more than 8 bits (12 bits in a 16-bit file, floats of any range) over
            the range, linearly from their 0.1th to their 99.9th percentile over all channels.
        max_megapixels: size up to which files are read; default Pillow's limit, 179.
        options: any argument of the segmentor (`beta`, `gamma`, `slide_crop`, `refine`, ...); `checkpoint`, the file
            of train.py, for the config of a trained model.

    Raises:
        WeightsError: weights that are not on this machine and cannot be fetched. ValueError, TypeError: names and
            options that are unknown or do not fit together. The message has the remedy.
    """

    def __init__(
        self,
        classes: ClassesInput | None = None,
        *,
        clip: str | None = None,
        vfm: str | None = None,
        method: str | None = None,
        background: BackgroundInput = None,
        threshold: float = 0.0,
        config: str = BASE_CONFIG,
        device: str | torch.device = "auto",
        precision: str | None = None,
        stretch: bool = False,
        max_megapixels: float | None = None,
        **options: Any,
    ) -> None:
        if classes is not None:
            is_default = clip is None and str(config) == BASE_CONFIG
            parse_class_query(classes, background, threshold, lower=is_default)  # raise before a download's minutes
        elif background is not None or threshold:
            raise ValueError("Expected classes beside background and threshold; a config's own words have both already")
        if precision is not None:
            options["precision"] = precision
        self._reading: dict[str, Any] = dict(stretch=stretch, max_megapixels=max_megapixels)
        self.device = resolve_device(device)
        model, self._pipeline = build_segmentor(str(config), clip, vfm, method, options)
        self._model = model.to(self.device)
        self._text: dict[str, Tensor] = {}
        self._query = query_from_config(model.vocabulary, model.prob_thd)
        if classes is not None:
            model.set_vocabulary(Vocabulary(()))  # the texts of the config are not needed
            self.set_classes(classes, background, threshold)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels, in order; the background first, if there is one."""
        return self._query.names

    def set_classes(
        self, classes: ClassesInput, background: BackgroundInput = None, threshold: float = 0.0
    ) -> Segmenter:
        """Set the classes of the following calls; only new texts are encoded.

        Args:
            classes: names, each with synonyms if it is a list (`["horse", ["grass", "lawn"]]`); or a dict from name to
                synonyms; or text, `"horse; grass, lawn"`, where without any `;` commas separate classes; or the path of
                a vocabulary file.
            background: None: every pixel gets one of the classes. Names (`["wall", "ceiling"]`): class 0 is
                `background`, with these names. A number from 0 to 1: class 0 is `other`, without names: it gets the
                pixels whose best probability is below that number.
            threshold: beside names, pixels below it become background too; without them, as a number there.

        Returns:
            The segmenter itself. Segmentations made before keep their own classes.

        Raises:
            ValueError, TypeError: no class, or something that is no name.
        """
        query = parse_class_query(classes, background, threshold, lower=False)  # the CLIP's own tokenizer tells
        query = self._check_names(query, is_from_file(classes))
        model = self._view()
        model.prob_thd = 0.0 if query.has_other else query.threshold
        model.set_vocabulary(query.vocabulary, self._embed(query.vocabulary))
        self._model = model
        self._query = query
        return self

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the classes: how they were read, and what this CLIP makes of their names."""
        return self._query.notes

    @property
    def tunable(self) -> dict[str, float]:
        """Parameters of the attention that `tune` changes; `beta`, `gamma` of proxy."""
        strategy = self._model.attention
        fields = dataclasses.fields(strategy) if dataclasses.is_dataclass(strategy) else ()
        settings = {field.name: getattr(strategy, field.name) for field in fields}
        unused = () if self._model.vfm is not None else ("beta", "gamma")
        return {k: v for k, v in settings.items() if type(v) in (int, float) and k not in unused}

    def tune(self, **numbers: float) -> Segmenter:
        """Change parameters of the attention without loading anything.

        Raises:
            ValueError: one that the method does not have, or too large a number; the message has the valid ones.
        """
        wrong = {k: v for k, v in numbers.items() if not (isinstance(v, Real) and abs(v) <= _MAX_PARAM)}
        if wrong:
            raise ValueError(f"Expected numbers up to {_MAX_PARAM:g}, but got {wrong}")
        unknown = sorted(set(numbers) - set(self.tunable))
        if unknown:
            known = ", ".join(self.tunable) or "none"
            raise ValueError(f"Expected numbers that this method has ({known}), but got {', '.join(unknown)}")
        if numbers:
            model = self._view()
            model.attention = dataclasses.replace(model.attention, **numbers)
            self._model = model
        return self

    def set_refine(self, steps: str | dict[str, Any] | Sequence[str | dict[str, Any]] | None) -> Segmenter:
        """Set the refinement steps (`pamr`, `regions`, ...) of the following calls without loading anything.

        Raises:
            ValueError, TypeError: see `proxyclip.models.refine.build_refine_steps`.
        """
        model = self._view()
        model.refine = build_refine_steps(steps)
        self._model = model
        return self

    def fork(self) -> Segmenter:
        """Return another segmenter of the same networks; nothing is loaded.

        Classes and parameters are its own. Two that share networks may not work at the same time.
        """
        return copy.copy(self)

    @overload
    def __call__(self, image: list[ImageInput] | tuple[ImageInput, ...]) -> list[Segmentation]: ...
    @overload
    def __call__(self, image: ImageInput) -> Segmentation: ...
    def __call__(self, image: Any) -> Segmentation | list[Segmentation]:
        """Segment an image, or each of several.

        Args:
            image: path, bytes, PIL image, array (H, W) or (H, W, C), or tensor (C, H, W); C is 1 to 4. Values are
                uint8, uint16, bool, or floats from 0 to 1. Lists, and arrays and tensors of four dimensions, are
                batches.

        Returns:
            A `Segmentation` at the full size of the image; of a batch a list of them.

        Raises:
            OSError: a file that is missing, damaged or no image. ValueError, TypeError: an object that is no image.
        """
        if is_batch(image):
            return list(self.each(image, progress=False))
        return next(self.each([image], progress=False))

    def each(self, images: Iterable[ImageInput], batch: int = 4, progress: bool = True) -> Iterator[Segmentation]:
        """Segment one image after the other; each is read when it is its turn.

        Classes and parameters are those of the time of this call, whatever is set during the iteration.

        Args:
            batch: images whose windows share forwards.
            progress: show a bar on the terminal.
        """
        if batch < 1:
            raise ValueError(f"Expected batch to be 1 or more, but got {batch}")
        if isinstance(images, (str, Path, bytes, PIL.Image.Image)) or getattr(images, "ndim", 4) != 4:
            raise TypeError(f"Expected several pictures, but got a single {type(images).__name__}: put it into a list")
        return copy.copy(self)._each(images, batch, progress)

    def _each(self, images: Iterable[ImageInput], batch: int, progress: bool) -> Iterator[Segmentation]:
        total = len(images) if isinstance(images, Sized) else None
        remaining = iter(images)
        with tqdm(total=total, unit="picture", disable=not progress) as bar:
            while chunk := list(islice(remaining, batch)):
                for segmentation in self._segment(chunk):
                    yield segmentation
                    bar.update()

    @torch.no_grad()
    def attention(self, image: ImageInput, x: int, y: int) -> np.ndarray:
        """Compute the proxy attention of a pixel's patch, in the nearest window.

        Args:
            x, y: column and row of the pixel, counted from 0, in the image as it is segmented.

        Returns:
            (H, W) float32: the weight of the patch each pixel belongs to; NaN outside the window. The weights of the
            patches of a window sum to 1.

        Raises:
            ValueError: a pixel outside the image, or a method without proxy attention.
        """
        rgb = load_image(image, **self._reading)[0]
        inputs = self._prepared([rgb])[0]
        return compute_attention_map(self._model, inputs, rgb.shape[:2], x, y)

    def describe(self) -> dict[str, Any]:
        """Describe everything that can change a result, weight hashes included."""
        self._ready()
        names = [list(synonyms) for synonyms in self._query.vocabulary.classes]
        current = dict(prob_thd=self._query.threshold, classes=names, names=self.classes)
        current |= dict(stretch=self._reading["stretch"])
        settings = self._model.describe()
        return settings | {k: v for k, v in self.tunable.items() if k in settings} | current

    @torch.no_grad()
    def _segment(self, images: list[ImageInput]) -> Iterator[Segmentation]:
        loaded = [load_image(image, **self._reading) for image in images]
        inputs = self._prepared([rgb for rgb, _ in loaded])
        scores = list(self._model.score(inputs))
        for image, (rgb, notes), tensor, row_chunks in zip(images, loaded, inputs, scores, strict=True):
            for note in notes:
                warnings.warn(note, ImageWarning, stacklevel=2)
            maps = ScoreMaps(self._model, self._query, row_chunks, tensor, rgb.shape[:2])
            name = get_image_file_name(image)
            yield Segmentation(rgb, maps.labels(), self._query.names, Path(name).stem or "image", name, maps, notes)

    def _prepared(self, rgb_images: list[np.ndarray]) -> list[Tensor]:
        """Prepare the model, and images as CLIP-normalized (3, h, w) on the device."""
        self._ready()
        inputs = [self._pipeline(rgb) for rgb in rgb_images]
        return list(self._model.data_preprocessor(dict(inputs=inputs, data_samples=None), False)["inputs"])

    def _ready(self) -> None:
        if not self.classes:
            raise ValueError('Expected classes to look for: Segmenter(["horse", "grass"]), or set_classes')
        self._model.prepare(self.device)

    def _view(self) -> Any:
        """Copy the model, networks shared: earlier segmentations keep theirs."""
        self._model.prepare(self.device)
        model = copy.copy(self._model)
        model._buffers = dict(model._buffers)
        return model

    def _check_names(self, query: ClassQuery, from_file: bool) -> ClassQuery:
        """Refuse names of an own list that are one text for the CLIP; add its notes to the query, and log all."""
        classes = query.vocabulary.classes
        check = check_class_names(self._model.clip.tokenizer, classes, tuple(self._model.templates))
        if not from_file and check.shared:
            labels = query.names[len(query.names) - len(classes) :]
            refuse_shared_texts(check.shared, labels)
        query = dataclasses.replace(query, notes=(*query.notes, *check.format_notes(query.vocabulary.source)))
        for note in query.notes:
            log_note(note)
        return query

    @torch.no_grad()
    def _embed(self, vocabulary: Vocabulary) -> Tensor:
        """Text features (names, d) float32 of a vocabulary; earlier ones are reused."""
        if len(self._text) > _MAX_CACHED_TEXTS:
            self._text.clear()
        new = [name for name in vocabulary.names if name not in self._text]
        if new:
            self._text |= zip(new, self._model.clip.embed(new, self._model.templates), strict=True)
        return torch.stack([self._text[name] for name in vocabulary.names])
