"""SCLIP's own config keywords on this toolkit's skeleton.

Wang, Mei and Yuille, "SCLIP: Rethinking Self-Attention for Dense Vision-Language Inference" (arXiv 2312.01597).
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from mmseg.registry import MODELS

from proxyclip.models.segmentors.proxyclip import ProxyCLIPSegmentation


@MODELS.register_module()
class CLIPForSegmentation(ProxyCLIPSegmentation):
    """Segmentor of published SCLIP configs.

    Its class files have ', ' between synonyms.

    Args:
        clip_path: OpenAI's name (`ViT-B/16`), or any value of `model_type` (`local-dir:FOLDER`, ...).
        name_path: vocabulary file.
        pamr_steps: steps of PAMR on the score maps; 0 is none.
        pamr_stride: dilations of PAMR in pixels.
        area_thd: share of the foreground below which a class is dropped; None is none.
        model_type: as in ProxyCLIPSegmentation; set by `--clip`, it wins over `clip_path`.
        clip_type: weights; default OpenAI's for a name, the folder's or repository's own for those.
        attention: strategy; default SCLIP's.
        options: others of ProxyCLIPSegmentation; steps of `refine` come after PAMR and the area threshold.
    """

    method: ClassVar[str | None] = None  # its attention's
    default_attention: ClassVar[str | None] = "sclip"
    separator = ", "

    def __init__(
        self,
        clip_path: str,
        name_path: str,
        pamr_steps: int = 0,
        pamr_stride: Sequence[int] = (8, 16),
        slide_crop: int = 224,
        area_thd: float | None = None,
        model_type: str | None = None,
        clip_type: str | None = None,
        attention: str | dict[str, Any] | None = "sclip",
        vfm_model: str | dict[str, Any] | None = None,
        refine: Sequence[str | dict[str, Any]] = (),
        **options: Any,
    ) -> None:
        name = model_type or clip_path
        steps: list[str | dict[str, Any]] = []
        if pamr_steps > 0:
            steps.append(dict(type="pamr", steps=pamr_steps, dilations=tuple(pamr_stride)))
        if area_thd is not None:
            steps.append(dict(type="area", threshold=area_thd))
        options |= dict(slide_crop=slide_crop, attention=attention, refine=[*steps, *refine])
        super().__init__(clip_type or (None if ":" in name else "openai"), name, vfm_model, name_path, **options)
