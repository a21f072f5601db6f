"""From the words of a command line to one resolved config, its data on disk, and its identity."""

from __future__ import annotations

import difflib
import importlib
import os
import uuid
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import DefaultScope

from proxyclip import checkpoint, choices, plugins
from proxyclip.choices import MethodInfo
from proxyclip.options import Options
from proxyclip.overrides import apply_method, override, put
from proxyclip.paths import ROOT

SELF_MADE = ("TinyWorldDataset",)  # datasets that make their data where they are missing
PARTS = (
    "mmseg.datasets", "mmseg.models", "mmseg.evaluation", "proxyclip.data", "proxyclip.segmentor",
    *(f"proxyclip.methods.{name}" for name in plugins.known("methods")),
)  # fmt: skip
METRICS = ("SegMetric", "IoUMetric")  # two names of one class
DATA_ROOT = "DATA_ROOT"  # the environment variable that configs read their data folder from
HOME = "PROXYCLIP"  # the one that configs outside the repository find their base with; set while they are read


class ConfigNotFound(FileNotFoundError):
    """The config named on the command line does not exist."""


def load(options: Options) -> Config:
    """The config that `options` describe, resolved and checked; nothing is built and no data are read.

    Raises:
        ConfigNotFound: no such config or method; the message has the closest names.
        Unfit: a method, a VFM and a CLIP that do not go together, or any of them with a trained model.
        ValueError: an unknown name, an override that fits nothing in the config, or a trained model without checkpoint.
        FileNotFoundError: there is no such checkpoint.
    """
    cfg = merged(options)
    method = choices.describe_method(cfg.model)
    checkpoint.settle(cfg, options, method)
    _apply(cfg, options)
    check_model(cfg, method)
    return cfg


def merged(options: Options) -> Config:
    """The config alone: its file, over it the method, the VFM, the CLIP, the checkpoint, and last single values."""
    with _variable(DATA_ROOT, options.data_root), _variable(HOME, str(ROOT)):
        cfg = Config.fromfile(find_config(options.config))
        checkpoint.refuse_parts(cfg, options)
        if options.method is not None:
            apply_method(cfg, find_method(options.method))
    if options.vfm is not None:
        put(cfg, vfm_model=choices.vfm(options.vfm), **({"checkpoint": None} if "checkpoint" in cfg.model else {}))
    if options.clip is not None:
        put(cfg, **choices.clip(options.clip, cfg.model))
    if options.checkpoint is not None:
        put(cfg, checkpoint=options.checkpoint)
    override(cfg, options.cfg_options)
    return cfg


def check_model(cfg: Config, method: MethodInfo) -> None:
    """Refuse a model whose parts do not go together (see `check_combination`), naming methods that would do."""
    try:
        choices.check_combination(cfg.model, method)
    except choices.Unfit as error:
        others = [name for name in methods() if describe_method_file(name).guided in (not method.guided, None)]
        raise choices.Unfit(f"{error}; {'without' if method.guided else 'with'} a VFM: {', '.join(others)}") from None


def methods() -> list[str]:
    """The names of all methods: the files of configs/method."""
    return sorted(path.stem for path in (ROOT / "configs" / "method").glob("*.py"))


def find_method(name: str) -> Path:
    """The file of a method: a name of configs/method, or the path of a .py file."""
    if plugins.is_file(name):
        return find_config(name)
    if name in methods():
        return ROOT / "configs" / "method" / f"{name}.py"
    guess = difflib.get_close_matches(name, methods(), n=1)
    hint = f" Did you mean {guess[0]}?" if guess else ""
    raise ConfigNotFound(f"There is no method {name!r}: expected one of {', '.join(methods())}, or my/own.py.{hint}")


@cache
def describe_method_file(name: str) -> MethodInfo:
    """The method of a file: a name of configs/method, or the path of a .py file."""
    return choices.describe_method({"type": choices.BASE, **Config.fromfile(find_method(name)).model})


@contextmanager
def _variable(name: str, value: str | None) -> Iterator[None]:
    """Set an environment variable for a while; None leaves it as it is."""
    before = os.environ.get(name)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        if value is not None:
            os.environ.pop(name)
            if before is not None:
                os.environ[name] = before


def find_config(name: str) -> Path:
    """The config file `name`, looked for in the current folder, then in the repository."""
    for place in (Path(name), ROOT / name):
        if place.is_file():
            return place.resolve()
    known = _known_configs()
    guess = difflib.get_close_matches(name.replace("\\", "/"), known, n=1, cutoff=0.5)
    few = [one for one in known if not one.startswith("configs/trained/")]
    more = f" and {len(known) - len(few)} below configs/trained" if len(known) > len(few) else ""
    hint = f"did you mean {guess[0]}?" if guess else f"known are {', '.join(few) or 'none'}{more}"
    raise ConfigNotFound(f"There is no config {name!r}: {hint}")


def config_name(cfg: Config) -> str:
    """`cfg_voc21` for configs/cfg_voc21.py, `sclip/cfg_voc21` for a variant; the file's own name elsewhere."""
    path = Path(cfg.filename).resolve()
    home = ROOT / "configs"
    return path.relative_to(home).with_suffix("").as_posix() if path.is_relative_to(home) else path.stem


def missing_data(cfg: Config) -> list[Path]:
    """The folders and files the test dataset of `cfg` names that are not on disk; empty when all are there."""
    dataset = cfg.test_dataloader.dataset
    root = dataset.get("data_root")
    if root is None or dataset.get("type") in SELF_MADE:
        return []
    names = [*dataset.get("data_prefix", {}).values(), dataset.get("ann_file", "")]
    wanted = [Path(root) / name for name in names if name] or [Path(root)]
    return [place for place in wanted if not place.exists()]


def how_to_get(cfg: Config, missing: list[Path]) -> str:
    """One message on data that are missing, and what to do."""
    from proxyclip import data

    kind = cfg.test_dataloader.dataset.get("type")
    source = getattr(getattr(data, str(kind), None), "source", "")
    return (
        f"The data of {kind} are not on disk: {', '.join(map(str, missing))} not found. {source} Say where they are "
        f"with --data-root DIR or the environment variable {DATA_ROOT}; docs/datasets.md shows the folders below DIR."
    )


def _apply(cfg: Config, options: Options) -> None:
    if options.limit is not None and options.limit < 1:
        raise ValueError(f"Expected --limit to be 1 or more, but got {options.limit}")
    if options.save_every < 1 or options.gallery < 0:
        raise ValueError("Expected --save-every to be 1 or more and --gallery 0 or more")
    loader = cfg.test_dataloader
    if options.limit is not None:
        loader.dataset.indices = options.limit
    place_data(loader.dataset, options.data_root)
    if options.scoring != "correct":
        _score_as(cfg, options.scoring)
    if options.workers is not None:
        loader.num_workers = options.workers
    loader.persistent_workers = False  # one pass needs none, and they end late
    cfg.work_dir = str(Path(options.work_dir) / "logs" / config_name(cfg))
    cfg.launcher = options.launcher
    cfg.load_from = None  # the model loads its own weights
    cfg.setdefault("default_scope", "mmseg")
    cfg.setdefault("randomness", dict(seed=0))
    cfg.setdefault("model_wrapper_cfg", dict(type="EvalOnly"))
    hooks = [dict(h) for h in cfg.get("custom_hooks") or []]
    if all(h.get("type") != "VocabularyCheckHook" for h in hooks):
        hooks.append(dict(type="VocabularyCheckHook"))
    cfg.custom_hooks = hooks


def _score_as(cfg: Config, scoring: str) -> None:
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, (list, tuple)) else [cfg.test_evaluator]
    ours = [evaluator for evaluator in evaluators if evaluator.get("type") in METRICS]
    if not ours:
        raise ValueError(f"--scoring {scoring} needs a test_evaluator of type {' or '.join(METRICS)}")
    for evaluator in ours:
        evaluator["scoring"] = scoring


def place_data(dataset: MutableMapping, given: str | None) -> None:
    """Say where the data of a dataset are: below the folder of --data-root, else as it says, else in the repository."""
    root = dataset.get("data_root")
    if not root:
        return
    if given is not None:
        if not Path(root).is_relative_to(given):
            dataset["data_root"] = given  # a config that does not read the environment variable
    elif Path(root).exists() or os.environ.get(DATA_ROOT):
        return
    elif (ROOT / root).exists() or dataset.get("type") in SELF_MADE:
        dataset["data_root"] = str(ROOT / root)


def _known_configs() -> list[str]:
    patterns = ("cfg_*.py", "sclip/cfg_*.py", "method/*.py", "trained/**/*.py")
    files = [f.relative_to(ROOT) for pattern in patterns for f in (ROOT / "configs").glob(pattern)]
    return sorted(f.as_posix() for f in files if not any(part.startswith("_") for part in f.parts))  # no `_base_`


def register() -> None:
    """Import what configs name by its type: MMSegmentation's parts, then this project's."""
    for name in PARTS:
        importlib.import_module(name)


def use_scope(cfg: Config) -> None:
    """Make the config's scope the current one, so that its names are looked up in MMSegmentation's registries."""
    DefaultScope.get_instance(f"eval-{uuid.uuid4().hex}", scope_name=cfg.default_scope)
