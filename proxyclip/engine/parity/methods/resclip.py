"""ResCLIP: middle layers, first pass, feedback, attention; windows and a slide."""

from typing import Any

from torch import Tensor

from proxyclip.engine.parity.case_maker import CaseMaker
from proxyclip.engine.parity.cases import EXACT, Tolerance
from proxyclip.models.layers.block import compute_qkv
from proxyclip.models.segmentors.resclip import ResCLIPSegmentation, compute_semantic_feedback

MIXED, WIDE = "smooth336x500[112:224,200:312]", "smooth336x500[100:196,150:294]"


def compute_label_stage(model: Any, image: Tensor) -> dict[str, Tensor]:
    """Compute the labels of cells (h, w) after the first pass."""
    return {"3_patch_labels": compute_resclip_passes(model, image)["3_patch_labels"]}


def compute_resclip_passes(model: Any, image: Tensor) -> dict[str, Tensor]:
    """Compute what both passes have in between, for an image (1, 3, h, w)."""
    hidden, grid = model.clip.hidden(image)
    x, middle = hidden[-1], model.average_middle_layers(hidden)
    q, k, values = compute_qkv(model.clip.last, x)
    logits = model.compare_tokens(q, k)
    first = model.similarity(model.mix(x, values, model.compute_weights(logits, middle, grid), grid))
    labels = model.label_cells(first, image, grid)
    feedback = compute_semantic_feedback(labels, model.sigma, model.line_of_sight)
    return {
        "1_attn_rcs": middle[0],
        "2_first_probs": (model.refine_scores(first[0], image[0]) * model.scale).softmax(0),
        "3_patch_labels": labels[0],
        "4_attn_sfr": feedback[0],
        "5_last_attn": model.compute_weights(logits, middle, grid, feedback)[0],
    }


_make = CaseMaker("resclip", ResCLIPSegmentation, dict(depth=12))
_label_stage = {"3_patch_labels": EXACT}
_passes = {
    "1_attn_rcs": Tolerance(2e-6),
    "2_first_probs": Tolerance(2e-5),
    "3_patch_labels": EXACT,
    "4_attn_sfr": Tolerance(1e-6),
    "5_last_attn": Tolerance(1e-5),
}
_other_weights: dict[str, Any] = dict(label_threshold=0.5, residual_weight=0.6, feedback_temperature=1.8)

CASES = (
    _make.window("mix", MIXED, "plain5", compute_resclip_passes, _passes),
    _make.window("nonsquare96x144", WIDE, "syn3", compute_resclip_passes, _passes),
    _make.window("mix_b", MIXED, "plain5", compute_label_stage, _label_stage, feedback_weight=0.6, **_other_weights),
    _make.window("mix_nodel", MIXED, "plain5", compute_label_stage, _label_stage, line_of_sight=False),
    _make.image("slide96x144", "smooth96x144", 0.0, 0.4),
)
