"""ProxyCLIPSegmentation: batches, sizes, thresholds, options, and odd images."""

import copy
import json

import numpy as np
import pytest
import torch
from helpers.segmentors import method_options
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from proxyclip.models.preprocessor import MixedSizePreProcessor
from proxyclip.models.refine.area import Area
from proxyclip.models.segmentors.proxyclip import ProxyCLIPSegmentation
from proxyclip.models.sliding.windows import ROW_CHUNK_ELEMENTS
from proxyclip.models.weights import WeightsError

_built = {}


def build(files, cls=ProxyCLIPSegmentation, **options):
    """A segmentor; tests share those they do not change."""
    key = repr((cls, sorted(options.items())))
    if key not in _built:
        _built[key] = cls(**method_options(files, "gla", **options))
    return _built[key]


def photo(h, w, seed=0):
    """Smooth colors with edges, BGR uint8 (3, h, w)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:h, :w]
    waves = [np.sin(y / rng.uniform(5, 40) + x / rng.uniform(5, 40) + rng.uniform(0, 6)) for _ in range(3)]
    return torch.from_numpy((np.stack(waves) * 100 + 128 + 25 * (x // 20 % 2)).clip(0, 255).astype(np.uint8))


def step(model, images, sizes=None):
    """Run the test loop's step: uint8 images -> samples with predictions."""
    sizes = sizes or [(x.shape[1], x.shape[2]) for x in images]
    samples = [SegDataSample(metainfo=dict(ori_shape=s)) for s in sizes]
    return model.test_step({"inputs": images, "data_samples": samples})


def assert_same(a, b):
    torch.testing.assert_close(a.seg_logits.data, b.seg_logits.data, atol=2e-5, rtol=0)
    assert (a.pred_sem_seg.data != b.pred_sem_seg.data).float().mean() < 1e-3


def test_registered_under_the_published_name(files):
    with DefaultScope.overwrite_default_scope("mmseg"):
        config = dict(
            type="ProxyCLIPSegmentation", clip_type=None, model_type=f"local-dir:{files / 'clip'}", vfm_model=None,
            name_path=str(files / "cls.txt"), checkpoint=None, prob_thd=0.1, logit_scale=40, beta=1.2, gamma=3.0,
            slide_stride=112, slide_crop=336, data_preprocessor=dict(type="SegDataPreProcessor", bgr_to_rgb=True),
        )  # fmt: skip
        assert isinstance(MODELS.build(config), ProxyCLIPSegmentation)


def test_batch_of_sizes_equals_one_at_a_time(files):
    model = build(files)
    images = [photo(64, 96, 1), photo(130, 70, 2), photo(80, 80, 3)]
    sizes = [(64, 96), (201, 99), (40, 40)]
    together = step(model, images, sizes)
    for image, size, sample in zip(images, sizes, together, strict=True):
        assert sample.pred_sem_seg.data.shape == (1, *size)
        assert sample.seg_logits.data.shape == (3, *size)
        assert_same(sample, step(model, [image], [size])[0])


@pytest.mark.parametrize("options", [{}, dict(vfm_model=None)], ids=["dino", "none"])
def test_window_batch_changes_nothing(files, options):
    one, five = (build(files, window_batch=n, **options) for n in (1, 5))
    assert_same(step(one, [photo(150, 110)])[0], step(five, [photo(150, 110)])[0])


def test_windows_of_several_images_share_a_forward(files, monkeypatch):
    model, seen = build(files, window_batch=64), []
    images = [photo(150, 110), photo(110, 150, 1), photo(64, 64, 2)]
    alone = [step(model, [image])[0] for image in images]
    extract = model.extract_feat
    monkeypatch.setattr(model, "extract_feat", lambda tiles: seen.append(len(tiles)) or extract(tiles))
    for sample, want in zip(step(model, images), alone, strict=True):
        assert_same(sample, want)
    assert seen == [12 + 12 + 1]


def test_labels_without_probabilities_are_the_same(files):
    for threshold in (0.0, 0.36):
        kept, bare = (build(files, keep_logits=k, prob_thd=threshold) for k in (True, False))
        with_maps, without = (step(model, [photo(90, 75)])[0] for model in (kept, bare))
        assert torch.equal(with_maps.pred_sem_seg.data, without.pred_sem_seg.data)
        assert "seg_logits" not in without


def test_overridden_classify_decides_the_labels(files):
    class Reversed(ProxyCLIPSegmentation):
        def classify(self, scores):
            return super().classify(-scores)

    kept, bare = (build(files, Reversed, vfm_model=None, keep_logits=keep) for keep in (True, False))
    labels = [step(model, [photo(90, 75)])[0].pred_sem_seg.data for model in (kept, bare)]
    assert torch.equal(*labels)
    assert (labels[0] != step(build(files, vfm_model=None), [photo(90, 75)])[0].pred_sem_seg.data).any()


def test_approximations_change_numbers_and_are_named(files):
    exact = build(files)
    image = photo(90, 75)
    wanted = step(exact, [image])[0]
    once = build(files, approximate=dict(vfm="image"))
    sample = step(once, [image])[0]
    assert (sample.seg_logits.data - wanted.seg_logits.data).abs().max() > 1e-3
    assert once.describe()["approximations"] == ["vfm=image"]
    assert exact.describe()["approximations"] == []
    wide = build(files, approximate=dict(stride=64))
    assert_same(step(wide, [image])[0], step(build(files, slide_stride=64), [image])[0])
    assert (wide.describe()["approximations"], wide.describe()["slide_stride"]) == (["stride=64"], 64)
    one = [build(files, slide_crop=0, approximate=a) for a in (None, dict(vfm="image"))]
    assert_same(*(step(model, [photo(64, 64)])[0] for model in one))  # one window is the whole image


def test_map_of_the_image_is_refused_if_it_would_be_ignored(files):
    class Mirror(ProxyCLIPSegmentation):
        def extract_feat(self, inputs):
            return super().extract_feat(inputs.flip(3)).flip(3)

    build(files, Mirror)
    with pytest.raises(ValueError, match=r"past Mirror\.extract_feat"):
        build(files, Mirror, approximate=dict(vfm="image"))


@pytest.mark.parametrize("crop", [64, 0])
@pytest.mark.parametrize("image", [
    torch.full((3, 70, 90), 128, dtype=torch.uint8), torch.zeros(3, 64, 64, dtype=torch.uint8),
    torch.full((3, 1, 1), 255, dtype=torch.uint8), photo(5, 260), photo(300, 3),
    photo(60, 60)[:1].expand(3, -1, -1).contiguous(),
], ids=["uniform", "black", "1x1", "5x260", "300x3", "gray"])  # fmt: skip
def test_degenerate_images(files, image, crop):
    sample = step(build(files, slide_crop=crop, slide_stride=32 if crop else 0), [image])[0]
    probabilities = sample.seg_logits.data
    assert probabilities.isfinite().all()
    assert probabilities.min() >= 0 and probabilities.max() <= 1
    labels = sample.pred_sem_seg.data
    assert labels.shape == (1, *image.shape[1:])
    assert set(labels.unique().tolist()) <= {0, 1, 2}


def test_transposed_image_gives_transposed_maps(files):
    """Of a CLIP without positions that differ and with symmetric kernels."""
    model = build(files, vfm_model=None, attention="maskclip", slide_crop=0)
    model.clip.model.visual.positional_embedding.data[1:] = 0
    kernel = model.clip.model.visual.conv1.weight.data
    kernel.copy_((kernel + kernel.transpose(2, 3)) / 2)
    image = photo(64, 112)
    a = step(model, [image])[0].seg_logits.data
    b = step(model, [image.transpose(1, 2).contiguous()])[0].seg_logits.data
    torch.testing.assert_close(a, b.transpose(1, 2), atol=1e-4, rtol=0)


def test_predict_without_samples_returns_label_maps(files):
    model = build(files)
    images = MixedSizePreProcessor()({"inputs": [photo(64, 80, 1), photo(64, 80, 2)]})["inputs"]
    maps = model.predict(images)
    assert maps.shape == (2, 64, 80)
    assert torch.equal(model(images), maps)
    several = model.predict([images[0], images[1][:, :50]])
    assert [m.shape for m in several] == [(64, 80), (50, 80)]
    assert torch.equal(several[0], maps[0])


def test_pixels_below_the_threshold_become_class_0(files):
    image = photo(64, 64)
    sure = step(build(files), [image])[0]
    best = sure.seg_logits.data.max(0).values
    threshold = float(best.median())
    thresholded = step(build(files, prob_thd=threshold), [image])[0].pred_sem_seg.data[0]
    assert torch.equal(thresholded, sure.pred_sem_seg.data[0].masked_fill(best < threshold, 0))
    assert 0.2 < (best < threshold).float().mean() < 0.8


def test_refinement_comes_before_the_threshold(files):
    image = photo(90, 75)
    plain = step(build(files), [image])[0]
    label, pixels = plain.pred_sem_seg.data[0], plain.pred_sem_seg.data[plain.pred_sem_seg.data > 0].bincount()
    share = float(pixels[1:].min() / pixels.sum())  # of the smaller foreground class, which is dropped
    refined = Area(share + 1e-6)(plain.seg_logits.data)
    best, wanted = refined.max(0)
    assert not torch.equal(wanted, label)
    threshold = float(best.median())
    options = dict(refine=[dict(type="area", threshold=share + 1e-6)], prob_thd=threshold)
    kept, unkept = (step(build(files, **options, keep_logits=k), [image])[0] for k in (True, False))
    assert torch.equal(kept.seg_logits.data, refined)
    assert torch.equal(kept.pred_sem_seg.data[0], wanted.masked_fill(best < threshold, 0))
    assert torch.equal(kept.pred_sem_seg.data, unkept.pred_sem_seg.data)
    assert "seg_logits" not in unkept


def test_refinement_gets_the_whole_map_and_the_image(files, monkeypatch):
    monkeypatch.setitem(ROW_CHUNK_ELEMENTS, "cpu", 7 * 75 * 4)
    calls = []
    model = build(files, refine=[])

    def look(probabilities, image):
        calls.append((probabilities.shape, image))
        return probabilities

    look.on = "probabilities"
    model.refine = (look,)
    step(model, [photo(90, 75)], [(45, 50)])
    ((shape, image),) = calls
    assert shape == (3, 45, 50)
    assert torch.equal(image, MixedSizePreProcessor()({"inputs": [photo(90, 75)]})["inputs"][0])


def test_low_precision_stays_close(files):
    fine, coarse = (step(build(files, precision=p), [photo(96, 128)])[0] for p in ("fp32", "bf16"))
    assert coarse.seg_logits.data.dtype == torch.float32
    assert (fine.pred_sem_seg.data == coarse.pred_sem_seg.data).float().mean() > 0.9
    with pytest.raises(ValueError, match=r"auto, .*'int8'"):
        step(build(files, precision="int8"), [photo(16, 16)])


def test_pad_multiple_default_and_option(files):
    assert build(files).pad_multiple == 16
    assert build(files, pad_multiple=56).pad_multiple == 56
    assert build(files, vfm_model=None).pad_multiple == 16


@pytest.mark.parametrize("vfm", [None, "dino", "clip"])
@pytest.mark.parametrize("slide", [(0, 32), (50, 25)], ids=lambda slide: f"crop{slide[0]}")
def test_windows_without_padding_take_any_image(files, vfm, slide):
    """Towers of different patches: each leaves out what is no whole patch of its own."""
    guide = dict(type="dino", model=f"local-dir:{files / 'dino'}") if vfm == "dino" else vfm
    model = build(
        files, vfm_model=guide, slide_crop=slide[0], slide_stride=slide[1], pad_multiple=1, upsample_to_input=True
    )
    assert model.describe()["upsample_to_input"]
    for size in ((5, 90), (9, 9), (37, 61), (70, 100)):
        (sample,) = step(model, [photo(*size)], [(40, 50)])
        assert sample.seg_logits.data.shape == (3, 40, 50)
        assert sample.seg_logits.data.isfinite().all()
    padded = build(files, vfm_model=guide, slide_crop=slide[0], slide_stride=slide[1])
    whole, cut = (step(padded, [photo(*size)])[0] for size in ((64, 96), (70, 100)))
    if slide[0] == 0:  # sides that are multiples of the patch: nothing to pad, nothing to drop
        assert_same(step(model, [photo(64, 96)])[0], whole)
    assert (step(model, [photo(70, 100)])[0].seg_logits.data - cut.seg_logits.data).abs().max() > 1e-3


def test_map_of_the_whole_image_goes_with_windows_without_padding(files):
    model = build(files, pad_multiple=1, approximate=dict(vfm="image"))
    (sample,) = step(model, [photo(70, 101)])
    assert sample.seg_logits.data.isfinite().all()


def test_describe_and_state_of_a_frozen_model(files):
    model = build(files, attention=dict(type="proxy", beta=1.5), refine=["area"])
    assert not any(p.requires_grad for p in model.parameters())
    assert not model.training
    assert model.state_dict().keys().isdisjoint({"text", "index"})
    step(model, [photo(64, 64)])
    described = model.describe()
    wanted = dict(attention="Proxy(beta=1.5, gamma=3.0)", refine=["Area(threshold=0.1)"], dtype="torch.float32")
    assert described | wanted | dict(clip_activation="QuickGELU") == described
    low = build(files, attention=dict(type="proxy", beta=1.5), precision="bf16")
    step(low, [photo(64, 64)])
    assert low.describe()["clip_sha256"] == described["clip_sha256"]  # of the weights, not of their rounding
    json.dumps(described)


@pytest.mark.parametrize("options, error, message", [
    (dict(slide_stride=65), ValueError, "65 and 64"),
    (dict(attention="vanilla"), ValueError, "vfm_model=None"),
    (dict(vfm_model=None, attention="proxy"), ValueError, "needs a VFM"),
    (dict(vfm_model="dinov4"), ValueError, "dinov2"),
    (dict(vfm_model="mae"), WeightsError, "checkpoint="),
    (dict(name_path="nowhere.txt"), FileNotFoundError, r"nowhere\.txt"),
    (dict(window_batch=0), ValueError, "window_batch"),
    (dict(approximate=dict(stride=65)), ValueError, "65 and 64"),
    (dict(approximate=dict(vfm="image"), vfm_model=None), ValueError, "needs a VFM"),
])  # fmt: skip
def test_bad_options_are_refused(files, options, error, message):
    with pytest.raises(error, match=message):
        build(files, **options)


def test_loss_is_refused(files):
    with pytest.raises(NotImplementedError, match="training-free"):
        build(files).loss(torch.zeros(1, 3, 64, 64), [])


def test_preprocessor_normalizes_and_keeps_its_input():
    images = [photo(20, 30), photo(30, 20)]
    before = copy.deepcopy(images)
    out = MixedSizePreProcessor()({"inputs": images})
    assert [tuple(x.shape) for x in out["inputs"]] == [(3, 20, 30), (3, 30, 20)]
    assert all(torch.equal(a, b) for a, b in zip(images, before, strict=True))
    rgb = images[0].flip(0).float()
    torch.testing.assert_close(out["inputs"][0][0], (rgb[0] - 122.771) / 68.501)


@pytest.mark.gpu
def test_cuda_equals_cpu(files):
    image = photo(150, 110)
    on_cpu = step(build(files), [image])[0]
    on_gpu = step(copy.deepcopy(build(files)).cuda(), [image])[0].cpu()
    torch.testing.assert_close(on_cpu.seg_logits.data, on_gpu.seg_logits.data, atol=1e-3, rtol=0)
    half = step(build(files, precision="auto").cuda(), [image])[0].cpu()
    assert (half.pred_sem_seg.data == on_cpu.pred_sem_seg.data).float().mean() > 0.95
