"""What NACLIP's configs share (arXiv 2404.08181): the method, its windows, PAMR, no VFM.

Read in the published code (repository sinahmr/NACLIP): VOC as whole images; PAMR on by default (`--cfg-options
model.refine=none` turns it off); windows that are not padded, so that the cells that fit are stretched; whole images
interpolated twice. Read in the code of methods that evaluate on its configs (CASS, FLOSS): short side 336, on
Cityscapes 560; windows of 224 with stride 112; scale 40; threshold 0.1 where there is a background.

Inferred: the class names are SCLIP's where these differ from ProxyCLIP's (VOC, COCO-Object). NACLIP's code grew from
SCLIP's, and FLOSS, which evaluates NACLIP, renames VOC's classes to the words of SCLIP's list.
"""

protocol = dict(
    vfm_model=None,
    attention=dict(type="naclip"),
    refine="pamr",
    slide_crop=224,
    pad_multiple=1,
    upsample_to_input=True,
)
