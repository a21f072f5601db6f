"""ResCLIP on NACLIP: attention corrected by middle layers and semantic feedback.

Yang et al., "ResCLIP: Residual Attention for Training-Free Dense Vision-Language Inference" (arXiv 2411.15851).

No reference arrays were at hand, so these details are this toolkit's reading: all attention is among patches, the
class token left out before the softmax; layers 6 to 9 of 12; the mean of their heads serves every head of the last
block; a cell's label is its best name (synonyms are labels of their own); regions are connected by their edges; between
regions of one label the attention decays as NACLIP's window does, with the same sigma; the paper's two temperatures
are left out (1).
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from mmseg.registry import MODELS
from scipy import ndimage
from torch import Tensor

from proxyclip.models.layers.block import compute_attention_logits, compute_qkv, mix_values
from proxyclip.models.segmentors._options import choose_layers, reject_vfm_and_attention
from proxyclip.models.segmentors.proxyclip import ProxyCLIPSegmentation

PLANAR_CONNECTIVITY = np.stack([np.zeros((3, 3)), ndimage.generate_binary_structure(2, 1), np.zeros((3, 3))])


@MODELS.register_module()
class ResCLIPSegmentation(ProxyCLIPSegmentation):
    """NACLIP corrected by the residual attention of middle layers and by feedback.

        P = (1 - l_r) softmax((1 - l_s) k kᵀ / sqrt(d) + l_s A_sfr + w) + l_r A_rcs, head by head, no residual, no MLP

    A_rcs is the mean attention of middle layers, w NACLIP's window. A_sfr joins the regions of a first segmentation,
    which has the same P with l_s = 0.

    Args:
        layers: layers of A_rcs, counted from 1; default 6 to 9 of 12, scaled to CLIP's depth.
        residual_weight: l_r, in [0, 1]; feedback_weight: l_s, in [0, 1].
        sigma: width of w and of the decay of A_sfr between regions, in patches.
        options: of `ProxyCLIPSegmentation`, without VFM and attention.

    Raises:
        ValueError: an option out of its range, a VFM or an attention, which would be ignored.
    """

    method: ClassVar[str] = "resclip"
    guided: ClassVar[bool] = False

    def __init__(
        self,
        *,
        layers: Sequence[int] | None = None,
        residual_weight: float = 0.5,
        feedback_weight: float = 0.7,
        sigma: float = 5.0,
        **options: Any,
    ) -> None:
        reject_vfm_and_attention(type(self).__name__, options)
        own = dict(residual_weight=residual_weight, feedback_weight=feedback_weight, sigma=sigma)
        if not (0 <= residual_weight <= 1 and 0 <= feedback_weight <= 1 and sigma > 0):
            raise ValueError(f"Expected both weights in [0, 1] and sigma > 0, but got {own}")
        super().__init__(**options | dict(attention=dict(type="naclip", sigma=sigma)))
        self.layers = choose_layers(layers, (6, 9), 12, self.clip.depth)
        self.arguments |= own | dict(layers=self.layers)
        self.residual_weight = residual_weight
        self.feedback_weight = feedback_weight

    def extract_feat(self, inputs: Tensor) -> Tensor:
        hidden, grid = self.clip.hidden(inputs.to(self.dtype))
        middle = sum(
            average_attention_heads(self.clip.blocks[layer - 1], hidden[layer - 1][:, 1:]) for layer in self.layers
        )
        residual = self.residual_weight / len(self.layers) * middle
        _, k, v = compute_qkv(self.clip.last, hidden[-1][:, 1:])
        products = compute_attention_logits(k, k)
        window = self.attention.window(grid, grid, inputs.device)

        def scores(logits: Tensor) -> Tensor:
            weights = (1 - self.residual_weight) * (logits + window).softmax(-1) + residual
            return self.similarity(self.clip.project(mix_values(self.clip.last, weights, v), grid))

        regions = compute_semantic_feedback(scores(products).argmax(1), window)[:, None]
        return scores((1 - self.feedback_weight) * products + self.feedback_weight * regions)


def average_attention_heads(block: Any, x: Tensor) -> Tensor:
    """Average the attention of all heads: (B, N, C) -> (B, 1, N, N) float32."""
    q, k, _ = compute_qkv(block, x)
    return compute_attention_logits(q, k).softmax(-1).mean(1, keepdim=True)


def compute_semantic_feedback(labels: Tensor, decay: Tensor) -> Tensor:
    """Compute A_sfr: 1 within a region, `decay` within a label, else 0.

    Labels (B, h, w) int64, decay (h*w, h*w) -> (B, h*w, h*w), dtype of `decay`.
    """
    regions = label_connected_regions(labels).flatten(1)
    labels = labels.flatten(1)
    same_label = labels[:, :, None] == labels[:, None]
    same_region = regions[:, :, None] == regions[:, None]
    return (decay * same_label).masked_fill(same_region, 1)


def label_connected_regions(labels: Tensor) -> Tensor:
    """Number the connected regions (4 neighbors) of labels (B, h, w), unique in all."""
    array = labels.cpu().numpy()
    region_ids = np.zeros(array.shape, dtype=np.int64)
    for label in np.unique(array):
        regions, _ = ndimage.label(array == label, PLANAR_CONNECTIVITY)
        region_ids += np.where(regions > 0, regions + region_ids.max(), 0)
    return torch.from_numpy(region_ids).to(labels.device)
