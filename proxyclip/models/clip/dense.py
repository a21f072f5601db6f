"""Dense image features of OpenCLIP ViTs under any attention strategy."""

from collections.abc import Callable
from typing import Any

import open_clip
import torch
from open_clip.transformer import TextTransformer, VisionTransformer
from torch import Tensor, nn

from proxyclip.models.clip.loading import load_open_clip
from proxyclip.models.clip.text import TextCLIP
from proxyclip.models.layers.block import Grid
from proxyclip.models.layers.pos_embed import resize_positions


class DenseCLIP(TextCLIP):
    """Frozen open_clip model with a ViT image tower.

    Args:
        model: open_clip.CLIP or CustomTextCLIP whose `visual` is open_clip's VisionTransformer.
        tokenizer: open_clip tokenizer of that model.

    Raises:
        TypeError: another type of tower (SigLIP, EVA, CoCa, ResNet), which has no such last block.
    """

    position_offset = 0.1  # for position tables, see `resize_positions`

    def __init__(self, model: nn.Module, tokenizer: Callable[[list[str]], Tensor]) -> None:
        _check_towers(model, getattr(model, "visual", None))
        super().__init__(model, tokenizer)
        self.patch = self.model.visual.patch_size[0]

    @property
    def activation(self) -> str:
        """Class name of the MLP activation, `QuickGELU` or `GELU`."""
        return type(self.blocks[0].mlp.gelu).__name__

    @property
    def last(self) -> Any:
        """The last residual attention block, which strategies take apart."""
        return self.blocks[-1]

    @property
    def blocks(self) -> Any:
        """All residual attention blocks of the image tower, first to last."""
        return self.model.visual.transformer.resblocks

    @property
    def depth(self) -> int:
        """Number of residual attention blocks of the image tower."""
        return len(self.blocks)

    def tokens(self, images: Tensor, layer: int | None = None) -> tuple[Tensor, Grid]:
        """Compute the tokens after `layer` blocks, class token first.

        Args:
            images: CLIP-normalized (B, 3, H, W).
            layer: 0 (before the first block) to `depth`; default `depth` - 1, the input of the last block.

        Returns:
            ((B, 1 + h*w, C), (h, w)).
        """
        x, grid = self._embed(images)
        for block in self.blocks[: self.depth - 1 if layer is None else layer]:
            x = block(x)
        return x, grid

    def hidden(self, images: Tensor) -> tuple[list[Tensor], Grid]:
        """Return the tokens of all layers 0 to `depth` - 1, and their grid."""
        x, grid = self._embed(images)
        layers = [x]
        for block in self.blocks[:-1]:
            layers.append(block(layers[-1]))
        return layers, grid

    def _embed(self, images: Tensor) -> tuple[Tensor, Grid]:
        visual = self.model.visual
        x = visual.conv1(self.renormalize(images))
        grid = (x.shape[2], x.shape[3])
        x = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x.flatten(2).mT], dim=1)
        positions = resize_positions(visual.positional_embedding, visual.grid_size, grid, self.position_offset)
        return visual.ln_pre(x + positions), grid

    def project(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Project last-block tokens (B, h*w, C) into the image-text space.

        Returns:
            (B, d, h, w) float32, not normalized.
        """
        visual = self.model.visual
        return (visual.ln_post(tokens) @ visual.proj).float().mT.unflatten(2, grid)

    def encode_dense(self, images: Tensor, strategy: Callable[..., Any], guide: Tensor | None = None) -> Tensor:
        """Compute patch features in the image-text space.

        Args:
            images: CLIP-normalized (B, 3, H, W).
            strategy: attention of the last block (see `proxyclip.models.attention`).
            guide: VFM features (B, D, h', w') or None.

        Returns:
            (B, d, h, w) float32 on the strategy's grid, not normalized.
        """
        return self.project(*strategy(self.last, *self.tokens(images), guide))


def _check_towers(model: nn.Module, visual: Any) -> None:
    text = getattr(model, "text", None)
    if not isinstance(model, (open_clip.CLIP, open_clip.CustomTextCLIP)) or not isinstance(visual, VisionTransformer):
        problem = f"{type(model).__name__} with {type(visual).__name__}: only such towers have a last attention block"
    elif visual.attn_pool is not None or not isinstance(visual.transformer.resblocks[-1].attn, nn.MultiheadAttention):
        problem = "one with attentional pooling or another attention module, which strategies cannot take apart"
    elif text is not None and (not isinstance(text, TextTransformer) or text.cls_emb is not None):
        problem = f"{type(text).__name__} as text tower: expected open_clip's TextTransformer without class token"
    else:
        return
    raise TypeError(f"Expected an open_clip CLIP with a VisionTransformer to open, but got {problem}")


def load_clip(model_type: str, clip_type: str | None) -> DenseCLIP:
    """Load an open_clip model with its weights; never a random one.

    Args:
        model_type: open_clip name (`ViT-B-16` or `ViT-B/16`), `hf-hub:<repository>` or `local-dir:<folder>`.
        clip_type: pretrained tag (`openai`, `laion2b_s34b_b88k`, ...) or weights file; None for a hub or folder model.

    Weights of OpenAI, MetaCLIP and DFN were trained with QuickGELU; open_clip 3 builds their plain names with GELU
    and only warns, so it is forced here: by the tag's own record, by the tag or family in the file's name, or for a
    TorchScript archive, the form only OpenAI published.

    Raises:
        WeightsError: the weights are not available; the message has the source and the place to put them.
        ValueError: unknown name or tag; the message lists close or known ones.
        TypeError: a model without a last attention block to open (SigLIP, EVA, CoCa, ResNet, ...), before anything is
            downloaded; the message has the reason.
    """
    return DenseCLIP(*load_open_clip(model_type, clip_type))
