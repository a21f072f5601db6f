"""ResCLIP: attention corrected by middle layers and by a first segmentation.

Yang et al., "ResCLIP: Residual Attention for Training-Free Dense Vision-Language Inference" (arXiv 2411.15851). The
computation is that of the published code, with its constants; in a batch, which that code does not take, each window is
on its own. On SCLIP and ClearCLIP, which the paper reports and the code does not hold, the details are this toolkit's
reading: the same correction of every softmax, no Gaussian window, SCLIP's residual connection and MLP kept.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from proxyclip.models.attention.naclip import NACLIP
from proxyclip.models.layers.block import (
    Grid,
    add_residual_and_mlp,
    compute_attention_logits,
    compute_qkv,
    mix_values,
)
from proxyclip.models.refine.pamr import PAMR
from proxyclip.models.segmentors._options import choose_layers, reject_vfm_and_attention
from proxyclip.models.segmentors.proxyclip import ProxyCLIPSegmentation
from proxyclip.models.sliding.postprocess import labels_from_scores

COMPARED_PROJECTIONS = {"naclip": "k", "clearclip": "q", "sclip": "qk"}  # each with itself
RESIDUAL_LAYERS = (6, 9)  # first and last, the published code's whatever the depth of the tower
PUBLISHED_DEPTH = 12  # towers with fewer layers take them in proportion


@MODELS.register_module()
class ResCLIPSegmentation(ProxyCLIPSegmentation):
    """Last block with residual attention of middle layers and semantic feedback.

        P = t_r ((1 - l_r) softmax(t_s ((1 - l_s) k kᵀ / sqrt(d) + l_s A_sfr) + w) + l_r A_rcs)

    head by head over all tokens, no residual connection, no MLP. A_rcs is the mean attention of middle layers, w
    NACLIP's Gaussian window. A_sfr joins cells of one label (`compute_semantic_feedback`), divided by its maximum: a
    first pass, with l_s = 0 and t_s = 1, is refined by PAMR at the window's pixels, and a cell's label is the most
    frequent of its pixels. Defaults are those published for ADE20K; `configs/resclip` has the others.

    Args:
        base: corrected attention: naclip, clearclip (q qᵀ, no w) or sclip (both, no w, residual connection and MLP).
        layers: layers of A_rcs, counted from 1; default 6 to 9.
        residual_temperature, residual_weight: t_r and l_r; feedback_temperature, feedback_weight: t_s and l_s.
        label_threshold: pixels of the first pass whose best probability is below it get the first name.
        line_of_sight: weaken A_sfr between cells that do not see each other through cells of their label.
        sigma: width of w and of the blur of A_sfr, in patches.
        options: of `ProxyCLIPSegmentation`, without VFM and attention.

    Raises:
        ValueError: an option out of its range, a VFM or an attention, which would be ignored.
    """

    method: ClassVar[str] = "resclip"
    guided: ClassVar[bool] = False

    def __init__(
        self,
        *,
        base: str = "naclip",
        layers: Sequence[int] | None = None,
        residual_temperature: float = 2.0,
        residual_weight: float = 0.3,
        feedback_temperature: float = 2.1,
        feedback_weight: float = 0.7,
        label_threshold: float = 0.25,
        line_of_sight: bool = True,
        sigma: float = 5.0,
        **options: Any,
    ) -> None:
        reject_vfm_and_attention(type(self).__name__, options)
        if base not in COMPARED_PROJECTIONS:
            raise ValueError(
                f"Expected base of ResCLIP to be one of {', '.join(COMPARED_PROJECTIONS)}, but got {base!r}"
            )
        shares = dict(residual_weight=residual_weight, feedback_weight=feedback_weight, label_threshold=label_threshold)
        scales = dict(residual_temperature=residual_temperature, feedback_temperature=feedback_temperature, sigma=sigma)
        if not all(0 <= value <= 1 for value in shares.values()) or not all(value > 0 for value in scales.values()):
            raise ValueError(
                f"Expected weights and threshold of ResCLIP in [0, 1], temperatures and sigma > 0, but got "
                f"{shares | scales}"
            )
        super().__init__(**options)
        depth = self.clip.depth
        self.layers = choose_layers(layers, RESIDUAL_LAYERS, max(PUBLISHED_DEPTH, depth), depth)
        self.base = base
        self.residual = (residual_temperature, residual_weight)
        self.feedback = (feedback_temperature, feedback_weight)
        self.label_threshold = label_threshold
        self.line_of_sight = line_of_sight
        self.sigma = sigma
        self.pamr = PAMR(steps=10, dilations=(8, 16))
        self.attention = None  # a strategy sees the last layer only
        self.arguments |= shares | scales | dict(base=base, layers=self.layers, line_of_sight=line_of_sight)

    def extract_feat(self, inputs: Tensor) -> Tensor:
        return self.similarity(self.extract_dense(inputs))

    def extract_dense(self, inputs: Tensor) -> Tensor:
        """Compute dense features of tiles: (n, 3, H, W) -> (n, d, h, w) float32."""
        hidden, grid = self.clip.hidden(inputs.to(self.dtype))
        x = hidden[-1]
        middle = self.average_middle_layers(hidden)
        q, k, values = compute_qkv(self.clip.last, x)
        logits = self.compare_tokens(q, k)
        first = self.mix(x, values, self.compute_weights(logits, middle, grid), grid)
        labels = self.label_cells(self.similarity(first), inputs, grid)
        feedback = compute_semantic_feedback(labels, self.sigma, self.line_of_sight)
        return self.mix(x, values, self.compute_weights(logits, middle, grid, feedback), grid)

    def average_middle_layers(self, hidden: Sequence[Tensor]) -> Tensor:
        """Compute A_rcs from the tokens (n, N, C) of all layers: (n, heads, N, N) float32."""
        return average_attention([(self.clip.blocks[layer - 1], hidden[layer - 1]) for layer in self.layers])

    def compare_tokens(self, q: Tensor, k: Tensor) -> list[Tensor]:
        """Compute the logits of every softmax: (n, heads, N, d) -> (n, heads, N, N) each."""
        projections = {"q": q, "k": k}
        compared = [projections[name] for name in COMPARED_PROJECTIONS[self.base]]
        return [compute_attention_logits(projection, projection) for projection in compared]

    def compute_weights(
        self, logits: Sequence[Tensor], middle: Tensor, grid: Grid, feedback: Tensor | None = None
    ) -> Tensor:
        """Compute P, of the first pass or with feedback A_sfr (n, N, N): (n, heads, N, N)."""
        window: Tensor | float = 0.0
        if self.base == "naclip":
            window = F.pad(NACLIP(self.sigma).window(grid, grid, middle.device), (1, 0, 1, 0))
        if feedback is not None:
            temperature, share = self.feedback
            peak = feedback.amax((1, 2), keepdim=True)
            added = (share * temperature) * (feedback / peak)[:, None]
            logits = [part * ((1 - share) * temperature) + added for part in logits]
        temperature, share = self.residual
        own = sum((part + window).softmax(-1) for part in logits)
        return temperature * ((1 - share) * own + share * middle)

    def mix(self, x: Tensor, values: Tensor, weights: Tensor, grid: Grid) -> Tensor:
        """Weight the values (n, heads, N, d) by P: dense features (n, d, h, w) float32."""
        tokens = mix_values(self.clip.last, weights, values)
        if self.base == "sclip":
            tokens = add_residual_and_mlp(self.clip.last, x, tokens)
        return self.clip.project(tokens[:, 1:], grid)

    def label_cells(self, scores: Tensor, inputs: Tensor, grid: Grid) -> Tensor:
        """Label cells by their pixels after refinement: (n, names, h, w) -> (n, h, w) int64."""
        names = torch.arange(scores.shape[1], device=scores.device)
        options = (names, self.scale, self.label_threshold)
        refined = (self.refine_scores(x, tile) for x, tile in zip(scores, inputs, strict=True))
        pixels = torch.stack([labels_from_scores(maps, *options) for maps in refined])
        return take_most_frequent_labels(pixels, grid, self.clip.patch, len(names))

    def refine_scores(self, scores: Tensor, tile: Tensor) -> Tensor:
        """Refine scores (names, h, w) at the pixels of a tile (3, H, W) -> (names, H, W)."""
        cells = scores[None].clone(memory_format=torch.channels_last)  # as PAMR and `labels_from_scores` read it
        return self.pamr(F.interpolate(cells, size=tile.shape[1:], mode="bilinear")[0], tile)


def average_attention(layers: Sequence[tuple[Any, Tensor]]) -> Tensor:
    """Average the attention of blocks over their inputs, head by head.

    Blocks and inputs (B, N, C) -> (B, heads, N, N) float32.
    """
    total: Any = 0
    for block, x in layers:
        q, k, _ = compute_qkv(block, x)
        total = compute_attention_logits(q, k).softmax(-1) + total
    return total / len(layers)


def take_most_frequent_labels(pixels: Tensor, grid: Grid, patch: int, count: int) -> Tensor:
    """Take the most frequent of a patch's labels, the smallest of equal ones.

    Args:
        pixels: labels below `count`, (B, H, W) int64; rows and columns beyond the last whole patch do not count.
        grid: (h, w) in patches of `patch` pixels.

    Returns:
        (B, h, w) int64.
    """
    h, w = grid
    blocks = pixels[:, : h * patch, : w * patch].unflatten(2, (w, patch)).unflatten(1, (h, patch))
    blocks = blocks.permute(0, 1, 3, 2, 4).flatten(3)
    counts = torch.zeros(*blocks.shape[:3], count, device=pixels.device)
    return counts.scatter_add_(3, blocks, torch.ones_like(blocks, dtype=counts.dtype)).argmax(3)


def compute_semantic_feedback(labels: Tensor, sigma: float, line_of_sight: bool = True) -> Tensor:
    """Compute A_sfr of a first segmentation.

    1 between cells of one label, exp(-D / max D) where they do not see each other (D: the larger of row and column
    distance), blurred by a Gaussian along the flattened key index, rows normalized. The blur crosses the rows of the
    grid, as published.

    Args:
        labels: (B, h, w) int64.
        sigma: of the Gaussian, in cells.
        line_of_sight: False counts all cells of one label as 1.

    Returns:
        (B, 1 + h*w, 1 + h*w) float32; row and column of the class token are 0.
    """
    flat = labels.flatten(1)
    feedback = (flat[:, :, None] == flat[:, None]).float()
    if line_of_sight:
        distance = _chebyshev_distances(labels.shape[1], labels.shape[2], labels.device)
        decay = torch.exp(-distance / distance.amax().clamp(min=1))
        feedback *= torch.where(find_visible_cells(labels), 1.0, decay)
    count = flat.shape[1]
    size = min(count, int(6 * sigma + 1))
    size += size % 2 == 0
    offsets = torch.arange(size, dtype=torch.float32, device=labels.device) - size // 2
    kernel = torch.exp(-offsets.square() / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    blurred = F.conv1d(feedback.reshape(-1, 1, count), kernel[None, None], padding=size // 2).relu_()
    blurred = blurred.reshape(feedback.shape)
    return F.pad(blurred / (blurred.sum(-1, keepdim=True) + 1e-8), (1, 0, 1, 0))


def find_visible_cells(labels: Tensor) -> Tensor:
    """Find the pairs of cells with nothing of another label between them.

    The segment between two cells is sampled at as many points as the longer side of the grid has cells; as published,
    only the first D + 1 are looked at, D cells apart, which is a part of the segment for all but the farthest pairs.

    Args:
        labels: (B, h, w) int64.

    Returns:
        (B, h*w, h*w) bool; meaningful between cells of one label.
    """
    h, w = labels.shape[1:]
    longest = max(h, w)
    fractions = torch.linspace(0, 1, longest, dtype=torch.float32, device=labels.device)
    rows, columns = (_sample_segments(side, fractions) for side in (h, w))
    distance = _chebyshev_distances(h, w, labels.device).reshape(h, w, h, w)
    own = labels.int()[:, :, :, None, None]
    visible = torch.ones(labels.shape[0], h, w, h, w, dtype=torch.bool, device=labels.device)
    for i in range(longest):
        passed = own[:, rows[i][:, None, :, None], columns[i][None, :, None, :], 0, 0]
        visible &= (passed == own) | (distance < i)
    return visible.reshape(len(labels), h * w, h * w)


def _sample_segments(side: int, fractions: Tensor) -> Tensor:
    """Cells at fractions (n,) of the way between any two of an axis: (n, side, side) int64."""
    cells = torch.arange(side, dtype=torch.float32, device=fractions.device)
    way = fractions[:, None, None]
    return (cells[:, None] * (1 - way) + cells * way).round().long()


def _chebyshev_distances(h: int, w: int, device: torch.device) -> Tensor:
    """Larger of row and column distance between the cells of a grid: (h*w, h*w) float32."""
    axes = (torch.arange(side, dtype=torch.float32, device=device) for side in (h, w))
    positions = torch.cartesian_prod(*axes).reshape(-1, 2)
    return (positions[:, None] - positions).abs().amax(-1)
