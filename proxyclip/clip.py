"""OpenCLIP opened at its last block: text features, and dense image features under any attention strategy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model
from open_clip.transformer import VisionTransformer, text_global_pool
from torch import Tensor, nn

from . import vocabulary
from .paths import find
from .positions import resize_positions
from .weights import WeightsError, fingerprint, is_torchscript, load_into, read_state_dict, reason

Strategy = Callable[[Any, Tensor, tuple[int, int], Tensor | None], tuple[Tensor, tuple[int, int]]]
QUICK_GELU_FAMILIES = ("openai", "metaclip", "dfn")


class DenseCLIP(nn.Module):
    """An open_clip model with a ViT image tower, frozen.

    Args:
        model: open_clip.CLIP whose `visual` is open_clip's VisionTransformer.
        tokenizer: open_clip tokenizer of that model.

    Raises:
        TypeError: another kind of tower (SigLIP, EVA, CoCa, ResNet), which has no such last block.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, tokenizer: Callable[[list[str]], Tensor]) -> None:
        super().__init__()
        visual: Any = getattr(model, "visual", None)
        if not isinstance(model, open_clip.CLIP) or not isinstance(visual, VisionTransformer):
            raise TypeError(
                f"Expected an open_clip CLIP with a VisionTransformer, but got {type(model).__name__} with "
                f"{type(visual).__name__}: only such towers have a last attention block to open"
            )
        self.model: Any = model.requires_grad_(False).eval()
        self.tokenizer = tokenizer
        self.patch = visual.patch_size[0]
        mean, std = visual.preprocess_cfg["mean"], visual.preprocess_cfg["std"]
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    @property
    def activation(self) -> str:
        """Class name of the MLP activation, `QuickGELU` or `GELU`."""
        return type(self.model.visual.transformer.resblocks[0].mlp.gelu).__name__

    def to_rgb(self, images: Tensor) -> Tensor:
        """Undo CLIP's normalisation: (B, 3, H, W) -> RGB in [0, 1]."""
        return images * self.std + self.mean

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Text features (B, d), not normalised, of token ids (B, L).

        L may be shorter than the context: the tower is causal, so what follows the end token changes nothing.
        """
        m = self.model
        length = tokens.shape[1]
        x = m.token_embedding(tokens) + m.positional_embedding[:length]
        mask = None if m.attn_mask is None else m.attn_mask[:length, :length]
        x = m.ln_final(m.transformer(x, attn_mask=mask))
        x = text_global_pool(x, tokens, m.text_pool_type, eos_token_id=m.text_eos_id)
        if m.text_projection is None:
            return x
        return m.text_projection(x) if isinstance(m.text_projection, nn.Linear) else x @ m.text_projection

    def embed(self, names: Sequence[str], templates: Sequence[str]) -> Tensor:
        """Text features (names, d) of names over templates, float32, from the disk cache where it has them."""
        device = self.mean.device
        weights = fingerprint(self.model, skip="visual.")
        key = [weights, self.activation, type(self.tokenizer).__name__, open_clip.__version__, device.type]
        return vocabulary.cached(
            [*key, list(names), list(templates)],
            lambda: vocabulary.embed(names, templates, self.tokenizer, lambda t: self.encode_text(t.to(device))),
        ).to(device)

    def tokens(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Input of the last block: CLIP-normalised images (B, 3, H, W) -> ((B, 1 + h*w, C), (h, w))."""
        v = self.model.visual
        x = v.conv1(images)
        grid = (x.shape[2], x.shape[3])
        x = torch.cat([v.class_embedding.expand(len(x), 1, -1), x.flatten(2).mT], dim=1)
        x = v.ln_pre(x + resize_positions(v.positional_embedding, v.grid_size, grid))
        for block in v.transformer.resblocks[:-1]:
            x = block(x)
        return x, grid

    def encode_dense(self, images: Tensor, strategy: Strategy, guide: Tensor | None = None) -> Tensor:
        """Patch features in the image-text space.

        Args:
            images: CLIP-normalised (B, 3, H, W).
            strategy: how the last block mixes patches (see `proxyclip.attention`).
            guide: VFM features (B, D, h', w') or None.

        Returns:
            (B, d, h, w) float32 on the strategy's grid, not normalised.
        """
        x, grid = self.tokens(images)
        v = self.model.visual
        x, grid = strategy(v.transformer.resblocks[-1], x, grid, guide)
        x = v.ln_post(x) @ v.proj
        return x.float().mT.unflatten(2, grid)


def load_clip(model_type: str, clip_type: str | None) -> DenseCLIP:
    """An open_clip model with its weights; never a random one.

    Args:
        model_type: open_clip name (`ViT-B-16` or `ViT-B/16`), `hf-hub:<repository>` or `local-dir:<folder>`.
        clip_type: pretrained tag (`openai`, `laion2b_s34b_b88k`, ...) or weights file; None for a hub or folder model.

    Weights of OpenAI, MetaCLIP and DFN were trained with QuickGELU; open_clip 3 builds their plain names with GELU
    and only warns, so it is forced here: by the tag's own record, by the file's name, or by its being a TorchScript
    archive, the form only OpenAI published.

    Raises:
        WeightsError: the weights cannot be had; the message says where to get and put them.
        ValueError: unknown name or tag; the message lists the known ones.
    """
    if ":" in model_type:
        return _load_folder_or_hub(model_type, clip_type)
    name = model_type.replace("/", "-")
    if name not in open_clip.list_models():
        raise ValueError(f"Expected model_type to be one of {open_clip.list_models()}, but got {model_type!r}")
    if not clip_type:
        raise WeightsError(
            f"{name} needs weights: clip_type=<tag> ({', '.join(list_pretrained_tags_by_model(name))}) or a file."
        )
    tags = list_pretrained_tags_by_model(name)
    model = _load_tag(name, clip_type) if clip_type in tags else _load_file(name, clip_type, tags)
    return DenseCLIP(model, open_clip.get_tokenizer(name))


def _load_folder_or_hub(model_type: str, clip_type: str | None) -> DenseCLIP:
    schema, _, where = model_type.partition(":")
    if clip_type:
        raise ValueError(f"{model_type!r} brings its own weights: expected clip_type=None, but got {clip_type!r}")
    if schema == "local-dir":
        model_type = f"local-dir:{find(where, 'folder of an open_clip model')}"
    try:
        model = open_clip.create_model(model_type, require_pretrained=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise WeightsError(
            f"The CLIP {model_type!r} cannot be loaded: {reason(error)}.\n"
            "  A folder needs open_clip_config.json and open_clip_model.safetensors (or open_clip_pytorch_model.bin)."
        ) from error
    return DenseCLIP(model, open_clip.get_tokenizer(model_type))


def _load_tag(name: str, tag: str) -> nn.Module:
    record: dict[str, Any] = get_pretrained_cfg(name, tag)
    try:
        return open_clip.create_model(
            name, pretrained=tag, force_quick_gelu=bool(record.get("quick_gelu")), require_pretrained=True
        )
    except (OSError, RuntimeError) as error:
        repository = (record.get("hf_hub") or "").rstrip("/")
        source = f"https://huggingface.co/{repository}" if repository else record.get("url", "")
        raise WeightsError(
            f"The CLIP weights {tag!r} of {name} are not on this machine and could not be fetched ({reason(error)}).\n"
            f"  file:   open_clip_model.safetensors and open_clip_config.json of {source}\n"
            f"  get it: hf download {repository} --local-dir FOLDER   (on a machine with internet access)\n"
            "  use it: model_type='local-dir:FOLDER', clip_type=None"
        ) from error


def _load_file(name: str, file: str, tags: list[str]) -> nn.Module:
    try:
        path = find(file, "weights file")
    except FileNotFoundError as error:
        raise ValueError(
            f"Expected clip_type to be a tag of {name} ({', '.join(tags)}) or a weights file, but got {file!r}"
        ) from error
    scripted = is_torchscript(path)
    quick = scripted or any(family in path.name.lower() for family in QUICK_GELU_FAMILIES)
    model = open_clip.create_model(name, load_weights=False, force_quick_gelu=quick)
    if scripted:
        return _load_openai(model, path)
    return load_into(model, path, drop=("input_resolution", "context_length", "vocab_size"))


def _load_openai(model: nn.Module, path: Path) -> nn.Module:
    """OpenAI's own archive: half precision, three extra scalars."""
    wanted = model.state_dict()
    state = {k: v.float() for k, v in read_state_dict(path).items() if k in wanted}
    if set(state) != set(wanted):
        raise WeightsError(f"{path} lacks {sorted(set(wanted) - set(state))[:3]}: is it of another architecture?")
    model.load_state_dict(state)
    return model
