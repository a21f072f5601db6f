"""The templates are the published ones."""

import open_clip
import pytest

from proxyclip.data.templates import maskclip_template, openai_imagenet_template, sub_imagenet_template


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (openai_imagenet_template, open_clip.OPENAI_IMAGENET_TEMPLATES),
        (sub_imagenet_template, open_clip.SIMPLE_IMAGENET_TEMPLATES),
    ],
)
def test_templates_equal_open_clips(ours, theirs):
    assert [t.format("red panda") for t in ours] == [t("red panda") for t in theirs]


def test_sizes():
    assert (len(openai_imagenet_template), len(sub_imagenet_template)) == (80, 7)
    assert len(set(maskclip_template)) == 85
    assert maskclip_template[:80] == openai_imagenet_template
