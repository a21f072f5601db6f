"""Build a segmentor and its test pipeline from config, method, VFM and CLIP names."""

from typing import Any

import numpy as np
import torch
from mmengine.logging import MMLogger
from mmseg.registry import MODELS, TRANSFORMS
from torch import Tensor

from proxyclip.engine.config.components import describe_method, resolve_model_type
from proxyclip.engine.config.load import check_model_components, merge_config, prepare_trained_config
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.config.overrides import check_model_arguments, set_model_args
from proxyclip.engine.config.registration import register_modules
from proxyclip.engine.config.weights import download_missing_weights

BASE_CONFIG = "configs/base_config.py"
LOADING_TRANSFORMS = ("LoadImageFromFile", "MyLoadAnnotations", "LoadAnnotations", "PackSegInputs")


class PreprocessPipeline:
    """Test-time transforms between file and model, mostly a resize."""

    def __init__(self, steps: list[dict[str, Any]]) -> None:
        self.steps = [TRANSFORMS.build(step) for step in steps if step["type"] not in LOADING_TRANSFORMS]

    def __call__(self, rgb: np.ndarray) -> Tensor:
        """Transform (H, W, 3) uint8 RGB to (3, h, w) uint8 BGR for the preprocessor."""
        bgr = np.ascontiguousarray(_widen_extreme_aspect(rgb)[..., ::-1])
        results: dict[str, Any] = dict(img=bgr, img_shape=bgr.shape[:2], ori_shape=bgr.shape[:2])
        for step in self.steps:
            results = step(results)
        return torch.from_numpy(np.ascontiguousarray(results["img"].transpose(2, 0, 1)))


def build_segmentor(
    config: str, clip: str | None, vfm: str | None, method: str | None, options: dict[str, Any]
) -> tuple[Any, PreprocessPipeline]:
    """Build the segmentor of a config on the CPU, and its test pipeline.

    Args:
        clip, vfm, method: replace those of the config, if not None.
        options: arguments of the model, over those of the config.

    Raises:
        ConfigNotFound, IncompatibleComponents, ValueError: see `engine.config.load`. WeightsError: weights that cannot
            be had.
    """
    if not MMLogger.check_instance_created("mmengine"):
        MMLogger.get_instance("mmengine", log_level="WARNING")
    requested = EvalOptions(config, method=method, vfm=vfm, clip=clip)
    cfg = merge_config(requested)
    set_model_args(cfg, **options)
    info = describe_method(cfg.model)
    prepare_trained_config(cfg, requested, info)
    check_model_arguments(cfg)
    check_model_components(cfg, info)
    if info.names_weights:
        download_missing_weights(cfg.model)
    register_modules()
    return MODELS.build(resolve_model_type(cfg.model)), PreprocessPipeline(cfg.test_pipeline)


def _widen_extreme_aspect(rgb: np.ndarray, max_ratio: int = 2048) -> np.ndarray:
    """Repeat rows or columns of extremely long images: a resize would leave none."""
    short, long = sorted(rgb.shape[:2])
    if long <= max_ratio * short:
        return rgb
    return rgb.repeat(-(-long // (max_ratio * short)), int(np.argmin(rgb.shape[:2])))


def resolve_device(name: str | torch.device) -> torch.device:
    """Resolve a device name; `auto` is a GPU if there is one.

    Raises:
        ValueError: no such device.
    """
    has_gpu = torch.cuda.is_available()
    if str(name) == "auto":
        return torch.device("cuda" if has_gpu else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"Expected device to be auto, cpu, cuda or cuda:1, but got {name!r}") from error
    if device.type == "cuda" and not has_gpu:
        raise ValueError(f"Expected a GPU for device {name!r}, but torch finds none here: say cpu")
    return device
