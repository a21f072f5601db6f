"""NACLIP (arXiv 2404.08181): key-key attention with a Gaussian window around every patch; no VFM."""

model = dict(vfm_model=None, attention=dict(type="naclip"))
