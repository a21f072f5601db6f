"""Identity of a run: hash of everything that can change its result."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmseg.registry import DATASETS

from proxyclip.data.fingerprint import fingerprint_dataset
from proxyclip.engine.config.components import MethodInfo
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.config.own_code import CodeChanged, hash_own_code
from proxyclip.engine.config.registration import activate_scope, generates_data
from proxyclip.engine.config.weights import check_required_weights
from proxyclip.engine.evaluation.provenance import hash_code, hash_model_files
from proxyclip.models.precision import pick_model_dtype
from proxyclip.results.records import hash_identity
from proxyclip.utils.hashing import hash_file, hash_value

RESULT_NEUTRAL_PREFIXES = (
    "model.precision=", "model.window_batch=", "test_dataloader.num_workers=", "test_dataloader.batch_size="
)  # fmt: skip
CONFIG_PARTS = ("model", "settings", "data set", "device", "number format")  # of `RunIdentity.parts`
CODE_PART = "the toolkit's code"
CHECKPOINT_PART = "the checkpoint"


def number_changing_overrides(options: EvalOptions) -> list[str]:
    """List the overrides that can change a result, so that no published one applies."""
    return [assignment for assignment in options.cfg_options if not assignment.startswith(RESULT_NEUTRAL_PREFIXES)]


class RunIdentity(NamedTuple):
    """Identity of a run.

    Attributes:
        run: hash of all that can change the result.
        unfinished: the same without the data on disk, for saved counts: each image has a hash of its own there.
        parts: hashes of what `unfinished` is made of, by a name for messages; those of CONFIG_PARTS are of the config
            and the machine, the others of code and files.
        own_code: SHA-256 of the modules of the user that the config brought in, by file (`hash_own_code`).
        code: hash of the code of this package.
    """

    run: str
    unfinished: str
    parts: dict[str, str]
    own_code: dict[str, str]
    code: str


def run_identity(cfg: Config, method: MethodInfo, device: str) -> str:
    """Identity of a run before it starts.

    It is a hash of the parts of the config that can change a result, the files the model names, the code, that of the
    user included, the data, and the number format on `device` ('cpu' or 'cuda'). Worker counts and folders have no
    part: data, code, and a checkpoint, that were moved are the same.

    Raises:
        FileNotFoundError, ValueError: the data are not there, or do not fit together.
    """
    return compute_identity(cfg, method, device).run


def compute_identity(cfg: Config, method: MethodInfo, device: str) -> RunIdentity:
    """Compute the identity of a run with what it is made of; see `run_identity`.

    Raises:
        FileNotFoundError, ValueError: see `run_identity`. WeightsError: weights are not those that the hub has.
    """
    loader = {key: value for key, value in cfg.test_dataloader.items() if key in ("dataset", "batch_size", "sampler")}
    loader["dataset"] = {key: value for key, value in loader["dataset"].items() if key != "data_root"}
    model = dict(cfg.model)
    if method.needs_checkpoint:
        model["checkpoint"] = hash_file(Path(cfg.model.checkpoint))  # its content, not its path
    if method.names_weights:
        check_required_weights(model)
    files = hash_model_files(model, method)
    code = hash_code(method.uses_trained_code)
    own_code = hash_own_code(cfg)
    keys = ("test_cfg", "test_evaluator", "data_preprocessor", "randomness")
    settings = {key: cfg.get(key) for key in keys}
    dtype = str(pick_model_dtype(cfg.model, device))
    parts: tuple[Any, ...] = ({"model": model} | settings, loader, files, code, device, dtype)
    if own_code:
        parts += (own_code,)
    model_values = {key: value for key, value in model.items() if key != "checkpoint"}
    config = zip(CONFIG_PARTS, (model_values, settings, loader, device, dtype), strict=True)
    described = {name: hash_value(value) for name, value in config} | {CODE_PART: code}
    described |= {f"the file {name}": digest for name, digest in files.items()}
    described |= {f"the code of {name}": digest for name, digest in own_code.items()}
    if method.needs_checkpoint:
        described[CHECKPOINT_PART] = model["checkpoint"]
    run = hash_identity(*parts, _data_fingerprint(cfg))
    return RunIdentity(run, hash_identity(*parts), described, own_code, code)


def list_changed_code(cfg: Config, method: MethodInfo, identity: RunIdentity) -> list[str]:
    """List the code and the files that are no longer those of an identity, as a message names them."""
    digests = {f"the file {name}": digest for name, digest in hash_model_files(cfg.model, method).items()}
    digests |= {f"the code of {name}": digest for name, digest in hash_own_code(cfg).items()}
    digests[CODE_PART] = hash_code(method.uses_trained_code)
    if method.needs_checkpoint:
        digests[CHECKPOINT_PART] = hash_file(Path(cfg.model.checkpoint))
    before = {name: digest for name, digest in identity.parts.items() if name not in CONFIG_PARTS}
    return sorted(name for name, digest in before.items() if digests.get(name) != digest)


def explain_changed_code(names: Sequence[str]) -> str:
    """Explain to the user that code or files changed while an evaluation ran."""
    verb = "has" if len(names) == 1 else "have"
    return (
        f"warning: {', '.join(names)} {verb} changed since this evaluation began. Its record is of what it began with "
        "and says so (`changed_code`); parts that were loaded later may be the changed ones: evaluate again"
    )


def check_same_code(cfg: Config, method: MethodInfo, identity: RunIdentity) -> None:
    """Refuse a process of a distributed run that has other code or files than process 0, whose identity it is.

    Raises:
        CodeChanged: it has; the message names them.
    """
    names = list_changed_code(cfg, method, identity)
    if names:
        raise CodeChanged(
            f"Expected the code and files of process 0 in all processes, but {', '.join(names)} differ in another one: "
            "start all machines from one checkout, on a file system that they share"
        )


def _data_fingerprint(cfg: Config) -> dict[str, Any] | None:
    """Fingerprint of the data on disk; None for data that are made from the config."""
    if generates_data(cfg.test_dataloader.dataset):
        return None
    activate_scope(cfg)
    return fingerprint_dataset(DATASETS.build({**copy.deepcopy(cfg.test_dataloader.dataset), "serialize_data": False}))
