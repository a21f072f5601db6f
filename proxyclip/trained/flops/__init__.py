"""Parameters of a trained model and FLOPs of its evaluation, part by part. No weights, no data and no GPU are needed.

PyTorch's FlopCounterMode counts on fake tensors, which have a shape and no numbers: convolutions and matrix products,
those of attention among them. Norms, activations, softmax and resizing are not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any

import open_clip
import torch
from mmseg.registry import MODELS
from open_clip.transform import PreprocessCfg
from open_clip.utils import to_2tuple
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ... import choices, windows
from ...clip import DenseCLIP
from ...clip_weights import architecture, check_supported
from ..clip_rc import CLIPRC
from ..clip_rc.encoder import Tower
from ..maskclip_plus import MaskCLIPPlus
from ..maskclip_plus.class_weight import weigh

Shape = tuple[int, int]
SCALES = ("logit_scale", "logit_bias")  # of CLIP's own training


@dataclass(frozen=True)
class Part:
    """A part of a model: its parameters, and MACs of an evaluation of one image; None where only training has it."""

    name: str
    parameters: int
    trainable: int
    macs: int | None


@dataclass(frozen=True)
class Count:
    """What was counted for an image of `shape` (h, w), which the model looks at in `windows` of `window`."""

    model: str
    classes: int
    shape: Shape
    windows: int
    window: Shape
    parts: tuple[Part, ...]

    @property
    def total(self) -> Part:
        """The sum of all parts."""
        sums = (sum(getattr(part, key) or 0 for part in self.parts) for key in ("parameters", "trainable", "macs"))
        return Part("total", *sums)


def count(model: Mapping[str, Any], shape: Shape | None = None) -> Count:
    """Parameters and MACs of one image with all classes, in evaluation mode.

    Args:
        model: config of a CLIPRC or a MaskCLIPPlus; `mmseg.registry.MODELS` has to know it.
        shape: (h, w) of the image after the test pipeline has resized it; default the training crop.

    Raises:
        ValueError: another model, or a shape that the model cannot take.
    """
    if not choices.trained(model):
        raise ValueError(
            f"{model['type']} is not trained: expected a config of CLIP-RC or MaskCLIP+ below configs/trained, other "
            "than that of a teacher"
        )
    built = MODELS.build(choices.buildable(model))
    if not isinstance(built, (CLIPRC, MaskCLIPPlus)):
        raise ValueError(f"Expected a config of a CLIPRC or a MaskCLIPPlus, but got one of {type(built).__name__}")
    h, w = shape or _crop(model)
    if h < 1 or w < 1:
        raise ValueError(f"Expected the shape of an image to be at least 1 x 1, but got {h} x {w}")
    trained = {id(weight) for weight in built.parameters() if weight.requires_grad}
    built.eval().requires_grad_(False)
    with _fake():
        if isinstance(built, CLIPRC):
            number, window, parts = _windows(built, (h, w)), (built.crop, built.crop), _clip_rc(built)
        else:
            number, window, parts = 1, (h, w), _maskclip_plus(built, (h, w))
        found = tuple(
            Part(name, _size(weights), _size(p for p in weights if id(p) in trained), macs and macs * number)
            for name, weights, macs in parts
        )
    return Count(type(built).__name__, len(built.vocabulary), (h, w), number, window, found)


def macs_of(forward: Callable[..., Any], *inputs: Any) -> int:
    """Multiplications of a forward, each with its addition: half of PyTorch's count of FLOPs."""
    with FlopCounterMode(display=False) as counter:
        forward(*inputs)
    return counter.get_total_flops() // 2


def _crop(model: Mapping[str, Any]) -> Shape:
    size = (model.get("data_preprocessor") or {}).get("size")
    if size is None:
        raise ValueError("The config has no crop, model.data_preprocessor.size: say --shape HEIGHT WIDTH")
    return tuple(size)


Weighed = Iterator[tuple[str, list[nn.Parameter], int | None]]


def _clip_rc(model: CLIPRC) -> Weighed:
    frozen = model.frozen
    clip = _outline(frozen.name[0])
    frozen.tower = tower = Tower(DenseCLIP(clip, lambda words: torch.zeros(0)), frozen.grid, frozen.regions)
    # its own position table is the one for the crop
    visual = [weight for name, weight in clip.visual.named_parameters() if name != "positional_embedding"]
    window = torch.zeros(1, 3, model.crop, model.crop)
    encoder = macs_of(model.extract_feat, window)
    head = macs_of(model.scores, window) - encoder
    yield "image encoder", [*visual, tower.positions, tower.regions, *model.prompts.parameters()], encoder
    yield "decode head", [*model.decode_head.parameters()], head
    yield "text encoder", _text(clip), None
    if model.recovery is not None:
        yield "recovery", [*model.recovery.parameters()], None


def _windows(model: CLIPRC, shape: Shape) -> int:
    """How many windows an evaluation looks at; a smaller image is filled up to one."""
    rows, columns = windows.plan([max(side, model.crop) for side in shape], model.crop, model.stride, 1)
    return len(rows.starts) * len(columns.starts)


def _maskclip_plus(model: MaskCLIPPlus, shape: Shape) -> Weighed:
    image, guide = torch.zeros(1, 3, *shape), model.guide
    try:
        backbone = macs_of(model.backbone, image)
        head = macs_of(model.encode_decode, image) - backbone
    except RuntimeError as error:
        raise ValueError(f"The student cannot take an image of {shape[0]} x {shape[1]}: {error}") from error
    yield "backbone", [*model.backbone.parameters()], backbone
    yield "decode head", [*model.decode_head.parameters()], head
    if guide.weight_spec is not None:
        name = guide.weight_spec.get("model_type", "ViT-B-16")
        other = _outline(name)
        shown = torch.zeros(1, 3, *to_2tuple(architecture(name)["vision_cfg"]["image_size"]))
        macs = macs_of(lambda: weigh(other.encode_image(shown), torch.zeros_like(model.text), 1.0))
        yield "class weight", [*other.visual.parameters()], macs
    clip = _outline(guide.spec["model_type"])
    yield "teacher", [*clip.visual.parameters()], None
    yield "text encoder", _text(clip), None


def _size(weights: Iterable[nn.Parameter]) -> int:
    return sum(weight.numel() for weight in weights)


def _text(clip: Any) -> list[nn.Parameter]:
    return [weight for name, weight in clip.named_parameters() if not name.startswith("visual.") and name not in SCALES]


def _outline(model_type: str) -> Any:
    """A CLIP of open_clip without weights; call it among fake tensors, where it takes no memory.

    Raises:
        TypeError: a CLIP that this toolkit cannot open.
    """
    config = deepcopy(architecture(model_type))
    check_supported(model_type, config, resnets=True)
    own_text_tower = config.pop("custom_text", False)
    clip = (open_clip.CustomTextCLIP if own_text_tower else open_clip.CLIP)(**config)
    open_clip.set_model_preprocess_cfg(clip, asdict(PreprocessCfg()))
    return clip.eval().requires_grad_(False)


@contextmanager
def _fake() -> Iterator[None]:
    """Tensors without numbers, and attention as products that the counter sees, not as one operation it may not know.

    Not on the device "meta", on which PyTorch has no autocast, not even one that is off.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
