"""Cases of ProxyCLIP's arrays, which have those of plain CLIP beside them (none_...)."""

from collections.abc import Mapping
from typing import Any

from proxyclip.engine.parity.cases import FEW_LABELS, PROBABILITIES, ParityCase, ParityStage, Tolerance
from proxyclip.engine.parity.world import ParityWorld, compute_image, compute_window
from proxyclip.models.segmentors.proxyclip import ProxyCLIPSegmentation

PADDING = 56  # of ProxyCLIP's published code
TOKENS = Tolerance(5e-5)


def build_proxyclip(world: ParityWorld, vfm: str | None, classes: str = "syn3", **options: Any) -> Any:
    """Build ProxyCLIP on a tiny VFM, or plain CLIP without one."""
    return world.build(ProxyCLIPSegmentation, classes, vfm=vfm, pad_multiple=PADDING, **options)


def make_window_case(
    method: str,
    name: str,
    image: str,
    file: str,
    stages: Mapping[str, tuple[str, Tolerance]],
    vfm: str | None = None,
    **options: Any,
) -> ParityCase:
    """Make a case of one window.

    Args:
        stages: stage -> its array and tolerance; guide is the VFM's features, weights the attention of `Proxy`.
    """

    def compute(world: ParityWorld) -> dict[str, Any]:
        model = build_proxyclip(world, vfm, **options)
        x = world.golden.image(image)
        computed: dict[str, Any] = compute_window(model, x)
        if vfm is not None:
            guide = model.guide(x)
            computed["guide"] = guide
            computed["weights"] = model.attention.weights(guide)[0]
        return computed

    compared = {stage: ParityStage(tolerance, array, file) for stage, (array, tolerance) in stages.items()}
    return ParityCase(method, name, compute, compared)


def make_slide_case(
    method: str,
    name: str,
    image: str,
    classes: str,
    file: str,
    thresholds: tuple[float, ...],
    vfm: str | None = None,
    probabilities: Tolerance = PROBABILITIES,
    labels: Tolerance = FEW_LABELS,
) -> ParityCase:
    """Make a case of an image in windows; without a crop in the file it is one window."""
    prefix = "" if vfm else "none_"

    def compute(world: ParityWorld) -> dict[str, Any]:
        arrays = world.golden.arrays(file)
        crop, stride, *size = arrays["crop_stride_ori"] if "crop_stride_ori" in arrays else (0, 112, *arrays["ori"])
        model = build_proxyclip(world, vfm, classes, slide_crop=int(crop), slide_stride=int(stride))
        return compute_image(model, world.golden.image(image), size, thresholds)

    stages = {"seg_logits": ParityStage(probabilities, f"{prefix}seg_logits", file)}
    for threshold in thresholds:
        stages[f"pred_thd{threshold}"] = ParityStage(labels, f"{prefix}seg_pred_thd{threshold}", file)
    return ParityCase(method, name, compute, stages)
