"""SC-CLIP: outlier patches are repaired, and earlier layers guide the last.

Bai et al., "Self-Calibrated CLIP for Training-Free Open-Vocabulary Segmentation" (arXiv 2411.15869). Outliers: Breunig
et al., "LOF: Identifying Density-Based Local Outliers" (SIGMOD 2000).

The computation is that of the published code, with its constants and its form of the local outlier factor. Where that
code raises, this one goes on: windows that are not square (it takes an outlier's row and column from the number of
rows), windows of 31 patches or fewer, and batches.
"""

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

        A      = softmax(sharpness (S - mean S)), negative entries -inf
        att(Y) = out_proj((A + softmax(k(Y) k(Y)ᵀ / sqrt(d))) / 2 v(Y))
        tokens = smooth_post(att(smooth_pre(X)) + cls_weight c + att(R) + cls_weight c_R)

    X: patches of the last block's input with outliers repaired, and c its class token as it is; S: cosine similarities
    of patches after layer `pre_layer`, repaired at the same places; R and c_R: patches and class token of the sum of
    `multi_layers`; smooth: an average weighted by the similarities after `pre_layer` or `post_layer`. All attention is
    among patches. No residual connection, no MLP.

    Args:
        pre_layer, post_layer: counted from 1; default 9 and 4 of 12, 16 and 6 of 24, scaled to CLIP's depth.
        multi_layers: layers whose outputs are summed; default 4 to 10 of 12, 8 to 19 of 24, scaled.
        cls_weight: default 0.3 up to 12 layers, 0.1 above.
        neighbours, contamination: of the local outlier factor; the share of patches taken as outliers, up to 0.5.
        threshold: cosine similarity from which patches count in smoothing; sharpness: inverse temperature in A.
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
        return self.similarity(self.extract_dense(inputs))

    def extract_dense(self, inputs: Tensor) -> Tensor:
        """Compute dense features of tiles: (n, 3, H, W) -> (n, d, h, w) float32."""
        hidden, grid = self.clip.hidden(inputs.to(self.dtype))
        x, pre = hidden[-1], hidden[self.pre][:, 1:]
        outliers = find_outlier_tokens(x[:, 1:], *self.lof)
        patches, pre = (replace_outlier_tokens(tokens, outliers, grid) for tokens in (x[:, 1:], pre))
        content = Proxy(beta=1.0, gamma=self.sharpness).weights(pre.mT.unflatten(2, grid))
        multi = torch.stack([hidden[layer] for layer in self.multi]).sum(0)
        attended = self.attend(smooth_tokens(patches, pre, self.threshold), content)
        attended = attended + self.attend(multi[:, 1:], content)
        tokens = attended + self.cls_weight * (x[:, :1] + multi[:, :1])
        return self.clip.project(smooth_tokens(tokens, hidden[self.post][:, 1:], self.threshold), grid)

    def attend(self, patches: Tensor, content: Tensor) -> Tensor:
        """Attend by content (n, N, N) and keys alike: patches (n, N, C) -> (n, N, C)."""
        _, k, v = compute_qkv(self.clip.last, patches)
        weights = compute_attention_logits(k, k).softmax(-1).add_(content[:, None]).div_(2)
        return mix_values(self.clip.last, weights, v)


def smooth_tokens(tokens: Tensor, features: Tensor, threshold: float) -> Tensor:
    """Average tokens (B, N, C) by the cosine similarity of features (B, N, D).

    Similarities below `threshold` count as zero.
    """
    unit = F.normalize(features.float(), dim=2)
    weights = unit @ unit.mT
    weights.masked_fill_(weights < threshold, 0)
    return (weights / (weights.sum(-1, keepdim=True) + 1e-6)).to(tokens.dtype) @ tokens


def compute_outlier_factors(points: Tensor, neighbors: int) -> Tensor:
    """Compute local outlier factors of the published form.

    Of squared distances, and with a point's own distance d to its last neighbor as the reach of all of them: the mean
    of d_i / d_j over the neighbors j of i.

    Args:
        points: (B, N, D), N > `neighbors`.

    Returns:
        (B, N) float32.
    """
    points = points.float() - points.float().mean(1, keepdim=True)  # cdist loses digits where norms are large
    distances = torch.cdist(points, points).square()
    distances.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    near, index = distances.topk(neighbors, largest=False)
    reach = near[..., -1].clamp(min=torch.finfo(near.dtype).tiny)
    return (reach[..., None] / reach.gather(1, index.flatten(1)).view_as(index)).mean(-1)


def find_outlier_tokens(points: Tensor, neighbors: int, contamination: float) -> Tensor:
    """Mask points above the quantile 1 - contamination of the outlier factors.

    Points (B, N, D) -> (B, N) bool; with fewer points than neighbors, all others are neighbors.
    """
    count = points.shape[1]
    if count < 2:
        return torch.zeros(points.shape[:2], dtype=torch.bool, device=points.device)
    factors = compute_outlier_factors(points, min(neighbors, count - 1))
    return factors > factors.quantile(1 - contamination, dim=1, keepdim=True)


def replace_outlier_tokens(tokens: Tensor, outliers: Tensor, grid: tuple[int, int]) -> Tensor:
    """Replace outlier tokens by the mean of their valid 3 x 3 neighbors, if any.

    Tokens (B, h*w, C), outliers (B, h*w) bool -> (B, h*w, C), dtype of `tokens`.
    """
    valid = (~outliers).float()[:, :, None]
    maps = torch.cat([tokens.float() * valid, valid], dim=2).mT.unflatten(2, grid)
    sums = F.avg_pool2d(maps, 3, stride=1, padding=1, divisor_override=1).flatten(2).mT
    means = sums[..., :-1] / sums[..., -1:]
    return torch.where(outliers[:, :, None] & (sums[..., -1:] > 0), means.to(tokens.dtype), tokens)
