"""Build the config of one training run from a config file and options."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from proxyclip.data.check import unwrap_dataset_config
from proxyclip.engine.config.load import METRIC_TYPES, config_name, explain_missing_data, merge_config, set_data_root
from proxyclip.engine.config.options import TrainOptions
from proxyclip.engine.config.overrides import check_model_arguments
from proxyclip.engine.config.own_code import hash_own_code
from proxyclip.engine.config.registration import activate_scope, register_modules
from proxyclip.engine.training.optim import enable_mixed_precision

DEFAULT_LOG_INTERVAL = 50  # iterations from one printed line to the next, by default


def load_train_config(options: TrainOptions) -> Config:
    """Load and check the config of a training; nothing is built.

    Raises:
        ConfigNotFound: no such config.
        ValueError: it is not for training, or an override fits nothing in it.
        FileNotFoundError: data it names are not on disk.
    """
    cfg = merge_config(options.evaluation())
    missing_keys = [name for name in ("train_dataloader", "train_cfg", "optim_wrapper") if cfg.get(name) is None]
    if missing_keys:
        raise ValueError(
            f"{options.config} is not for training: it has no {', '.join(missing_keys)}. eval.py evaluates it as it "
            "is; configs for train.py are below configs/trained."
        )
    cfg.setdefault("default_scope", "mmseg")
    for loader in _loaders(cfg, options.evaluate):
        dataset = unwrap_dataset_config(loader.dataset)
        set_data_root(dataset, options.data_root)
        missing = explain_missing_data(dataset)
        if missing is not None:
            raise FileNotFoundError(missing)
    register_modules()
    activate_scope(cfg)
    check_model_arguments(cfg)
    cfg.work_dir = str(Path(options.work_dir) / "train" / config_name(cfg).removeprefix("trained/"))
    hash_own_code(cfg)  # as it was imported just now, for `check_code_current`
    return cfg


def complete_train_config(cfg: Config, options: TrainOptions, device: str, world: int) -> None:
    """Fill in defaults and settings of the device and the number of processes.

    Raises:
        ValueError: mixed precision where it is not possible.
    """
    cfg.launcher = options.launcher
    cfg.randomness = {"seed": 0, **cfg.get("randomness", {})}
    if options.seed is not None:
        cfg.randomness["seed"] = options.seed
    wrapper = cfg.optim_wrapper
    if options.amp or wrapper.get("type") == "AmpOptimWrapper":
        cfg.optim_wrapper = enable_mixed_precision(wrapper, device)
    elif "dtype" in wrapper:
        raise ValueError(f"optim_wrapper.dtype={wrapper['dtype']} is of mixed precision: expected --amp with it")
    _configure_distributed(cfg, device, world)
    _configure_hooks(cfg)
    cfg.setdefault("log_processor", dict(by_epoch=False))
    schedulers = cfg.get("param_scheduler") or []
    for scheduler in schedulers if isinstance(schedulers, (list, tuple)) else [schedulers]:
        scheduler.setdefault("by_epoch", False)
    for loader in _loaders(cfg, with_test=False):
        if options.workers is not None:
            loader.num_workers = options.workers
        if not loader.get("num_workers"):
            loader.pop("persistent_workers", None)
            loader.pop("prefetch_factor", None)


def get_log_interval(cfg: Config) -> int:
    """Iterations from one printed line to the next, as in the LoggerHook."""
    return (cfg.default_hooks.get("logger") or {}).get("interval", DEFAULT_LOG_INTERVAL)


def _loaders(cfg: Config, with_test: bool) -> Iterator[Any]:
    names = ["train_dataloader", "val_dataloader"] + ["test_dataloader"] * with_test
    yield from (cfg[name] for name in names if cfg.get(name) is not None)


def _configure_distributed(cfg: Config, device: str, world: int) -> None:
    """Configure distributed training; drop `sync_bn` where it is unsupported."""
    if device == "cpu" or world == 1:
        cfg.pop("sync_bn", None)
    else:
        cfg.setdefault("sync_bn", "torch")
    wrapper_cfg = cfg.get("model_wrapper_cfg")
    if wrapper_cfg is None or wrapper_cfg.get("type") == "EvalOnly":
        unused = cfg.get("find_unused_parameters", False)
        cfg.model_wrapper_cfg = dict(type="AnyDeviceDDP", find_unused_parameters=unused)
    evaluators = cfg.get("val_evaluator") or []
    for number, evaluator in enumerate(evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]):
        if world > 1 and evaluator.get("type") in METRIC_TYPES and evaluator.get("collect_device", "cpu") == "cpu":
            evaluator.setdefault("collect_dir", str(Path(cfg.work_dir).resolve() / f".collect-{number}"))


def _configure_hooks(cfg: Config) -> None:
    hooks = {"logger": dict(type="LoggerHook", interval=DEFAULT_LOG_INTERVAL), **cfg.get("default_hooks", {})}
    if hooks.get("param_scheduler") is None:
        hooks["param_scheduler"] = dict(type="ParamSchedulerHook")
    checkpoint_cfg = {"type": "CheckpointHook", **(hooks.get("checkpoint") or {})}
    interval = cfg.train_cfg.get("val_interval") or max(1, cfg.train_cfg.max_iters // 10)
    checkpoint_cfg.setdefault("interval", interval)
    if checkpoint_cfg["type"] == "CheckpointHook":
        checkpoint_cfg["type"] = "SafeCheckpointHook"
    cfg.default_hooks = {**hooks, "checkpoint": checkpoint_cfg}
