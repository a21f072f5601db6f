"""GLA-CLIP, ResCLIP and SC-CLIP alike: precision, odd images, layers, records, refused options."""

import json

import pytest
import torch
from helpers.reference import write_clip
from helpers.segmentors import METHODS, assert_close, build_method, make_images, method_options, predict_samples
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS

from proxyclip.models.segmentors._options import choose_layers
from proxyclip.models.segmentors.sc_clip import DEFAULT_LAYERS
from proxyclip.utils.paths import ROOT


@pytest.mark.parametrize("method", ["resclip", "sc_clip"])
@pytest.mark.parametrize("size", [(64, 64), (48, 96)])
def test_window_alone_equals_window_in_a_batch(files, method, size):
    model = build_method(files, method)
    tiles = make_images(4, *size)
    with torch.no_grad():
        together = model.extract_feat(tiles)
        alone = torch.cat([model.extract_feat(tile[None]) for tile in tiles])
    assert_close(together, alone)


@pytest.mark.parametrize("method", METHODS)
def test_low_precision_stays_close(files, method):
    fine, coarse = (build_method(files, method, precision=p) for p in ("fp32", "bf16"))
    image = make_images(1, 64, 96)
    want, got = (predict_samples(model, list(image))[0] for model in (fine, coarse))
    assert got.seg_logits.data.dtype == torch.float32
    assert (want.pred_sem_seg.data == got.pred_sem_seg.data).float().mean() > 0.9


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(70, 100), (5, 90)])
def test_uniform_and_odd_images_give_finite_probabilities(files, method, size):
    model = build_method(files, method)
    for image in (torch.full((3, *size), 0.3), make_images(1, *size)[0]):
        probabilities = predict_samples(model, [image])[0].seg_logits.data
        assert probabilities.shape == (3, *size)
        assert probabilities.isfinite().all()


def default_layers(depth):
    """SC-CLIP's three choices."""
    reference = 12 if depth <= 12 else 24
    return [choose_layers(None, pair, reference, depth) for pair in DEFAULT_LAYERS[reference]]


def test_choose_layers_scales_to_the_depth():
    assert default_layers(12) == [[9], [4], [4, 5, 6, 7, 8, 9, 10]]
    assert default_layers(24) == [[16], [6], list(range(8, 20))]
    assert default_layers(32) == [[21], [8], list(range(11, 26))]
    assert default_layers(4) == [[3], [1], [1, 2, 3]]
    assert default_layers(2) == [[1], [1], [1]]
    assert choose_layers([3, 1], (6, 9), 12, 4) == [3, 1]
    for layers, depth in [([0], 4), ([4], 4), ([], 4), ([1.5], 4), (None, 1)]:
        with pytest.raises(ValueError, match=f"from 1 to {depth - 1} of a CLIP with {depth} layers"):
            choose_layers(layers, (6, 9), 12, depth)


@pytest.mark.parametrize("depth, cls_weight", [(4, 0.3), (12, 0.3), (24, 0.1)])
def test_default_layers_of_whole_models_follow_the_depth(files, tmp_path, depth, cls_weight):
    name, (pre, post, multi) = f"local-dir:{write_clip(tmp_path, depth)}", default_layers(depth)
    middle = [2, 3] if depth == 4 else [6, 7, 8, 9]  # ResCLIP's: as published at any depth that has them
    models = [METHODS[method](**method_options(files, method, model_type=name)) for method in ("resclip", "sc_clip")]
    assert models[0].arguments["layers"] == middle
    recorded = [models[1].arguments[key] for key in ("pre_layer", "post_layer", "multi_layers", "cls_weight")]
    assert recorded == [*pre, *post, multi, cls_weight]
    for model in models if depth == 4 else []:
        assert predict_samples(model, list(make_images(1, 48, 64)))[0].seg_logits.data.isfinite().all()


def test_describe_holds_all_options(files):
    own = {
        "gla": dict(rho=0.5, rounds=1, beta_scale=0.2, gamma_scale=10.0),
        "resclip": dict(layers=[1, 2], residual_weight=0.4, feedback_weight=0.6, sigma=3.0, base="sclip")
        | dict(residual_temperature=1.5, feedback_temperature=1.2, label_threshold=0.1, line_of_sight=False),
        "sc_clip": dict(pre_layer=1, post_layer=2, multi_layers=[1, 2], cls_weight=0.2, neighbours=9)
        | dict(contamination=0.1, threshold=0.5, sharpness=2.0),
    }
    described = {method: build_method(files, method, **changes).describe() for method, changes in own.items()}
    for method, changes in own.items():
        assert {key: described[method][key] for key in changes} == changes
        assert described[method]["slide_crop"] == 64
    json.dumps(described)
    assert {described[method]["attention"] for method in own} == {"None"}


@pytest.mark.parametrize("method, changes, message", [
    ("gla", dict(vfm_model=None), "GLACLIPSegmentation needs a VFM"),
    ("gla", dict(attention="vanilla"), "attention=None.*'vanilla'"),
    ("gla", dict(attention=dict(type="proxy", beta=1.5)), r"follow from the windows.*'beta': 1\.5"),
    ("gla", dict(gamma=4.0), r"follow from the windows.*'gamma': 4\.0"),
    ("gla", dict(rho=1.0), r"0 <= rho < 1.*1\.0"),
    ("gla", dict(rounds=-1), "rounds.*-1"),
    ("resclip", dict(vfm_model="dino"), r"ResCLIPSegmentation uses no VFM: set vfm_model=None \(--vfm none\)"),
    ("sc_clip", dict(attention=dict(type="proxy")), "SCCLIPSegmentation .*attention=None, but got .*proxy"),
    ("resclip", dict(residual_weight=1.1), r"\[0, 1\].*1\.1"),
    ("resclip", dict(sigma=0), "sigma > 0.*0"),
    ("resclip", dict(label_threshold=-0.1), r"\[0, 1\].*-0\.1"),
    ("resclip", dict(feedback_temperature=0), "temperatures and sigma > 0.*0"),
    ("resclip", dict(base="proxy"), "one of naclip, clearclip, sclip, but got 'proxy'"),
    ("sc_clip", dict(contamination=0.6), r"contamination <= 0\.5.*0\.6"),
    ("sc_clip", dict(neighbours=0), "positive.*neighbours.*0"),
])  # fmt: skip
def test_bad_options_are_refused_before_weights_are_loaded(files, method, changes, message):
    with pytest.raises(ValueError, match=message):
        METHODS[method](**method_options(files, method, **dict(model_type="local-dir:nowhere") | changes))


@pytest.mark.parametrize("method, changes", [
    ("resclip", dict(layers=[3])), ("sc_clip", dict(pre_layer=3)), ("sc_clip", dict(multi_layers=[0])),
])  # fmt: skip
def test_layers_out_of_range_are_refused(files, method, changes):
    with pytest.raises(ValueError, match="from 1 to 2 of a CLIP with 3 layers"):
        build_method(files, method, **changes)


@pytest.mark.parametrize("method", METHODS)
def test_method_configs_build(files, method):
    base = method_options(files, "gla", attention=dict(type="proxy"), beta=1.2, gamma=3.0)
    changes = Config.fromfile(ROOT / f"configs/method/{method}.py").model
    with DefaultScope.overwrite_default_scope("mmseg"):
        assert type(MODELS.build(base | changes)) is METHODS[method]
    assert METHODS[method].guided == (method == "gla")


@pytest.mark.gpu
@pytest.mark.parametrize("method", METHODS)
def test_cuda_equals_cpu(files, method):
    image = make_images(1, 96, 128)[0]
    want = predict_samples(build_method(files, method), [image])[0].seg_logits.data
    model = METHODS[method](**method_options(files, method)).cuda()
    assert_close(predict_samples(model, [image.cuda()])[0].seg_logits.data.cpu(), want, 1e-3)
