"""The 80 ImageNet templates at their published path; they lie in `proxyclip.data.templates`."""

from proxyclip.data.templates import openai_imagenet_template, sub_imagenet_template

__all__ = ["openai_imagenet_template", "sub_imagenet_template"]
