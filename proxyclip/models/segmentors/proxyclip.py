"""ProxyCLIP, and every method that is an attention strategy.

Lan et al., "ProxyCLIP: Proxy Attention Improves CLIP for Open-Vocabulary Segmentation" (arXiv 2408.04883).
"""

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from proxyclip.data.templates import openai_imagenet_template
from proxyclip.data.vocabulary import Vocabulary, read_vocabulary
from proxyclip.models.attention import build_strategy
from proxyclip.models.base_segmentor import record_arguments
from proxyclip.models.clip.dense import load_clip
from proxyclip.models.clip.name_check import log_name_check
from proxyclip.models.sliding.segmentor import SlidingSegmentor
from proxyclip.models.vfm import build_vfm
from proxyclip.models.weights.reading import fingerprint_module
from proxyclip.utils.paths import find_existing_path


@MODELS.register_module()
class ProxyCLIPSegmentation(SlidingSegmentor):
    """Training-free open-vocabulary segmentation by a frozen CLIP and a frozen VFM.

    `proxyclip.models.segmentors` lists the steps that other methods override.

    Args:
        clip_type, model_type: weights and architecture of CLIP (see `load_clip`).
        vfm_model: family (`dino`), family and size (`dino-s16`), or `dict(type=family, ...)`; None for CLIP alone.
        name_path: vocabulary file, relative to the current folder or the repository; None: see `set_vocabulary`.
        checkpoint, beta, gamma: weights file of the VFM, options of the attention, where their own dicts lack them.
        prob_thd: pixels whose best probability is below it become class 0; logit_scale: of the softmax over names.
        slide_stride, slide_crop: windows in pixels (0: the whole image); window_batch: maximum of one forward,
            or "auto", as many as fit into memory. approximate: options of `ApproximateOptions`, which change numbers.
        attention: strategy name or `dict(type=..., **options)`; default proxy with a VFM, else vanilla.
        precision: auto, fp32, fp16 or bf16, of the image towers; scores are always float32.
        pad_multiple: windows are zero-padded to it; default lcm of the patch sizes (ProxyCLIP's published code: 56). 1
            pads nothing: pixels beyond the last whole patch are dropped, and the cells stretched over the window.
        upsample_to_input: with slide_crop=0, interpolate scores to the network's input first, and to the image then,
            as is done anyway where the image is padded.
        keep_logits: store class probabilities in the samples; refine: steps on the maps (`proxyclip.models.refine`).
    """

    method: ClassVar[str | None] = None  # its attention's
    default_attention: ClassVar[str | None] = None  # proxy with a VFM, else vanilla
    separator = ";"  # between the synonyms of a class in the vocabulary file
    templates: tuple[str, ...] = openai_imagenet_template

    @record_arguments
    def __init__(
        self,
        clip_type: str | None,
        model_type: str,
        vfm_model: str | dict[str, Any] | None,
        name_path: str | None,
        checkpoint: str | None = None,
        prob_thd: float = 0.0,
        logit_scale: float = 40,
        beta: float = 1.2,
        gamma: float = 3.0,
        slide_stride: int = 112,
        slide_crop: int = 336,
        attention: str | dict[str, Any] | None = None,
        precision: str = "auto",
        window_batch: int | str = "auto",
        pad_multiple: int | None = None,
        upsample_to_input: bool = False,
        keep_logits: bool = False,
        refine: list[str | dict[str, Any]] | None = None,
        approximate: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
    ) -> None:
        options: dict[str, Any] = dict(precision=precision, refine=refine, keep_logits=keep_logits, prob_thd=prob_thd)
        super().__init__((slide_crop, slide_stride), window_batch, approximate, data_preprocessor, **options)
        self.attention = build_strategy(attention, guided=vfm_model is not None, beta=beta, gamma=gamma)
        if self.approximate.vfm == "image":
            self._check_guided(vfm_model)
        self.clip = load_clip(model_type, clip_type)
        self.vfm = build_vfm(vfm_model, checkpoint=checkpoint, clip=self.clip)
        self.guide_patch: int = getattr(self.vfm, "patch", 1)
        patches = (self.clip.patch, self.guide_patch)
        self.pad_multiple = pad_multiple or math.lcm(*patches)
        self.patch = max(patches)
        self.patch_multiple = math.lcm(self.pad_multiple, *patches)
        self.upsample_to_input = upsample_to_input
        self.scale = logit_scale
        self.hashes: dict = {}
        self.register_buffer("text", None, persistent=False)
        file = name_path and find_existing_path(name_path, "vocabulary file")
        self.set_vocabulary(read_vocabulary(file, self.separator) if file else Vocabulary(()))
        self.eval()

    def set_vocabulary(self, vocabulary: Vocabulary, text: Tensor | None = None) -> None:
        """Replace the classes; the next `prepare` embeds them unless `text` is set."""
        super().set_vocabulary(vocabulary)
        self.text = text

    @torch.no_grad()
    def prepare(self, device: torch.device) -> None:
        """Cast the image towers and embed the vocabulary in float32, each once."""
        if self.dtype is None:
            self.hashes = {
                "clip_sha256": fingerprint_module(self.clip),
                "vfm_sha256": self.vfm and fingerprint_module(self.vfm),
            }
            super().prepare(device)
            torch.nn.ModuleList(filter(None, (self.clip.model.visual, self.vfm))).to(self.dtype)
        if self.text is None and self.vocabulary.classes:
            log_name_check(self.clip, self.vocabulary.classes, self.templates, self.vocabulary.source)
            self.text = self.clip.embed(self.vocabulary.names, self.templates)

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Score CLIP-normalized tiles (n, 3, h, w) -> (n, names, h', w') float32."""
        return self.extract_guided(inputs, self.guide(inputs))

    def extract_guided(self, inputs: Tensor, guide: Tensor | None) -> Tensor:
        return self.similarity(self.clip.encode_dense(inputs.to(self.dtype), self.attention, guide))

    def guide(self, inputs: Tensor) -> Tensor | None:
        if self.vfm is None:
            return None
        patch = self.guide_patch
        h, w = (side - side % patch for side in inputs.shape[2:])  # CLIP drops the rest of its own patches likewise
        return self.vfm(self.clip.to_rgb(inputs[..., :h, :w]).to(self.dtype))

    def similarity(self, features: Tensor) -> Tensor:
        """Compute cosine similarity: (n, d, h, w) -> (n, names, h, w) float32."""
        return torch.einsum("ndhw,qd->nqhw", F.normalize(features, dim=1), self.text)

    def _check_guided(self, vfm_model: Any) -> None:
        """Refuse a map of the whole image that would be ignored."""
        if vfm_model is None:
            raise ValueError("approximate.vfm='image' needs a VFM, but vfm_model is None: choose one (--vfm dino)")
        cls = type(self)
        base = ProxyCLIPSegmentation
        used = cls.extract_guided is not base.extract_guided or cls.extract_windows is not base.extract_windows
        if cls.extract_feat is not base.extract_feat and not used:
            raise ValueError(f"approximate.vfm='image' would go past {cls.__name__}.extract_feat: leave it out")

    def describe(self) -> dict[str, Any]:
        return super().describe() | dict(
            attention=repr(self.attention),
            refine=[repr(step) for step in self.refine],
            slide_stride=self.slide[1],
            approximations=self.approximate.names,
            pad_multiple=self.pad_multiple,
            clip_activation=self.clip.activation,
            **self.hashes,
        )
