"""CLIP-RC: zero-shot segmentation by a frozen CLIP with prompts, regional tokens and a small decoder.

Zhang et al., "Exploring Regional Clues in CLIP for Zero-Shot Semantic Segmentation" (CVPR 2024).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from mmseg.models.losses import accuracy
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ... import windows
from ...clip import DenseCLIP
from ...clip_weights import architecture
from ...methods.maskclip import IMAGENET
from ...sliding import Strips
from ...weights import WeightsError
from ..labels import check_hidden
from ..model import check_parity
from ..outline import Shape, Sizes
from ..split import SplitSegmentor
from . import losses
from .decoder import Decoded, Recovery, RegionDecoder, init_as_intended
from .encoder import Features, Prompts, encode, region_mask
from .frozen import Frozen, grid_of
from .labels import check_setting, learnt
from .sizes import sizes
from .slide import slide

Spec = dict[str, Any]
LOSS_WEIGHTS = dict(mask=100.0, dice=1.0, recovery=2.0)


@MODELS.register_module()
class CLIPRC(SplitSegmentor):
    """CLIP-RC. A checkpoint has the prompts, the decoder and the text features; CLIP itself is loaded again.

    Which classes are unseen says `split`, called by SplitHook with what the training's data set says.

    Args:
        model_type, clip_type: CLIP, as in `clip.load_clip`; a ViT.
        name_path: vocabulary file, one name a class; templates: over which the names are embedded.
        setting: what a training knows. "inductive": the names of the seen classes, and their labels; "transductive":
            all names, and where unseen classes are, but not which; "fully": all labels.
        prompts: K, of every block. regions: M, a square number.
        decoder: `layers`, `heads`, `hidden`, `dropout`, of `RegionDecoder`.
        loss_weights: `mask` (the focal loss), `dice`, `recovery`; recovery=0 leaves its decoder out.
        slide_crop: side of a training crop, and of a window; slide_stride: of the windows of an evaluation, in pixels.
        seen_bias: what an inductive evaluation subtracts from the scores of seen classes, which are in (0, 1).
        parity: "upstream" with the quirks of the published code: images with ImageNet's mean and deviation, the class
            embedding added twice, ignored pixels as negatives of all classes, PyTorch's own first weights of the
            decoder, weight decay of norms (`ParityOptimWrapperConstructor`), text features rounded to float16. "paper":
            none of them.
        ignore_index: label that is not scored.
        checkpoint: file of train.py, for an evaluation; precision: there (auto, fp32, fp16, bf16).

    Raises:
        ValueError: an option out of its range, or unknown.
    """

    method: ClassVar[str] = "clip_rc"

    def __init__(
        self,
        model_type: str,
        name_path: str,
        clip_type: str | None = None,
        templates: Sequence[str] = ("a photo of a {}",),
        setting: str = "inductive",
        prompts: int = 10,
        regions: int = 16,
        decoder: Spec | None = None,
        loss_weights: Spec | None = None,
        slide_crop: int = 512,
        slide_stride: int = 426,
        seen_bias: float = 0.1,
        parity: str = "upstream",
        ignore_index: int = 255,
        checkpoint: str | None = None,
        precision: str = "fp32",
        data_preprocessor: Spec | None = None,
    ) -> None:
        arguments = {k: v for k, v in locals().items() if k not in ("self", "data_preprocessor", "__class__")}
        check_parity(parity)
        check_setting(setting)
        windows.check(slide_crop, slide_stride)
        config = architecture(model_type)
        width, vision = config["embed_dim"], config["vision_cfg"]
        super().__init__(
            checkpoint, width, setting == "fully", name_path=name_path, background=False, templates=templates,
            precision=precision, data_preprocessor=(IMAGENET if parity != "paper" else {}) | (data_preprocessor or {}),
        )  # fmt: skip
        grid = grid_of(slide_crop, vision)
        region_mask(grid, prompts, regions)  # refuses a number of regions that cannot be
        self.frozen = Frozen(model_type, clip_type, grid, regions)
        self.prompts = Prompts(prompts, vision["width"], vision["layers"], vision["patch_size"])
        self.decode_head = RegionDecoder(width, **(decoder or {}))
        if parity == "paper":
            init_as_intended(self.decode_head)
        self.loss_weights = LOSS_WEIGHTS | (loss_weights or {})
        if set(self.loss_weights) != set(LOSS_WEIGHTS):
            raise ValueError(f"Expected loss_weights of {', '.join(LOSS_WEIGHTS)}, but got {loss_weights}")
        options = {key: value for key, value in (decoder or {}).items() if key != "layers"}
        self.recovery = Recovery(width, **options) if self.loss_weights["recovery"] else None
        self.register_buffer("tower", torch.zeros(32, dtype=torch.uint8))  # hash of CLIP's image tower
        self.setting, self.parity, self.ignore = setting, parity, ignore_index
        self.crop, self.stride, self.seen_bias = slide_crop, slide_stride, seen_bias
        self.arguments = arguments | dict(vfm_model=None)

    @property
    def clip(self) -> DenseCLIP:
        """The frozen CLIP."""
        return self.frozen.open(self.text.device).clip

    def init_weights(self) -> None:
        """Begin a training: CLIP and text features."""
        super().init_weights()
        self.embed()
        self.tower = self.frozen.hash(self.text.device)

    def begin(self, path: Path) -> None:
        """As in `TextSegmentor`; refuses weights that were trained with another CLIP.

        Raises:
            WeightsError: the message says which.
        """
        super().begin(path)
        self._check_tower(path)

    def embed(self) -> None:
        """As in `TextSegmentor`; in the parity "upstream" rounded to float16, as the published code stores them."""
        super().embed()
        if self.parity == "upstream":
            self.text = self.text.half().float()

    def take(self, state: dict[str, Tensor], path: Path) -> None:
        """As in `SplitSegmentor`.

        Raises:
            WeightsError: the training had another CLIP.
        """
        super().take(state, path)
        self._check_tower(path)

    def halve(self, dtype: torch.dtype | None) -> None:
        """Image tower, prompts and decoder; text features stay as they are."""
        tower = self.frozen.open(self.text.device)
        tower.clip.model.visual.to(dtype)
        for part in (tower.positions, tower.regions):
            part.data = part.data.to(dtype)
        self.prompts.to(dtype)
        self.decode_head.to(dtype)

    def extract_feat(self, inputs: Tensor) -> Features:
        """Features of square images (N, 3, S, S), normalised by the data preprocessor."""
        tower = self.frozen.open(inputs.device)
        images = tower.clip.renormalise(inputs) if self.parity == "paper" else inputs
        return encode(tower, self.prompts, images.to(tower.positions.dtype), self.parity)

    def decode(self, inputs: Tensor, text: Tensor) -> Decoded:
        """Square images (N, 3, S, S) and text rows (C, D) -> logits and what is to be recovered."""
        number = self.decode_head.query_proj.weight.dtype
        features = Features(*(part.to(number) for part in self.extract_feat(inputs)))
        return self.decode_head(features, text.to(number))

    def logits(self, inputs: Tensor, samples: Sequence[SegDataSample] | None) -> Tensor:
        """Logits of square images (N, 3, S, S) on CLIP's grid, (N, names, S / patch, S / patch)."""
        return self.decode(inputs, self.text).logits

    def scores(self, crops: Tensor) -> Tensor:
        """Scores of square crops (N, 3, S, S) in pixels: (N, names, S, S), sigmoids less the bias of seen classes."""
        found = F.interpolate(self.logits(crops, None), size=crops.shape[2:], mode="bilinear").sigmoid()
        if self.setting == "inductive":
            found -= self.seen_bias * (self.seen == 1).to(found)[:, None, None]
        return found

    def slide(self, image: Tensor) -> Tensor:
        """Scores of an image (3, H, W) of any size, (names, H, W): the mean over the windows that have a pixel."""
        return slide(image, self.crop, self.stride, self.scores)

    def score(
        self, inputs: Tensor | Sequence[Tensor], samples: Sequence[SegDataSample] | None = None
    ) -> Iterator[Strips]:
        """As in `WholeImageSegmentor`, of windows."""
        for image in inputs:
            yield partial(windows.stitch, self.slide(image)[None], *windows.plan(image.shape[1:], 0, 1, 1))

    def encode_decode(self, inputs: Tensor, batch_img_metas: Any = None) -> Tensor:
        """Scores at the size of the images: (N, 3, H, W) -> (N, names, H, W)."""
        return torch.stack([self.slide(image) for image in inputs])

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses of a training step.

        Raises:
            ValueError: labels of unseen classes, which were to be hidden, are there.
        """
        labels = torch.stack([sample.gt_sem_seg.data[0] for sample in data_samples])
        if self.setting != "fully":
            check_hidden(labels, self.ids(seen=False))
        return self.step(inputs, labels)

    def step(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Weighted losses of images (N, 3, S, S) at labels (N, S, S): class ids, -1 (hidden) or the ignored one."""
        seen = self.ids(seen=True)
        decoded = self.decode(inputs, self.text[seen] if self.setting == "inductive" else self.text)
        logits = F.interpolate(decoded.logits, size=labels.shape[1:], mode="bilinear")
        labels = learnt(labels, logits.detach(), self.setting, seen, self.ids(seen=False), self.ignore)
        weights = self.loss_weights
        focal, dice = losses.segmentation(logits, labels, self.ignore, self.parity)
        found = {"loss_mask": weights["mask"] * focal, "loss_dice": weights["dice"] * dice}
        if self.recovery is not None:
            q, f = self.recovery(decoded.queries, decoded.patches)
            found["recovery_loss_q"] = weights["recovery"] * losses.recovery(q, decoded.first_queries)
            found["recovery_loss_k"] = weights["recovery"] * losses.recovery(f, decoded.first_patches)
        return found | {"acc_seg": accuracy(logits, labels, ignore_index=self.ignore)}

    def _check_tower(self, path: Path) -> None:
        if not torch.equal(self.tower, self.frozen.hash(self.text.device)):
            raise WeightsError(
                f"{path} was trained on another image tower than that of model_type={self.frozen.name[0]!r}, "
                f"clip_type={self.frozen.name[1]!r}: use the CLIP it was trained on"
            )

    def sizes(self, shape: Shape) -> Sizes:
        """As in `TrainedSegmentor`."""
        return sizes(self, shape)
