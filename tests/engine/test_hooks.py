"""Images of samples, as hooks and galleries draw them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.color_tiff import encode_color_tiff

from proxyclip.engine.hooks import load_sample_image

RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


@pytest.mark.parametrize(
    "values", [np.dstack([RGB, RGB[..., 0]]), RGB.astype(np.uint16) << 8], ids=["alpha", "16 bits"]
)
def test_load_sample_image_decodes_as_the_evaluation(tmp_path, values):
    (tmp_path / "a.tif").write_bytes(encode_color_tiff(values, extra_samples=(2,) * (values.shape[2] - 3)))
    sample = SimpleNamespace(metainfo=dict(img_path=str(tmp_path / "a.tif")))
    np.testing.assert_array_equal(load_sample_image(sample, None, (6, 9)), RGB)
    assert load_sample_image(sample, None, (12, 18)).shape == (12, 18, 3)


def test_load_sample_image_falls_back_to_the_input(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    model_input = torch.from_numpy(RGB[..., ::-1].transpose(2, 0, 1).copy())
    for path in (str(tmp_path / "nowhere.png"), str(tmp_path / "bad.png"), None):
        sample = SimpleNamespace(metainfo=dict(img_path=path))
        np.testing.assert_array_equal(load_sample_image(sample, model_input, (6, 9)), RGB)
        assert not load_sample_image(sample, None, (6, 9)).any()
