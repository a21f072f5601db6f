"""Proxy attention: DINO and MAE as VFM, windows, slides, a whole image."""

import math
from typing import Any

from proxyclip.engine.parity.cases import COSINES, FEATURES, ParityCase, Tolerance
from proxyclip.engine.parity.methods._proxyclip import TOKENS, make_slide_case, make_window_case

# An entry of the attention within rounding of the cut at 0 moves single tokens; in smaller images there is none.
SOFT_TOKENS = Tolerance(5e-5, outlier_share=0.009, bound=5e-2)
SOFT_COSINES = Tolerance(5e-6, outlier_share=0.02, bound=5e-4)
SOFT_PROBABILITIES = Tolerance(2e-5, outlier_share=0.005, bound=2e-4)


def _make_square_case(image: str, beta: float, gamma: float, guide: bool = False) -> ParityCase:
    name = f"b{beta}_g{gamma}"
    default = (beta, gamma) == (1.2, 3.0)
    stages = {
        "feat": (f"feat_{name}", TOKENS),
        "logits": ("logits_syn3" if default else f"logits_syn3_{name}", COSINES),
    }
    if guide:
        stages = {"guide": ("ex_feats", TOKENS)} | stages
    options: dict[str, Any] = dict(attention=dict(type="proxy", beta=beta, gamma=gamma))
    return make_window_case("proxy", f"{image}_{name}", image, f"proxy_{image}", stages, vfm="dino", **options)


CASES = (
    make_window_case(
        "proxy", "smooth64_attention", "smooth64", "proxy_smooth64", {"weights": ("attn_weights", FEATURES)}, "dino"
    ),
    *(
        _make_square_case(image, *pair, guide=pair == (1.2, 3.0))
        for image in ("smooth64", "smooth112")
        for pair in ((1.2, 3.0), (1.0, 1.0), (0.8, 6.0))
    ),
    make_window_case(
        "proxy",
        "nonsquare224x336",
        "smooth224x336",
        "nonsquare_smooth224x336",
        {
            "guide": ("corrected_ex_feats", TOKENS),
            "feat": ("corrected_feat_b1.2_g3.0", SOFT_TOKENS),
            "logits": ("corrected_logits_syn3", SOFT_COSINES),
        },
        vfm="dino",
    ),
    make_window_case(
        "proxy",
        "mae_smooth112",
        "smooth112",
        "mae_smooth112_c224",
        {"guide": ("ex_feats", TOKENS), "feat": ("feat_b1.2_g3.0", TOKENS), "logits": ("logits_syn3", COSINES)},
        vfm="mae",
    ),
    make_slide_case(
        "proxy", "slide96x144", "smooth96x144", "syn3", "slide_smooth96x144_c64_s32", (0.0, 0.4), vfm="dino"
    ),
    make_slide_case(
        "proxy", "slide112_c56", "smooth112", "plain5", "slide_smooth112_c56_s28_plain5", (0.0, 0.3), vfm="dino"
    ),
    make_slide_case(
        "proxy",
        "slide336x500",
        "smooth336x500",
        "syn12",
        "slide_smooth336x500_c336_s112",
        (0.0, 0.2),
        vfm="dino",
        probabilities=SOFT_PROBABILITIES,
        labels=Tolerance(0, max_outliers=21, bound=math.inf),
    ),
    make_slide_case("proxy", "whole112", "smooth112", "syn3", "whole_smooth112", (0.5,), vfm="dino"),
)
