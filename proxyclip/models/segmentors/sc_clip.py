"""SC-CLIP: outlier patches are repaired, and earlier layers guide the last.

Bai et al., "Self-Calibrated CLIP for Training-Free Open-Vocabulary Segmentation" (arXiv 2411.15869). Outliers: Breunig
et al., "LOF: Identifying Density-Based Local Outliers" (SIGMOD 2000).

No reference arrays were at hand, so these details are this toolkit's reading: P is among patches; the class token
attends to all tokens after the repair and before smoothing; the number of outliers is rounded down; the layers' sum
gets no class token.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from proxyclip.models.attention.proxy import Proxy
from proxyclip.models.layers.block import compute_attention_logits, compute_qkv, mix_values
from proxyclip.models.segmentors._options import choose_layers, reject_vfm_and_attention
from proxyclip.models.segmentors.proxyclip import ProxyCLIPSegmentation

DEFAULT_LAYERS = {12: ((9, 9), (4, 4), (4, 10)), 24: ((16, 16), (6, 6), (8, 19))}  # pre, post, multi: first and last
DEFAULT_CLS_WEIGHTS = {12: 0.3, 24: 0.1}


@MODELS.register_module()
class SCCLIPSegmentation(ProxyCLIPSegmentation):
    """Self-calibrated attention and tokens of the last block.

        P = (softmax(sharpness (S_pre - mean S_pre), negative entries -inf) + softmax(k kᵀ / sqrt(d))) / 2
        tokens = smooth_post(out_proj(P v(smooth_pre(X))) + cls_weight CLS + out_proj(P v(sum of x_l)))

    X: patches of the last block's input, outliers repaired; CLS: the class token's own output of the last attention;
    S_l: cosine similarities of patches after layer l; smooth_l: weighted by S_l. No residual connection, no MLP.

    Args:
        pre_layer, post_layer: counted from 1; default 9 and 4 of 12, 16 and 6 of 24, scaled to CLIP's depth.
        multi_layers: layers whose outputs are summed; default 4 to 10 of 12, 8 to 19 of 24, scaled.
        cls_weight: default 0.3 up to 12 layers, 0.1 above.
        neighbours, contamination: of the local outlier factor; the share of patches taken as outliers, up to 0.5.
        threshold: cosine similarity from which patches count in smoothing; sharpness: inverse temperature in P.
        options: of `ProxyCLIPSegmentation`, without VFM and attention.

    Raises:
        ValueError: an option out of its range, a VFM or an attention, which would be ignored.
    """

    method: ClassVar[str] = "sc_clip"
    guided: ClassVar[bool] = False

    def __init__(
        self,
        *,
        pre_layer: int | None = None,
        post_layer: int | None = None,
        multi_layers: Sequence[int] | None = None,
        cls_weight: float | None = None,
        neighbours: int = 30,
        contamination: float = 0.05,
        threshold: float = 0.4,
        sharpness: float = 3.0,
        **options: Any,
    ) -> None:
        reject_vfm_and_attention(type(self).__name__, options)
        own: dict[str, Any] = dict(neighbours=neighbours, contamination=contamination)
        own |= dict(threshold=threshold, sharpness=sharpness)
        if not (neighbours >= 1 and 0 <= contamination <= 0.5 and 0 <= threshold <= 1 and sharpness > 0):
            raise ValueError(f"Expected positive options, contamination <= 0.5 and threshold <= 1, but got {own}")
        super().__init__(**options)
        reference_depth = 12 if self.clip.depth <= 12 else 24
        requested = [None if layer is None else [layer] for layer in (pre_layer, post_layer)] + [multi_layers]
        (self.pre,), (self.post,), self.multi = (
            choose_layers(layers, ends, reference_depth, self.clip.depth)
            for layers, ends in zip(requested, DEFAULT_LAYERS[reference_depth], strict=True)
        )
        self.cls_weight = DEFAULT_CLS_WEIGHTS[reference_depth] if cls_weight is None else cls_weight
        self.lof = (neighbours, contamination)
        self.threshold = threshold
        self.sharpness = sharpness
        own |= dict(pre_layer=self.pre, post_layer=self.post, multi_layers=self.multi, cls_weight=self.cls_weight)
        self.arguments |= own
        self.attention = None  # a strategy sees the last layer only

    def extract_feat(self, inputs: Tensor) -> Tensor:
        hidden, grid = self.clip.hidden(inputs.to(self.dtype))
        patches = [x[:, 1:] for x in hidden]
        block = self.clip.last
        repaired = replace_outlier_tokens(patches[-1], find_outlier_tokens(patches[-1], *self.lof), grid)
        q, k, v = compute_qkv(block, torch.cat([hidden[-1][:, :1], repaired], dim=1))
        own = mix_values(block, compute_attention_logits(q[:, :, :1], k).softmax(-1), v)
        _, k, v = compute_qkv(block, smooth_tokens(repaired, patches[self.pre], self.threshold))
        content = Proxy(beta=1.0, gamma=self.sharpness).weights(patches[self.pre].mT.unflatten(2, grid))
        weights = (content[:, None] + compute_attention_logits(k, k).softmax(-1)) / 2
        _, _, multi = compute_qkv(block, torch.stack([patches[layer] for layer in self.multi]).sum(0))
        tokens = mix_values(block, weights, v) + self.cls_weight * own + mix_values(block, weights, multi)
        return self.similarity(self.clip.project(smooth_tokens(tokens, patches[self.post], self.threshold), grid))


def smooth_tokens(tokens: Tensor, features: Tensor, threshold: float) -> Tensor:
    """Average tokens (B, N, C) by the cosine similarity of features (B, N, D).

    Similarities below `threshold` count as zero.
    """
    unit = F.normalize(features.float(), dim=2)
    weights = unit @ unit.mT
    weights.diagonal(dim1=1, dim2=2).fill_(1)  # rounding, or a token of zeros, leaves no row empty
    weights.masked_fill_(weights < threshold, 0)
    return (weights / weights.sum(-1, keepdim=True)).to(tokens.dtype) @ tokens


def compute_outlier_factors(points: Tensor, neighbors: int) -> Tensor:
    """Compute local outlier factors: (B, N, D), N > `neighbors` -> (B, N) float32."""
    points = points.float() - points.float().mean(1, keepdim=True)  # cdist loses digits where norms are large
    distances = torch.cdist(points, points)
    distances.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    near, index = distances.topk(neighbors, largest=False)

    def gather_neighbors(x: Tensor) -> Tensor:
        return x.gather(1, index.flatten(1)).view_as(index)

    density = 1 / (torch.maximum(near, gather_neighbors(near[..., -1])).mean(-1) + 1e-10)
    return gather_neighbors(density).mean(-1) / density


def find_outlier_tokens(points: Tensor, neighbors: int, contamination: float) -> Tensor:
    """Mask the floor(contamination N) largest outliers: (B, N, D) -> (B, N) bool."""
    mask = torch.zeros(points.shape[:2], dtype=torch.bool, device=points.device)
    count = math.floor(contamination * points.shape[1] + 1e-9)
    if count == 0:
        return mask
    factors = compute_outlier_factors(points, min(neighbors, points.shape[1] - 1))
    return mask.scatter_(1, factors.topk(count).indices, True)


def replace_outlier_tokens(tokens: Tensor, outliers: Tensor, grid: tuple[int, int]) -> Tensor:
    """Replace outlier tokens by the mean of their valid 3 x 3 neighbors, if any.

    Tokens (B, h*w, C), outliers (B, h*w) bool -> (B, h*w, C), dtype of `tokens`.
    """
    valid = (~outliers).float()[:, :, None]
    maps = torch.cat([tokens.float() * valid, valid], dim=2).mT.unflatten(2, grid)
    sums = F.avg_pool2d(maps, 3, stride=1, padding=1, divisor_override=1).flatten(2).mT
    means = sums[..., :-1] / sums[..., -1:]
    return torch.where(outliers[:, :, None] & (sums[..., -1:] > 0), means.to(tokens.dtype), tokens)
