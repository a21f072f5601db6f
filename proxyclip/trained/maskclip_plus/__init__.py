"""MaskCLIP as a teacher, and the students of MaskCLIP+ (arXiv 2112.01071). Importing it registers what configs name.

teacher      dense CLIP features and their scores, of a ViT or a ResNet
students     named backbones and decode modules; pretrained: their first weights
segmentor    MaskCLIPTeacher, MaskCLIPPlus
stages       StageHook: when the teacher guides and when the student trains itself
"""

from .segmentor import MaskCLIPPlus, MaskCLIPTeacher
from .stages import StageHook

__all__ = ["MaskCLIPPlus", "MaskCLIPTeacher", "StageHook"]
