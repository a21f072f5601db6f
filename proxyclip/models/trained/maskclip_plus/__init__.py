"""MaskCLIP as a teacher, and the students of MaskCLIP+ (arXiv 2112.01071).

Importing it registers the segmentors that configs name.

teacher      dense CLIP features and their scores, of a ViT or a ResNet
students     named backbones and decode modules; pretrained: their initial weights
losses       losses of a student, and its pseudo labels
segmentor    MaskCLIPTeacher, MaskCLIPPlus
"""

from proxyclip.models.trained.maskclip_plus.model import MaskCLIPPlus, MaskCLIPTeacher

__all__ = ["MaskCLIPPlus", "MaskCLIPTeacher"]
