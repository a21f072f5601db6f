"""CLIP-RC (Zhang et al., CVPR 2024). Importing it registers the segmentor that configs name."""

from proxyclip.models.trained.clip_rc.model import CLIPRC

__all__ = ["CLIPRC"]
