"""Training losses of the tiny models.

CLIP: InfoNCE (Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
arXiv 2103.00020) with several positives: a caption is positive for every crop of the batch of which it is true.

VFM "contrast": patches of two views of one image (same pixels, other colors). A patch is pulled to its neighbors and
away from the rest of the image. Without position table only its pixels can decide, so cosines tend to the pointwise
mutual information of adjacency (after Isola et al., "Learning visual groups from co-occurrences in space and time",
arXiv 1511.06811). No label, no caption, no mask.

VFM "mae": He et al., "Masked Autoencoders Are Scalable Vision Learners" (arXiv 2111.06377). The encoder gets a quarter
of the patches, without positions; the decoder gets the positions.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from proxyclip.tinyworld.models import encode_image, encode_patches, encode_text


def _soft_cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Mean cross entropy of rows with a positive to the even mix of positives (R, K)."""
    target = truth / truth.sum(1, keepdim=True).clamp(min=1)
    return -(target * logits.log_softmax(1)).sum(1)[truth.any(1)].mean()


def clip_loss(clip: Any, images: Tensor, tokens: Tensor, truth: Tensor) -> Tensor:
    """Contrastive loss of CLIP, scalar.

    The same loss on the ordinary class embedding and on the one of the last attention alone (see encode_image).

    Args:
        images: (B, 3, H, W) RGB in [0, 1].
        tokens: (K, L) of the captions.
        truth: (B, K) bool: caption k holds for image b.
    """
    texts = normalize(encode_text(clip, tokens).float(), dim=-1)
    scale = clip.logit_scale.exp().clamp(max=100)
    loss = torch.zeros((), device=images.device)
    for embedding in encode_image(clip, images):
        logits = scale * normalize(embedding.float(), dim=-1) @ texts.T
        loss = loss + (_soft_cross_entropy(logits, truth) + _soft_cross_entropy(logits.T, truth.T)) / 4
    return loss


def contrast_loss(vfm: Any, views: tuple[Tensor, Tensor], temperature: float, radius: int) -> Tensor:
    """Contrastive loss of patches, scalar; targets: the same patch and its neighbors.

    Args:
        views: two (B, 3, H, W) of the same pixels in other colors, RGB in [0, 1].
    """
    first, second = normalize(encode_patches(vfm, torch.cat(views)).float(), dim=-1).chunk(2)
    h, w = (side // patch for side, patch in zip(views[0].shape[2:], vfm.patch_embed.patch_size, strict=True))
    cells = torch.cartesian_prod(torch.arange(h, device=first.device), torch.arange(w, device=first.device))
    near = (cells[:, None] - cells).abs().amax(-1) <= radius  # (h*w, h*w)
    logits = first @ second.mT / temperature
    likely = (logits.log_softmax(-1) + logits.mT.log_softmax(-1)) / 2
    return -((likely * near).sum(-1) / near.sum(-1)).mean()


def mae_loss(vfm: Any, decoder: Any, images: Tensor, order: Tensor, hidden: float) -> Tensor:
    """Mean squared error on hidden patches, normalized to mean 0 and variance 1 each.

    Args:
        images: (B, 3, H, W) RGB in [0, 1].
        order: (B, N) of the patches, of which the last share `hidden` is hidden.
    """
    patch = vfm.patch_embed.patch_size[0]
    grid = (images.shape[2] // patch, images.shape[3] // patch)
    kept, missing = order.tensor_split([round(order.shape[1] * (1 - hidden))], 1)
    made = decoder(encode_patches(vfm, images, kept), kept, grid).float()
    truth = images.unfold(2, patch, patch).unfold(3, patch, patch).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    truth = truth.take_along_dim(missing[..., None], 1)
    truth = (truth - truth.mean(-1, keepdim=True)) / (truth.var(-1, keepdim=True) + 1e-6).sqrt()
    return (made.take_along_dim(missing[..., None], 1) - truth).square().mean()
