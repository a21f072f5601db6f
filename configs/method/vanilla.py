"""Plain CLIP: the last block as it is, no VFM."""

model = dict(vfm_model=None, attention=dict(type="vanilla"))
