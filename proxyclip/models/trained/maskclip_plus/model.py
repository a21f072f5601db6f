"""MaskCLIP+: a student trained by a frozen MaskCLIP, and then by itself.

Zhou, Loy and Dai, "Extract Free Dense Labels from CLIP" (arXiv 2112.01071), sections 3.1 to 3.3.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from open_clip.utils import to_2tuple
from torch import Tensor

from proxyclip.data.templates import maskclip_template
from proxyclip.data.transforms import UNLABELED, check_labels_suppressed
from proxyclip.models.base_segmentor import record_arguments
from proxyclip.models.clip.loading import get_clip_config
from proxyclip.models.clip.text import TextCLIP
from proxyclip.models.segmentors.maskclip import CLIP_LOGIT_SCALE, IMAGENET_NORMALIZATION
from proxyclip.models.trained.base import WholeImageSegmentor
from proxyclip.models.trained.flops import (
    ImageShape,
    ModelPart,
    ModelSizes,
    build_clip_without_weights,
    count_macs,
    get_text_tower_part,
)
from proxyclip.models.trained.maskclip_plus.class_weight import compute_class_weights
from proxyclip.models.trained.maskclip_plus.decoders import TextHead
from proxyclip.models.trained.maskclip_plus.losses import (
    distillation_loss,
    fill_pseudo_labels,
    mean_cross_entropy,
    pixel_accuracy,
)
from proxyclip.models.trained.maskclip_plus.pretrained import load_pretrained
from proxyclip.models.trained.maskclip_plus.students import build_student
from proxyclip.models.trained.maskclip_plus.teacher import LazyTeacher, OptionDict
from proxyclip.models.trained.text import TextSegmentor

GUIDED = "guided"  # stages of a training, see `StageHook`
SELF_TRAINING = "self_training"


@MODELS.register_module()
class MaskCLIPTeacher(WholeImageSegmentor):
    """The teacher of MaskCLIP+ alone: whole images, ViT or ResNet, all refinements.

    Args:
        teacher: arguments of `build_teacher`: `model_type`, `clip_type`, `residual`, `attention_pooling`.
        name_path: vocabulary file, one name a class.
        key_smoothing, prompt_denoising: thresholds; 0 is off, the paper's experiments use 1.0 and 0.5.
        class_weight: arguments of `ClassWeight`, `tau` first of all; None is off.
        parity: "paper"; or "upstream" with the quirks of the published code: keys normalized over positions, erf-GELU
            and epsilon 1e-6 in a ViT, positions resized by size, ImageNet's mean and deviation.
        precision: auto, fp32, fp16 or bf16, of the image tower; scores are always float32.
        templates: over which names are embedded; default MaskCLIP's 85.
    """

    method: ClassVar[str] = "maskclip_teacher"  # the name in result tables
    scale = CLIP_LOGIT_SCALE

    @record_arguments
    def __init__(
        self,
        teacher: OptionDict,
        name_path: str,
        key_smoothing: float = 0.0,
        prompt_denoising: float = 0.0,
        class_weight: OptionDict | None = None,
        parity: str = "paper",
        precision: str = "fp32",
        templates: Sequence[str] = maskclip_template,
        data_preprocessor: OptionDict | None = None,
    ) -> None:
        preprocessor_cfg = (IMAGENET_NORMALIZATION if parity == "upstream" else {}) | (data_preprocessor or {})
        super().__init__(name_path, False, templates, precision, preprocessor_cfg)
        self.guide = LazyTeacher(teacher, class_weight, parity, key_smoothing, prompt_denoising)
        self.arguments = describe_teacher(teacher)
        self.register_buffer("text", None, persistent=False)
        self.eval()

    def prepare(self, device: torch.device) -> None:
        """Load the CLIPs and embed the names; done once."""
        if self.dtype is None:
            clip = self.guide.open(device).clip
            self.text = clip.embed(self.names, self.templates) if self.names else torch.empty(0)
            self.guide.load_class_weight(self.names, self.templates, device)
            super().prepare(device)
            clip.model.visual.to(self.dtype)

    @property
    def clip(self) -> TextCLIP:
        """CLIP of the teacher."""
        return self.guide.open(self.index.device).clip

    def logits(self, inputs: Tensor, samples: Sequence[SegDataSample] | None) -> Tensor:
        """Compute refined scores on CLIP's grid."""
        weights = self.guide.get_sample_weights(samples)
        return self.guide.score(inputs, self.data_preprocessor, self.text, weights, self.dtype)


@MODELS.register_module()
class MaskCLIPPlus(TextSegmentor):
    """A student with text features as its classifier; an evaluation needs its checkpoint, no CLIP.

    Args:
        teacher, key_smoothing, prompt_denoising, templates: of the teacher, as in `MaskCLIPTeacher`.
        student: `dict(type=NAME, **options)` of `students`, `pretrained` among them.
        name_path: vocabulary file, one name a class; names other than those of the training need the teacher's CLIP.
        background: the data set's class 0 is "background", which the file lacks: a learned vector represents it.
        class_weight: arguments of `ClassWeight`; factors of the student's logits (times the number of classes), in
            training and in evaluation; pseudo labels do not depend on it. None is off.
        conf_thresh: pixels whose best teacher score is below it stay unlabeled; 0 is off.
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

    @record_arguments
    def __init__(
        self,
        teacher: OptionDict,
        student: OptionDict,
        name_path: str,
        background: bool = False,
        key_smoothing: float = 0.0,
        prompt_denoising: float = 0.0,
        class_weight: OptionDict | None = None,
        conf_thresh: float = 0.0,
        distill: OptionDict | None = None,
        unit_features: bool = False,
        parity: str = "paper",
        ignore_index: int = 255,
        checkpoint: str | None = None,
        precision: str = "fp32",
        templates: Sequence[str] = maskclip_template,
        data_preprocessor: OptionDict | None = None,
    ) -> None:
        preprocessor_cfg = IMAGENET_NORMALIZATION | (data_preprocessor or {})
        channels = get_clip_config(teacher["model_type"])["embed_dim"]
        super().__init__(
            checkpoint, channels, name_path=name_path, background=background, templates=templates, precision=precision,
            data_preprocessor=preprocessor_cfg,
        )  # fmt: skip
        self.backbone, decoder, self.pretrained = build_student(student, channels)
        self.decode_head = TextHead(decoder, channels, background, unit_features)
        self.guide = LazyTeacher(teacher, class_weight, parity, key_smoothing, prompt_denoising)
        self.parity = parity
        self.ignore = ignore_index
        self.conf_thresh = conf_thresh
        self.distill: OptionDict | None = None if distill is None else dict(weight=1.0, labelled=False) | distill
        self.stage: str | None = GUIDED  # of a training iteration; set by `StageHook`
        self.arguments = describe_teacher(teacher)

    def init_weights(self) -> None:
        """Load what only a training needs: student weights, teacher, text features."""
        device = self.text.device
        super().init_weights()
        if self.pretrained is not None:
            load_pretrained(self.backbone, self.pretrained)
        self.embed()
        self.guide.load_class_weight(self.names, self.templates, device)

    def prepare(self, device: torch.device) -> None:
        """Load the checkpoint and, for class weight, the CLIP it needs; done once."""
        if self.dtype is None:
            super().prepare(device)
            self.guide.load_class_weight(self.names, self.templates, device)

    @property
    def clip(self) -> TextCLIP:
        """CLIP of the teacher, loaded where the checkpoint lacks text features."""
        return self.guide.open(self.text.device).clip

    def cast_for_inference(self, dtype: torch.dtype | None) -> None:
        """Cast the student; text features and background stay float32."""
        self.backbone.to(dtype)
        self.decode_head.decoder.to(dtype)

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Compute dense features F (N, D, h, w) of normalized images (N, 3, H, W)."""
        return self.decode_head(self.backbone(inputs if self.training else inputs.to(self.dtype or inputs.dtype)))

    def logits(self, inputs: Tensor, samples: Sequence[SegDataSample] | None) -> Tensor:
        """Compute logits of all classes on the student's grid."""
        return self.decode_head.classify(self.extract_feat(inputs), self.text, self._weights(samples))

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Compute the losses of a training step.

        Raises:
            ValueError: there are labels that must be suppressed, or samples lack the ids of the suppressed classes.
        """
        labels = torch.stack([sample.gt_sem_seg.data[0] for sample in data_samples])
        suppressed_ids = {tuple(sample.metainfo.get("suppressed", ())) for sample in data_samples}
        if len(suppressed_ids) != 1 or not (ids := suppressed_ids.pop()):
            raise ValueError(
                "Expected training samples that say which classes are unlabelled: SuppressLabels in the pipeline, and "
                "PackSegInputs(meta_keys=('img_path', 'suppressed'))"
            )
        return self.step(inputs, labels, ids, self.extract_feat(inputs), self._weights(data_samples))

    def step(
        self, inputs: Tensor, labels: Tensor, ids: Sequence[int], dense: Tensor, weights: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute losses of student features F (N, D, h, w).

        Args:
            labels: (N, H, W), in which the classes `ids` are unlabeled; pseudo labels fill them in.
        """
        check_labels_suppressed(labels, ids)
        losses = {}
        if self.distill is not None:
            features, _ = self.guide.features(inputs, self.data_preprocessor)
            term = distillation_loss(
                dense.float(), features, labels, self.ignore, self.distill["labelled"], self.parity
            )
            losses["loss_distill"] = self.distill["weight"] * term
        else:
            labels = self.add_pseudo_labels(inputs, labels, ids, dense)
        labels = torch.where(labels == UNLABELED, self.ignore, labels)
        logits = self.decode_head.classify(dense, self.text, weights)
        logits = F.interpolate(logits, size=labels.shape[1:], mode="bilinear")
        losses["loss_ce"] = mean_cross_entropy(logits, labels, self.ignore, self.parity)
        return losses | {"acc_seg": pixel_accuracy(logits, labels, self.ignore, self.parity)}

    @torch.no_grad()
    def add_pseudo_labels(self, inputs: Tensor, labels: Tensor, ids: Sequence[int], dense: Tensor) -> Tensor:
        """Fill unlabeled pixels with pseudo labels of the stage; leave them so between stages."""
        if self.stage not in (GUIDED, SELF_TRAINING) or not (labels == UNLABELED).any():
            return labels
        rows = self.decode_head.matrix(self.text).detach()[list(ids)]
        if self.stage == GUIDED:
            scores = self.guide.score(inputs, self.data_preprocessor, rows)
        else:
            with torch.autocast(dense.device.type, enabled=False):
                scores = torch.einsum("ndhw,cd->nchw", dense.detach().float(), rows)
        return fill_pseudo_labels(labels, scores, ids, self.conf_thresh, self.parity)

    def sizes(self, shape: ImageShape) -> ModelSizes:
        """List parameters and MACs of each part for one image, the teacher's too.

        Raises:
            ValueError: the student cannot take such an image.
        """
        return ModelSizes(1, shape, self._iter_parts(shape))

    def _iter_parts(self, shape: ImageShape) -> Iterator[ModelPart]:
        image = torch.zeros(1, 3, *shape)
        try:
            backbone_macs = count_macs(self.backbone, image)
            head_macs = count_macs(self.encode_decode, image) - backbone_macs
        except RuntimeError as error:
            raise ValueError(f"The student cannot take an image of {shape[0]} x {shape[1]}: {error}") from error
        yield ModelPart("backbone", [*self.backbone.parameters()], backbone_macs)
        yield ModelPart("decode head", [*self.decode_head.parameters()], head_macs)
        if self.guide.weight_cfg is not None:
            name = self.guide.weight_cfg.get("model_type", "ViT-B-16")
            weight_clip = build_clip_without_weights(name)
            clip_image = torch.zeros(1, 3, *to_2tuple(get_clip_config(name)["vision_cfg"]["image_size"]))
            text = torch.zeros_like(self.text)
            macs = count_macs(lambda: compute_class_weights(weight_clip.encode_image(clip_image), text, 1.0))
            yield ModelPart("class weight", [*weight_clip.visual.parameters()], macs)
        clip = build_clip_without_weights(self.guide.cfg["model_type"])
        yield ModelPart("teacher", [*clip.visual.parameters()], None)
        yield get_text_tower_part(clip)

    def _weights(self, samples: Sequence[SegDataSample] | None) -> Tensor | None:
        weights = self.guide.get_sample_weights(samples)
        return None if weights is None else weights * weights.shape[1]


def describe_teacher(teacher: OptionDict) -> dict[str, Any]:
    """Return the teacher's CLIP under the keys of result tables."""
    return dict(model_type=teacher.get("model_type"), clip_type=teacher.get("clip_type"), vfm_model=None)
