"""Resolve command-line options to one checked config, and find its data on disk."""

import os
from collections.abc import Mapping, MutableMapping
from functools import cache
from pathlib import Path

from mmengine.config import Config
from mmseg.registry import DATASETS

from proxyclip.engine.config import components
from proxyclip.engine.config.names import find_config, find_method_file, list_methods
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.config.overrides import apply_cfg_options, apply_method_file, set_model_args
from proxyclip.engine.config.own_code import hash_own_code
from proxyclip.engine.config.reading import DATA_ROOT_VARIABLE, read_config
from proxyclip.engine.config.registration import generates_data
from proxyclip.utils.paths import ROOT, find_existing_path

METRIC_TYPES = ("SegMetric", "IoUMetric")  # two names of one class
TRAINING_ONLY_KEYS = (
    "train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "auto_scale_lr",
    "val_dataloader", "val_cfg", "val_evaluator", "sync_bn", "find_unused_parameters"
)  # fmt: skip


def load_config(options: EvalOptions) -> tuple[Config, components.MethodInfo]:
    """Resolve and check the config of `options`; nothing is built, no data are read.

    Returns:
        The config, and the method of its model.

    Raises:
        ConfigNotFound: no such config or method; the message has the closest names.
        IncompatibleComponents: a method, a VFM and a CLIP that do not go together, or any of them with a trained model.
        ValueError: an unknown name, an override that fits nothing in the config, or a trained model without checkpoint.
        FileNotFoundError: there is no such checkpoint.
    """
    cfg = merge_config(options)
    method = components.describe_method(cfg.model)
    complete_config(cfg, options, method)
    hash_own_code(cfg)  # as it was imported just now, for `check_code_current`
    return cfg, method


def merge_config(options: EvalOptions) -> Config:
    """Merge config, method, VFM, CLIP, checkpoint and --cfg-options, in this order."""
    cfg = read_config(find_config(options.config), options.data_root)
    values = {f"--{name}": getattr(options, name) for name in ("method", "vfm", "clip")}
    flags = " ".join(f"{flag} {value}" for flag, value in values.items() if value is not None)
    if flags and components.describe_method(cfg.model).needs_checkpoint:
        raise components.IncompatibleComponents(
            f"{flags} does not go with {cfg.model.type}: its parts were trained together and their weights are in "
            f"its checkpoint. Leave out {flags}, or evaluate a config of another method"
        )
    cfg.pop("protocol", None)  # what the model of a config of configs/<method> was made of
    if options.method is not None:
        apply_method_file(cfg, find_method_file(options.method))
    if options.vfm is not None:
        set_model_args(cfg, vfm_model=components.parse_vfm_spec(options.vfm))
        if "checkpoint" in cfg.model:
            set_model_args(cfg, checkpoint=None)  # the weights of another VFM
    if options.clip is not None:
        set_model_args(cfg, **components.parse_clip_spec(options.clip, cfg.model))
    if options.checkpoint is not None:
        set_model_args(cfg, checkpoint=options.checkpoint)
    apply_cfg_options(cfg, options.cfg_options)
    return cfg


def complete_config(cfg: Config, options: EvalOptions, method: components.MethodInfo) -> None:
    """Apply the other options to a merged config and check it (see `load_config`)."""
    prepare_trained_config(cfg, options, method)
    _apply_options(cfg, options)
    check_model_components(cfg, method)


def prepare_trained_config(cfg: Config, options: EvalOptions, method: components.MethodInfo) -> None:
    """Set the checkpoint of a trained model and remove the keys of training.

    A model is trained if its class says `trained = True`. It takes the arguments `precision` and `checkpoint`, a file
    that train.py wrote, which it loads itself in `prepare`.

    Raises:
        ValueError: a trained model without a checkpoint, or the other way round.
        FileNotFoundError: there is no such checkpoint.
    """
    model = cfg.model
    if not method.needs_checkpoint:
        if options.checkpoint is not None:
            raise ValueError(
                f"--checkpoint {options.checkpoint} is for models that were trained, but {model.type} of "
                f"{options.config} is training-free: leave it out. Weights of a VFM are said with --vfm NAME,FILE"
            )
        return
    command = f"python eval.py --config {options.config} --checkpoint work_dirs/train/NAME/iter_N.pth"
    if not model.get("checkpoint"):
        raise ValueError(
            f"{model.type} has to be trained before it is evaluated, but no checkpoint is given: train it first: "
            f"python train.py {options.config}; then {command}"
        )
    path = find_existing_path(model.checkpoint, "checkpoint")
    if not path.is_file():
        raise FileNotFoundError(f"Expected the checkpoint to be a file, but {path} is a folder: {command}")
    if not Path(model.checkpoint).is_file():
        model.checkpoint = str(path)  # one of the repository, or with a ~
    model.setdefault("precision", "fp32")
    for key in TRAINING_ONLY_KEYS:
        cfg.pop(key, None)
    cfg.model_wrapper_cfg = dict(type="EvalOnly")
    cfg.resume = False
    cfg.default_hooks = {**cfg.get("default_hooks", {}), "checkpoint": None, "param_scheduler": None}


def check_model_components(cfg: Config, method: components.MethodInfo) -> None:
    """Check the components (`check_combination`); an error lists fitting methods."""
    try:
        components.check_combination(cfg.model, method)
    except components.IncompatibleComponents as error:
        names = [name for name in list_methods() if describe_method_file(name).guided in (not method.guided, None)]
        preposition = "without" if method.guided else "with"
        raise components.IncompatibleComponents(f"{error}; {preposition} a VFM: {', '.join(names)}") from None


def _apply_options(cfg: Config, options: EvalOptions) -> None:
    if options.limit is not None and options.limit < 1:
        raise ValueError(f"Expected --limit to be 1 or more, but got {options.limit}")
    if options.save_every < 1 or options.gallery < 0:
        raise ValueError("Expected --save-every to be 1 or more and --gallery 0 or more")
    loader = cfg.test_dataloader
    if options.limit is not None:
        loader.dataset.indices = options.limit
    set_data_root(loader.dataset, options.data_root)
    if options.scoring != "correct":
        evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, (list, tuple)) else [cfg.test_evaluator]
        seg_metrics = [evaluator for evaluator in evaluators if evaluator.get("type") in METRIC_TYPES]
        if not seg_metrics:
            raise ValueError(f"--scoring {options.scoring} needs a test_evaluator of type {' or '.join(METRIC_TYPES)}")
        for evaluator in seg_metrics:
            evaluator["scoring"] = options.scoring
    if options.workers is not None:
        loader.num_workers = options.workers
    loader.persistent_workers = False  # one pass needs none, and they end late
    cfg.work_dir = str(Path(options.work_dir) / "logs" / config_name(cfg))
    cfg.launcher = options.launcher
    cfg.load_from = None  # the model loads its own weights
    cfg.setdefault("default_scope", "mmseg")
    cfg.setdefault("randomness", dict(seed=0))
    cfg.setdefault("model_wrapper_cfg", dict(type="EvalOnly"))
    hooks = [dict(hook) for hook in cfg.get("custom_hooks") or []]
    if all(hook.get("type") != "VocabularyCheckHook" for hook in hooks):
        hooks.append(dict(type="VocabularyCheckHook"))
    cfg.custom_hooks = hooks


@cache
def describe_method_file(name: str) -> components.MethodInfo:
    """Describe the method `name`: of configs/method, or a .py file."""
    model = read_config(find_method_file(name)).model
    return components.describe_method({"type": components.BASE_SEGMENTOR, **model})


def config_name(cfg: Config) -> str:
    """Return a config's path below configs/ without suffix, elsewhere its file name."""
    path = Path(cfg.filename).resolve()
    config_dir = ROOT / "configs"
    return path.relative_to(config_dir).with_suffix("").as_posix() if path.is_relative_to(config_dir) else path.stem


def explain_missing_data(dataset: Mapping) -> str | None:
    """Explain missing data of a data set config and the remedy; None if all exist."""
    root = dataset.get("data_root")
    dataset_type = dataset.get("type")
    if root is None or generates_data(dataset):
        return None
    names = [*dataset.get("data_prefix", {}).values(), dataset.get("ann_file", "")]
    paths = [Path(root) / name for name in names if name] or [Path(root)]
    missing = [str(path) for path in paths if not path.exists()]
    if not missing:
        return None
    source = getattr(DATASETS.get(str(dataset_type)), "source", "")
    return (
        f"The data of {dataset_type} are not on disk: {', '.join(missing)} not found. {source} "
        f"Say where they are with --data-root DIR or the environment variable {DATA_ROOT_VARIABLE}; docs/datasets.md "
        "shows the folders below DIR."
    )


def set_data_root(dataset: MutableMapping, data_root: str | None) -> None:
    """Set `data_root`: --data-root, else the config's own, else the repository's."""
    root = dataset.get("data_root")
    if not root:
        return
    if data_root is not None:
        if not Path(root).is_relative_to(data_root):
            dataset["data_root"] = data_root  # a config that does not read the environment variable
    elif Path(root).exists() or os.environ.get(DATA_ROOT_VARIABLE):
        return
    elif (ROOT / root).exists() or generates_data(dataset):
        dataset["data_root"] = str(ROOT / root)
