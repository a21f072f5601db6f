"""Prompt templates."""

from proxyclip.data.templates import maskclip_template, openai_imagenet_template, sub_imagenet_template
from proxyclip.utils.hashing import hash_value


def test_templates_are_the_published_ones():
    assert (len(openai_imagenet_template), len(sub_imagenet_template), len(set(maskclip_template))) == (80, 7, 85)
    assert maskclip_template[:80] == openai_imagenet_template
    assert hash_value("\n".join(maskclip_template))[:16] == "f87d863dc7a96d46"
    assert hash_value("\n".join(sub_imagenet_template))[:16] == "6ef3883987d224b7"
