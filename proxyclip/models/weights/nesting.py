"""Tensors of checkpoints: which of their entries are the weights, less wrappers and prefixes.

A checkpoint may hold its tensors at any depth below the keys of training loops, under names with the prefixes of
wrappers, and beside the heads, optimizers and arguments of the training.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

# Keys whose value holds the weights, best first. Of a student and its teacher, the teacher is the published network.
WRAPPER_KEYS = (
    "teacher", "model", "state_dict", "model_state_dict", "module", "network", "net", "weights", "params",
    "model_ema", "state_dict_ema", "ema", "ema_state_dict", "student"
)  # fmt: skip
PREFIXES = (
    "module.", "model.", "backbone.", "encoder.", "vit.", "visual.", "network.", "net.", "teacher.",
    "_orig_mod.", "student."
)  # fmt: skip
# Parts of names that wrappers put between those of modules: torch.compile, FSDP, activation checkpointing.
WRAPPER_PARTS = re.compile(r"(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)\.")
MAX_DEPTH = 50  # of wrappers
# Entries of a training that are tensors or hold some, but no weights.
TRAINING_KEYS = ("optimizer", "scheduler", "lr_scheduler", "scaler", "fp16_scaler", "dino_loss", "ibot_loss", "amp")


def unwrap_checkpoint(content: Any) -> tuple[dict[str, Tensor], str]:
    """Find the weights in what a file holds.

    Returns:
        Tensors by name, empty without any, and a note on a choice between several sets of weights, or "".
    """
    notes: list[str] = []
    for _ in range(MAX_DEPTH):
        if not isinstance(content, Mapping):
            break
        sets = {
            key: value
            for key, value in content.items()
            if isinstance(value, Mapping) and key not in TRAINING_KEYS and _holds_tensors(value)
        }
        known = [key for key in WRAPPER_KEYS if key in sets]
        if known:
            if len(known) > 1:
                notes.append(f"it has {' and '.join(map(repr, known))}; {known[0]!r} is used")
            content = sets[known[0]]
        elif len(sets) == 1 and not any(isinstance(value, Tensor) for value in content.values()):
            content = next(iter(sets.values()))
        else:
            break
    else:
        return {}, ""  # it contains itself
    if not isinstance(content, Mapping):
        return {}, ""
    tensors = {WRAPPER_PARTS.sub("", str(k)): v for k, v in content.items() if isinstance(v, Tensor)}
    return tensors, "; ".join(notes)


def _holds_tensors(root: Any) -> bool:
    """Return True for a tensor, or a mapping with one at any depth; of mappings in several places one is searched."""
    pending, known = [root], {id(root)}
    while pending:
        value = pending.pop()
        if isinstance(value, Tensor):
            return True
        for item in value.values() if isinstance(value, Mapping) else ():
            if isinstance(item, Mapping | Tensor) and id(item) not in known:
                known.add(id(item))
                pending.append(item)
    return False


def strip_shared_prefixes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove prefixes of wrappers that all names have, in any order and depth."""
    state = dict(tensors)
    while state:
        prefix = next((p for p in PREFIXES if all(name.startswith(p) and name != p for name in state)), None)
        if prefix is None:
            break
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def select_subtree(tensors: Mapping[str, Tensor], anchors: Iterable[str]) -> tuple[dict[str, Tensor], str]:
    """Select the tensors below the prefix of a network that a name in it tells; all others are dropped.

    Args:
        anchors: names that only this network has, best first, such as `patch_embed.proj.weight`.

    Returns:
        The tensors without that prefix, all where no anchor is found, and a note on a choice, or "".
    """
    for anchor in anchors:
        prefixes = [name.removesuffix(anchor) for name in tensors if name == anchor or name.endswith(f".{anchor}")]
        if not prefixes:
            continue
        prefix = min(prefixes, key=lambda p: ("" not in (p,), "student" in p, "teacher" not in p, len(p)))
        note = f"it has {' and '.join(map(repr, prefixes))}; {prefix!r} is used" if len(prefixes) > 1 else ""
        return {name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}, note
    return dict(tensors), ""
