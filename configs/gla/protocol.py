"""What GLA-CLIP's configs share (arXiv 2603.23030): the method, its windows and padding, DINO as VFM.

Windows of 224 with stride 112, padded to multiples of 56, were read in the published script.

Inferred: short sides, thresholds and class names are those of ProxyCLIP's configs, which the method builds on; the
source has no numbers by data set.
"""

protocol = dict(
    type="GLACLIPSegmentation", vfm_model=dict(type="dino"), attention=None, slide_crop=224, pad_multiple=56
)
