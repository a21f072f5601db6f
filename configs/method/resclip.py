"""ResCLIP (arXiv 2411.15851) on NACLIP: attention of middle layers, and a second pass over the first segmentation."""

model = dict(type="ResCLIPSegmentation", vfm_model=None, attention=None)
