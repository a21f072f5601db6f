"""Base class of all segmentors."""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar, cast

import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import BaseSegmentor
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from proxyclip.data.vocabulary import Vocabulary
from proxyclip.models.precision import pick_dtype
from proxyclip.models.refine import build_refine_steps
from proxyclip.models.sliding import postprocess
from proxyclip.utils.probability import check_probability

# (H0, W0) -> row chunks of a score map, (names, rows, W0) from the top
RowChunkFunction = Callable[[tuple[int, int]], Iterable[Tensor]]
Init = TypeVar("Init", bound=Callable[..., None])


def record_arguments(init: Init) -> Init:
    """Decorate a constructor to record its arguments for `describe`.

    Defaults are included, the data preprocessor is not. Entries that the constructor put into `self.arguments` win.
    """
    signature = inspect.signature(init)

    @functools.wraps(init)
    def record(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        arguments = dict(list(bound.arguments.items())[1:])
        arguments.pop("data_preprocessor", None)
        self.arguments = arguments | self.arguments

    return cast(Init, record)


class OpenVocabSegmentor(BaseSegmentor):
    """Classify pixels by the scores of class names.

    Subclasses implement `score` and `extract_feat`, and provide the buffer `text` (names, D) of text features and
    their CLIP as `clip`.

    Args:
        data_preprocessor: a module or its config.
        precision: auto, fp32, fp16 or bf16, of the image towers in an evaluation; scores are always float32.
        refine: steps on the maps (`proxyclip.models.refine`).
        keep_logits: store class probabilities in the samples of `predict`.
        prob_thd: pixels whose best probability is below it become class 0.

    Raises:
        ValueError, TypeError: unknown refinement steps or options of them.
    """

    scale: float = 1.0  # of the softmax over names
    index: Tensor  # (names,) int64, the class of each name
    text: Tensor | None
    vocabulary: Vocabulary

    def __init__(
        self,
        data_preprocessor: dict[str, Any] | nn.Module,
        precision: str,
        refine: Any = None,
        keep_logits: bool = False,
        prob_thd: float = 0.0,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.precision = precision
        self.dtype: torch.dtype | None = None  # chosen by `prepare`, when the device is known
        self.refine = build_refine_steps(refine)
        self.keep_logits = keep_logits
        self.prob_thd = check_probability(prob_thd)
        self.attention: Any = None
        self.vfm: nn.Module | None = None
        self.arguments: dict[str, Any] = {}
        self.register_buffer("index", torch.empty(0, dtype=torch.int64), persistent=False)

    def set_vocabulary(self, vocabulary: Vocabulary, text: Tensor | None = None) -> None:
        """Replace the classes, and the text features (names, D) if they are known."""
        self.vocabulary = vocabulary
        self.index = torch.tensor(vocabulary.index, dtype=torch.int64, device=self.index.device)
        if text is not None:
            self.text = text

    def prepare(self, device: torch.device) -> None:
        """Choose the dtype when the device of an evaluation is known."""
        self.dtype = pick_dtype(self.precision, device)

    def score(
        self, inputs: Tensor | Sequence[Tensor], samples: Sequence[SegDataSample] | None = None
    ) -> Iterator[RowChunkFunction]:
        """Score images (3, H, W) -> for each a function: size (H0, W0) -> row chunks.

        Score maps of full size are made one image at a time, when the function is called.
        """
        raise NotImplementedError

    def classify(self, scores: Tensor) -> Tensor:
        """Convert scores (names, H, W) to class probabilities (classes, H, W)."""
        return postprocess.max_over_synonyms((scores * self.scale).softmax(0), self.index, len(self.vocabulary))

    def label(self, scores: Tensor) -> Tensor:
        """Convert scores (names, H, W) to labels (H, W) int64, threshold applied."""
        if type(self).classify is not OpenVocabSegmentor.classify:  # else probabilities are not needed
            return postprocess.labels_from_probabilities(self.classify(scores), self.prob_thd)
        return postprocess.labels_from_scores(scores, self.index, self.scale, self.prob_thd)

    def decide(self, chunks: Iterable[Tensor], image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Convert row chunks to labels (H0, W0), and probabilities if they are kept."""
        options = (self.refine, self.prob_thd, self.keep_logits)
        return postprocess.scores_to_labels(chunks, self.classify, self.label, image, *options)

    @torch.no_grad()
    def predict(self, inputs: Tensor | list[Tensor], data_samples: list[SegDataSample] | None = None) -> Any:
        """Segment images at their original sizes.

        Args:
            inputs: normalized, (N, 3, H, W) or a list of (3, H, W).

        Returns:
            The samples with `pred_sem_seg`; without samples the labels, (N, H, W) or a list of (H, W).
        """
        sizes = [x.shape[1:] for x in inputs] if data_samples is None else [s.ori_shape[:2] for s in data_samples]
        scored = zip(inputs, sizes, self.score(inputs, data_samples), strict=True)
        predictions = (self.decide(chunks(tuple(size)), image) for image, size, chunks in scored)
        if data_samples is None:
            maps = [labels for labels, _ in predictions]
            return torch.stack(maps) if isinstance(inputs, Tensor) else maps
        for sample, (labels, probabilities) in zip(data_samples, predictions, strict=True):
            sample.pred_sem_seg = PixelData(data=labels[None])
            if probabilities is not None:
                sample.seg_logits = PixelData(data=probabilities)
        return data_samples

    def encode_decode(self, inputs: Tensor, batch_img_metas: Any = None) -> Tensor:
        """Compute scores at the size of the images: (N, 3, H, W) -> (N, names, H, W)."""
        size = (inputs.shape[2], inputs.shape[3])
        return torch.stack([torch.cat(list(chunks(size)), 1) for chunks in self.score(inputs)])

    def extract_feat(self, inputs: Tensor) -> Any:
        """Compute the features of the scores."""
        raise NotImplementedError

    def loss(self, inputs: Tensor, data_samples: Any) -> dict[str, Tensor]:
        """Raise: only trained methods have a loss."""
        raise NotImplementedError(f"{type(self).__name__} is training-free: it has no loss")

    def _forward(self, inputs: Tensor, data_samples: Any = None) -> Any:
        return self.predict(inputs)

    def describe(self) -> dict[str, Any]:
        """Describe all settings that can change a number; complete once prepared."""
        return self.arguments | {"dtype": str(self.dtype), "approximations": []}
