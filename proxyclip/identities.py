"""What an evaluation is known by: hashes of all that can change its number."""

from __future__ import annotations

import copy
from typing import Any

from mmengine.config import Config
from mmseg.registry import DATASETS

from proxyclip import checkpoint, configs
from proxyclip.choices import MethodInfo, describe_method
from proxyclip.configs import Options
from proxyclip.data.fingerprint import fingerprint
from proxyclip.results import identity
from proxyclip.runtime import pick_dtype

HARMLESS = ("model.precision=", "model.window_batch=", "test_dataloader.num_workers=", "test_dataloader.batch_size=")


def changes(options: Options) -> list[str]:
    """The overrides among `options` that can change a number, so that no published one applies."""
    return [word for word in options.cfg_options if not word.startswith(HARMLESS)]


def of_run(cfg: Config, device: str) -> str:
    """The identity of a run before it starts: the parts of the config that can change a number, the files the model
    names, the code, the data, and the number format on `device` ('cpu' or 'cuda'). Worker counts and folders have no
    part: data, and a checkpoint, that were moved are the same.

    Raises:
        FileNotFoundError, ValueError: the data are not there, or do not fit together.
    """
    return both(cfg, device, describe_method(cfg.model))[0]


def both(cfg: Config, device: str, method: MethodInfo) -> tuple[str, str]:
    """The identity of a run, and what it is known by while unfinished: the same without the data on disk."""
    loader = {k: v for k, v in cfg.test_dataloader.items() if k in ("dataset", "batch_size", "sampler")}
    loader["dataset"] = {k: v for k, v in loader["dataset"].items() if k != "data_root"}
    model, files, code = checkpoint.known_by(cfg.model, method)
    keys = ("test_cfg", "test_evaluator", "data_preprocessor", "randomness")
    dtype = str(pick_dtype(cfg.model.get("precision", "auto"), device))
    parts = ({"model": model} | {key: cfg.get(key) for key in keys}, loader, files, code, device, dtype)
    return identity(*parts, _data(cfg)), identity(*parts)


def _data(cfg: Config) -> dict[str, Any] | None:
    """The fingerprint of the data on disk; None for data that are made from what the config says."""
    if cfg.test_dataloader.dataset.get("type") in configs.SELF_MADE:
        return None
    configs.register()
    configs.use_scope(cfg)
    return fingerprint(DATASETS.build({**copy.deepcopy(cfg.test_dataloader.dataset), "serialize_data": False}))
