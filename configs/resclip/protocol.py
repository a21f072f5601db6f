"""What ResCLIP's configs share (arXiv 2411.15851): the method on NACLIP, NACLIP's windows, no VFM, no final PAMR.

Thresholds, weights and temperatures of each data set were read in the published code (repository yvhangyang/ResCLIP),
as were whole images for VOC and the two interpolations of those.

Inferred: short sides and class names are NACLIP's, whose code it grew from (see there).
"""

protocol = dict(
    type="ResCLIPSegmentation",
    vfm_model=None,
    attention=None,
    slide_crop=224,
    pad_multiple=1,
    upsample_to_input=True,
)
