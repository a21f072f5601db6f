"""MaskCLIP+ (arXiv 2112.01071), teacher and students. Importing it registers the segmentors that configs name."""

from proxyclip.models.trained.maskclip_plus.model import MaskCLIPPlus, MaskCLIPTeacher

__all__ = ["MaskCLIPPlus", "MaskCLIPTeacher"]
