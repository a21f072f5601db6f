"""What SCLIP's configs share (arXiv 2312.01597): the method, its windows, no VFM.

Sizes, scales, thresholds and class names of each data set were read in the published configs (repository
wangf3014/SCLIP).
"""

protocol = dict(vfm_model=None, attention=dict(type="sclip"), slide_crop=224)
