"""The usual cases of a segmentor: an image as one window, and an image in windows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from proxyclip.engine.parity.cases import COSINES, FEATURES, LABELS, PROBABILITIES, ParityCase, ParityStage, Tolerance
from proxyclip.engine.parity.world import ParityWorld, compute_image, compute_window

StageFunction = Callable[[Any, Tensor], Mapping[str, Any]]  # (segmentor, image (1, 3, h, w)) -> {stage: full array}


@dataclass(frozen=True)
class CaseMaker:
    """Maker of cases whose arrays are CASE_STAGE of methods/METHOD.npz.

    Args:
        segmentor: class that is built for each case.
        options: of its constructor, and `depth` and `vfm`, the tiny models (`ParityWorld.build`); those of a case win.
    """

    method: str
    segmentor: Any
    options: Mapping[str, Any] = field(default_factory=dict)

    def window(
        self,
        name: str,
        image: str,
        classes: str = "syn3",
        more: StageFunction | None = None,
        stages: Mapping[str, Tolerance | ParityStage] | None = None,
        **options: Any,
    ) -> ParityCase:
        """Make a case of an image that is one window: feat and logits.

        Args:
            image: `NAME` or `NAME[y0:y1,x0:x1]` of the reference's images.
            classes: class list syn3, plain5 or syn12.
            more: computes further stages, the first ones of the case; `stages` has their tolerances, and may replace
                those of the usual ones.
            options: of the segmentor.
        """

        def compute(world: ParityWorld) -> dict[str, Any]:
            model = world.build(self.segmentor, classes, **{**self.options, **options})
            x = world.golden.image(image)
            return {**compute_window(model, x), **(more(model, x) if more else {})}

        own = dict(stages or {})
        return ParityCase(self.method, name, compute, own | {"feat": FEATURES, "logits": COSINES} | own)

    def image(
        self,
        name: str,
        image: str,
        *thresholds: float,
        classes: str = "syn3",
        ending: str = "",
        probabilities: bool = False,
        more: StageFunction | None = None,
        stages: Mapping[str, Tolerance | ParityStage] | None = None,
        **options: Any,
    ) -> ParityCase:
        """Make a case of an image in windows: logits, pred_thdT for each threshold T, and seg_logits.

        Crop, stride and the size of the labels are the array NAME_crop_stride_ori.

        Args:
            thresholds: values of `prob_thd`.
            ending: of the names of the label arrays.
            probabilities: compare the probabilities of the classes too, seg_logits.
            classes, more, stages, options: as for `window`.
        """

        def compute(world: ParityWorld) -> dict[str, Any]:
            crop, stride, *size = world.golden.arrays(f"methods/{self.method}")[f"{name}_crop_stride_ori"].tolist()
            slide = dict(slide_crop=crop, slide_stride=stride)
            model = world.build(self.segmentor, classes, **{**self.options, **slide, **options})
            x = world.golden.image(image)
            return {**compute_image(model, x, size, thresholds, ending), **(more(model, x) if more else {})}

        compared: dict[str, Tolerance | ParityStage] = {"logits": COSINES}
        if probabilities:
            compared["seg_logits"] = PROBABILITIES
        compared |= {f"pred_thd{threshold}{ending}": LABELS for threshold in thresholds}
        own = dict(stages or {})
        return ParityCase(self.method, name, compute, own | compared | own)
