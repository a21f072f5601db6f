"""CLIP-RC: a frozen CLIP with prompts, regional tokens and a small decoder.

Zhang et al., "Exploring Regional Clues in CLIP for Zero-Shot Semantic Segmentation" (CVPR 2024).
"""

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

from proxyclip.data.transforms import check_labels_suppressed
from proxyclip.models.base_segmentor import RowChunkFunction, record_arguments
from proxyclip.models.clip.dense import DenseCLIP
from proxyclip.models.clip.loading import get_clip_config
from proxyclip.models.segmentors.maskclip import IMAGENET_NORMALIZATION
from proxyclip.models.sliding.windows import check_window_size, plan_windows, stitch_tiles
from proxyclip.models.trained.base import PARITIES, check_choice
from proxyclip.models.trained.clip_rc.decoder import DecoderOutput, RecoveryDecoder, RegionDecoder, init_paper_weights
from proxyclip.models.trained.clip_rc.encoder import (
    DeepPrompts,
    LazyRegionTower,
    RegionFeatures,
    RegionTower,
    count_patches_per_side,
    encode_with_prompts,
    region_mask,
)
from proxyclip.models.trained.clip_rc.losses import (
    TRAINING_SETTINGS,
    build_training_labels,
    focal_and_dice_loss,
    recovery_l1_loss,
)
from proxyclip.models.trained.flops import (
    ImageShape,
    ModelPart,
    ModelSizes,
    build_clip_without_weights,
    count_macs,
    get_text_tower_part,
)
from proxyclip.models.trained.text import SplitSegmentor
from proxyclip.models.weights import WeightsError

DEFAULT_LOSS_WEIGHTS = dict(mask=100.0, dice=1.0, recovery=2.0)


@MODELS.register_module()
class CLIPRC(SplitSegmentor):
    """CLIP-RC, zero-shot segmentation with regional tokens.

    A checkpoint has prompts, decoder, text features and the split; CLIP itself is loaded again. SplitHook sets the
    unseen classes by `split`, from the metainfo of the training's data set.

    Args:
        model_type, clip_type: CLIP, as in `clip.load_clip`; a ViT.
        name_path: vocabulary file, one name a class; templates: over which the names are embedded.
        setting: knowledge of a training. "inductive": the names of the seen classes, and their labels; "transductive":
            all names, and where unseen classes are, but not which; "fully": all labels.
        prompts: K, of every block. regions: M, a square number.
        decoder: `layers`, `heads`, `hidden`, `dropout`, of `RegionDecoder`.
        loss_weights: `mask` (the focal loss), `dice`, `recovery`; recovery=0 leaves its decoder out.
        slide_crop: side of a training crop, and of a window; slide_stride: of the windows of an evaluation, in pixels.
        seen_bias: subtracted from the scores of seen classes, which are in (0, 1), in an inductive evaluation.
        parity: "upstream" with the quirks of the published code: images with ImageNet's mean and deviation, the class
            embedding added twice, ignored pixels as negatives of all classes, PyTorch's default initialization of the
            decoder, weight decay of norms (`ParityOptimWrapperConstructor`), text features rounded to float16. "paper":
            none of them.
        ignore_index: label that is not scored.
        checkpoint: file of train.py, for an evaluation; precision: there (auto, fp32, fp16, bf16).

    Raises:
        ValueError: an option out of its range, or unknown.
    """

    method: ClassVar[str] = "clip_rc"

    @record_arguments
    def __init__(
        self,
        model_type: str,
        name_path: str,
        clip_type: str | None = None,
        templates: Sequence[str] = ("a photo of a {}",),
        setting: str = "inductive",
        prompts: int = 10,
        regions: int = 16,
        decoder: dict[str, Any] | None = None,
        loss_weights: dict[str, Any] | None = None,
        slide_crop: int = 512,
        slide_stride: int = 426,
        seen_bias: float = 0.1,
        parity: str = "upstream",
        ignore_index: int = 255,
        checkpoint: str | None = None,
        precision: str = "fp32",
        data_preprocessor: dict[str, Any] | None = None,
    ) -> None:
        check_choice("parity", parity, PARITIES)
        check_choice("setting", setting, TRAINING_SETTINGS)
        check_window_size(slide_crop, slide_stride)
        config = get_clip_config(model_type)
        width = config["embed_dim"]
        vision = config["vision_cfg"]
        normalization = IMAGENET_NORMALIZATION if parity == "upstream" else {}
        super().__init__(
            checkpoint, width, setting == "fully", name_path=name_path, background=False, templates=templates,
            precision=precision, data_preprocessor=normalization | (data_preprocessor or {}),
        )  # fmt: skip
        grid = count_patches_per_side(slide_crop, vision)
        region_mask(grid, prompts, regions)  # refuses an impossible number of regions
        self.frozen = LazyRegionTower(model_type, clip_type, grid, regions)
        self.prompts = DeepPrompts(prompts, vision["width"], vision["layers"], vision["patch_size"])
        self.decode_head = RegionDecoder(width, **(decoder or {}))
        if parity == "paper":
            init_paper_weights(self.decode_head)
        self.loss_weights = DEFAULT_LOSS_WEIGHTS | (loss_weights or {})
        if set(self.loss_weights) != set(DEFAULT_LOSS_WEIGHTS):
            raise ValueError(f"Expected loss_weights of {', '.join(DEFAULT_LOSS_WEIGHTS)}, but got {loss_weights}")
        options = {key: value for key, value in (decoder or {}).items() if key != "layers"}
        self.recovery = RecoveryDecoder(width, **options) if self.loss_weights["recovery"] else None
        self.register_buffer("tower", torch.zeros(32, dtype=torch.uint8))  # hash of CLIP's image tower
        self.setting = setting
        self.parity = parity
        self.ignore = ignore_index
        self.crop = slide_crop
        self.stride = slide_stride
        self.seen_bias = seen_bias
        self.arguments = dict(vfm_model=None)

    @property
    def clip(self) -> DenseCLIP:
        """Frozen CLIP, loaded on first use."""
        return self.frozen.open(self.text.device).clip

    def init_weights(self) -> None:
        """Load what only a training needs: CLIP and text features."""
        super().init_weights()
        self.embed()
        self.tower = self.frozen.hash(self.text.device)

    def on_weights_loaded(self, path: Path) -> None:
        """Check the CLIP of the weights, after the split and the text features.

        Raises:
            WeightsError: the weights were trained with another CLIP.
        """
        super().on_weights_loaded(path)
        self._check_tower(path)

    def embed(self) -> None:
        """Compute the text features; "upstream" rounds them to float16, as published."""
        super().embed()
        if self.parity == "upstream":
            self.text = self.text.half().float()

    def load_trained_state(self, state: dict[str, Tensor], path: Path) -> None:
        """Load the tensors of a checkpoint, and check the CLIP of its training.

        Raises:
            WeightsError: the training had another CLIP.
        """
        super().load_trained_state(state, path)
        self._check_tower(path)

    def cast_for_inference(self, dtype: torch.dtype | None) -> None:
        """Cast image tower, prompts and decoder; text features stay float32."""
        tower = self.frozen.open(self.text.device)
        tower.clip.model.visual.to(dtype)
        for part in (tower.positions, tower.regions):
            part.data = part.data.to(dtype)
        self.prompts.to(dtype)
        self.decode_head.to(dtype)

    def extract_feat(self, inputs: Tensor) -> RegionFeatures:
        """Encode square images (N, 3, S, S), normalized by the data preprocessor."""
        tower = self.frozen.open(inputs.device)
        images = tower.clip.renormalize(inputs) if self.parity == "paper" else inputs
        return encode_with_prompts(tower, self.prompts, images.to(tower.positions.dtype), self.parity)

    def decode(self, inputs: Tensor, text: Tensor) -> DecoderOutput:
        """Decode square images (N, 3, S, S) with text rows (C, D)."""
        dtype = self.decode_head.query_proj.weight.dtype
        features = RegionFeatures(*(part.to(dtype) for part in self.extract_feat(inputs)))
        return self.decode_head(features, text.to(dtype))

    def logits(self, inputs: Tensor, samples: Sequence[SegDataSample] | None) -> Tensor:
        """Compute logits (N, names, S / patch, S / patch) of square images (N, 3, S, S)."""
        return self.decode(inputs, self.text).logits

    def scores(self, crops: Tensor) -> Tensor:
        """Score the pixels of square crops (N, 3, S, S): (N, names, S, S).

        Scores are sigmoids, less the bias of seen classes.
        """
        scores = F.interpolate(self.logits(crops, None), size=crops.shape[2:], mode="bilinear").sigmoid()
        if self.setting == "inductive":
            scores -= self.seen_bias * (self.seen == 1).to(scores)[:, None, None]
        return scores

    def slide(self, image: Tensor) -> Tensor:
        """Average the scores of windows in pixel space over an image (3, H, W) of any size: (names, H, W) float32.

        A side below a window is zero-padded, and the padding is cut off again.
        """
        h, w = image.shape[1:]
        image = F.pad(image, (0, max(self.crop - w, 0), 0, max(self.crop - h, 0)))
        rows, columns = plan_windows(tuple(image.shape[1:]), self.crop, self.stride, 1)
        total = image.new_zeros(len(self.names), *image.shape[1:], dtype=torch.float32)
        counts = torch.zeros_like(total[0])
        for y in rows.starts:
            for x in columns.starts:
                window = (..., slice(y, y + self.crop), slice(x, x + self.crop))
                total[window] += self.scores(image[None][window])[0]
                counts[window] += 1
        return (total / counts)[:, :h, :w]

    def score(
        self, inputs: Tensor | Sequence[Tensor], samples: Sequence[SegDataSample] | None = None
    ) -> Iterator[RowChunkFunction]:
        """Score images (3, H, W) by sliding windows, as functions of the output size."""
        for image in inputs:
            yield partial(stitch_tiles, self.slide(image)[None], *plan_windows(image.shape[1:], 0, 1, 1))

    def encode_decode(self, inputs: Tensor, batch_img_metas: Any = None) -> Tensor:
        """Scores at the size of the images: (N, 3, H, W) -> (N, names, H, W)."""
        return torch.stack([self.slide(image) for image in inputs])

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Compute the losses of a training step.

        Raises:
            ValueError: there are labels of unseen classes, which must be suppressed.
        """
        labels = torch.stack([sample.gt_sem_seg.data[0] for sample in data_samples])
        if self.setting != "fully":
            check_labels_suppressed(labels, self.ids(seen=False))
        return self.step(inputs, labels)

    def step(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Compute weighted losses of images (N, 3, S, S).

        Args:
            labels: (N, S, S), class ids, -1 (suppressed) or the ignored value.
        """
        seen = self.ids(seen=True)
        decoded = self.decode(inputs, self.text[seen] if self.setting == "inductive" else self.text)
        logits = F.interpolate(decoded.logits, size=labels.shape[1:], mode="bilinear")
        labels = build_training_labels(labels, logits.detach(), self.setting, seen, self.ids(seen=False), self.ignore)
        weights = self.loss_weights
        focal, dice = focal_and_dice_loss(logits, labels, self.ignore, self.parity)
        losses = {"loss_mask": weights["mask"] * focal, "loss_dice": weights["dice"] * dice}
        if self.recovery is not None:
            q, f = self.recovery(decoded.queries, decoded.patches)
            losses["recovery_loss_q"] = weights["recovery"] * recovery_l1_loss(q, decoded.first_queries)
            losses["recovery_loss_k"] = weights["recovery"] * recovery_l1_loss(f, decoded.first_patches)
        return losses | {"acc_seg": accuracy(logits, labels, ignore_index=self.ignore)}

    def _check_tower(self, path: Path) -> None:
        if not torch.equal(self.tower, self.frozen.hash(self.text.device)):
            raise WeightsError(
                f"{path} was trained on another image tower than that of model_type={self.frozen.name[0]!r}, "
                f"clip_type={self.frozen.name[1]!r}: use the CLIP it was trained on"
            )

    def sizes(self, shape: ImageShape) -> ModelSizes:
        """List parameters and MACs of each part for one image; a smaller one is padded to one window."""
        rows, columns = plan_windows([max(side, self.crop) for side in shape], self.crop, self.stride, 1)
        return ModelSizes(len(rows.starts) * len(columns.starts), (self.crop, self.crop), self._iter_parts())

    def _iter_parts(self) -> Iterator[ModelPart]:
        clip = build_clip_without_weights(self.frozen.name[0])
        tower = RegionTower(DenseCLIP(clip, lambda texts: torch.zeros(0)), self.frozen.grid, self.frozen.regions)
        self.frozen.tower = tower
        # the tower's own position table is the one for the crop
        visual = [weight for name, weight in clip.visual.named_parameters() if name != "positional_embedding"]
        window = torch.zeros(1, 3, self.crop, self.crop)
        macs = count_macs(self.extract_feat, window)
        yield ModelPart("image encoder", [*visual, tower.positions, tower.regions, *self.prompts.parameters()], macs)
        yield ModelPart("decode head", [*self.decode_head.parameters()], count_macs(self.scores, window) - macs)
        yield get_text_tower_part(clip)
        if self.recovery is not None:
            yield ModelPart("recovery", [*self.recovery.parameters()], None)
