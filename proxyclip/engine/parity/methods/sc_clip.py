"""SC-CLIP: outliers, repaired and smoothed tokens, both passes; windows and a slide."""

from typing import Any

import torch
from torch import Tensor

from proxyclip.engine.parity.case_maker import CaseMaker
from proxyclip.engine.parity.cases import EXACT, Tolerance
from proxyclip.models.attention.proxy import Proxy
from proxyclip.models.segmentors import sc_clip
from proxyclip.models.segmentors.sc_clip import SCCLIPSegmentation


def compute_outliers(model: Any, image: Tensor) -> dict[str, Tensor]:
    """Compute the indices of outlier patches of an image (1, 3, h, w)."""
    x, _ = model.clip.tokens(image)
    return {"outliers": sc_clip.find_outlier_tokens(x[:, 1:], *model.lof)[0].nonzero()[:, 0]}


def compute_sc_clip_passes(model: Any, image: Tensor) -> dict[str, Tensor]:
    """Compute what lies between the tokens of an image (1, 3, h, w) and the sum of both passes."""
    hidden, grid = model.clip.hidden(image)
    x, post = hidden[-1], hidden[model.post][:, 1:]
    outliers = sc_clip.find_outlier_tokens(x[:, 1:], *model.lof)
    repaired, pre = (sc_clip.replace_outlier_tokens(tokens[:, 1:], outliers, grid) for tokens in (x, hidden[model.pre]))
    content = Proxy(beta=1.0, gamma=model.sharpness).weights(pre.mT.unflatten(2, grid))
    smoothed = sc_clip.smooth_tokens(repaired, pre, model.threshold)
    multi = torch.stack([hidden[layer] for layer in model.multi]).sum(0)
    first, second = (model.attend(tokens, content) for tokens in (smoothed, multi[:, 1:]))
    stages = {
        "lof_scores": sc_clip.compute_outlier_factors(x[:, 1:], model.lof[0]),
        "1_repaired": repaired,
        "2_pre_repaired": pre,
        "3_smoothed": smoothed,
        "4_attn_out": first,
        "5_post": sc_clip.smooth_tokens(first + model.cls_weight * x[:, :1], post, model.threshold),
        "6_multi_attn_out": second,
        "7_multi_post": sc_clip.smooth_tokens(second + model.cls_weight * multi[:, :1], post, model.threshold),
    }
    return {"outliers": outliers[0].nonzero()[:, 0]} | {name: tokens[0] for name, tokens in stages.items()}


_make = CaseMaker("sc_clip", SCCLIPSegmentation, dict(depth=12))
_outliers = {"outliers": EXACT}
_passes = {
    "lof_scores": Tolerance(5e-6),
    "outliers": EXACT,
    "1_repaired": Tolerance(1e-5),
    "2_pre_repaired": Tolerance(1e-5),
    "3_smoothed": Tolerance(5e-5),
    "4_attn_out": Tolerance(2e-5),
    "5_post": Tolerance(2e-5),
    "6_multi_attn_out": Tolerance(2e-5),
    "7_multi_post": Tolerance(2e-5),
}
_other_layers: dict[str, Any] = dict(pre_layer=7, post_layer=5, multi_layers=list(range(3, 9)), cls_weight=0.1)
_area: dict[str, Any] = dict(logit_scale=50, refine=[dict(type="area", threshold=0.1)])

CASES = (
    _make.window("smooth112", "smooth112", "syn3", compute_sc_clip_passes, _passes),
    _make.window("smooth224", "smooth224", "syn3", compute_outliers, _outliers),
    _make.window("mix_b", "smooth336x500[112:224,200:312]", "plain5", compute_outliers, _outliers, **_other_layers),
    _make.image("slide224x336", "smooth224x336", 0.0, 0.4, ending="_areaNone_scale40"),
    _make.image("slide224x336", "smooth224x336", 0.0, ending="_area0.1_scale50", **_area),
)
