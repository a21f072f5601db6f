"""MaskCLIP (arXiv 2112.01071), value path only: no key smoothing, no prompt denoising, no VFM."""

model = dict(vfm_model=None, attention=dict(type="maskclip"))
