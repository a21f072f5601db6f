"""Options of all segmentors."""

import pytest
from torch import nn

from proxyclip.models.base_segmentor import OpenVocabSegmentor


@pytest.mark.parametrize(
    ("threshold", "message"), [(45, "write 0.45"), ("45%", "write 0.45"), ([0, 3], "0, 3"), (-0.1, "-0.1")]
)
def test_threshold_is_a_probability(threshold, message):
    with pytest.raises(ValueError, match=message):
        OpenVocabSegmentor(nn.Identity(), "fp32", prob_thd=threshold)
    assert OpenVocabSegmentor(nn.Identity(), "fp32", prob_thd=0.25).prob_thd == 0.25
