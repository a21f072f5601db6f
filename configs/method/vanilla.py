"""CLIP as it is, patch tokens read as they come out (arXiv 2103.00020)."""

model = dict(vfm_model=None, attention=dict(type="vanilla"))
