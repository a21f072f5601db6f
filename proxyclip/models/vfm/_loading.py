"""Creation of timm's ViTs with their weights, from names, folders and files of several forms."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from timm.models import eva, vision_transformer
from torch import Tensor, nn

from proxyclip.data.vocabulary import log_note
from proxyclip.models.vfm._timm_folders import create_timm_model
from proxyclip.models.vfm._transformers import create_transformers_vit
from proxyclip.models.weights import WeightsError, short_reason
from proxyclip.models.weights.catalogue import WEIGHTS_FILES, list_weights_entries
from proxyclip.models.weights.reading import HEAD_PREFIXES, explain_foreign_files, load_weights_into, read_network
from proxyclip.utils.paths import find_existing_path

LOADING_ERRORS = (
    OSError, RuntimeError, ValueError, KeyError, AssertionError, SafetensorError, pickle.UnpicklingError
)  # fmt: skip
PATCH_WEIGHT = "patch_embed.proj.weight"


def create_timm_vit(
    name: str,
    checkpoint: str | None,
    family: str = "dino",
    sizes: Mapping[str, str] | None = None,
    any_size: bool = False,
) -> nn.Module:
    """Create a timm ViT with its weights, for any multiple of its patch size.

    Args:
        name: timm name, `hf-hub:<repository>` or `local-dir:<folder>`, of timm or of transformers.
        checkpoint: weights file of that architecture, in the form of timm, of the original release or of transformers.
        family: of the guide, which tells the models of transformers that go with it.
        sizes: short names of the family's sizes -> timm names.
        any_size: load a checkpoint of another one of the sizes as that, where it is not of `name`.
    """
    options: dict[str, Any] = dict(num_classes=0, dynamic_img_size=True)
    if name.startswith("local-dir:"):
        name = f"local-dir:{find_existing_path(name.removeprefix('local-dir:'), 'folder of a timm model')}"
    file = None if checkpoint is None else find_existing_path(checkpoint, "checkpoint")
    try:
        vit = create_transformers_vit(name, file, family, _convert_meta_names)
        if vit is not None:
            return vit
        if file is None:
            return _create_named(name, options)
        return _load_file(timm.create_model(name, **options), file, family, sizes or {}, any_size)
    except WeightsError:
        raise
    except LOADING_ERRORS as error:
        if ":" in name or timm.is_model(name.split(".")[0]):
            raise WeightsError(_load_failure_message(name, error)) from error
        if Path(name).expanduser().is_dir():
            raise ValueError(f"There is no VFM {name!r}; for the folder of that name say 'local-dir:{name}'") from error
        raise


def _create_named(name: str, options: Mapping[str, Any]) -> nn.Module:
    try:
        return create_timm_model(name, options)
    except WeightsError as error:
        raise WeightsError(_load_failure_message(name, error)) from error
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:  # of a config's values
        if ":" not in name:
            raise
        raise WeightsError(_load_failure_message(name, error)) from error


def _load_file(vit: Any, file: Path, family: str, sizes: Mapping[str, str], any_size: bool) -> nn.Module:
    """Load a file into `vit`, or into the one of `sizes` that it is of; heads in the file are dropped."""
    try:
        return _fill_from_file(vit, file)
    except WeightsError as error:
        size = _find_fitting_size(file, sizes) if "does not fit" in str(error) else None
        if size is None:
            raise
        if not any_size:
            hint = f"It is of the size of {family}-{size}: --vfm {family}-{size},{file}"
            raise WeightsError(f"{error} {hint}") from error
        log_note(f"{file} is loaded as {family}-{size}, the size that its tensors have")
        return _fill_from_file(timm.create_model(sizes[size], num_classes=0, dynamic_img_size=True), file)


def _fill_from_file(vit: Any, file: Path) -> nn.Module:
    return load_weights_into(vit, file, HEAD_PREFIXES, lambda state: _convert_meta_names(state, vit), [PATCH_WEIGHT])


def _find_fitting_size(file: Path, sizes: Mapping[str, str]) -> str | None:
    """Find the size whose architecture has the patches, the depth and the registers of a file."""
    if not sizes:
        return None
    traits = _describe_architecture(read_network(file, [PATCH_WEIGHT]))
    for size, name in sizes.items():
        with torch.device("meta"):
            vit = timm.create_model(name, num_classes=0)
        if _describe_architecture(vit.state_dict()) == traits:
            return size
    return None


def _describe_architecture(state: Mapping[str, Tensor]) -> tuple[Any, ...]:
    """Return the shape of the patch projection, the number of blocks, and whether there are registers and gates."""
    blocks = [re.match(r"blocks\.(?:\d+\.)?(\d+)\.[a-z]", name) for name in state]
    has_registers = any(name in state for name in ("reg_token", "register_tokens", "storage_tokens"))
    is_gated = any(re.search(r"\.mlp\.(w1|fc1_g)\.", name) for name in state)
    patches = tuple(state[PATCH_WEIGHT].shape) if PATCH_WEIGHT in state else ()
    return patches, max((int(match[1]) for match in blocks if match), default=-1), has_registers, is_gated


def _convert_meta_names(state: dict[str, Tensor], vit: Any) -> dict[str, Tensor]:
    """Convert tensor names of Meta's own files, which alone have a mask token."""
    if "mask_token" not in state:
        return state
    state = {re.sub(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.", key): value for key, value in state.items()}  # chunks
    if not isinstance(vit, eva.Eva):
        return vision_transformer.checkpoint_filter_fn(state, vit)
    block: Any = vit.blocks[0]
    biases = [key for key in state if key.endswith("attn.qkv.bias")]
    if biases and block.attn.q_bias is None:
        if any(part.any() for key in biases for part in state[key].chunk(3)[::2]):
            record: Any = vit.pretrained_cfg or {}
            name = record.get("architecture", "vit_small_patch16_dinov3")
            raise WeightsError(
                "The file has biases of queries and values: expected a model with '_qkvb' in its name, as in "
                f"--vfm dinov3,{name}_qkvb,FILE"
            )
        state = {key: value for key, value in state.items() if key not in biases}
    return eva.checkpoint_filter_fn(state, vit)


def _load_failure_message(name: str, error: Exception) -> str:
    reason = short_reason(error, 400 if isinstance(error, WeightsError) else 140)
    if name.startswith("local-dir:"):
        folder = Path(name.removeprefix("local-dir:"))
        if isinstance(error, KeyError):
            reason = f"its config.json has no {reason}"
        problem = f"The timm model in {folder} cannot be loaded: {reason}."
        foreign = explain_foreign_files(folder, WEIGHTS_FILES["vfm"])
        return f"{problem}\n{foreign}" if foreign else f"{problem} It needs config.json and model.safetensors."
    repository = name.removeprefix("hf-hub:") if name.startswith("hf-hub:") else f"timm/{name}"
    known = next((entry.name for entry in list_weights_entries() if entry.hub == repository), None)
    fetch = f"; get them: python -m proxyclip weights fetch {known}" if known else ""
    return (
        f"The VFM weights {name!r} cannot be loaded{fetch}\n"
        f"  why:    {reason}\n"
        f"  file:   model.safetensors and config.json of https://huggingface.co/{repository}\n"
        f"  get it: hf download {repository} --local-dir FOLDER   (on a machine with internet access)\n"
        f"  use it: vfm_model=dict(type=..., model='local-dir:FOLDER'), or checkpoint='FOLDER/model.safetensors'"
    )
