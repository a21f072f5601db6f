"""Students of MaskCLIP+ (arXiv 2112.01071): backbone and decode module.

Named students:

    deeplabv2_r50, deeplabv2_r101          ResNetV1c at output stride 8, sum of atrous convolutions
    deeplabv3plus_r50, deeplabv3plus_r101  the same backbones, DeepLabv3+; trains with two or more images a GPU, for it
                                           has a batch norm over one position an image
    segformer_b0 ... segformer_b5          MiT and the SegFormer head, output stride 4
    segformer_tiny, deeplab_tiny           for the tiny world: small images, from random weights, on a CPU

A student is configured as `dict(type=NAME, backbone=dict(...), decoder=dict(...), pretrained=...)`, where all but
`type` are optional and change the named student: `backbone=dict(drop_path_rate=0.2)`. A `backbone` or `decoder` of
another `type` replaces the named one. A custom student has no `type`:

    student=dict(
        backbone=dict(type="HRNet", ...),                          # of MMSegmentation, or type="my/backbone.py"
        decoder=dict(type="FCNHead", in_index=0, norm_cfg=...),    # the same; or "SumASPP", or type="my/decoder.py"
        pretrained="my/weights.pth",                               # see pretrained.py
    )

A custom file defines one class: the backbone returns a list of feature maps (N, C_i, h_i, w_i) for images
(N, 3, H, W), the decoder takes it and returns (N, D, h, w); its argument `channels` is D, and its optional argument
`in_channels` is C_i of the map `in_index` (by default the last).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from proxyclip.models.registry import list_constructor_arguments
from proxyclip.models.trained.maskclip_plus.decoders import build_decoder, resolve_student_part
from proxyclip.utils.suggest import closest_match

BATCH_NORM = dict(type="BN", requires_grad=True)
STUDENT_OPTIONS = ("backbone", "decoder", "pretrained")
PROBE_SIDE = 64  # pixels, of the image that probes the channels of a backbone


def _resnet(depth: int, **options: Any) -> dict[str, Any]:
    """Configure a ResNet with a stem of 3x3 convolutions and output stride 8."""
    strides = dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), contract_dilation=True)
    return dict(type="ResNetV1c", depth=depth, norm_eval=False, norm_cfg=BATCH_NORM, **strides, **options)


def _mit(width: int, depths: Sequence[int], heads: Sequence[int] = (1, 2, 5, 8), drop_path: float = 0.1):
    """Configure a MiT: stage i has `depths[i]` layers of `width * heads[i]` channels."""
    sizes: dict[str, Any] = dict(embed_dims=width, num_layers=tuple(depths), num_heads=tuple(heads))
    return dict(type="MixVisionTransformer", sr_ratios=(8, 4, 2, 1), drop_path_rate=drop_path, **sizes)


def _v3plus(dilations: Sequence[int], c1_channels: int) -> dict[str, Any]:
    options = dict(dilations=tuple(dilations), c1_channels=c1_channels, norm_cfg=BATCH_NORM)
    return dict(type="DepthwiseSeparableASPPHead", **options)


SEGFORMER_HEAD: dict[str, Any] = dict(type="SegformerHead", in_index=[0, 1, 2, 3], norm_cfg=BATCH_NORM)
MIT_VARIANTS = {
    "b0": (32, (2, 2, 2, 2)),
    "b1": (64, (2, 2, 2, 2)),
    "b2": (64, (3, 4, 6, 3)),
    "b3": (64, (3, 4, 18, 3)),
    "b4": (64, (3, 8, 27, 3)),
    "b5": (64, (3, 6, 40, 3)),
}
DEEPLAB_DECODERS: dict[str, dict[str, Any]] = {
    "deeplabv2": dict(type="SumASPP", dilations=(6, 12, 18, 24), norm_cfg=BATCH_NORM),
    "deeplabv3plus": _v3plus((1, 12, 24, 36), 48),
}
STUDENTS: dict[str, dict[str, Any]] = {
    f"{name}_r{depth}": dict(backbone=_resnet(depth), decoder=decoder, pretrained=f"timm/resnet{depth}c.gluon_in1k")
    for name, decoder in DEEPLAB_DECODERS.items()
    for depth in (50, 101)
}
STUDENTS |= {
    f"segformer_{size}": dict(backbone=_mit(*table), decoder=SEGFORMER_HEAD, pretrained=f"nvidia/mit-{size}")
    for size, table in MIT_VARIANTS.items()
}
STUDENTS |= {
    "segformer_tiny": dict(backbone=_mit(16, (2, 2, 2, 2), (1, 2, 4, 8), 0.0), decoder=SEGFORMER_HEAD, pretrained=None),
    "deeplab_tiny": dict(
        backbone=_resnet(18, stem_channels=16, base_channels=16), decoder=_v3plus((1, 3, 6, 9), 16), pretrained=None
    ),
}


def build_student(spec: Mapping[str, Any], channels: int) -> tuple[nn.Module, nn.Module, str | None]:
    """Build the backbone and the decode module of a student.

    The decode module is initialized: convolutions Kaiming-normal (fan-out, ReLU), batch norms 1 and 0. The
    backbone gets its own from `pretrained.load_pretrained`, which has to be called before training.

    Args:
        spec: `dict(type=NAME, **options)`, or the parts of a custom student, see above. `pretrained` is None,
            "default" (that of the named student), or a name that `load_pretrained` accepts.
        channels: D, the dimension of the text features, in which the decode module ends.

    Raises:
        ValueError: unknown name or type; the message lists the known ones. TypeError: an unknown option.
    """
    options = dict(spec)
    name = options.pop("type", None)
    if "type" in spec and name not in STUDENTS:
        closest = closest_match(name, STUDENTS)
        hint = f" Did you mean {closest!r}?" if closest else ""
        raise ValueError(
            f"Expected a student of {', '.join(STUDENTS)}, or backbone=dict(...) and decoder=dict(...) without a type, "
            f"but got {name!r}.{hint}"
        )
    named = STUDENTS.get(name, {})
    _check_student_options(name, named, options)
    parts = {}
    for part in ("backbone", "decoder"):
        base = named.get(part, {})
        changes = options.get(part) or {}
        is_same_type = changes.get("type", base.get("type")) == base.get("type")
        parts[part] = {**base, **changes} if is_same_type else dict(changes)
        _check_without_file(part, parts[part])
    cls, arguments = resolve_student_part("backbone", parts["backbone"])
    backbone = cls(**arguments)
    decoder = build_decoder(parts["decoder"], probe_feature_channels(backbone), channels)
    pretrained = options.get("pretrained", "default")
    return backbone, decoder, named.get("pretrained") if pretrained == "default" else pretrained


def _check_without_file(part: str, options: Mapping[str, Any]) -> None:
    """Refuse weights that MMEngine would read; those of `student.pretrained` are read by this package."""
    init = options.get("init_cfg")
    kinds = [item.get("type") for item in (init if isinstance(init, list | tuple) else [init]) if item]
    if options.get("pretrained") or "Pretrained" in kinds:
        raise ValueError(
            f"Expected student.{part} without weights of its own, but got pretrained or init_cfg of type Pretrained: "
            "name them as student.pretrained=FILE"
        )


def _check_student_options(name: str | None, named: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Reject unknown student options; hint at the part of a misplaced one."""
    wrong = sorted(set(options) - set(STUDENT_OPTIONS))
    if wrong:
        places = [
            f"{part}=dict({key}=...)"
            for key in wrong
            for part in ("backbone", "decoder")
            if part in named and key in list_constructor_arguments(resolve_student_part(part, named[part])[0])
        ]
        hint = f"; do you mean {' or '.join(places)}?" if places else ""
        raise TypeError(
            f"The student {name!r} has no option {wrong}; its options are {', '.join(STUDENT_OPTIONS)}{hint}"
        )
    for part in ("backbone", "decoder"):
        part_cfg = options.get(part, {} if named else None)
        if not isinstance(part_cfg, Mapping):
            raise TypeError(f"Expected student.{part}=dict(...), but got {part_cfg!r}")


def probe_feature_channels(backbone: nn.Module) -> list[int]:
    """List the channels of a backbone's feature maps by a forward of a blank image.

    Raises:
        TypeError: it does not return a list of feature maps.
    """
    training = backbone.training
    device = next(backbone.parameters()).device
    backbone.eval()  # by itself: MMSegmentation's ResNet.eval() returns None
    with torch.no_grad():
        maps = backbone(torch.zeros(1, 3, PROBE_SIDE, PROBE_SIDE, device=device))
    backbone.train(training)
    if not isinstance(maps, list | tuple) or any(feature_map.ndim != 4 for feature_map in maps):
        raise TypeError(f"Expected a list of feature maps (N, C, h, w) of {type(backbone).__name__}, got {type(maps)}")
    return [feature_map.shape[1] for feature_map in maps]
