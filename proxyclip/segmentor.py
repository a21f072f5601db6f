"""The segmentor mmseg sees: a frozen CLIP, a frozen VFM and an attention strategy, wired into `predict`.

Lan et al., "ProxyCLIP: Proxy Attention Improves CLIP for Open-Vocabulary Segmentation" (arXiv 2408.04883).
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models.segmentors import BaseSegmentor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from prompts.imagenet_template import openai_imagenet_template

from . import vocabulary, windows
from .attention import build_strategy
from .clip import load_clip
from .data.preprocess import MixedSizePreProcessor
from .paths import find
from .refine import build_steps, decide
from .runtime import pick_dtype
from .vfm import build_vfm
from .weights import fingerprint


@MODELS.register_module()
class ProxyCLIPSegmentation(BaseSegmentor):
    """Training-free open-vocabulary segmentation; `proxyclip.methods` says what other methods override.

    Args:
        clip_type, model_type: weights and architecture of CLIP (see `load_clip`).
        vfm_model: family (`dino`), family and size (`dino-s16`), or `dict(type=family, ...)`; None for CLIP alone.
        name_path: vocabulary file, relative to the current folder or the repository.
        checkpoint, beta, gamma: weights file of the VFM, options of the attention, where those do not say them.
        prob_thd: pixels whose best probability is below it become class 0; logit_scale: of the softmax over names.
        slide_stride, slide_crop: windows in pixels (0: the whole image); window_batch: most of them in one forward.
        attention: strategy name or `dict(type=..., **options)`; default proxy with a VFM, else vanilla.
        precision: auto, fp32, fp16 or bf16, of the image towers; scores are always float32.
        pad_multiple: what windows are padded to; default lcm of the patch sizes (the published code: 56).
        keep_logits: whether `predict` stores class probabilities too; refine: steps on the maps (`proxyclip.refine`).
    """

    separator = ";"  # between the synonyms of a class in the vocabulary file
    templates: tuple[str, ...] = openai_imagenet_template

    def __init__(
        self,
        clip_type: str | None,
        model_type: str,
        vfm_model: str | dict[str, Any] | None,
        name_path: str,
        checkpoint: str | None = None,
        prob_thd: float = 0.0,
        logit_scale: float = 40,
        beta: float = 1.2,
        gamma: float = 3.0,
        slide_stride: int = 112,
        slide_crop: int = 336,
        attention: str | dict[str, Any] | None = None,
        precision: str = "auto",
        window_batch: int = 8,
        pad_multiple: int | None = None,
        keep_logits: bool = False,
        refine: list[str | dict[str, Any]] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor or MixedSizePreProcessor())
        self.arguments = {k: v for k, v in locals().items() if k not in ("self", "data_preprocessor", "__class__")}
        self.vocabulary = vocabulary.read(find(name_path, "vocabulary file"), self.separator)
        self.attention = build_strategy(attention, guided=vfm_model is not None, beta=beta, gamma=gamma)
        self.refine = build_steps(refine)
        windows.check(slide_crop, slide_stride)
        self.clip = load_clip(model_type, clip_type)
        self.vfm = build_vfm(vfm_model, checkpoint=checkpoint, clip=self.clip)
        self.pad_multiple = pad_multiple or math.lcm(self.clip.patch, getattr(self.vfm, "patch", 1))
        self.slide, self.scale, self.prob_thd = (slide_crop, slide_stride), logit_scale, prob_thd
        self.precision, self.window_batch, self.keep_logits = precision, window_batch, keep_logits
        self.dtype: torch.dtype | None = None  # chosen on the first image, when the device is known
        self.hashes: dict = {}
        self.register_buffer("index", torch.tensor(self.vocabulary.index), persistent=False)
        self.register_buffer("text", None, persistent=False)
        self.eval()

    @torch.no_grad()
    def prepare(self, device: torch.device) -> None:
        """Embed the vocabulary in float32, then put the image towers into their precision; done once."""
        if self.dtype is None:
            self.text = self.clip.embed(self.vocabulary.names, self.templates)
            self.hashes = {"clip_sha256": fingerprint(self.clip), "vfm_sha256": self.vfm and fingerprint(self.vfm)}
            self.dtype = pick_dtype(self.precision, device)
            torch.nn.ModuleList(filter(None, (self.clip.model.visual, self.vfm))).to(self.dtype)

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Cosine similarity to every name: CLIP-normalised tiles (n, 3, h, w) -> (n, names, h', w') float32."""
        return self.similarity(self.clip.encode_dense(inputs.to(self.dtype), self.attention, self.guide(inputs)))

    def guide(self, inputs: Tensor) -> Tensor | None:
        """VFM features of CLIP-normalised tiles (n, 3, h, w), or None without a VFM."""
        return None if self.vfm is None else self.vfm(self.clip.to_rgb(inputs).to(self.dtype))

    def similarity(self, features: Tensor) -> Tensor:
        """Cosine similarity of dense features (n, d, h, w) to every name: (n, names, h, w) float32."""
        return torch.einsum("ndhw,qd->nqhw", F.normalize(features, dim=1), self.text)

    def extract_windows(self, tiles: Tensor) -> Tensor:
        """`extract_feat` of all windows of one image, in groups of `window_batch`."""
        return torch.cat([self.extract_feat(some) for some in tiles.split(self.window_batch)])

    def classify(self, scores: Tensor) -> Tensor:
        """Cosine similarity to every name (names, H, W) -> class probabilities (classes, H, W)."""
        return vocabulary.merge((scores * self.scale).softmax(0), self.index, len(self.vocabulary))

    def encode_decode(self, inputs: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """One image (3, H, W) -> labels (H0, W0) int64, and class probabilities (classes, H0, W0) or None."""
        grid = windows.plan(tuple(inputs.shape[1:]), *self.slide, self.pad_multiple)
        strips = windows.stitch(self.extract_windows(windows.cut(inputs, *grid)), *grid, size)
        return decide(strips, self.classify, inputs, self.refine, self.prob_thd, self.keep_logits)

    @torch.no_grad()
    def predict(self, inputs: Tensor | list[Tensor], data_samples: list[SegDataSample] | None = None) -> Any:
        """CLIP-normalised (B, 3, H, W) or list of (3, H, W) -> samples with `pred_sem_seg`; without samples labels."""
        self.prepare(inputs[0].device)
        if data_samples is None:
            maps = [self.encode_decode(x, tuple(x.shape[1:]))[0] for x in inputs]
            return torch.stack(maps) if isinstance(inputs, Tensor) else maps
        for image, sample in zip(inputs, data_samples, strict=True):
            labels, probabilities = self.encode_decode(image, tuple(sample.ori_shape[:2]))
            sample.pred_sem_seg = PixelData(data=labels[None])
            if probabilities is not None:
                sample.seg_logits = PixelData(data=probabilities)
        return data_samples

    def describe(self) -> dict[str, Any]:
        """Everything about the model that can change a number, JSON-able; complete after the first `predict`."""
        parts = dict(attention=repr(self.attention), refine=[repr(step) for step in self.refine], dtype=str(self.dtype))
        found = dict(pad_multiple=self.pad_multiple, clip_activation=self.clip.activation, **self.hashes)
        return self.arguments | parts | found

    def loss(self, *_: Any) -> dict:
        raise NotImplementedError(f"{type(self).__name__} is training-free: it has no loss")

    def _forward(self, inputs: Tensor, *_: Any) -> Any:
        return self.predict(inputs)
