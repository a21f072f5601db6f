"""Segmenter and Segmentation: the numbers of an evaluation, bit for bit, and calls that leave each other alone."""

from __future__ import annotations

import json

import numpy as np
import PIL.Image
import pytest
import torch
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS, MODELS

from proxyclip import Segmenter, segment
from proxyclip.apis import _last
from proxyclip.apis.build import build_segmentor
from proxyclip.engine.config.components import IncompatibleComponents, resolve_model_type
from proxyclip.engine.config.load import list_methods, load_config, register_modules
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.config.overrides import set_model_args
from proxyclip.models.clip.dense import DenseCLIP
from proxyclip.models.sliding.windows import ROW_CHUNK_ELEMENTS, stitch_tiles
from proxyclip.tinyworld import CLASSES
from proxyclip.tinyworld.scenes import draw_seeded_scene
from proxyclip.utils.paths import ROOT

TINY = "configs/cfg_tinyworld.py"
FAST = dict(config=TINY, slide_stride=96)  # windows that do not overlap
SYNONYMS = "sky;cloud\nsand;beach\nboat;ship\nbrick wall\ntree;wood;house\nwater;sea\n"
PLAIN = ["boat", "sky", "sand", "water"]


# The tiny world at half its size: two or three windows an image
SMALL = f"""
_base_ = {str(ROOT / TINY)!r}
test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = (2048, 96)
test_dataloader = dict(dataset=dict(count=2, pipeline=test_pipeline))
"""


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
def picture():
    return draw_seeded_scene(21, 0).image[:190]


def evaluation(folder, options, method=None, vfm=None):
    """Model and samples of eval.py."""
    cfg = load_config(EvalOptions(str(folder / "cfg_small.py"), data_root=str(folder), method=method, vfm=vfm))
    set_model_args(cfg, **options)
    register_modules()
    with DefaultScope.overwrite_default_scope("mmseg"):
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
        return MODELS.build(resolve_model_type(cfg.model)), [dataset[i] for i in range(len(dataset))]


def evaluated(model, samples, batch):
    found = []
    for first in range(0, len(samples), batch):
        some = samples[first : first + batch]
        step = {"inputs": [s["inputs"] for s in some], "data_samples": [s["data_samples"] for s in some]}
        found += model.test_step(step)
    return [sample.pred_sem_seg.data[0].numpy() for sample in found]


def files(samples):
    return [sample["data_samples"].img_path for sample in samples]


def same(found, expected):
    for one, labels in zip(found, expected, strict=True):
        assert one.labels.dtype == np.int32
        assert np.array_equal(one.labels, labels)


def unlike(a, b):
    """Share of pixels with another label: prompts are encoded in other batches, which rounds differently."""
    return (a.labels != b.labels).mean()


PAIRS = [(method, vfm) for method in list_methods() for vfm in ("tiny", "none")]


@pytest.mark.parametrize(("method", "vfm"), PAIRS)
def test_equals_an_evaluation(world, method, vfm):
    options = {} if (method, vfm) == ("proxy", "tiny") else dict(slide_stride=96)
    try:
        model, samples = evaluation(world, options, method, vfm)
    except IncompatibleComponents:
        with pytest.raises(IncompatibleComponents, match="VFM"):
            Segmenter(config=TINY, method=method, vfm=vfm)
        return
    mine = Segmenter(config=str(world / "cfg_small.py"), method=method, vfm=vfm, **options)
    assert mine.classes == CLASSES
    for batch in (1, 4):
        same(mine.each(files(samples), batch, progress=False), evaluated(model, samples, batch))
    assert {k: v for k, v in mine.describe().items() if k in model.describe()} == model.describe()


def test_all_methods_were_there():
    fitting = [pair for pair in PAIRS if _fits(*pair)]
    assert len(fitting) >= len(list_methods()) == len(PAIRS) / 2


def _fits(method, vfm):
    try:
        return load_config(EvalOptions(TINY, method=method, vfm=vfm)) is not None
    except IncompatibleComponents:
        return False


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
def test_equals_an_evaluation_with_synonyms_thresholds_and_steps(world, options):
    options, config = dict(slide_stride=96) | options, str(world / "cfg_small.py")
    model, samples = evaluation(world, options | dict(name_path=str(world / "cls.txt")))
    expected = evaluated(model, samples, 1)
    mine = Segmenter(config=config, name_path=str(world / "cls.txt"), **options)
    assert mine.classes == ("sky", "sand", "boat", "brick wall", "tree", "water")
    same(mine.each(files(samples), 1, progress=False), expected)
    threshold = options.get("prob_thd", 0.0)
    own = {k: v for k, v in options.items() if k != "prob_thd"}
    again = Segmenter(SYNONYMS.partition("\n")[2].replace(";", ","), config=config, background="sky, cloud",
                      threshold=threshold, **own)  # fmt: skip
    assert again.classes == ("background", "sand", "boat", "brick wall", "tree", "water")
    same(again.each(files(samples), 1, progress=False), expected)
    if threshold:
        assert any((labels == 0).any() for labels in expected), "a threshold that nothing is below tests nothing"


def test_photos_as_an_evaluation_reads_them(samples):
    paths = sorted((samples / "voc2012" / "JPEGImages").glob("*.jpg"))
    assert paths
    mine = Segmenter(**FAST)
    cfg = load_config(EvalOptions(TINY, cfg_options=("model.slide_stride=96",)))
    with DefaultScope.overwrite_default_scope("mmseg"):
        steps = Compose([step for step in cfg.test_pipeline if "Annotations" not in step["type"]])
        read = [steps(dict(img_path=str(path))) for path in paths]
        model = MODELS.build(resolve_model_type(cfg.model))
    same([mine(path) for path in paths], evaluated(model, read, 1))


def test_probabilities(plain, picture):
    found = plain(picture)
    assert found.probabilities.shape == (4, *picture.shape[:2])
    assert found.probabilities.dtype == np.float32
    assert np.array_equal(found.probabilities.argmax(0), found.labels)
    assert 0 <= found.probabilities.min() <= found.probabilities.max() <= 1
    assert np.allclose(found.probabilities.sum(0), 1, atol=1e-5)
    other = plain(picture)  # whose maps were not asked for as a whole
    for i, name in enumerate(PLAIN):
        assert np.array_equal(other.probability(name), found.probabilities[i])
        assert np.array_equal(found.probability(i), found.probabilities[i])


@pytest.mark.parametrize("which", ["fish", 4, -1, 1.0, None])
def test_a_class_that_is_none(plain, picture, which):
    with pytest.raises(ValueError, match="boat, sky, sand, water"):
        plain(picture).probability(which)


def test_synonyms_are_the_best_of_a_class(picture):
    merged = Segmenter([["boat", "ship"], ["sky", "cloud"], "sand"], **FAST)(picture)
    apart = Segmenter(["boat", "ship", "sky", "cloud", "sand"], **FAST)(picture)
    best = np.stack([apart.probabilities[:2].max(0), apart.probabilities[2:4].max(0), apart.probabilities[4]])
    assert np.array_equal(merged.probabilities, best)
    assert np.array_equal(merged.labels, best.argmax(0))


@pytest.mark.parametrize("refine", [None, ["pamr"]])
def test_other_has_what_no_word_reaches(picture, refine):
    everything = Segmenter(PLAIN, **FAST, refine=refine)(picture)
    for options in (dict(background=0.6), dict(threshold=0.6)):
        found = Segmenter(PLAIN, **FAST, refine=refine, **options)(picture)
        assert found.names == ("other", *PLAIN)
        assert not found.probability("other").any()
        assert np.array_equal(found.probabilities[1:], everything.probabilities)
        below = everything.probabilities.max(0) < 0.6
        assert 0 < below.mean() < 1
        assert np.array_equal(found.labels, np.where(below, 0, everything.labels + 1))


def test_background_words(picture):
    flat = Segmenter(["sand", "water", "boat", "sky"], **FAST)(picture)
    best = np.stack([flat.probabilities[:2].max(0), *flat.probabilities[2:]])
    found = Segmenter(["boat", "sky"], **FAST, background=["sand", "water"])(picture)
    assert found.names == ("background", "boat", "sky")
    assert np.array_equal(found.labels, best.argmax(0))
    strict = Segmenter(["boat", "sky"], **FAST, background=["sand", "water"], threshold=0.7)(picture)
    assert (strict.labels != np.where(best.max(0) < 0.7, 0, best.argmax(0))).mean() < 1e-3
    assert (strict.labels == 0).sum() > (found.labels == 0).sum() > 0


def test_words_in_any_order_are_those_of_a_fresh_segmenter(plain, picture):
    settings = [
        (PLAIN[::-1],),
        (["fish", "sky"], 0.6),
        ({"wet": ["water", "sea"], "dry": "sand"}, ["sky"], 0.5),
        (["tree"],),
        (PLAIN,),
    ]
    for words in settings:
        names = ("classes", "background", "threshold")
        fresh = Segmenter(**dict(zip(names, words, strict=False)), **FAST)(picture)
        found = plain.set_classes(*words)(picture)
        assert found.names == fresh.names
        assert unlike(found, fresh) < 1e-3
        assert np.allclose(found.probabilities, fresh.probabilities, atol=1e-4)
    assert plain.classes == tuple(PLAIN)


def test_earlier_results_stay_as_they_are(plain, picture):
    synonyms = [["boat", "ship"], *PLAIN[1:]]
    plain.set_classes(synonyms)
    kept, expected = [plain(picture) for _ in range(2)]
    probabilities, labels = expected.probabilities, kept.labels.copy()
    plain.set_classes(["fish", "tree"], background=0.9).tune(beta=0.7, gamma=5)
    other = plain(picture)
    assert np.array_equal(kept.probabilities, probabilities)
    plain.set_classes(synonyms)
    tuned = plain(picture)
    plain.tune(beta=1.2, gamma=3.0)
    assert np.array_equal(kept.labels, labels)
    assert kept.names == tuple(PLAIN)
    assert other.probabilities.shape[0] == 3
    assert not np.array_equal(tuned.probabilities, probabilities)
    assert np.array_equal(plain(picture).probabilities, probabilities)
    plain.set_classes(PLAIN)


def test_tuning_is_building_with_other_numbers(plain, picture):
    assert plain.tunable == {"beta": 1.2, "gamma": 3.0}
    tuned = plain.tune(beta=0.8)
    assert tuned is plain
    assert plain.tunable == {"beta": 0.8, "gamma": 3.0}
    built = Segmenter(PLAIN, **FAST, beta=0.8)
    assert unlike(plain(picture), built(picture)) < 1e-3
    assert plain.describe()["beta"] == 0.8
    plain.tune(beta=1.2)


def test_numbers_that_a_method_does_not_have(plain):
    with pytest.raises(ValueError, match=r"beta, gamma.*sigma"):
        plain.tune(sigma=2)
    for wrong in (float("nan"), float("inf"), -1e30, "1", None):
        with pytest.raises(ValueError, match="numbers up to"):
            plain.tune(beta=wrong)
    vanilla = Segmenter(PLAIN, **FAST, method="vanilla", vfm="none")
    assert vanilla.tunable == {}
    with pytest.raises(ValueError, match="none"):
        vanilla.tune(beta=1)


def test_pictures_of_a_batch_are_each_their_own(plain, picture, tmp_path):
    several = [picture, picture[:120], picture[:, :100], picture[:1, :1]]
    single = [plain(one) for one in several]
    for batch in (3, 9):
        found = list(plain.each(iter(several), batch, progress=False))
        assert [one.labels.shape for one in found] == [one.shape[:2] for one in several]
        assert all(unlike(a, b) < 1e-3 for a, b in zip(found, single, strict=True))
    assert [len(plain(some)) for some in ([], (picture,), np.stack([picture] * 2))] == [0, 1, 2]
    assert len(plain(torch.zeros(3, 3, 20, 30))) == 3


def test_words_set_while_pictures_come_are_for_later_calls(plain, picture):
    found = []
    for one in plain.each([picture] * 3, batch=2, progress=False):
        found.append(one)
        plain.set_classes(["fish", "tree", "boat"], background=0.3).tune(beta=0.9)
    assert plain.classes == ("other", "fish", "tree", "boat")
    plain.set_classes(PLAIN).tune(beta=1.2)
    assert {one.names for one in found} == {tuple(PLAIN)}
    for one in found:  # the third shares its forward with no other, which may round otherwise
        np.testing.assert_allclose(one.probabilities, found[0].probabilities, atol=1e-5)


def test_pictures_are_read_when_it_is_their_turn(plain, picture):
    read = []

    def source():
        for i in range(5):
            read.append(i)
            yield picture[: 120 + i]

    some = plain.each(source(), batch=2, progress=False)
    assert read == []
    assert next(some).labels.shape[0] == 120
    assert read == [0, 1]


@pytest.mark.parametrize("one", ["photo.jpg", b"bytes", np.zeros((4, 4, 3), np.uint8), torch.zeros(3, 4, 4)])
def test_each_wants_several(plain, one):
    with pytest.raises(TypeError, match="put it into a list"):
        plain.each(one)
    with pytest.raises(ValueError, match="batch"):
        plain.each([one], batch=0)


def test_names_come_from_files(plain, picture, tmp_path):
    from PIL import Image

    path = tmp_path / "a b.c.png"
    Image.fromarray(picture).save(path)
    assert plain(path).name == plain(str(path)).name == "a b.c"
    assert plain(picture).name == plain(path.read_bytes()).name == "image"
    assert np.array_equal(plain(path).image, picture)


def test_a_picture_is_not_the_callers_memory(plain, picture):
    frame = picture.copy()
    found = plain(frame)
    frame[:] = 0
    assert np.array_equal(found.image, picture)
    assert np.array_equal(found.labels, plain(picture).labels)


def test_areas_and_repr(plain, picture):
    found = plain(picture)
    assert sum(found.areas.values()) == pytest.approx(100)
    assert list(found.areas.values()) == sorted(found.areas.values(), reverse=True)
    for name, percent in found.areas.items():
        assert percent == pytest.approx(100 * (found.labels == found.index(name)).mean())
    assert f"{picture.shape[1]} x {picture.shape[0]}" in repr(found)
    assert max(found.areas, key=found.areas.get) in repr(found)


@pytest.fixture
def counted(monkeypatch):
    """What is encoded and how often a model is loaded."""
    seen = {"names": [], "loads": 0}
    embed, load = DenseCLIP.embed, build_segmentor

    def spy_embed(self, names, templates):
        seen["names"] += names
        return embed(self, names, templates)

    def spy_load(*words):
        seen["loads"] += 1
        return load(*words)

    monkeypatch.setattr(DenseCLIP, "embed", spy_embed)
    monkeypatch.setattr("proxyclip.apis.segmenter.build_segmentor", spy_load)
    return seen


def test_only_new_names_are_encoded_and_nothing_is_loaded_again(counted, picture):
    mine = Segmenter(PLAIN, **FAST)
    assert counted == {"names": PLAIN, "loads": 1}
    mine(picture)
    mine.set_classes(PLAIN[::-1], background=0.4)(picture)
    mine.tune(gamma=2.0)(picture)
    assert counted == {"names": PLAIN, "loads": 1}
    mine.set_classes(["boat", ["fish", "sky", "fish"]])
    assert counted == {"names": [*PLAIN, "fish"], "loads": 1}


def test_words_that_cannot_be_change_nothing(plain, picture):
    before = plain(picture)
    for wrong in ([], ["a", "a"], 5, ["\ud800"]):
        with pytest.raises((ValueError, TypeError)):
            plain.set_classes(wrong)
    assert plain.classes == tuple(PLAIN)
    assert np.array_equal(plain(picture).labels, before.labels)


def test_segment_keeps_one_model_and_does_not_mix_options(counted, monkeypatch, picture):
    monkeypatch.setattr("proxyclip.apis._last", [])
    first = segment(picture, PLAIN, **FAST, background=0.6)
    assert segment(picture, PLAIN, **FAST).names == tuple(PLAIN)  # neither background nor threshold stays
    assert counted["loads"] == 1
    assert first.names == ("other", *PLAIN)
    tuned = segment(picture, PLAIN, **FAST, gamma=8.0)
    assert counted["loads"] == 2
    assert tuned.probabilities.shape == (4, *picture.shape[:2])
    assert not np.array_equal(tuned.probabilities, segment(picture, PLAIN, **FAST).probabilities)
    assert counted["loads"] == 3
    assert len(_last) == 1


def test_wrong_words_are_told_before_anything_is_loaded(counted):
    for words in (dict(classes=[]), dict(classes=["a"], threshold=2), dict(background=["a"]), dict(threshold=0.5)):
        with pytest.raises(ValueError, match="Expected"):
            Segmenter(**words, **FAST)
    assert counted["loads"] == 0


@pytest.mark.parametrize(
    ("options", "words"),
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
def test_wrong_options_are_said_in_words(options, words):
    with pytest.raises((ValueError, TypeError, OSError, KeyError), match=words):
        Segmenter(PLAIN, **{"config": TINY, **options})


def test_without_words_it_asks_for_them(picture):
    mine = Segmenter(**FAST, name_path=None)
    assert mine.classes == ()
    with pytest.raises(ValueError, match="set_classes"):
        mine(picture)
    assert mine.set_classes(["sky"])(picture).areas == {"sky": 100.0}


@pytest.mark.parametrize("background", [None, 0.02])
def test_labels_of_many_classes_need_no_map_of_them(monkeypatch, background):
    """No map of the whole picture with all classes: what is scored at once is a strip."""
    h, w, classes = 600, 900, 120
    mine = Segmenter([f"thing {i}" for i in range(classes)], background=background, **FAST)
    strips, classified = [], []
    stitch, classify = stitch_tiles, type(mine._model).classify

    def spy(*words):
        for strip in stitch(*words):
            strips.append(strip.numel())
            yield strip

    def seen(self, scores):
        classified.append(scores.numel())
        return classify(self, scores)

    for target in (
        "proxyclip.models.sliding.segmentor.stitch_tiles",
        "proxyclip.models.trained.base.stitch_tiles",
        "proxyclip.models.trained.clip_rc.model.stitch_tiles",
    ):
        monkeypatch.setattr(target, spy)
    monkeypatch.setattr(mine._model, "classify", seen.__get__(mine._model))
    found = mine(draw_seeded_scene(3, 0).image.repeat(4, 0).repeat(6, 1)[:h, :w])
    assert found.labels.shape == (h, w)
    assert max(strips) <= ROW_CHUNK_ELEMENTS["cpu"] < classes * h * w / 50
    assert bool(classified) == (background is not None)
    assert all(n <= ROW_CHUNK_ELEMENTS["cpu"] for n in classified)
    one = found.probability("thing 7")  # nor does a single class
    assert one.shape == (h, w)
    assert max(classified) <= ROW_CHUNK_ELEMENTS["cpu"]


def test_describe_is_json_and_says_what_is_set(picture):
    mine = Segmenter([["boat", "ship"], "sky"], **FAST, background=0.3).tune(gamma=2.0)
    said = mine.describe()
    assert json.loads(json.dumps(said)) == said | {"names": ["other", "boat", "sky"]}
    assert said["classes"] == [["boat", "ship"], ["sky"]]
    assert (said["prob_thd"], said["gamma"], said["beta"], said["slide_stride"]) == (0.3, 2.0, 1.2, 96)
    assert len(said["clip_sha256"]) == 64


def test_one_pixel_and_the_name_of_the_file(plain, picture, tmp_path):
    path = tmp_path / "my photo.png"
    PIL.Image.fromarray(picture).save(path)
    found = plain.set_classes(PLAIN, background=0.5)(path)
    h, w = found.labels.shape
    for x, y in ((0, 0), (w - 1, h - 1), (w // 3, h // 2)):
        assert np.array_equal(found.at(x, y), found.probabilities[:, y, x])
    for x, y in ((w, 0), (0, h), (-1, 0)):
        with pytest.raises(ValueError, match=f"inside the picture of {w} x {h}"):
            found.at(x, y)
    assert (found.name, found.file_name) == ("my photo", "my photo.png")
    assert found.to_coco()["images"][0]["file_name"] == "my photo.png"
    assert plain(picture).to_coco()["images"][0]["file_name"] == "image"


def test_gradients_are_as_before(plain, picture):
    found = plain.set_classes(PLAIN)(picture)
    assert torch.is_grad_enabled()
    for _ in found._maps.iter_probabilities():
        assert torch.is_grad_enabled()
    for _ in plain.each([picture], progress=False):
        assert torch.is_grad_enabled()
