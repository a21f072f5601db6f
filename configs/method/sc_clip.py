"""SC-CLIP (arXiv 2411.15869): outliers repaired, the last layer guided by earlier ones; no VFM."""

model = dict(type="SCCLIPSegmentation", vfm_model=None, attention=None)
