"""What SC-CLIP's configs share (arXiv 2411.15869): the method, SCLIP's windows, no padding, no VFM.

Scales and thresholds of each data set were read in the published code (repository SuleBai/SC-CLIP).

Inferred: short sides, windows and class names are SCLIP's. The author says in issue 1 of that repository that the
protocol is SCLIP's, without the numbers.
"""

protocol = dict(type="SCCLIPSegmentation", vfm_model=None, attention=None, slide_crop=224, pad_multiple=1)
