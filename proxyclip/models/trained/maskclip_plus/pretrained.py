"""ImageNet weights of a student's backbone, from the hub, a file or a folder.

ResNetV1c has the architecture of timm's `resnet50c` and `resnet101c`, whose weights are GluonCV's (Apache-2.0);
MMSegmentation's own `resnet101_v1c` files are those of another training run. MiT's weights are NVIDIA's, in the layout
of the transformers library: `nvidia/mit-b0` ... `nvidia/mit-b5`. Their licence, the NVIDIA Source Code License for
SegFormer, allows non-commercial use only. Nothing is executed while a file is read.
"""

import re
from pathlib import Path

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.catalogue import UNKNOWN_LICENSE, WEIGHTS_FILES, WEIGHTS_SUFFIXES, WeightsEntry
from proxyclip.models.weights.fetch import fetch_weights
from proxyclip.models.weights.reading import load_weights_into
from proxyclip.utils.hashing import hash_file
from proxyclip.utils.paths import find_existing_path

BACKBONE_WEIGHT_FILES = WEIGHTS_FILES["vfm"]
BACKBONE_LICENSES = {
    "nvidia/mit-b": "NVIDIA Source Code License for SegFormer, non-commercial use only",
    "timm/resnet50c.gluon": "Apache-2.0",
    "timm/resnet101c.gluon": "Apache-2.0",
}
CLASSIFIER_PREFIXES = ("fc.", "head.", "classifier.", "decode_head.", "auxiliary_head.")
# From the transformers library's names to MMSegmentation's; stage i and layer j are \1 and \2.
MIT_KEY_PATTERNS = (
    (r"^patch_embeddings\.(\d+)\.proj\.", r"layers.\1.0.projection."),
    (r"^patch_embeddings\.(\d+)\.layer_norm\.", r"layers.\1.0.norm."),
    (r"^layer_norm\.(\d+)\.", r"layers.\1.2."),
    (r"^block\.(\d+)\.(\d+)\.", r"layers.\1.1.\2."),
    (r"\.layer_norm_([12])\.", r".norm\1."),
    (r"\.attention\.self\.sr\.", ".attn.sr."),
    (r"\.attention\.self\.layer_norm\.", ".attn.norm."),
    (r"\.attention\.self\.(query|key|value)\.(weight|bias)$", r".attn.attn.\1_\2"),
    (r"\.attention\.output\.dense\.", ".attn.attn.out_proj."),
    (r"\.mlp\.dense1\.", ".ffn.layers.0."),
    (r"\.mlp\.dwconv\.dwconv\.", ".ffn.layers.1."),
    (r"\.mlp\.dense2\.", ".ffn.layers.4."),
)


def load_pretrained(backbone: nn.Module, name: str | None) -> str:
    """Load the pretrained weights of a backbone.

    Args:
        backbone: ResNet, ResNetV1c or MixVisionTransformer; any other one needs a file with its own tensor names.
        name: `OWNER/NAME` or `hf-hub:OWNER/NAME`, a repository on the hub; a name of timm; `local-dir:FOLDER` with
            model.safetensors or pytorch_model.bin; a FILE (.pth, .pt, .bin, .safetensors); None for random weights.
            Files may have the names of timm, torchvision or transformers, or those of the backbone itself.

    Returns:
        Text for a record: name, file and hash of the weights.

    Raises:
        WeightsError: the weights cannot be had, read, or are of another architecture; the message has the remedy.
        ValueError: an unknown name. FileNotFoundError: no such file or folder.
    """
    if name is None:
        if isinstance(backbone, BaseModule):
            backbone.init_weights()
        return "random weights"
    path = _locate_weights(name)
    try:
        load_weights_into(backbone, path, CLASSIFIER_PREFIXES, lambda state: convert_backbone_state(state, backbone))
    except WeightsError as error:
        raise WeightsError(
            f"{error}\n  It is what student.pretrained={name!r} asks for; give student.pretrained=FILE for another "
            "file, student.pretrained=None to start from random weights."
        ) from error
    return f"{name} ({path.name}, sha256 {hash_file(path)[:12]})"


def convert_backbone_state(state: dict[str, Tensor], backbone: nn.Module) -> dict[str, Tensor]:
    """Rename the tensors of a file, less its classifiers, like those of an MMSegmentation backbone."""
    own_state = backbone.state_dict()
    if set(own_state) <= set(state):
        return state
    for prefix in ("backbone.", "segformer.", "encoder."):
        if any(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    if "patch_embeddings.0.proj.weight" in state:
        state = _convert_mit_state(state)
    elif "conv1.0.weight" in state:  # timm's stem of three convolutions, the last batch norm of which stands outside
        state = {re.sub(r"^bn1\.", "stem.7.", re.sub(r"^conv1\.", "stem.", key)): v for key, v in state.items()}
    counts = {key: torch.tensor(0) for key in own_state if key.endswith("num_batches_tracked")}
    return counts | state  # old files have no such counts; they only matter to a batch norm without momentum


def _convert_mit_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert MiT from transformers' layout: other names, separate query, key and value, linear 1x1 convolutions."""
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        for pattern, name in MIT_KEY_PATTERNS:
            key = re.sub(pattern, name, key)
        linear = key.endswith((".ffn.layers.0.weight", ".ffn.layers.4.weight"))
        renamed[key] = value[:, :, None, None] if linear else value
    for key in [k for k in renamed if re.search(r"\.attn\.attn\.query_", k)]:
        parts = [key.replace("query_", f"{part}_") for part in ("query", "key", "value")]
        if all(part in renamed for part in parts):
            renamed[key.replace("query_", "in_proj_")] = torch.cat([renamed.pop(part) for part in parts])
    return renamed


def _locate_weights(name: str) -> Path:
    """Locate the weights file of a name; download it if it is on the hub alone."""
    if name.startswith("local-dir:"):
        folder = find_existing_path(name.removeprefix("local-dir:"), "folder of pretrained weights")
        path = next((folder / file for file in BACKBONE_WEIGHT_FILES if (folder / file).is_file()), None)
        if path is None:
            raise WeightsError(
                f"Expected {' or '.join(BACKBONE_WEIGHT_FILES)} in {folder}, which student.pretrained={name!r} names."
            )
        return path
    if name.endswith(WEIGHTS_SUFFIXES):
        return find_existing_path(name, "file of pretrained weights")
    repository = _parse_repository(name)
    terms = next((v for start, v in BACKBONE_LICENSES.items() if repository.startswith(start)), UNKNOWN_LICENSE)
    try:
        return fetch_weights(
            WeightsEntry(repository, "vfm", None, terms, repository),
            write_line=lambda text: print_log(text.splitlines()[0], logger="current"),
        )
    except WeightsError as error:
        reason = str(error).partition("\n  on a machine")[0]  # the rest is about an evaluation
        raise WeightsError(
            f"The student's ImageNet weights {repository!r} cannot be had.\n"
            f"  why:    {reason}\n"
            f"  file:   {' or '.join(BACKBONE_WEIGHT_FILES)} of https://huggingface.co/{repository}\n"
            f"  get it: hf download {repository} --local-dir FOLDER   (on a machine with internet access)\n"
            f"  use it: model.student.pretrained=local-dir:FOLDER, or model.student.pretrained=FILE\n"
            f"  or:     model.student.pretrained=None, to start from random weights"
        ) from error


def _parse_repository(name: str) -> str:
    name = name.removeprefix("hf-hub:")
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return name
    import timm

    known = timm.get_pretrained_cfg(name) if timm.is_model_pretrained(name) else None
    if known is None or not known.hf_hub_id:
        raise ValueError(
            f"Expected student.pretrained to be OWNER/NAME on Hugging Face's hub, a name of timm, local-dir:FOLDER, a "
            f"file ({', '.join(WEIGHTS_SUFFIXES)}) or None, but got {name!r}"
        )
    return str(known.hf_hub_id)
