"""CLIP's own middle layer as guide."""

import pytest
import torch
from helpers.reference import write_clip

from proxyclip.models.clip.dense import load_clip
from proxyclip.models.vfm import build_vfm
from proxyclip.models.vfm.clip import CLIPFeatures
from proxyclip.models.weights.reading import fingerprint_module


@pytest.fixture
def clip(tmp_path):
    return load_clip(f"local-dir:{write_clip(tmp_path / 'clip')}", None)


def test_clip_features_are_its_tokens_after_a_layer(clip):
    vfm = build_vfm("clip", clip=clip, checkpoint=None)
    assert (vfm.layer, vfm.patch) == (2, 16)  # three quarters of 3 blocks
    image = torch.rand(2, 3, 48, 96)
    for layer in (1, 2, 3):
        with torch.no_grad():
            tokens, grid = clip.tokens((image - clip.mean) / clip.std, layer)
            features = build_vfm(dict(type="clip", layer=layer), clip=clip)(image)
        assert grid == (3, 6)
        torch.testing.assert_close(features, tokens[:, 1:].mT.reshape(2, -1, 3, 6))


def test_clip_features_hold_no_weights_and_follow_the_towers_precision(clip):
    """The segmentor casts the image tower alone; CLIP's constants stay float32."""
    vfm = CLIPFeatures(clip)
    assert not vfm.state_dict() and not list(vfm.modules())[1:]
    assert len(fingerprint_module(vfm)) == 64
    vfm.to(torch.bfloat16)
    assert clip.model.visual.proj.dtype == torch.float32
    image = torch.rand(1, 3, 32, 64)
    with torch.no_grad():
        want = vfm(image)
        clip.model.visual.to(torch.bfloat16)
        got = vfm(image.bfloat16())
    assert got.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(got.float(), want).min() > 0.99


class Deep:
    patch, tokens, from_rgb = 14, None, None

    def __init__(self, depth):
        self.depth = depth


@pytest.mark.parametrize("depth, layer", [(12, 9), (24, 18), (32, 24), (3, 2), (1, 1)])
def test_default_layer_is_at_three_quarters(depth, layer):
    assert CLIPFeatures(Deep(depth)).layer == layer


@pytest.mark.parametrize("layer", [0, -1, 13, 2.5])
def test_layers_out_of_range_are_refused(layer):
    with pytest.raises(ValueError, match=f"1 to 12.* got {layer}"):
        CLIPFeatures(Deep(12), layer)
