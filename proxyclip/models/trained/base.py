"""Base classes of trained segmentors: checkpoint weights, whole-image prediction, loss checks."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from proxyclip.data.vocabulary import Vocabulary, read_vocabulary
from proxyclip.models.base_segmentor import OpenVocabSegmentor, RowChunkFunction
from proxyclip.models.clip.text import TextCLIP
from proxyclip.models.sliding.windows import plan_windows, stitch_tiles
from proxyclip.models.trained.flops import ImageShape, ModelPart, ModelSizes, count_macs
from proxyclip.models.trained.nonfinite import check_finite_losses
from proxyclip.models.trained.state_dict import load_checkpoint_file, load_matching_tensors
from proxyclip.utils.paths import find_existing_path

PARITIES = ("paper", "upstream")  # "upstream" has the quirks of the published code


class WholeImageSegmentor(OpenVocabSegmentor):
    """Score whole images: `logits` -> bilinear to the image -> bilinear to its original size -> the best class.

    Subclasses implement `prepare`, `logits`, `text` (names, D) and the `clip` it is from, and may set `scale`.

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
    text: Tensor

    def __init__(
        self,
        name_path: str,
        background: bool,
        templates: Sequence[str],
        precision: str,
        data_preprocessor: dict[str, Any] | None,
    ) -> None:
        preprocessor_cfg = dict(type="MixedSizePreProcessor") | (data_preprocessor or {})
        super().__init__(MODELS.build(preprocessor_cfg), precision)
        file_vocabulary = read_vocabulary(find_existing_path(name_path, "vocabulary file"))
        if file_vocabulary.has_synonyms:
            synonyms = next(names for names in file_vocabulary.classes if len(names) > 1)
            raise ValueError(f"{name_path}: expected one name a class, but got the synonyms {', '.join(synonyms)}")
        self.names = file_vocabulary.names
        self.templates = tuple(templates)
        classes = (("background",), *file_vocabulary.classes) if background else file_vocabulary.classes
        self.vocabulary = Vocabulary(classes, file_vocabulary.source)
        self.has_background = background
        self.index = torch.arange(len(classes))

    @property
    def clip(self) -> TextCLIP:
        """The model of the text features."""
        raise NotImplementedError

    def set_vocabulary(self, vocabulary: Vocabulary, text: Tensor | None = None) -> None:
        """Replace the classes, and the text features (names, D) if they are known.

        Raises:
            ValueError: class 0 is a background that was learnt beside the others.
        """
        if self.has_background:
            raise ValueError(
                f"{type(self).__name__} has learnt a background beside its classes: leave those as they are"
            )
        super().set_vocabulary(vocabulary, text)
        self.names = vocabulary.names

    def logits(self, inputs: Tensor, samples: Sequence[SegDataSample] | None) -> Tensor:
        """Compute scores (N, names, h, w) float32, on a grid of the model's own, of normalized images (N, 3, H, W)."""
        raise NotImplementedError

    def score(
        self, inputs: Tensor | Sequence[Tensor], samples: Sequence[SegDataSample] | None = None
    ) -> Iterator[RowChunkFunction]:
        """See `OpenVocabSegmentor.score`."""
        for i, image in enumerate(inputs):
            size = tuple(image.shape[1:])
            scores = self.logits(image[None], None if samples is None else [samples[i]])
            scores = F.interpolate(scores.float(), size=size, mode="bilinear")
            yield partial(stitch_tiles, scores, *plan_windows(size, 0, 1, 1))

    def encode_decode(self, inputs: Tensor, batch_img_metas: Any = None) -> Tensor:
        """See `OpenVocabSegmentor.encode_decode`; all images in one forward."""
        return F.interpolate(self.logits(inputs, None).float(), size=inputs.shape[2:], mode="bilinear")

    def _forward(self, inputs: Tensor, data_samples: Any = None) -> Tensor:
        return self.logits(inputs, data_samples)


class TrainedSegmentor(WholeImageSegmentor):
    """A model whose weights `train.py` makes, and an evaluation takes from a checkpoint.

    Subclasses implement `logits` and `loss`, and `init_weights` for what only training needs: MMEngine's Runner calls
    it once, when the model is on its device, and never in an evaluation. What it adds must not be a submodule, so that
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
        path = find_existing_path(self.checkpoint, "checkpoint")
        checkpoint = load_checkpoint_file(path)
        self.load_trained_state(checkpoint["state_dict"], path)
        self.iteration = checkpoint["meta"].get("iter")
        super().prepare(device)
        self.eval().requires_grad_(False)
        self.cast_for_inference(self.dtype)

    def load_trained_state(self, state: dict[str, Tensor], path: Path) -> None:
        """Load the tensors of a checkpoint.

        Raises:
            ValueError: they are of another model; the message names some.
        """
        load_matching_tensors(self, state, path, whole=True)

    def on_weights_loaded(self, path: Path) -> None:
        """Check and complete a model whose weights were loaded to start or resume a training."""

    def cast_for_inference(self, dtype: torch.dtype | None) -> None:
        """Cast what may be less exact than float32 to the dtype of an evaluation."""

    def sizes(self, shape: ImageShape) -> ModelSizes:
        """List parameters and MACs of each part for one image (3, *shape), under `use_fake_tensors`."""
        macs = count_macs(self.encode_decode, torch.zeros(1, 3, *shape))
        return ModelSizes(1, shape, [ModelPart("model", [*self.parameters()], macs)])

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum the losses like MMEngine's BaseModel, after checking that all are finite."""
        check_finite_losses(losses)
        return super().parse_losses(losses)


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse an option `name` whose value is none of its choices."""
    if value not in choices:
        raise ValueError(f"Expected {name} to be one of {', '.join(choices)}, but got {value!r}")
