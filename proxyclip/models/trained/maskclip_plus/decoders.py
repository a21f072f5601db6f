"""Decode modules of the students: backbone features -> vectors like the text's, which is the classifier on them.

DeepLabv2's sum of atrous convolutions (Chen et al., arXiv
1606.00915) is here as MaskCLIP+ has it (Zhou et al., arXiv 2112.01071): batch norm and ReLU on each branch. The
others are decode heads of MMSegmentation whose classifier is the identity: DeepLabv3+ (arXiv 1802.02611), SegFormer
(arXiv 2105.15203), or any other. Names in the state dict are MMSegmentation's.

Parts of a student are configured like MMSegmentation's models: `dict(type=..., **options)`.
"""

import functools
import operator
from collections.abc import Sequence
from typing import Any

import mmseg.models  # noqa: F401  fills the registry
import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.models.decode_heads.aspp_head import ASPPModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from proxyclip.models.registry import is_plugin_file, list_constructor_arguments, load_plugin_class
from proxyclip.utils.suggest import closest_matches

STUDENT_PLUGINS = "trained.maskclip_plus"  # kind of plug-in, see `plugins.PLUGIN_PACKAGES`
TEXT_DERIVED_OPTIONS = ("channels", "num_classes", "out_channels")


@MODELS.register_module()
class SumASPP(nn.Module):
    """DeepLabv2's decode module: sum of dilated 3x3 convolutions with norm and ReLU.

    Args:
        in_channels: of the feature map that is read.
        channels: D, of the result.
        dilations: one a branch, each above 1, in positions of that feature map.
        in_index: which of the backbone's feature maps is read.
        norm_cfg: normalization of the branches, as in MMSegmentation.

    Raises:
        ValueError: a dilation below 2.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        dilations: Sequence[int] = (6, 12, 18, 24),
        in_index: int = -1,
        norm_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not dilations or min(dilations) < 2:  # ASPPModule would make a 1x1 convolution of dilation 1
            raise ValueError(f"Expected dilations of 2 or more, but got {tuple(dilations)}")
        self.in_index = in_index
        norm = norm_cfg or dict(type="BN", requires_grad=True)
        self.aspp_modules = ASPPModule(tuple(dilations), in_channels, channels, None, norm, dict(type="ReLU"))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Decode feature maps [(N, C_i, h_i, w_i)] to (N, D, h, w) of map `in_index`."""
        return functools.reduce(operator.add, (branch(features[self.in_index]) for branch in self.aspp_modules))


class TextHead(BaseModule):
    """Classifier logit_c(i) = <F_i, T_c> of plain features and fixed unit rows T, without bias and temperature.

    Args:
        decoder: backbone features -> F (N, D, h, w).
        channels: D.
        background: a learned vector of unit length as class 0, before the classes of the text.
        unit_features: make F unit, too.
    """

    def __init__(
        self, decoder: nn.Module, channels: int, background: bool = False, unit_features: bool = False
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self.unit_features = unit_features
        self.background = nn.Parameter(torch.randn(channels)) if background else None

    def matrix(self, text: Tensor) -> Tensor:
        """Stack the unit rows of all classes (classes, D), the background's first."""
        if self.background is None:
            return text
        return torch.cat([F.normalize(self.background, dim=0)[None], text])

    def forward(self, features: Any) -> Tensor:
        """Decode backbone features to F (N, D, h, w)."""
        return self.decoder(features)

    def classify(self, dense: Tensor, text: Tensor, weights: Tensor | None = None) -> Tensor:
        """Compute logits (N, classes, h, w) of F (N, D, h, w), always in float32.

        Args:
            text: unit rows (C, D).
            weights: factors of the classes of `text` (N, C); the background keeps its logit.
        """
        with torch.autocast(dense.device.type, enabled=False):
            dense = F.normalize(dense.float(), dim=1) if self.unit_features else dense.float()
            logits = torch.einsum("ndhw,cd->nchw", dense, self.matrix(text))
            if weights is None:
                return logits
            first = logits.shape[1] - weights.shape[1]
            return torch.cat([logits[:, :first], logits[:, first:] * weights[..., None, None]], 1)


def build_decoder(config: dict[str, Any], features: Sequence[int], channels: int) -> nn.Module:
    """Build a decode module from `dict(type=..., **options)`.

    Args:
        config: `type` is a name of MMSegmentation's registry, or a file my/own.py with one class. A decode head of
            MMSegmentation loses its classifier and, where `dropout_ratio` is not set, its dropout. `in_channels` and
            `c1_in_channels` follow from the backbone where they are not set.
        features: channels of the backbone's feature maps.
        channels: D, of the result; options of that meaning are refused.

    Raises:
        ValueError: unknown type. TypeError: an option that the type does not have, or that follows from the text.
    """
    cls, options = resolve_student_part("decoder", config)
    fixed = [key for key in TEXT_DERIVED_OPTIONS if key in options]
    if fixed:
        raise TypeError(f"The student's decoder got {fixed}, which follow from the text model: leave them out")
    accepted = list_constructor_arguments(cls)
    index = options.get("in_index", -1)
    read = [features[i] for i in index] if isinstance(index, Sequence) else features[index]
    known: dict[str, Any] = dict(in_channels=read, c1_in_channels=features[0], channels=channels)
    options = {key: value for key, value in known.items() if key in accepted} | options
    if not issubclass(cls, BaseDecodeHead):
        return cls(**options)
    head = cls(**dict(dropout_ratio=0.0, init_cfg=None, loss_decode=[]) | options, num_classes=channels)
    head.conv_seg = nn.Identity()
    return head


def resolve_student_part(part: str, config: dict[str, Any]) -> tuple[type, dict[str, Any]]:
    """Resolve the class of a part of a student, and split off its options.

    Args:
        part: its name, for messages.
        config: `dict(type=..., **options)`; `type` is a name of MMSegmentation's registry, or a file my/own.py that
            defines one public class.

    Raises:
        ValueError: no such type; the message has close ones. FileNotFoundError: no such file.
        TypeError: an option that the class does not have; the message lists its options.
    """
    options = dict(config)
    name = options.pop("type", None)
    if is_plugin_file(name):
        cls: Any = load_plugin_class(STUDENT_PLUGINS, name)
    else:
        cls = MODELS.get(name) if isinstance(name, str) else None
    if cls is None:
        close = closest_matches(name, MODELS.module_dict, 3, 0.5)
        hint = f"; close ones are {', '.join(close)}" if close else ""
        raise ValueError(
            f"Expected student.{part}=dict(type=..., ...) with a type of MMSegmentation or a file my/own.py, but got "
            f"type {name!r}{hint}"
        )
    accepted = list_constructor_arguments(cls)
    wrong = sorted(set(options) - set(accepted))
    if wrong:
        raise TypeError(f"The student's {part} {cls.__name__!r} has no option {wrong}; its options are {accepted}")
    return cls, options
