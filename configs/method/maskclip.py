"""MaskCLIP (arXiv 2112.01071): the value path, no VFM.

Key smoothing and prompt denoising are off, as later papers compare it; its own experiments use 1.0 and 0.5.
"""

model = dict(
    type="MaskCLIPSegmentation",
    vfm_model=None,
    attention=dict(type="maskclip"),
    key_smoothing=0.0,
    prompt_denoising=0.0,
)
