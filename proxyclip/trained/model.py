"""What trained models share: weights from a checkpoint, prediction of whole images, losses that are watched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models.segmentors import BaseSegmentor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from .. import vocabulary, windows
from ..clip_text import TextCLIP
from ..paths import find
from ..runtime import pick_dtype
from ..sliding import SlidingSegmentor, Strips
from ..vocabulary import Vocabulary
from . import checkpoints
from .guards import check_finite
from .outline import Piece, Shape, Sizes, macs_of

PARITIES = ("paper", "upstream")


class WholeImageSegmentor(BaseSegmentor):
    """Scores whole images: `logits` -> bilinear to the image -> bilinear to its original size -> the best class.

    Subclasses give `prepare`, `logits`, `text` (names, D) and the `clip` it is from, and may set `scale`.

    Args:
        name_path: vocabulary file, one name a class; relative to the current folder or the repository.
        background: whether class 0 is "background", which has no line in the file.
        templates: format strings with one `{}`, over which names are embedded.
        precision: auto, fp32, fp16 or bf16, of the image towers in an evaluation; scores are always float32.
        data_preprocessor: arguments of MixedSizePreProcessor, or of the type it names.

    Raises:
        ValueError: a class with synonyms, or an unknown precision.
    """

    guided: ClassVar[bool] = False  # no VFM
    uses_trained_code: ClassVar[bool] = True
    scale: ClassVar[float] = 1.0  # of the softmax over names
    # what a Segmenter looks at
    attention, vfm, refine, keep_logits, prob_thd = None, None, (), False, 0.0
    decide = SlidingSegmentor.decide
    index: Tensor
    text: Tensor

    def __init__(
        self,
        name_path: str,
        background: bool,
        templates: Sequence[str],
        precision: str,
        data_preprocessor: dict[str, Any] | None,
    ) -> None:
        shown = dict(type="MixedSizePreProcessor") | (data_preprocessor or {})
        super().__init__(data_preprocessor=MODELS.build(shown))
        named = vocabulary.read(find(name_path, "vocabulary file"))
        if named.has_synonyms:
            several = next(names for names in named.classes if len(names) > 1)
            raise ValueError(f"{name_path}: expected one name a class, but got the synonyms {', '.join(several)}")
        self.names, self.templates = named.names, tuple(templates)
        classes = (("background",), *named.classes) if background else named.classes
        self.vocabulary, self.has_background = Vocabulary(classes, named.source), background
        self.register_buffer("index", torch.arange(len(classes)), persistent=False)
        self.precision = precision
        self.dtype: torch.dtype | None = None  # of an evaluation; chosen by `prepare`
        self.arguments: dict[str, Any] = {}

    @property
    def clip(self) -> TextCLIP:
        """The model of the texts."""
        raise NotImplementedError

    def set_vocabulary(self, words: Vocabulary, text: Tensor | None = None) -> None:
        """Take other classes, with synonyms if they have any, and their text features (names, D) if they are known.

        Raises:
            ValueError: class 0 is a background that was learnt beside the others.
        """
        if self.has_background:
            raise ValueError(
                f"{type(self).__name__} has learnt a background beside its classes: leave those as they are"
            )
        self.vocabulary, self.names = words, words.names
        self.index = torch.tensor(words.index, dtype=torch.int64, device=self.index.device)
        if text is not None:
            self.text = text

    def prepare(self, device: torch.device) -> None:
        """Finish loading for an evaluation, once, when the device is known."""
        self.dtype = pick_dtype(self.precision, device)

    def logits(self, inputs: Tensor, samples: Sequence[SegDataSample] | None) -> Tensor:
        """Normalised images (N, 3, H, W) -> scores (N, names, h, w) float32, on a grid of the model's own."""
        raise NotImplementedError

    def score(
        self, inputs: Tensor | Sequence[Tensor], samples: Sequence[SegDataSample] | None = None
    ) -> Iterator[Strips]:
        """Images (3, H, W) -> for each a function: size (H0, W0) -> its score maps in strips (names, rows, W0)."""
        for number, image in enumerate(inputs):
            size = tuple(image.shape[1:])
            scores = self.logits(image[None], None if samples is None else [samples[number]])
            scores = F.interpolate(scores.float(), size=size, mode="bilinear")
            yield partial(windows.stitch, scores, *windows.plan(size, 0, 1, 1))

    def classify(self, scores: Tensor) -> Tensor:
        """Scores of every name (names, H, W) -> class probabilities (classes, H, W)."""
        return vocabulary.merge((scores * self.scale).softmax(0), self.index, len(self.vocabulary))

    def label(self, scores: Tensor) -> Tensor:
        """Scores of every name (names, H, W) -> labels (H, W) int64."""
        return vocabulary.best(scores, self.index, self.scale, self.prob_thd)

    @torch.no_grad()
    def predict(self, inputs: Tensor | list[Tensor], data_samples: list[SegDataSample] | None = None) -> Any:
        """Normalised (N, 3, H, W) or list of (3, H, W) -> samples with `pred_sem_seg`; without samples labels."""
        sizes = [image.shape[1:] for image in inputs] if data_samples is None else [s.ori_shape for s in data_samples]
        scored = zip(inputs, sizes, self.score(inputs, data_samples), strict=True)
        found = [self.decide(strips(tuple(size[:2])), image)[0] for image, size, strips in scored]
        if data_samples is None:
            return torch.stack(found) if isinstance(inputs, Tensor) else found
        for sample, labels in zip(data_samples, found, strict=True):
            sample.pred_sem_seg = PixelData(data=labels[None])
        return data_samples

    def encode_decode(self, inputs: Tensor, batch_img_metas: Any = None) -> Tensor:
        """Scores at the size of the images: (N, 3, H, W) -> (N, names, H, W)."""
        return F.interpolate(self.logits(inputs, None).float(), size=inputs.shape[2:], mode="bilinear")

    def extract_feat(self, inputs: Tensor) -> Any:
        """What `logits` classifies; subclasses say what it is."""
        raise NotImplementedError

    def loss(self, inputs: Tensor, data_samples: Any) -> dict[str, Tensor]:
        """There is none, unless a subclass has one."""
        raise NotImplementedError(f"{type(self).__name__} is not trained: it has no loss")

    def _forward(self, inputs: Tensor, data_samples: Any = None) -> Tensor:
        return self.logits(inputs, data_samples)

    def describe(self) -> dict[str, Any]:
        """Everything about the model that can change a number, JSON-able."""
        return {**self.arguments, "dtype": str(self.dtype), "approximations": []}


class TrainedSegmentor(WholeImageSegmentor):
    """A model whose weights `train.py` makes, and an evaluation takes from a checkpoint.

    Subclasses give `logits` and `loss`, and `init_weights` for what only training needs: MMEngine's Runner calls it
    once, when the model is on its device, and never in an evaluation. What it adds must not be a submodule, so that
    it is neither trained nor stored.

    Args:
        checkpoint: a file made by `train.py`, for an evaluation.
    """

    trained: ClassVar[bool] = True

    def __init__(self, checkpoint: str | None, **options: Any) -> None:
        super().__init__(**options)
        self.checkpoint = checkpoint
        self.iteration: int | None = None  # of the checkpoint that was loaded

    def prepare(self, device: torch.device) -> None:
        """Load the checkpoint, and put the model into its precision; done once.

        Raises:
            ValueError: there is no checkpoint, or it is of another model. WeightsError: it cannot be read.
        """
        if self.dtype is not None:
            return
        if self.checkpoint is None:
            raise ValueError(f"{type(self).__name__} is a trained model: expected --checkpoint FILE, of train.py")
        path = find(self.checkpoint, "checkpoint")
        state, meta = checkpoints.read(path)
        self.take(state, path)
        self.iteration = meta.get("iter")
        super().prepare(device)
        self.eval().requires_grad_(False)
        self.halve(self.dtype)

    def take(self, state: dict[str, Tensor], path: Path) -> None:
        """Put the tensors of a checkpoint in.

        Raises:
            ValueError: they are of another model; the message names some.
        """
        checkpoints.fit(self, state, path, whole=True)

    def begin(self, path: Path) -> None:
        """Check, and put right, what a training starts from or goes on with, when the weights of a file are in."""

    def halve(self, dtype: torch.dtype | None) -> None:
        """Put what may be less exact than float32 into the precision of an evaluation."""

    def sizes(self, shape: Shape) -> Sizes:
        """Its parts, and what an image (3, *shape) takes of each, for `proxyclip.trained.flops`; among fake tensors."""
        macs = macs_of(self.encode_decode, torch.zeros(1, 3, *shape))
        return Sizes(1, shape, [Piece("model", [*self.parameters()], macs)])

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """As in MMEngine's BaseModel; a loss that is not finite ends the training before it reaches a weight."""
        check_finite(losses)
        return super().parse_losses(losses)


def check_parity(parity: str) -> None:
    """Refuse an unknown parity: "paper", or "upstream" with the quirks of the published code."""
    if parity not in PARITIES:
        raise ValueError(f"Expected parity to be one of {', '.join(PARITIES)}, but got {parity!r}")
