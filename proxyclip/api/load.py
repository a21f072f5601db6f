"""From words to a model: what config, method, VFM and CLIP stand for, built with the pipeline of its protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from huggingface_hub import constants
from mmengine.logging import MMLogger
from mmseg.registry import MODELS, TRANSFORMS
from torch import Tensor

from .. import checkpoint, choices, configs, overrides
from ..weights import fetch
from ..weights.catalogue import needed

REAL = "configs/base_config.py"
TINY = "configs/cfg_tinyworld.py"
READERS = ("LoadImageFromFile", "MyLoadAnnotations", "LoadAnnotations", "PackSegInputs")


def load(
    config: str, clip: str | None, vfm: str | None, method: str | None, options: dict[str, Any]
) -> tuple[Any, Pipeline]:
    """The segmentor of a config, with another CLIP, VFM or method and single options of the model over it, on the CPU.

    Raises:
        ConfigNotFound, Unfit, ValueError: see `configs.load`. WeightsError: weights that cannot be had.
    """
    if not MMLogger.check_instance_created("mmengine"):
        MMLogger.get_instance("mmengine", log_level="WARNING")
    given = configs.Options(config, method=method, vfm=vfm, clip=clip)
    cfg = configs.merged(given)
    overrides.put(cfg, **options)
    info = choices.describe_method(cfg.model)
    checkpoint.settle(cfg, given, info)
    overrides.check_model_arguments(cfg)
    configs.check_model(cfg, info)
    get_weights(cfg.model, vfm)
    configs.register()
    return MODELS.build(choices.buildable(cfg.model)), Pipeline(cfg.test_pipeline)


def get_weights(model: Mapping[str, Any], vfm: str | None = None) -> None:
    """Download what a model needs and this machine lacks, saying what, how big, from where and to where.

    Args:
        model: of a config. vfm: the words of --vfm, where they were said.

    Raises:
        WeightsError: it cannot be had; the message says the remedy. Offline, the models themselves say what they lack.
    """
    tower = ",".join(filter(None, (model.get("model_type"), model.get("clip_type"))))
    absent = [entry for entry in needed(tower, vfm or _guide(model)) if entry.place is None]
    if absent and not constants.HF_HUB_OFFLINE:
        print("Weights that are not on this machine yet are downloaded once (docs/install.md: without network)")
        for entry in absent:
            fetch.fetch(entry)


def _guide(model: Mapping[str, Any]) -> str | None:
    """The VFM of a config in the words of --vfm; None where there is none, or its weights are a file."""
    said = model.get("vfm_model")
    if not said:
        return None
    spec = {"type": said} if isinstance(said, str) else said
    if spec.get("checkpoint") or model.get("checkpoint"):
        return None
    return ",".join(filter(None, (spec["type"], spec.get("model"))))


class Pipeline:
    """What an evaluation does to a picture between its file and the model, mostly a resize."""

    def __init__(self, steps: list[dict[str, Any]]) -> None:
        self.steps = [TRANSFORMS.build(step) for step in steps if step["type"] not in READERS]

    def __call__(self, rgb: np.ndarray) -> Tensor:
        """(H, W, 3) uint8 RGB -> (3, h, w) uint8 BGR, as the model's preprocessor wants it."""
        bgr = np.ascontiguousarray(_thick(rgb)[..., ::-1])
        results: dict[str, Any] = dict(img=bgr, img_shape=bgr.shape[:2], ori_shape=bgr.shape[:2])
        for step in self.steps:
            results = step(results)
        return torch.from_numpy(np.ascontiguousarray(results["img"].transpose(2, 0, 1)))


def _thick(rgb: np.ndarray, most: int = 2048) -> np.ndarray:
    """Repeats the rows or columns of a picture more than `most` times longer than wide: a resize would leave none."""
    short, long = sorted(rgb.shape[:2])
    return rgb if long <= most * short else rgb.repeat(-(-long // (most * short)), int(np.argmin(rgb.shape[:2])))


def pick_device(name: str | torch.device) -> torch.device:
    """The device of a name; `auto` is a GPU if there is one. Raises ValueError where there is no such device."""
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
