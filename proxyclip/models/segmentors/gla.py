"""GLA-CLIP: proxy attention over the windows of a whole image.

Lee et al., "Looking Beyond the Window: Global-Local Aligned CLIP for Training-free Open-Vocabulary Semantic
Segmentation" (arXiv 2603.23030). The computation is that of the published code, with its constants; windows of any
size and images smaller than a window, where that code raises, are computed in the same way. rho presumes cosines such
as DINO's: where nearly all pairs are above it, all queries become one.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from proxyclip.models.layers.block import project_values, resize_tokens
from proxyclip.models.segmentors.proxyclip import ProxyCLIPSegmentation

MAX_ATTENTION_ELEMENTS = 2**22  # elements of one attention matrix: 16 MB in float32
DEFAULT_PROXY_OPTIONS = dict(beta=1.2, gamma=3.0)  # proxy attention's own, at the values every config passes on


@MODELS.register_module()
class GLACLIPSegmentation(ProxyCLIPSegmentation):
    """Attention of every patch to the patches of all L windows.

    K and V are VFM features and CLIP's values of all of them. q_i starts as its own key and is moved `rounds` times to
    the mean of the keys similar to it, or back to its own where none is. P_i are the keys of its last move. Then

        A_ij = (q_i K_j - beta max(0, mean_j(q_i K_j))) gamma_i,  negative entries -inf but for the row's largest
        beta = 1 + beta_scale ln(1 + L),  gamma_i = 1 + gamma_scale / |P_i|,  tokens = out_proj(softmax(A) V)

    Args:
        rho: cosine similarity above which a key is similar to a query, in [0, 1).
        rounds: number of times that queries are moved.
        beta_scale: growth of beta with the number of windows; gamma_scale: of gamma where few keys are similar.
        options: of `ProxyCLIPSegmentation`, with a VFM; `attention` is proxy or left out, `beta` and `gamma` too.

    Raises:
        ValueError: an option out of its range, no VFM, or an option of the attention that would be ignored.
    """

    method: ClassVar[str] = "gla"
    guided: ClassVar[bool] = True

    def __init__(
        self, *, rho: float = 0.6, rounds: int = 2, beta_scale: float = 0.3, gamma_scale: float = 30.0, **options: Any
    ) -> None:
        name = type(self).__name__
        own = dict(rho=rho, rounds=rounds, beta_scale=beta_scale, gamma_scale=gamma_scale)
        if not (0 <= rho < 1 and rounds >= 0 and beta_scale >= 0 and gamma_scale >= 0):
            raise ValueError(f"Expected 0 <= rho < 1 and no negative option of {name}, but got {own}")
        if options.get("vfm_model") is None:
            raise ValueError(f"{name} needs a VFM, but vfm_model is None: choose one (--vfm dino)")
        ignored = {k: options[k] for k, v in DEFAULT_PROXY_OPTIONS.items() if options.get(k, v) != v}
        if options.get("attention") not in (None, "proxy", dict(type="proxy")):
            ignored["attention"] = options["attention"]
        if ignored:
            raise ValueError(
                f"{name} is proxy attention whose beta and gamma follow from the windows: expected attention=None "
                f"without beta and gamma (its options are {', '.join(own)}), but got {ignored}"
            )
        super().__init__(**options)
        self.arguments |= own
        self.rho = rho
        self.rounds = rounds
        self.beta_scale = beta_scale
        self.gamma_scale = gamma_scale
        self.attention = None  # a strategy sees one window only

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Score tiles (n, 3, h, w), each an image of its own."""
        return torch.cat(self.extract_windows(inputs.split(1)))

    def extract_windows(self, tiles: Sequence[Tensor], guides: Sequence[Tensor] | None = None) -> list[Tensor]:
        if guides is None:
            guides = self.batches.run(lambda group: cast(Tensor, self.guide(group)), tiles)
        values = self.batches.run(self._project_values, tiles, guides)
        return [self._score_image(guide, value) for guide, value in zip(guides, values, strict=True)]

    def _project_values(self, tiles: Tensor, guide: Tensor) -> Tensor:
        """CLIP's values of tiles on the guide's grid: (n, h'*w', C)."""
        x, grid = self.clip.tokens(tiles.to(self.dtype))
        return resize_tokens(project_values(self.clip.last, x), grid, (guide.shape[2], guide.shape[3]))

    def _score_image(self, guide: Tensor, projected: Tensor) -> Tensor:
        """Guides (n, D, h, w) and values (n, h*w, C) of an image -> (n, names, h, w)."""
        keys = F.normalize(guide.float().flatten(2), dim=1).mT.flatten(0, 1)
        values = projected.flatten(0, 1)
        grid = (guide.shape[2], guide.shape[3])
        chunks = keys.split(max(MAX_ATTENTION_ELEMENTS // len(keys), 1))
        weights = (self.compute_weights(queries, keys, len(guide)) for queries in chunks)
        mixed = torch.cat([part.to(values.dtype) @ values for part in weights])
        (scores,) = self.batches.run(
            lambda tokens: self.similarity(self.clip.project(tokens, grid)), [mixed.unflatten(0, (len(guide), -1))]
        )
        return scores

    def compute_weights(self, queries: Tensor, keys: Tensor, windows: int) -> Tensor:
        """Compute the attention of some of the keys (N, D) to all (M, D): (N, M) float32."""
        beta = 1 + self.beta_scale * math.log(1 + windows)
        moved, counts = shift_queries(queries, keys, self.rho, self.rounds)
        similarity = moved @ keys.mT
        gamma = 1 + self.gamma_scale / counts
        return compute_global_attention(similarity, similarity.mean(-1, keepdim=True), beta, gamma)


def shift_queries(queries: Tensor, keys: Tensor, rho: float, rounds: int) -> tuple[Tensor, Tensor]:
    """Move unit queries to the mean of keys more similar than `rho`, several times.

    Args:
        queries: (N, D), each one of the keys: its own, which it gets back when no key is similar.
        keys: (M, D), unit vectors.

    Returns:
        Moved queries (N, D), and the number of keys of the last move (N, 1); without a move, of those similar.
    """
    moved = queries
    for _ in range(max(rounds, 1)):
        near = (moved @ keys.mT > rho).to(keys.dtype)
        counts = near.sum(-1, keepdim=True)
        if rounds > 0:
            moved = torch.where(counts > 0, F.normalize(near @ keys, dim=-1), queries)
    return moved, counts.clamp(min=1)


def compute_global_attention(similarity: Tensor, mean: Tensor, beta: float, gamma: Tensor | float) -> Tensor:
    """Compute the softmax of A = gamma (S - beta max(0, mean)), S similarity (N, M).

    Negative entries of A are -inf but for the largest of a row; `mean` and `gamma` are (N, 1) or scalars.
    """
    scores = (similarity - beta * mean.clamp(min=0)) * gamma
    return scores.masked_fill_(scores < scores.amax(-1, keepdim=True).clamp(max=0), -torch.inf).softmax(-1)
