"""GLA-CLIP: one, four and many windows that see each other."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from proxyclip.engine.parity.case_maker import CaseMaker
from proxyclip.engine.parity.cases import COUNTS, FEATURES, ParityCase, ParityStage, Tolerance
from proxyclip.engine.parity.world import record_features
from proxyclip.models.segmentors.gla import GLACLIPSegmentation, shift_queries
from proxyclip.models.sliding.windows import cut_tiles

# A similarity next to rho falls on its other side on some processors, which moves the probabilities of its patch.
PROBABILITIES = Tolerance(2e-5, outlier_share=0.005, bound=5e-4)


def compute_gla_attention(model: Any, image: Tensor) -> dict[str, Tensor]:
    """Compute counts of keys, attention and features of all queries, window by window."""
    tiles = cut_tiles(image[0], *model.plan(image.shape[2:]))
    keys = F.normalize(model.guide(tiles).flatten(2), dim=1).mT.flatten(0, 1)
    _, counts = shift_queries(keys, keys, model.rho, model.rounds)
    weights = model.compute_weights(keys, keys, len(tiles))
    with record_features(model) as features:
        model.extract_windows([tiles])
    dense = torch.cat(features).flatten(2).mT.flatten(0, 1)
    return {"similar_count": counts[:, 0], "kept_per_row": (weights > 0).sum(1), "attn": weights, "feat": dense}


def _make_case(name: str, image: str, threshold: float, features: ParityStage) -> ParityCase:
    rows = f"{name}_attn_row_index"
    attention = ParityStage(Tolerance(2e-6), array=f"{name}_attn_rows", rows=rows)
    stages: dict[str, Tolerance | ParityStage] = {
        "similar_count": COUNTS,
        "kept_per_row": COUNTS,
        "attn": attention,
        "feat": features,
        "seg_logits": PROBABILITIES,
    }
    return _make.image(name, image, threshold, probabilities=True, more=compute_gla_attention, stages=stages)


_make = CaseMaker("gla", GLACLIPSegmentation, dict(vfm="dino", pad_multiple=56))

CASES = (
    _make_case("one112", "smooth112", 0.0, ParityStage(FEATURES)),
    *(
        _make_case(name, image, threshold, ParityStage(FEATURES, f"{name}_feat_rows", rows=f"{name}_attn_row_index"))
        for name, image, threshold in (("four224", "smooth224", 0.0), ("slide224x336", "smooth224x336", 0.3))
    ),
)
