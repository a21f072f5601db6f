"""Image encoder of CLIP-RC: a frozen CLIP ViT with deep prompts, and tokens that attend to one image region each.

Zhang et al., "Exploring Regional Clues in CLIP for Zero-Shot Semantic Segmentation" (CVPR 2024): the region-level
bridge. Deep prompts are those of Jia et al., "Visual Prompt Tuning" (arXiv 2203.12119).
"""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from proxyclip.models.clip.dense import DenseCLIP, load_clip
from proxyclip.models.weights.reading import fingerprint_module


class RegionFeatures(NamedTuple):
    """Encoder features of N images, unit length, float32."""

    patches: Tensor  # (N, D, g, g)
    whole: Tensor  # (N, D), of the class token
    regions: Tensor  # (N, D, m, m), M = m * m regions


def region_mask(grid: int, prompts: int, regions: int, device: torch.device | None = None) -> Tensor:
    """Build the attention mask (T, T) bool, True = blocked, on the device and without a host wait.

    T = 1 + prompts + grid ** 2 + regions tokens, in the order class, prompts, patches (row-major), regions (row-major).
    A region and the patches of its cell see each other and themselves; a region sees nothing else, and nothing else
    sees it. All others see each other. A cell has grid // sqrt(regions) patches a side; other patches see no region.

    Raises:
        ValueError: the number of regions is no square, or there are more of them than patches.
    """
    side = math.isqrt(regions)
    if side * side != regions or not 0 < side <= grid:
        raise ValueError(f"Expected `regions` to be a square number up to {grid * grid}, but got {regions}")
    cell = grid // side
    line = torch.arange(grid, device=device)
    cell_index = torch.where(line < cell * side, line // cell, -1)
    rows = cell_index[:, None].expand(grid, grid)
    columns = cell_index[None].expand(grid, grid)
    patch_region = torch.where((rows < 0) | (columns < 0), -1, rows * side + columns).flatten()
    visible = patch_region == torch.arange(regions, device=device)[:, None]  # regions, patches
    first_patch = 1 + prompts
    first_region = first_patch + grid * grid
    blocked = torch.ones(first_region + regions, first_region + regions, dtype=torch.bool, device=device)
    blocked[:first_region, :first_region] = False
    blocked[first_region:, first_patch:first_region] = ~visible
    blocked[first_patch:first_region, first_region:] = ~visible.T
    blocked[first_region:, first_region:].fill_diagonal_(False)
    return blocked


def init_position_and_region_tokens(
    positions: Tensor, class_embedding: Tensor, grid: int, regions: int
) -> tuple[Tensor, Tensor]:
    """Resize the position table of a CLIP, and make its initial region tokens.

    Args:
        positions: (1 + h * h, E), the class token's first; class_embedding: (E,).

    Returns:
        (1 + grid ** 2, E), resized bilinearly, and (regions, E): the class embedding at its position, each.
    """
    first = positions[:1]
    table = positions[1:]
    side = math.isqrt(len(table))
    if side != grid:
        square = table.T.unflatten(1, (side, side))[None]
        table = F.interpolate(square, size=(grid, grid), mode="bilinear")[0].flatten(1).T
    return torch.cat([first, table]), (class_embedding + first).expand(regions, -1)


class RegionTower(nn.Module):
    """Frozen part: CLIP's ViT, its position table for one grid, and the region tokens.

    Args:
        clip: with a square position table, such as OpenAI's.
        grid: patches a side of a training crop.
        regions: M, a square number.
    """

    def __init__(self, clip: DenseCLIP, grid: int, regions: int) -> None:
        super().__init__()
        self.clip = clip
        v: Any = clip.model.visual
        positions, tokens = init_position_and_region_tokens(
            v.positional_embedding.detach(), v.class_embedding.detach(), grid, regions
        )
        self.positions = nn.Parameter(positions.clone())
        self.regions = nn.Parameter(tokens.clone())
        self._attention_masks: dict[tuple[int, int, torch.device], Tensor] = {}
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Any:
        """Stay in evaluation mode."""
        return super().train(False)

    def attention_mask(self, grid: int, prompts: int, device: torch.device) -> Tensor:
        """Return the additive form (T, T) of `region_mask`, float32, built once per grid, prompts and device."""
        key = (grid, prompts, device)
        if key not in self._attention_masks:
            with torch.inference_mode(False):  # a later training step may save it for backward
                blocked = region_mask(grid, prompts, len(self.regions), device)
                mask = torch.zeros(blocked.shape, device=device).masked_fill_(blocked, -torch.inf)
            self._attention_masks[key] = mask
        return self._attention_masks[key]


class DeepPrompts(nn.Module):
    """Trained part: prompts of every block with a shared projection, and a last norm.

    Args:
        number: K, prompts a block. width: E. depth: blocks. patch: side of a patch, which bounds the initial values.
        dropout: of the projected prompts.
    """

    def __init__(self, number: int, width: int, depth: int, patch: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.empty(1, number, width))
        self.deep = nn.Parameter(torch.empty(depth - 1, number, width))
        self.project = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.dropout = nn.Dropout(dropout)
        bound = math.sqrt(6 / (3 * patch * patch + width))
        nn.init.uniform_(self.first, -bound, bound)
        nn.init.uniform_(self.deep, -bound, bound)
        nn.init.kaiming_normal_(self.project.weight, a=0, mode="fan_out")

    def forward(self, block: int, images: int) -> Tensor:
        """Prompts of a block, counted from 0, for a number of images: (images, K, E)."""
        rows = self.first[0] if block == 0 else self.deep[block - 1]
        return self.dropout(self.project(rows).expand(images, -1, -1))


def encode_with_prompts(
    tower: RegionTower, prompts: DeepPrompts, images: Tensor, parity: str = "upstream"
) -> RegionFeatures:
    """Encode square, normalized images (N, 3, S, S).

    In the parity "upstream" the class embedding is added twice to its token.

    Raises:
        ValueError: the images are not square, or no whole number of patches.
    """
    visual: Any = tower.clip.model.visual
    patch = tower.clip.patch
    h, w = images.shape[2:]
    if h != w or h % patch:
        raise ValueError(f"Expected square images whose side is a multiple of {patch}, but got {h} x {w}")
    n = len(images)
    grid = h // patch
    k = prompts.first.shape[1]
    m = len(tower.regions)
    x = visual.conv1(images).flatten(2).mT
    table: Tensor = tower.positions
    if len(table) != 1 + grid**2:
        table = init_position_and_region_tokens(table, table[0], grid, 1)[0]
    cls_token = visual.class_embedding + table[:1]
    if parity == "upstream":
        cls_token = cls_token + visual.class_embedding
    x = torch.cat([cls_token.expand(n, 1, -1), x + table[1:], tower.regions.expand(n, -1, -1)], 1)
    x = visual.ln_pre(x)
    head = x[:, :1]
    rest = x[:, 1:]
    mask = tower.attention_mask(grid, k, x.device)
    for number, block in enumerate(visual.transformer.resblocks):
        x = block(torch.cat([head, prompts(number, n).to(x.dtype), rest], 1), attn_mask=mask)
        head = x[:, :1]
        rest = x[:, 1 + k :]
    x = torch.cat([prompts.norm(torch.cat([head, rest[:, :-m]], 1)), rest[:, -m:].to(x.dtype)], 1)
    x = F.normalize((visual.ln_post(x) @ visual.proj).float(), dim=2)
    side = math.isqrt(m)
    patches = x[:, 1:-m].mT.unflatten(2, (grid, grid))
    regions = x[:, -m:].mT.unflatten(2, (side, side))
    return RegionFeatures(patches, x[:, 0], regions)


class LazyRegionTower:
    """CLIP and its region tokens, loaded on first use; no module, so that no model trains or stores it.

    Args:
        model_type, clip_type: as in `clip.load_clip`. grid: patches a side of a training crop. regions: M.
    """

    def __init__(self, model_type: str, clip_type: str | None, grid: int, regions: int) -> None:
        self.name = (model_type, clip_type)
        self.grid = grid
        self.regions = regions
        self.tower: RegionTower | None = None

    def open(self, device: torch.device) -> RegionTower:
        """Return the tower, loaded on the first call.

        Raises:
            WeightsError, TypeError: see `clip.load_clip`.
        """
        if self.tower is None:
            self.tower = RegionTower(load_clip(*self.name), self.grid, self.regions).to(device)
        return self.tower

    def hash(self, device: torch.device) -> Tensor:
        """Hash the image tower's weights, (32,) uint8."""
        visual = self.open(device).clip.model.visual
        return torch.tensor(list(bytes.fromhex(fingerprint_module(visual))), dtype=torch.uint8, device=device)


def count_patches_per_side(crop: int, vision: dict[str, Any]) -> int:
    """Count the patches a side of a square crop for an open_clip `vision_cfg`.

    Raises:
        ValueError: the crop is no whole number of patches, or the tower is no ViT of square patches.
    """
    patch = vision.get("patch_size")
    if not isinstance(patch, int) or not isinstance(vision.get("layers"), int):
        raise ValueError("Expected model_type to be a CLIP with a ViT of square patches")
    if crop % patch or not crop:
        raise ValueError(f"Expected `slide_crop` to be a multiple of the patch size {patch}, but got {crop}")
    return crop // patch
