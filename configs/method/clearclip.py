"""ClearCLIP (arXiv 2407.12442): query-query attention, no residual connection, no MLP; no VFM."""

model = dict(vfm_model=None, attention=dict(type="clearclip"))
