"""Identity of a run: hash of everything that can change its result."""

import copy
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmseg.registry import DATASETS

from proxyclip.data.fingerprint import fingerprint_dataset
from proxyclip.engine.config.components import MethodInfo
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.config.registration import activate_scope, generates_data
from proxyclip.engine.evaluation.provenance import hash_code, hash_named_files
from proxyclip.models.precision import pick_model_dtype
from proxyclip.results.records import hash_identity
from proxyclip.utils.hashing import hash_file

RESULT_NEUTRAL_PREFIXES = (
    "model.precision=", "model.window_batch=", "test_dataloader.num_workers=", "test_dataloader.batch_size="
)  # fmt: skip


def number_changing_overrides(options: EvalOptions) -> list[str]:
    """List the overrides that can change a result, so that no published one applies."""
    return [assignment for assignment in options.cfg_options if not assignment.startswith(RESULT_NEUTRAL_PREFIXES)]


def run_identity(cfg: Config, method: MethodInfo, device: str) -> str:
    """Identity of a run before it starts.

    It is a hash of the parts of the config that can change a result, the files the model names, the code, the data, and
    the number format on `device` ('cpu' or 'cuda'). Worker counts and folders have no part: data, and a checkpoint,
    that were moved are the same.

    Raises:
        FileNotFoundError, ValueError: the data are not there, or do not fit together.
    """
    return run_and_resume_identity(cfg, method, device)[0]


def run_and_resume_identity(cfg: Config, method: MethodInfo, device: str) -> tuple[str, str]:
    """Identity of a run, and of its unfinished counts: that without data on disk."""
    loader = {key: value for key, value in cfg.test_dataloader.items() if key in ("dataset", "batch_size", "sampler")}
    loader["dataset"] = {key: value for key, value in loader["dataset"].items() if key != "data_root"}
    model = dict(cfg.model)
    if method.needs_checkpoint:
        model["checkpoint"] = hash_file(Path(cfg.model.checkpoint))  # its content, not its path
    files = hash_named_files(model)
    code = hash_code(method.uses_trained_code)
    keys = ("test_cfg", "test_evaluator", "data_preprocessor", "randomness")
    dtype = str(pick_model_dtype(cfg.model, device))
    parts = ({"model": model} | {key: cfg.get(key) for key in keys}, loader, files, code, device, dtype)
    return hash_identity(*parts, _data_fingerprint(cfg)), hash_identity(*parts)


def _data_fingerprint(cfg: Config) -> dict[str, Any] | None:
    """Fingerprint of the data on disk; None for data that are made from the config."""
    if generates_data(cfg.test_dataloader.dataset):
        return None
    activate_scope(cfg)
    return fingerprint_dataset(DATASETS.build({**copy.deepcopy(cfg.test_dataloader.dataset), "serialize_data": False}))
