"""Promise: a student's weights are read by this package alone, not by MMEngine."""

import pytest

from proxyclip.models.trained.maskclip_plus.students import build_student


@pytest.mark.parametrize("part", ["backbone", "decoder"])
@pytest.mark.parametrize(
    "options",
    [
        {"init_cfg": {"type": "Pretrained", "checkpoint": "weights.pth"}},
        {"init_cfg": [{"type": "Constant", "val": 0}, {"type": "Pretrained", "checkpoint": "weights.pth"}]},
        {"pretrained": "weights.pth"},
    ],
)
def test_weights_that_mmengine_would_read_are_refused(part, options):
    with pytest.raises(ValueError, match=rf"student\.{part} without weights of its own.*student\.pretrained=FILE"):
        build_student({"type": "segformer_tiny", part: options}, 16)
