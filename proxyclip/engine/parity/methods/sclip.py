"""SCLIP: attention, windows, and slides with PAMR and the area threshold."""

from typing import Any

from torch import Tensor

from proxyclip.engine.parity.cases import (
    COSINES,
    FEATURES,
    FEW_LABELS,
    PROBABILITIES,
    ParityCase,
    ParityStage,
    Tolerance,
)
from proxyclip.engine.parity.world import ParityWorld, compute_image, compute_window
from proxyclip.models.layers.block import compute_attention_logits, compute_qkv
from proxyclip.models.segmentors.sclip_config import CLIPForSegmentation

FEATURES_FILE, SLIDE_FILE = "sclip_features", "sclip_slide_smooth96x144_c64_s32"
REFINED_PROBABILITIES = Tolerance(5e-5)


def compute_sclip_attention(model: Any, image: Tensor) -> Tensor:
    """Compute the last block's attention, the sum of two softmaxes (heads, 1+N, 1+N)."""
    q, k, _ = compute_qkv(model.clip.last, model.clip.tokens(image)[0])
    return (compute_attention_logits(q, q).softmax(-1) + compute_attention_logits(k, k).softmax(-1))[0]


def _make_window(image: str, attention: bool = False) -> ParityCase:
    def compute(world: ParityWorld) -> dict[str, Any]:
        model = world.build(CLIPForSegmentation, clip_path="", slide_crop=0)
        x = world.golden.image(image)
        return {"last_attn": compute_sclip_attention(model, x), **compute_window(model, x)}

    stages = {"logits": ParityStage(COSINES, f"{image}_csa_logits_syn3", FEATURES_FILE)}
    if attention:
        stages = {"last_attn": ParityStage(FEATURES, f"{image}_csa_last_attn", FEATURES_FILE)} | stages
    return ParityCase("sclip", image, compute, stages)


def _make_slide(
    ending: str, probabilities: Tolerance, scores: Tolerance | None = None, threshold: float = 0.0, **options: Any
) -> ParityCase:
    def compute(world: ParityWorld) -> dict[str, Any]:
        crop, stride, *size = world.golden.arrays(SLIDE_FILE)["crop_stride_ori"].tolist()
        model = world.build(CLIPForSegmentation, clip_path="", slide_crop=crop, slide_stride=stride, **options)
        return compute_image(model, world.golden.image("smooth96x144"), size, (threshold,))

    compared = {"seg_logits": probabilities, f"pred_thd{threshold}": FEW_LABELS}
    arrays = {"logits": "slide_logits", "seg_logits": "seg_logits", f"pred_thd{threshold}": "seg_pred"}
    if scores is not None:
        compared = {"logits": scores} | compared
    stages = {
        stage: ParityStage(tolerance, f"csa{ending}_{arrays[stage]}", SLIDE_FILE)
        for stage, tolerance in compared.items()
    }
    return ParityCase("sclip", f"slide96x144{ending}", compute, stages)


CASES = (
    _make_window("smooth64", attention=True),
    _make_window("smooth224x336"),
    _make_slide("", PROBABILITIES, COSINES),
    _make_slide("_pamr10", REFINED_PROBABILITIES, FEATURES, pamr_steps=10, pamr_stride=(8, 16)),
    *(
        _make_slide(
            f"_scale65_area{area}_thd{threshold}",
            REFINED_PROBABILITIES,
            threshold=threshold,
            logit_scale=65,
            area_thd=area,
        )
        for area in (0.1, 0.5)
        for threshold in (0.0, 0.1)
    ),
)
