"""MaskCLIP+: a student that learns dense labels from a frozen MaskCLIP, and then from itself; and MaskCLIP alone.

Zhou, Loy and Dai, "Extract Free Dense Labels from CLIP" (arXiv 2112.01071), sections 3.1 to 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from prompts.imagenet_template import maskclip_template

from ...clip_text import TextCLIP
from ...clip_weights import architecture
from ...methods.maskclip import IMAGENET, SCALE
from ..labels import UNLABELLED, check_hidden
from ..model import WholeImageSegmentor
from ..outline import Shape, Sizes
from ..text import TextSegmentor
from .guide import Guide, Spec
from .head import TextHead
from .losses import accuracy, cross_entropy, distillation
from .pretrained import load_pretrained
from .pseudo import fill
from .sizes import sizes
from .stages import GUIDED, SELF_TRAINING
from .students import build_student


@MODELS.register_module()
class MaskCLIPTeacher(WholeImageSegmentor):
    """MaskCLIP as it teaches, evaluated alone: whole images, a ViT or a ResNet, all refinements.

    Args:
        teacher: arguments of `build_teacher`: `model_type`, `clip_type`, `residual`, `attention_pooling`.
        name_path: vocabulary file, one name a class.
        key_smoothing, prompt_denoising: thresholds; 0 is off, the paper's experiments use 1.0 and 0.5.
        class_weight: arguments of `ClassWeight`, `tau` first of all; None is off.
        parity: "paper"; or "upstream" with the quirks of the published code: keys normalised over positions, erf-GELU
            and epsilon 1e-6 in a ViT, positions resized by size, ImageNet's mean and deviation.
        precision: auto, fp32, fp16 or bf16, of the image tower; scores are always float32.
        templates: over which names are embedded; default MaskCLIP's 85.
    """

    method: ClassVar[str] = "maskclip_teacher"  # what tables call it
    scale: ClassVar[float] = SCALE

    def __init__(
        self,
        teacher: Spec,
        name_path: str,
        key_smoothing: float = 0.0,
        prompt_denoising: float = 0.0,
        class_weight: Spec | None = None,
        parity: str = "paper",
        precision: str = "fp32",
        templates: Sequence[str] = maskclip_template,
        data_preprocessor: Spec | None = None,
    ) -> None:
        arguments = {k: v for k, v in locals().items() if k not in ("self", "data_preprocessor", "__class__")}
        shown = (IMAGENET if parity == "upstream" else {}) | (data_preprocessor or {})
        super().__init__(name_path, False, templates, precision, shown)
        self.guide = Guide(teacher, class_weight, parity, key_smoothing, prompt_denoising)
        self.arguments = arguments | said(teacher)
        self.register_buffer("text", None, persistent=False)
        self.eval()

    def prepare(self, device: torch.device) -> None:
        """Load the CLIPs and embed the names; done once."""
        if self.dtype is None:
            clip = self.guide.open(device).clip
            self.text = clip.embed(self.names, self.templates) if self.names else torch.empty(0)
            self.guide.open_weights(self.names, self.templates, device)
            super().prepare(device)
            clip.model.visual.to(self.dtype)

    @property
    def clip(self) -> TextCLIP:
        """The teacher's."""
        return self.guide.open(self.index.device).clip

    def logits(self, inputs: Tensor, samples: Sequence[SegDataSample] | None) -> Tensor:
        """Refined scores on CLIP's grid."""
        return self.guide.score(inputs, self.data_preprocessor, self.text, self.guide.weigh(samples), self.dtype)


@MODELS.register_module()
class MaskCLIPPlus(TextSegmentor):
    """A student with text features as its classifier. An evaluation needs the checkpoint alone, no CLIP.

    Args:
        teacher, key_smoothing, prompt_denoising, templates: of the teacher, as in `MaskCLIPTeacher`.
        student: `dict(type=NAME, **options)` of `students`, `pretrained` among them.
        name_path: vocabulary file, one name a class; names other than those of the training need the teacher's CLIP.
        background: the data set's class 0 is "background", which the file lacks: a learnt vector stands for it.
        class_weight: arguments of `ClassWeight`; factors of the student's logits (times the number of classes), in
            training and in evaluation; pseudo labels know nothing of it. None is off.
        conf_thresh: pixels whose best teacher score is below it stay unlabelled; 0 is off.
        distill: `dict(weight=1.0, labelled=False)`: no pseudo labels, the student's features follow the teacher's; None
            is off.
        unit_features: cosines instead of products with the text features.
        parity: "paper"; or "upstream" with the quirks of the published code, those of `MaskCLIPTeacher` and these: the
            teacher sees images as the student does, ignored pixels count in the mean of the loss, `conf_thresh` drops
            known labels too, distillation has no gradient, and stages are counted by forwards (`StageHook`).
        ignore_index: label that is not scored.
        checkpoint: file of train.py, for an evaluation; precision: of the student there (auto, fp32, fp16, bf16).
    """

    method: ClassVar[str] = "maskclip_plus"

    def __init__(
        self,
        teacher: Spec,
        student: Spec,
        name_path: str,
        background: bool = False,
        key_smoothing: float = 0.0,
        prompt_denoising: float = 0.0,
        class_weight: Spec | None = None,
        conf_thresh: float = 0.0,
        distill: Spec | None = None,
        unit_features: bool = False,
        parity: str = "paper",
        ignore_index: int = 255,
        checkpoint: str | None = None,
        precision: str = "fp32",
        templates: Sequence[str] = maskclip_template,
        data_preprocessor: Spec | None = None,
    ) -> None:
        arguments = {k: v for k, v in locals().items() if k not in ("self", "data_preprocessor", "__class__")}
        shown = IMAGENET | (data_preprocessor or {})
        channels = architecture(teacher["model_type"])["embed_dim"]
        super().__init__(
            checkpoint, channels, name_path=name_path, background=background, templates=templates, precision=precision,
            data_preprocessor=shown,
        )  # fmt: skip
        self.backbone, decoder, self.pretrained = build_student(student, channels)
        self.decode_head = TextHead(decoder, channels, background, unit_features)
        self.guide = Guide(teacher, class_weight, parity, key_smoothing, prompt_denoising)
        self.parity, self.ignore, self.conf_thresh = parity, ignore_index, conf_thresh
        self.distill = None if distill is None else dict(weight=1.0, labelled=False) | distill
        self.stage: str | None = GUIDED  # of a training iteration; set by `StageHook`
        self.arguments = arguments | said(teacher)

    def init_weights(self) -> None:
        """Begin a training: weights of the student by name, the teacher, text features."""
        device = self.text.device
        super().init_weights()
        if self.pretrained is not None:
            load_pretrained(self.backbone, self.pretrained)
        self.embed()
        self.guide.open_weights(self.names, self.templates, device)

    def prepare(self, device: torch.device) -> None:
        """Load the checkpoint and, for class weight, the CLIP it needs; done once."""
        if self.dtype is None:
            super().prepare(device)
            self.guide.open_weights(self.names, self.templates, device)

    @property
    def clip(self) -> TextCLIP:
        """The teacher's CLIP; it is loaded for words that the checkpoint does not know."""
        return self.guide.open(self.text.device).clip

    def halve(self, dtype: torch.dtype | None) -> None:
        """The student, but for text features and background."""
        self.backbone.to(dtype)
        self.decode_head.decoder.to(dtype)

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Normalised images (N, 3, H, W) -> dense features F (N, D, h, w)."""
        return self.decode_head(self.backbone(inputs if self.training else inputs.to(self.dtype or inputs.dtype)))

    def logits(self, inputs: Tensor, samples: Sequence[SegDataSample] | None) -> Tensor:
        """Logits of all classes on the student's grid."""
        return self.decode_head.classify(self.extract_feat(inputs), self.text, self._weights(samples))

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses of a training step, on labels whose unlabelled pixels were filled in.

        Raises:
            ValueError: labels that were to be hidden are there, or samples do not say which classes those are.
        """
        labels = torch.stack([sample.gt_sem_seg.data[0] for sample in data_samples])
        ids = self._suppressed(data_samples)
        dense = self.extract_feat(inputs)
        return self.step(inputs, labels, ids, dense, self._weights(data_samples))

    def step(
        self, inputs: Tensor, labels: Tensor, ids: Sequence[int], dense: Tensor, weights: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Losses of student features F (N, D, h, w) for labels (N, H, W), in which the classes `ids` are unlabelled."""
        check_hidden(labels, ids)
        losses = {}
        if self.distill is not None:
            losses["loss_distill"] = self._distill(inputs, labels, dense)
        else:
            labels = self.guess(inputs, labels, ids, dense)
        labels = torch.where(labels == UNLABELLED, self.ignore, labels)
        logits = self.decode_head.classify(dense, self.text, weights)
        logits = F.interpolate(logits, size=labels.shape[1:], mode="bilinear")
        losses["loss_ce"] = cross_entropy(logits, labels, self.ignore, self.parity)
        return losses | {"acc_seg": accuracy(logits, labels, self.ignore, self.parity)}

    @torch.no_grad()
    def guess(self, inputs: Tensor, labels: Tensor, ids: Sequence[int], dense: Tensor) -> Tensor:
        """Labels with pseudo labels of the current stage; as they are between stages, or with nothing to fill."""
        if self.stage not in (GUIDED, SELF_TRAINING) or not (labels == UNLABELLED).any():
            return labels
        rows = self.decode_head.matrix(self.text).detach()[list(ids)]
        if self.stage == GUIDED:
            found = self.guide.score(inputs, self.data_preprocessor, rows)
        else:
            with torch.autocast(dense.device.type, enabled=False):
                found = torch.einsum("ndhw,cd->nchw", dense.detach().float(), rows)
        return fill(labels, found, ids, self.conf_thresh, self.parity)

    def sizes(self, shape: Shape) -> Sizes:
        """As in `TrainedSegmentor`; the teacher is among the parts, which trains and is not trained."""
        return sizes(self, shape)

    def _distill(self, inputs: Tensor, labels: Tensor, dense: Tensor) -> Tensor:
        options: Any = self.distill
        features, _ = self.guide.features(inputs, self.data_preprocessor)
        term = distillation(dense.float(), features, labels, self.ignore, options["labelled"], self.parity)
        return options["weight"] * term

    def _weights(self, samples: Sequence[SegDataSample] | None) -> Tensor | None:
        found = self.guide.weigh(samples)
        return None if found is None else found * found.shape[1]

    def _suppressed(self, samples: Sequence[SegDataSample]) -> list[int]:
        found = {tuple(sample.metainfo.get("suppressed", ())) for sample in samples}
        if len(found) != 1 or not (ids := found.pop()):
            raise ValueError(
                "Expected training samples that say which classes are unlabelled: SuppressLabels in the pipeline, and "
                "PackSegInputs(meta_keys=('img_path', 'suppressed'))"
            )
        return list(ids)


def said(teacher: Spec) -> dict[str, Any]:
    """The teacher's CLIP as tables look for it."""
    return dict(model_type=teacher.get("model_type"), clip_type=teacher.get("clip_type"), vfm_model=None)
