"""Prompt templates: CLIP's 80 for ImageNet, a subset of 7, and MaskCLIP's 85.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (arXiv 2103.00020).
Each is a format string with one `{}` for the name.
"""

from open_clip import OPENAI_IMAGENET_TEMPLATES, SIMPLE_IMAGENET_TEMPLATES

openai_imagenet_template = tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES)
sub_imagenet_template = tuple(template("{}") for template in SIMPLE_IMAGENET_TEMPLATES)

# MaskCLIP's 85 (arXiv 2112.01071): those above and five about the scene.
maskclip_template = (
    *openai_imagenet_template,
    "there is a {} in the scene.",
    "there is the {} in the scene.",
    "this is a {} in the scene.",
    "this is the {} in the scene.",
    "this is one {} in the scene.",
)
