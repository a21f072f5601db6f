"""What the evaluation of a trained model needs besides that of a training-free one: its checkpoint, and no training.

A model is trained if its class says `trained = True`. It takes the arguments `checkpoint`, a file that train.py wrote,
which it loads itself in `prepare`, and `precision`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from proxyclip import choices, provenance
from proxyclip.choices import MethodInfo
from proxyclip.options import Options
from proxyclip.paths import find

TRAINING = (
    "train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "auto_scale_lr",
    "val_dataloader", "val_cfg", "val_evaluator", "sync_bn", "find_unused_parameters",
)  # fmt: skip
HOW = "python eval.py --config {config} --checkpoint work_dirs/train/NAME/iter_N.pth"


def refuse_parts(cfg: Config, options: Options) -> None:
    """Refuse to change parts of a trained model.

    Raises:
        Unfit: a method, a VFM or a CLIP was asked for.
    """
    words = {f"--{name}": getattr(options, name) for name in ("method", "vfm", "clip")}
    given = " ".join(f"{name} {word}" for name, word in words.items() if word is not None)
    if given and choices.describe_method(cfg.model).needs_checkpoint:
        raise choices.Unfit(
            f"{given} does not go with {cfg.model.type}: its parts were trained together and their weights are in its "
            f"checkpoint. Leave out {given}, or evaluate a config of another method"
        )


def settle(cfg: Config, options: Options, method: MethodInfo) -> None:
    """Make the config of a trained model one for evaluation: its checkpoint found, everything of training left out.

    Nothing changes for other models.

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
    how = HOW.format(config=options.config)
    if not model.get("checkpoint"):
        raise ValueError(
            f"{model.type} has to be trained before it is evaluated, but no checkpoint is given: train it first: "
            f"python train.py {options.config}; then {how}"
        )
    place = find(model.checkpoint, "checkpoint")
    if not place.is_file():
        raise FileNotFoundError(f"Expected the checkpoint to be a file, but {place} is a folder: {how}")
    if not Path(model.checkpoint).is_file():
        model.checkpoint = str(place)  # one of the repository, or with a ~
    model.setdefault("precision", "fp32")
    for key in TRAINING:
        cfg.pop(key, None)
    cfg.model_wrapper_cfg, cfg.resume = dict(type="EvalOnly"), False
    cfg.default_hooks = {**cfg.get("default_hooks", {}), "checkpoint": None, "param_scheduler": None}


def known_by(model: Mapping[str, Any], method: MethodInfo) -> tuple[Mapping[str, Any], dict[str, str], str]:
    """What the number of a model depends on: its config, the hashes of the files it names, and that of the code.

    A checkpoint counts by its content, wherever it lies.
    """
    if method.needs_checkpoint:
        model = {**model, "checkpoint": provenance.file_sha256(Path(model["checkpoint"]))}
    return model, provenance.named_files(model), provenance.code_sha256(method.uses_trained_code)


def facts(cfg: Config, model: Any, method: MethodInfo) -> dict[str, Any]:
    """What the record of a trained model says of it more: the checkpoint and the iteration it was saved at."""
    if not method.needs_checkpoint:
        return {}
    file = Path(cfg.model.checkpoint)
    found = {"checkpoint": file.name, "sha256": provenance.file_sha256(file)}
    return {"trained": found | {"iteration": getattr(model, "iteration", None)}}
