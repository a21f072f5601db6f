"""Resolve command-line options to one checked config, and find its data on disk."""

from __future__ import annotations

import importlib
import os
import uuid
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS

from proxyclip.engine.config.components import (
    BASE_SEGMENTOR,
    IncompatibleComponents,
    MethodInfo,
    check_combination,
    describe_method,
    parse_clip_spec,
    parse_vfm_spec,
)
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.config.overrides import apply_cfg_options, apply_method_file, set_model_args
from proxyclip.models.registry import is_plugin_file, list_plugins
from proxyclip.utils.paths import ROOT, find_existing_path
from proxyclip.utils.suggest import closest_match, did_you_mean

GENERATED_DATASETS = ("TinyWorldDataset",)  # datasets that make their data where they are missing
REGISTERED_MODULES = (
    "mmseg.datasets", "mmseg.models", "mmseg.evaluation", "proxyclip.data.benchmarks", "proxyclip.data.transforms",
    "proxyclip.models.preprocessor", *(f"proxyclip.models.segmentors.{name}" for name in list_plugins("methods")),
    "proxyclip.engine.evaluation.metrics", "proxyclip.engine.hooks", "proxyclip.engine.wrappers",
)  # fmt: skip
TRAINED_PARTS = (
    "proxyclip.engine.training",
    "proxyclip.models.trained.maskclip_plus",
    "proxyclip.models.trained.clip_rc",
)
METRIC_TYPES = ("SegMetric", "IoUMetric")  # two names of one class
DATA_ROOT_VARIABLE = "DATA_ROOT"  # the environment variable that configs read their data folder from
REPOSITORY_VARIABLE = (
    "PROXYCLIP"  # the one that configs outside the repository find their base with; set while they are read
)
TRAINING_ONLY_KEYS = (
    "train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "auto_scale_lr",
    "val_dataloader", "val_cfg", "val_evaluator", "sync_bn", "find_unused_parameters",
)  # fmt: skip
EVALUATE_CHECKPOINT_COMMAND = "python eval.py --config {config} --checkpoint work_dirs/train/NAME/iter_N.pth"


class ConfigNotFound(FileNotFoundError):
    """Config or method of the command line that does not exist."""

    exit_code = 2  # of the command, as for a wrong argument


def load_config(options: EvalOptions) -> Config:
    """Resolve and check the config that `options` describe; nothing is built and no data are read.

    Raises:
        ConfigNotFound: no such config or method; the message has the closest names.
        Unfit: a method, a VFM and a CLIP that do not go together, or any of them with a trained model.
        ValueError: an unknown name, an override that fits nothing in the config, or a trained model without checkpoint.
        FileNotFoundError: there is no such checkpoint.
    """
    cfg = merge_config(options)
    method = describe_method(cfg.model)
    prepare_trained_config(cfg, options, method)
    _apply_options(cfg, options)
    check_model_components(cfg, method)
    return cfg


def merge_config(options: EvalOptions) -> Config:
    """Merge a config file, the method, the VFM, the CLIP, the checkpoint and single values, in this order."""
    with (
        _temporary_variable(DATA_ROOT_VARIABLE, options.data_root),
        _temporary_variable(REPOSITORY_VARIABLE, str(ROOT)),
    ):
        cfg = Config.fromfile(find_config(options.config))
        reject_component_flags(cfg, options)
        if options.method is not None:
            apply_method_file(cfg, find_method_file(options.method))
    if options.vfm is not None:
        set_model_args(cfg, vfm_model=parse_vfm_spec(options.vfm))
        if "checkpoint" in cfg.model:
            set_model_args(cfg, checkpoint=None)  # the weights of another VFM
    if options.clip is not None:
        set_model_args(cfg, **parse_clip_spec(options.clip, cfg.model))
    if options.checkpoint is not None:
        set_model_args(cfg, checkpoint=options.checkpoint)
    apply_cfg_options(cfg, options.cfg_options)
    return cfg


def reject_component_flags(cfg: Config, options: EvalOptions) -> None:
    """Refuse --method, --vfm and --clip for a trained model.

    Raises:
        Unfit: one of them is set.
    """
    values = {f"--{name}": getattr(options, name) for name in ("method", "vfm", "clip")}
    flags = " ".join(f"{flag} {value}" for flag, value in values.items() if value is not None)
    if flags and describe_method(cfg.model).needs_checkpoint:
        raise IncompatibleComponents(
            f"{flags} does not go with {cfg.model.type}: its parts were trained together and their weights are in its "
            f"checkpoint. Leave out {flags}, or evaluate a config of another method"
        )


def prepare_trained_config(cfg: Config, options: EvalOptions, method: MethodInfo) -> None:
    """Set the checkpoint of a trained model and remove the keys of training; other models stay as they are.

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
    command = EVALUATE_CHECKPOINT_COMMAND.format(config=options.config)
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


def check_model_components(cfg: Config, method: MethodInfo) -> None:
    """Refuse components that do not go together (see `check_combination`), naming methods that would do."""
    try:
        check_combination(cfg.model, method)
    except IncompatibleComponents as error:
        alternatives = [
            name for name in list_methods() if describe_method_file(name).guided in (not method.guided, None)
        ]
        preposition = "without" if method.guided else "with"
        raise IncompatibleComponents(f"{error}; {preposition} a VFM: {', '.join(alternatives)}") from None


def list_methods() -> list[str]:
    """List the names of all methods: the files of configs/method."""
    return sorted(path.stem for path in (ROOT / "configs" / "method").glob("*.py"))


def find_method_file(name: str) -> Path:
    """Find the file of a method: a name of configs/method, or the path of a .py file."""
    if is_plugin_file(name):
        return find_config(name)
    if name in list_methods():
        return ROOT / "configs" / "method" / f"{name}.py"
    closest = closest_match(name, list_methods())
    hint = f" Did you mean {closest}?" if closest else ""
    raise ConfigNotFound(
        f"There is no method {name!r}: expected one of {', '.join(list_methods())}, or my/own.py.{hint}"
    )


@cache
def describe_method_file(name: str) -> MethodInfo:
    """Describe the method of a file: a name of configs/method, or the path of a .py file."""
    return describe_method({"type": BASE_SEGMENTOR, **Config.fromfile(find_method_file(name)).model})


@contextmanager
def _temporary_variable(name: str, value: str | None) -> Iterator[None]:
    """Set an environment variable inside the block; None leaves it as it is."""
    previous = os.environ.get(name)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        if value is not None:
            os.environ.pop(name)
            if previous is not None:
                os.environ[name] = previous


def find_config(name: str) -> Path:
    """Find the config file `name` in the current folder, else in the repository."""
    for path in (Path(name), ROOT / name):
        if path.is_file():
            return path.resolve()
    known = _known_configs()
    shown = [path for path in known if not path.startswith("configs/trained/")]
    omitted = f" and {len(known) - len(shown)} below configs/trained" if len(known) > len(shown) else ""
    suggestion = did_you_mean(name.replace("\\", "/"), known, 1, 0.5)
    hint = suggestion or f"known are {', '.join(shown) or 'none'}{omitted}"
    raise ConfigNotFound(f"There is no config {name!r}: {hint}")


def config_name(cfg: Config) -> str:
    """Name of a config: `cfg_voc21`, or `sclip/cfg_voc21` for a variant; outside configs/ that of the file."""
    path = Path(cfg.filename).resolve()
    config_dir = ROOT / "configs"
    return path.relative_to(config_dir).with_suffix("").as_posix() if path.is_relative_to(config_dir) else path.stem


def find_missing_data(cfg: Config) -> list[Path]:
    """List the folders and files that the test data set of `cfg` names and that are not on disk."""
    dataset = cfg.test_dataloader.dataset
    root = dataset.get("data_root")
    if root is None or dataset.get("type") in GENERATED_DATASETS:
        return []
    names = [*dataset.get("data_prefix", {}).values(), dataset.get("ann_file", "")]
    paths = [Path(root) / name for name in names if name] or [Path(root)]
    return [path for path in paths if not path.exists()]


def missing_data_message(cfg: Config, missing: list[Path]) -> str:
    """Explain missing data and the remedy."""
    dataset_type = cfg.test_dataloader.dataset.get("type")
    register_modules()
    source = getattr(DATASETS.get(str(dataset_type)), "source", "")
    return (
        f"The data of {dataset_type} are not on disk: {', '.join(map(str, missing))} not found. {source} "
        f"Say where they are with --data-root DIR or the environment variable {DATA_ROOT_VARIABLE}; docs/datasets.md shows the "
        "folders below DIR."
    )


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
        _set_scoring(cfg, options.scoring)
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


def _set_scoring(cfg: Config, scoring: str) -> None:
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, (list, tuple)) else [cfg.test_evaluator]
    seg_metrics = [evaluator for evaluator in evaluators if evaluator.get("type") in METRIC_TYPES]
    if not seg_metrics:
        raise ValueError(f"--scoring {scoring} needs a test_evaluator of type {' or '.join(METRIC_TYPES)}")
    for evaluator in seg_metrics:
        evaluator["scoring"] = scoring


def set_data_root(dataset: MutableMapping, data_root: str | None) -> None:
    """Set `data_root` of a data set: that of --data-root, else the config's own, else the repository's."""
    root = dataset.get("data_root")
    if not root:
        return
    if data_root is not None:
        if not Path(root).is_relative_to(data_root):
            dataset["data_root"] = data_root  # a config that does not read the environment variable
    elif Path(root).exists() or os.environ.get(DATA_ROOT_VARIABLE):
        return
    elif (ROOT / root).exists() or dataset.get("type") in GENERATED_DATASETS:
        dataset["data_root"] = str(ROOT / root)


def _known_configs() -> list[str]:
    patterns = ("cfg_*.py", "sclip/cfg_*.py", "method/*.py", "trained/**/*.py")
    paths = [path.relative_to(ROOT) for pattern in patterns for path in (ROOT / "configs").glob(pattern)]
    return sorted(path.as_posix() for path in paths if not any(part.startswith("_") for part in path.parts))


def register_modules() -> None:
    """Import the modules whose classes configs of training-free models name: MMSegmentation's, then this project's."""
    for name in REGISTERED_MODULES:
        importlib.import_module(name)


def register_all_modules() -> None:
    """Import the modules whose classes any config may name."""
    for name in (*REGISTERED_MODULES, *TRAINED_PARTS):
        importlib.import_module(name)


def activate_scope(cfg: Config) -> None:
    """Activate the scope of the config, so that its names are looked up in MMSegmentation's registries."""
    DefaultScope.get_instance(f"eval-{uuid.uuid4().hex}", scope_name=cfg.default_scope)
