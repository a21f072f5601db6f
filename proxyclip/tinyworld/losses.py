"""What the tiny models learn from.

CLIP: InfoNCE (Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
arXiv 2103.00020) with several positives: the generator knows what every crop shows, so a caption is positive for every
crop of the batch of which it is true. Plain pairs would call those crops negatives.

VFM "contrast": the patches of two views of one picture (same pixels, other colours). A patch should be like its
neighbours and unlike the rest of the same picture. With no position table it can only be so by what it looks like, so
cosines tend to the pointwise mutual information of two looks being adjacent (after Isola et al., "Learning visual
groups from co-occurrences in space and time", arXiv 1511.06811). No label, no caption, no mask.

VFM "mae": He et al., "Masked Autoencoders Are Scalable Vision Learners" (arXiv 2111.06377). The encoder sees a quarter
of the patches, and as it has no position table, sees them as a heap; the decoder is told where they were.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from proxyclip.tinyworld.models import encode_image, encode_patches, encode_text, gather_tokens


def _soft_cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """logits, truth (R, K) -> mean over rows with a positive of the cross entropy to the even mix of positives."""
    target = truth / truth.sum(1, keepdim=True).clamp(min=1)
    some = truth.any(1)
    return -(target * logits.log_softmax(1)).sum(1)[some].mean()


def clip_loss(clip: Any, images: Tensor, tokens: Tensor, truth: Tensor) -> Tensor:
    """images (B, 3, H, W) RGB in [0, 1], tokens (K, L), truth (B, K) bool: caption k holds for image b -> scalar.

    The same loss on the ordinary class embedding and on the one of the last attention alone (see encode_image).
    """
    texts = normalize(encode_text(clip, tokens).float(), dim=-1)
    scale = clip.logit_scale.exp().clamp(max=100)
    loss = torch.zeros((), device=images.device)
    for embedding in encode_image(clip, images):
        logits = scale * normalize(embedding.float(), dim=-1) @ texts.T
        loss = loss + (_soft_cross_entropy(logits, truth) + _soft_cross_entropy(logits.T, truth.T)) / 4
    return loss


def neighbor_mask(h: int, w: int, radius: int, device: torch.device) -> Tensor:
    """(h*w, h*w) bool: patches at most `radius` rows and columns apart."""
    y, x = torch.meshgrid(torch.arange(h, device=device), torch.arange(w, device=device), indexing="ij")
    y, x = y.flatten(), x.flatten()
    return ((y[:, None] - y).abs() <= radius) & ((x[:, None] - x).abs() <= radius)


def contrast_loss(vfm: Any, views: tuple[Tensor, Tensor], temperature: float, radius: int) -> Tensor:
    """views: two (B, 3, H, W) of the same pixels in other colours, RGB in [0, 1] -> scalar.

    Every patch of one view against all patches of the other: itself and its neighbours should be the likeliest.
    """
    first, second = normalize(encode_patches(vfm, torch.cat(views)).float(), dim=-1).chunk(2)
    h, w = (side // patch for side, patch in zip(views[0].shape[2:], vfm.patch_embed.patch_size, strict=True))
    near = neighbor_mask(h, w, radius, first.device)
    logits = first @ second.mT / temperature
    likely = (logits.log_softmax(-1) + logits.mT.log_softmax(-1)) / 2
    return -((likely * near).sum(-1) / near.sum(-1)).mean()


def mae_loss(vfm: Any, decoder: Any, images: Tensor, order: Tensor, hidden: float) -> Tensor:
    """images (B, 3, H, W) RGB in [0, 1], order (B, N) of the patches, the last `hidden` of which are hidden -> scalar.

    Mean squared error on the hidden patches alone, of pixels with mean 0 and variance 1 in every patch.
    """
    patch = vfm.patch_embed.patch_size[0]
    grid = (images.shape[2] // patch, images.shape[3] // patch)
    kept, missing = order.tensor_split([round(order.shape[1] * (1 - hidden))], 1)
    made = decoder(encode_patches(vfm, images, kept), kept, grid).float()
    truth = images.unfold(2, patch, patch).unfold(3, patch, patch).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    truth = gather_tokens(truth, missing)
    truth = (truth - truth.mean(-1, keepdim=True)) / (truth.var(-1, keepdim=True) + 1e-6).sqrt()
    return (gather_tokens(made, missing) - truth).square().mean()
