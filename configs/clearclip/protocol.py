"""What ClearCLIP's configs share (arXiv 2407.12442): the method, its windows and scale, no VFM.

All numbers were read in the published configs (repository mc-lan/ClearCLIP): short side 448 everywhere, windows of 448
with stride 224, on Cityscapes of 224, and three thresholds. The class names are those of ProxyCLIP's configs.
Plain CLIP, as ClearCLIP's table has it, is `--method vanilla` here.
"""

protocol = dict(vfm_model=None, attention=dict(type="clearclip"), logit_scale=50, slide_crop=448, slide_stride=224)
