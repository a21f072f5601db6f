"""CLIP-RC (Zhang et al., CVPR 2024).

Importing it registers the segmentor that configs name.

encoder      the frozen ViT with prompts and region tokens
decoder      queries of regions and classes, two streams, and their recovery in training
losses       focal and dice loss, recovery; labels of each training setting
slide        windows of an evaluation
flops        parameters and MACs
segmentor    CLIPRC
"""

from proxyclip.models.trained.clip_rc.model import CLIPRC

__all__ = ["CLIPRC"]
