"""SCLIP (arXiv 2312.01597): query-query and key-key attention, residual connection and MLP kept; no VFM."""

model = dict(vfm_model=None, attention=dict(type="sclip"))
