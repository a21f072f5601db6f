"""Segmenter and Segmentation: the numbers of an evaluation, and independent calls."""

import json

import numpy as np
import PIL.Image
import pytest
import torch
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS, MODELS

from proxyclip import Segmenter, apis, segment
from proxyclip.apis.build import build_segmentor
from proxyclip.engine.config.components import IncompatibleComponents, resolve_model_type
from proxyclip.engine.config.load import load_config
from proxyclip.engine.config.names import list_methods
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.config.overrides import set_model_args
from proxyclip.engine.config.registration import register_modules
from proxyclip.models.clip.dense import DenseCLIP
from proxyclip.models.sliding.windows import ROW_CHUNK_ELEMENTS, stitch_tiles
from proxyclip.tinyworld import CLASSES
from proxyclip.tinyworld.scenes import draw_seeded_scene
from proxyclip.utils.paths import ROOT

pytestmark = pytest.mark.slow

TINY = "configs/cfg_tinyworld.py"
FAST = dict(config=TINY, slide_stride=96)  # windows that do not overlap
SYNONYMS = "sky;cloud\nsand;beach\nboat;ship\nbrick wall\ntree;wood;house\nwater;sea\n"
PLAIN = ["boat", "sky", "sand", "water"]

SMALL = f"""
_base_ = {str(ROOT / TINY)!r}
test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = (2048, 96)
test_dataloader = dict(dataset=dict(count=2, pipeline=test_pipeline))
"""  # the tiny world at half its size: two or three windows an image


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Folder of a config with two scenes, and a vocabulary with synonyms."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "cls.txt").write_text(SYNONYMS)
    (folder / "cfg_small.py").write_text(SMALL)
    return folder


@pytest.fixture(scope="module")
def plain():
    return Segmenter(PLAIN, **FAST)


@pytest.fixture(scope="module")
def image():
    return draw_seeded_scene(21, 0).image[:190]


def evaluation(folder, options, method=None, vfm=None):
    """Model and samples of eval.py."""
    cfg, _ = load_config(EvalOptions(str(folder / "cfg_small.py"), data_root=str(folder), method=method, vfm=vfm))
    set_model_args(cfg, **options)
    register_modules()
    with DefaultScope.overwrite_default_scope("mmseg"):
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
        return MODELS.build(resolve_model_type(cfg.model)), [dataset[i] for i in range(len(dataset))]


def evaluate_labels(model, samples, batch):
    predictions = []
    for first in range(0, len(samples), batch):
        some = samples[first : first + batch]
        step = {"inputs": [s["inputs"] for s in some], "data_samples": [s["data_samples"] for s in some]}
        predictions += model.test_step(step)
    return [sample.pred_sem_seg.data[0].numpy() for sample in predictions]


def files(samples):
    return [sample["data_samples"].img_path for sample in samples]


def assert_same_labels(segmentations, expected):
    for segmentation, labels in zip(segmentations, expected, strict=True):
        assert segmentation.labels.dtype == np.int32
        assert np.array_equal(segmentation.labels, labels)


def assert_alike(a, b):
    """Compare labels: prompts are encoded in other batches, which rounds differently."""
    assert (a.labels != b.labels).mean() < 1e-3


PAIRS = [(method, vfm) for method in list_methods() for vfm in ("tiny", "none")]


@pytest.mark.parametrize(("method", "vfm"), PAIRS)
def test_segmenter_equals_an_evaluation(world, method, vfm):
    options = {} if (method, vfm) == ("proxy", "tiny") else dict(slide_stride=96)
    try:
        model, samples = evaluation(world, options, method, vfm)
    except IncompatibleComponents:
        with pytest.raises(IncompatibleComponents, match="VFM"):
            Segmenter(config=TINY, method=method, vfm=vfm)
        return
    segmenter = Segmenter(config=str(world / "cfg_small.py"), method=method, vfm=vfm, **options)
    assert segmenter.classes == CLASSES
    for batch in (1, 4):
        assert_same_labels(
            segmenter.each(files(samples), batch, progress=False), evaluate_labels(model, samples, batch)
        )
    assert {k: v for k, v in segmenter.describe().items() if k in model.describe()} == model.describe()


REFINED = [
    {},
    dict(prob_thd=0.35),
    dict(prob_thd=0.35, refine=["pamr"]),
    dict(prob_thd=0.3, refine=[dict(type="area", threshold=0.2)]),
    dict(refine=["pamr", dict(type="area", threshold=0.2)], beta=1.0),
    dict(slide_crop=0, slide_stride=0),
    dict(approximate=dict(vfm="image", stride=None)),
]


@pytest.mark.parametrize("options", REFINED, ids=str)
def test_segmenter_equals_an_evaluation_with_options(world, options):
    options = dict(slide_stride=96) | options
    config = str(world / "cfg_small.py")
    model, samples = evaluation(world, options | dict(name_path=str(world / "cls.txt")))
    expected = evaluate_labels(model, samples, 1)
    segmenter = Segmenter(config=config, name_path=str(world / "cls.txt"), **options)
    assert segmenter.classes == ("sky", "sand", "boat", "brick wall", "tree", "water")
    assert_same_labels(segmenter.each(files(samples), 1, progress=False), expected)
    threshold = options.get("prob_thd", 0.0)
    own = {k: v for k, v in options.items() if k != "prob_thd"}
    classes = SYNONYMS.partition("\n")[2].replace(";", ",")
    segmenter = Segmenter(classes, config=config, background="sky, cloud", threshold=threshold, **own)
    assert segmenter.classes == ("background", "sand", "boat", "brick wall", "tree", "water")
    assert_same_labels(segmenter.each(files(samples), 1, progress=False), expected)
    if threshold:
        assert any((labels == 0).any() for labels in expected), "a threshold that nothing is below tests nothing"


def test_segmenter_reads_photos_as_an_evaluation(samples):
    paths = sorted((samples / "voc2012" / "JPEGImages").glob("*.jpg"))
    assert paths
    segmenter = Segmenter(**FAST)
    cfg, _ = load_config(EvalOptions(TINY, cfg_options=("model.slide_stride=96",)))
    with DefaultScope.overwrite_default_scope("mmseg"):
        steps = Compose([step for step in cfg.test_pipeline if "Annotations" not in step["type"]])
        read = [steps(dict(img_path=str(path))) for path in paths]
        model = MODELS.build(resolve_model_type(cfg.model))
    assert_same_labels([segmenter(path) for path in paths], evaluate_labels(model, read, 1))


def test_probabilities_agree_with_labels(plain, image):
    segmentation = plain(image)
    probabilities = segmentation.probabilities
    assert probabilities.shape == (4, *image.shape[:2]) and probabilities.dtype == np.float32
    assert np.array_equal(probabilities.argmax(0), segmentation.labels)
    assert 0 <= probabilities.min() <= probabilities.max() <= 1
    assert np.allclose(probabilities.sum(0), 1, atol=1e-5)
    lazy = plain(image)
    for i, name in enumerate(PLAIN):
        assert np.array_equal(lazy.probability(name), probabilities[i])
        assert np.array_equal(segmentation.probability(i), probabilities[i])
    for which in ("fish", 4, -1, 1.0, None):
        with pytest.raises(ValueError, match="boat, sky, sand, water"):
            lazy.probability(which)


def test_synonyms_count_by_their_maximum(image):
    merged = Segmenter([["boat", "ship"], ["sky", "cloud"], "sand"], **FAST)(image)
    apart = Segmenter(["boat", "ship", "sky", "cloud", "sand"], **FAST)(image)
    best = np.stack([apart.probabilities[:2].max(0), apart.probabilities[2:4].max(0), apart.probabilities[4]])
    assert np.array_equal(merged.probabilities, best)
    assert np.array_equal(merged.labels, best.argmax(0))


@pytest.mark.parametrize("refine", [None, ["pamr"]])
def test_other_has_the_pixels_below_the_threshold(image, refine):
    everything = Segmenter(PLAIN, **FAST, refine=refine)(image)
    for options in (dict(background=0.6), dict(threshold=0.6)):
        segmentation = Segmenter(PLAIN, **FAST, refine=refine, **options)(image)
        assert segmentation.names == ("other", *PLAIN)
        assert not segmentation.probability("other").any()
        assert np.array_equal(segmentation.probabilities[1:], everything.probabilities)
        below = everything.probabilities.max(0) < 0.6
        assert 0 < below.mean() < 1
        assert np.array_equal(segmentation.labels, np.where(below, 0, everything.labels + 1))


def test_background_names_are_class_0(image):
    flat = Segmenter(["sand", "water", "boat", "sky"], **FAST)(image)
    best = np.stack([flat.probabilities[:2].max(0), *flat.probabilities[2:]])
    segmentation = Segmenter(["boat", "sky"], **FAST, background=["sand", "water"])(image)
    assert segmentation.names == ("background", "boat", "sky")
    assert np.array_equal(segmentation.labels, best.argmax(0))
    strict = Segmenter(["boat", "sky"], **FAST, background=["sand", "water"], threshold=0.7)(image)
    assert (strict.labels != np.where(best.max(0) < 0.7, 0, best.argmax(0))).mean() < 1e-3
    assert (strict.labels == 0).sum() > (segmentation.labels == 0).sum() > 0


def test_set_classes_equals_a_new_segmenter(plain, image):
    for query in (
        dict(classes=PLAIN[::-1]),
        dict(classes=["fish", "sky"], background=0.6),
        dict(classes={"wet": ["water", "sea"], "dry": "sand"}, background=["sky"], threshold=0.5),
        dict(classes=["tree"]),
    ):
        fresh = Segmenter(**query, **FAST)(image)
        segmentation = plain.fork().set_classes(**query)(image)
        assert segmentation.names == fresh.names
        assert_alike(segmentation, fresh)
        assert np.allclose(segmentation.probabilities, fresh.probabilities, atol=1e-4)
    assert plain.classes == tuple(PLAIN)


def test_segmentations_keep_their_classes_and_parameters(plain, image):
    segmenter = plain.fork().set_classes([["boat", "ship"], *PLAIN[1:]])
    kept = segmenter(image)
    expected = segmenter(image)
    probabilities = expected.probabilities
    other = segmenter.fork().set_classes(["fish", "tree"], background=0.9).tune(beta=0.7, gamma=5)(image)
    tuned = segmenter.tune(beta=0.7, gamma=5)(image)
    segmenter.set_classes(["fish"])
    assert np.array_equal(kept.probabilities, probabilities)
    assert np.array_equal(kept.labels, expected.labels)
    assert kept.names == tuple(PLAIN)
    assert other.probabilities.shape[0] == 3
    assert not np.array_equal(tuned.probabilities, probabilities)


def test_tune_equals_building_with_other_parameters(plain, image):
    segmenter = plain.fork()
    assert segmenter.tune(beta=0.8) is segmenter
    assert plain.tunable == {"beta": 1.2, "gamma": 3.0}
    assert segmenter.tunable == {"beta": 0.8, "gamma": 3.0}
    assert_alike(segmenter(image), Segmenter(PLAIN, **FAST, beta=0.8)(image))


def test_tune_refuses_unknown_and_wrong_parameters(plain):
    with pytest.raises(ValueError, match=r"beta, gamma.*sigma"):
        plain.tune(sigma=2)
    for wrong in (float("nan"), float("inf"), -1e30, "1", None):
        with pytest.raises(ValueError, match="numbers up to"):
            plain.tune(beta=wrong)
    vanilla = Segmenter(PLAIN, **FAST, method="vanilla", vfm="none")
    assert vanilla.tunable == {}
    with pytest.raises(ValueError, match="none"):
        vanilla.tune(beta=1)


def test_each_equals_single_calls(plain, image):
    images = [image, image[:120], image[:, :100], image[:1, :1]]
    single = [plain(one) for one in images]
    for batch in (3, 9):
        for segmentation, expected in zip(plain.each(iter(images), batch, progress=False), single, strict=True):
            assert segmentation.labels.shape == expected.labels.shape
            assert_alike(segmentation, expected)
    assert [len(plain(batch)) for batch in ([], (image,), torch.zeros(2, 3, 20, 30))] == [0, 1, 2]


def test_each_keeps_its_classes_during_the_iteration(plain, image):
    segmenter = plain.fork()
    segmentations = []
    for segmentation in segmenter.each([image] * 3, batch=2, progress=False):
        segmentations.append(segmentation)
        segmenter.set_classes(["fish", "tree", "boat"], background=0.3).tune(beta=0.9)
    assert segmenter.classes == ("other", "fish", "tree", "boat")
    for segmentation in segmentations:  # the third shares its forward with no other, which may round otherwise
        assert segmentation.names == tuple(PLAIN)
        np.testing.assert_allclose(segmentation.probabilities, segmentations[0].probabilities, atol=1e-5)


def test_each_reads_lazily(plain, image):
    read = []

    def source():
        for i in range(5):
            read.append(i)
            yield image[: 120 + i]

    segmentations = plain.each(source(), batch=2, progress=False)
    assert read == []
    assert next(segmentations).labels.shape[0] == 120
    assert read == [0, 1]


@pytest.mark.parametrize("single", ["photo.jpg", b"bytes", np.zeros((4, 4, 3), np.uint8), torch.zeros(3, 4, 4)])
def test_each_refuses_single_images_and_empty_batches(plain, single):
    with pytest.raises(TypeError, match="put it into a list"):
        plain.each(single)
    with pytest.raises(ValueError, match="batch"):
        plain.each([single], batch=0)


def test_areas_are_percent_by_size(plain, image):
    segmentation = plain(image)
    assert sum(segmentation.areas.values()) == pytest.approx(100)
    assert list(segmentation.areas.values()) == sorted(segmentation.areas.values(), reverse=True)
    for name, percent in segmentation.areas.items():
        assert percent == pytest.approx(100 * (segmentation.labels == segmentation.index(name)).mean())
    assert f"{image.shape[1]} x {image.shape[0]}" in repr(segmentation)
    assert max(segmentation.areas, key=segmentation.areas.get) in repr(segmentation)


@pytest.fixture
def counted(monkeypatch):
    """Names that are encoded, and the number of loaded models."""
    seen = {"names": [], "loads": 0}
    embed = DenseCLIP.embed

    def spy_embed(self, names, templates):
        seen["names"] += names
        return embed(self, names, templates)

    def spy_load(*arguments):
        seen["loads"] += 1
        return build_segmentor(*arguments)

    monkeypatch.setattr(DenseCLIP, "embed", spy_embed)
    monkeypatch.setattr("proxyclip.apis.segmenter.build_segmentor", spy_load)
    return seen


def test_set_classes_encodes_new_names_only(counted, image):
    segmenter = Segmenter(PLAIN, **FAST)
    assert counted == {"names": PLAIN, "loads": 1}
    segmenter(image)
    segmenter.set_classes(PLAIN[::-1], background=0.4)(image)
    segmenter.tune(gamma=2.0)(image)
    assert counted == {"names": PLAIN, "loads": 1}
    segmenter.set_classes(["boat", ["fish", "sky", "fish"]])
    assert counted == {"names": [*PLAIN, "fish"], "loads": 1}


def test_set_classes_keeps_the_old_ones_after_an_error(plain, image):
    before = plain(image)
    for wrong in ([], ["a", "a"], 5, ["\ud800"]):
        with pytest.raises((ValueError, TypeError)):
            plain.set_classes(wrong)
    assert plain.classes == tuple(PLAIN)
    assert np.array_equal(plain(image).labels, before.labels)


def test_segment_keeps_one_model(counted, monkeypatch, image):
    monkeypatch.setattr("proxyclip.apis._last", [])
    first = segment(image, PLAIN, **FAST, background=0.6)
    assert segment(image, PLAIN, **FAST).names == tuple(PLAIN)  # neither background nor threshold stays
    assert counted["loads"] == 1
    assert first.names == ("other", *PLAIN)
    tuned = segment(image, PLAIN, **FAST, gamma=8.0)
    assert counted["loads"] == 2
    assert tuned.probabilities.shape == (4, *image.shape[:2])
    assert not np.array_equal(tuned.probabilities, segment(image, PLAIN, **FAST).probabilities)
    assert counted["loads"] == 3
    assert len(apis._last) == 1


def test_segmenter_checks_classes_before_loading(counted):
    for query in (dict(classes=[]), dict(classes=["a"], threshold=2), dict(background=["a"]), dict(threshold=0.5)):
        with pytest.raises(ValueError, match="Expected"):
            Segmenter(**query, **FAST)
    assert counted["loads"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(config="configs/cfg_tinywrld.py"), "cfg_tinyworld"),
        (dict(method="sclp"), "sclip"),
        (dict(vfm="dyno"), "dino"),
        (dict(clip="ViT-B-1"), "ViT-B-16"),
        (dict(betta=2), "beta"),
        (dict(refine=["pamrr"]), "pamr"),
        (dict(device="gpu"), "cuda"),
        (dict(precision="fp8"), "fp16"),
        (dict(slide_crop=10, slide_stride=20), "slide_crop"),
    ],
)
def test_segmenter_refuses_wrong_options_with_the_choices(options, message):
    with pytest.raises((ValueError, TypeError, OSError, KeyError), match=message):
        Segmenter(PLAIN, **{"config": TINY, **options})


def test_segmenter_without_classes_asks_for_them(image):
    segmenter = Segmenter(**FAST, name_path=None)
    assert segmenter.classes == ()
    with pytest.raises(ValueError, match="set_classes"):
        segmenter(image)
    assert segmenter.set_classes(["sky"])(image).areas == {"sky": 100.0}


@pytest.mark.parametrize("background", [None, 0.02])
def test_labels_of_many_classes_are_computed_in_row_chunks(monkeypatch, background):
    h, w, classes = 600, 900, 120
    segmenter = Segmenter([f"thing {i}" for i in range(classes)], background=background, **FAST)
    chunks = []
    classified = []
    classify = segmenter._model.classify

    def spy_stitch(*arguments):
        for chunk in stitch_tiles(*arguments):
            chunks.append(chunk.numel())
            yield chunk

    monkeypatch.setattr("proxyclip.models.sliding.segmentor.stitch_tiles", spy_stitch)
    monkeypatch.setattr(
        segmenter._model, "classify", lambda scores: classified.append(scores.numel()) or classify(scores)
    )
    segmentation = segmenter(draw_seeded_scene(3, 0).image.repeat(4, 0).repeat(6, 1)[:h, :w])
    assert segmentation.labels.shape == (h, w)
    assert max(chunks) <= ROW_CHUNK_ELEMENTS["cpu"] < classes * h * w / 50
    assert bool(classified) == (background is not None)
    assert segmentation.probability("thing 7").shape == (h, w)  # computed in row chunks too
    assert max(classified) <= ROW_CHUNK_ELEMENTS["cpu"]


def test_describe_has_current_settings_as_json(image):
    segmenter = Segmenter([["boat", "ship"], "sky"], **FAST, background=0.3).tune(gamma=2.0)
    description = segmenter.describe()
    assert json.loads(json.dumps(description)) == description | {"names": ["other", "boat", "sky"]}
    assert description["classes"] == [["boat", "ship"], ["sky"]]
    assert (description["prob_thd"], description["gamma"], description["beta"], description["slide_stride"]) == (
        0.3,
        2.0,
        1.2,
        96,
    )
    assert len(description["clip_sha256"]) == 64


def test_at_equals_the_probability_maps(plain, image):
    segmentation = plain.fork().set_classes(PLAIN, background=0.5)(image)
    h, w = segmentation.labels.shape
    for x, y in ((0, 0), (w - 1, h - 1), (w // 3, h // 2)):
        assert np.array_equal(segmentation.at(x, y), segmentation.probabilities[:, y, x])
    for x, y in ((w, 0), (0, h), (-1, 0)):
        with pytest.raises(ValueError, match=f"inside the picture of {w} x {h}"):
            segmentation.at(x, y)


def test_name_is_that_of_the_file(plain, image, tmp_path):
    path = tmp_path / "a b.c.png"
    PIL.Image.fromarray(image).save(path)
    segmentation = plain(path)
    assert (segmentation.name, segmentation.file_name) == ("a b.c", "a b.c.png")
    assert np.array_equal(segmentation.image, image)
    assert plain(image).name == plain(path.read_bytes()).name == "image"
    names = [each.to_coco()["images"][0]["file_name"] for each in (segmentation, plain(image))]
    assert names == ["a b.c.png", "image"]


def test_segmenter_leaves_gradients_enabled(plain, image):
    segmentation = plain(image)
    assert torch.is_grad_enabled()
    for _ in segmentation._maps.iter_probabilities():
        assert torch.is_grad_enabled()
    for _ in plain.each([image], progress=False):
        assert torch.is_grad_enabled()
