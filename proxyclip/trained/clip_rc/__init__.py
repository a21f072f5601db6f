"""CLIP-RC (Zhang et al., CVPR 2024). Importing it registers what configs name.

encoder      the frozen ViT with prompts and region tokens; frozen: CLIP, loaded when it is needed
decoder      queries of regions and classes, two streams, and their recovery in training
losses       focal and dice loss, recovery
labels       what becomes of labels in each setting
slide        windows of an evaluation; sizes: parameters and FLOPs
segmentor    CLIPRC
optim        ParityOptimWrapperConstructor: weight decay of norms
"""

from .optim import ParityOptimWrapperConstructor
from .segmentor import CLIPRC

__all__ = ["CLIPRC", "ParityOptimWrapperConstructor"]
