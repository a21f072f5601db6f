"""--method, --vfm and --clip: what their words mean, in which order they count, and what does not go together."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from proxyclip.engine.config.components import (
    IncompatibleComponents,
    component_names,
    describe_method,
    parse_clip_spec,
    parse_vfm_spec,
    resolve_model_type,
)
from proxyclip.engine.config.load import (
    REPOSITORY_VARIABLE,
    ConfigNotFound,
    describe_method_file,
    list_methods,
    load_config,
    merge_config,
)
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.config.overrides import check_model_arguments
from proxyclip.engine.evaluation.identity import run_identity
from proxyclip.engine.evaluation.provenance import hash_named_files
from proxyclip.utils.paths import ROOT

TINY = "configs/cfg_tinyworld.py"
OPENAI = dict(model_type="ViT-B/16", clip_type="openai")


def model(config=TINY, **words):
    return load_config(EvalOptions(config=config, **words)).model


@pytest.mark.parametrize(
    "words, spec",
    [
        ("none", None),
        ("dino", dict(type="dino")),
        ("dino-s16", dict(type="dino", model="vit_small_patch16_224.dino")),
        ("sam-b", dict(type="sam", model="vit_b")),
        ("clip", dict(type="clip")),
        ("dino,local-dir:FOLDER", dict(type="dino", model="local-dir:FOLDER")),
        ("mae,mae_pretrain_vit_base.pth", dict(type="mae", checkpoint="mae_pretrain_vit_base.pth")),
        ("mae,README.md", dict(type="mae", checkpoint="README.md")),  # a file that exists
        (
            "dino,vit_small_patch8_224,w.bin",
            dict(type="dino", model="vit_small_patch8_224", checkpoint="w.bin"),
        ),
        ("dino-b16,w.safetensors", dict(type="dino", model="vit_base_patch16_224.dino", checkpoint="w.safetensors")),
    ],
)
def test_words_of_vfm(words, spec, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert parse_vfm_spec(words) == spec


@pytest.mark.parametrize(
    "words, message",
    [
        ("dyno", r"'dino'.*'dyno'.*mean 'dino'"),
        ("dino-x", r"dino-s16"),
        ("dino-s16,vit_small_patch8_224", "expected one model"),
        ("dino,a.pth,b.pth", "expected one checkpoint"),
    ],
)
def test_wrong_words_of_vfm(words, message):
    with pytest.raises(ValueError, match=message):
        parse_vfm_spec(words)


def test_a_vfm_replaces_the_old_one_whole():
    options = ("model.checkpoint=old.pth",)
    assert model("configs/cfg_voc21.py", vfm="dinov2").vfm_model == dict(type="dinov2")
    one = model(vfm="dino,local-dir:x")
    assert (one.vfm_model, one.checkpoint) == (dict(type="dino", model="local-dir:x"), None)
    assert model(vfm="mae", cfg_options=options).checkpoint == "old.pth"  # --cfg-options has the last word


@pytest.mark.parametrize(
    "words, before, expected",
    [
        ("ViT-L-14", OPENAI, ("ViT-L-14", "openai")),
        ("ViT-L/14@336px", OPENAI, ("ViT-L-14-336", "openai")),
        ("ViT-H-14,laion2b_s32b_b79k", OPENAI, ("ViT-H-14", "laion2b_s32b_b79k")),
        ("ViT-H-14", OPENAI, ("ViT-H-14", "laion2b_s32b_b79k")),
        ("ViT-B-16,mine.pt", OPENAI, ("ViT-B-16", "mine.pt")),
        ("ViT-B-16", dict(model_type="ViT-B/16", clip_type="mine.pt"), ("ViT-B-16", "mine.pt")),
        ("ViT-B-16", dict(model_type="local-dir:x", clip_type=None), ("ViT-B-16", "openai")),
        ("ViT-B-16", dict(model_type="unheard of", clip_type="x"), ("ViT-B-16", "openai")),
        ("local-dir:a/b", OPENAI, ("local-dir:a/b", None)),
        ("hf-hub:x/y", OPENAI, ("hf-hub:x/y", None)),
    ],
)
def test_words_of_clip(words, before, expected):
    found = parse_clip_spec(words, before)
    assert (found["model_type"], found["clip_type"]) == expected


def test_wrong_words_of_clip(monkeypatch):
    with pytest.raises(ValueError, match="ViT-B-16"):
        parse_clip_spec("ViT-B-61", OPENAI)
    monkeypatch.setattr("proxyclip.models.clip.dense.default_tag", lambda name: None)
    with pytest.raises(ValueError, match=r"expected ViT-H-14,TAG or ViT-H-14,FILE; its tags are .*laion2b_s32b_b79k"):
        parse_clip_spec("ViT-H-14", OPENAI)


def test_the_order_of_the_words():
    """Method over config, VFM over method, CLIP, and single values over all."""
    one = model(method="naclip", vfm="mae", clip="ViT-B-32", cfg_options=("model.attention.sigma=2",))
    assert (one.attention, one.vfm_model) == (dict(type="naclip", sigma=2), dict(type="mae"))
    assert (one.model_type, one.clip_type) == ("ViT-B-32", "openai")
    assert model(method="naclip").vfm_model is None
    assert model(method="naclip", vfm="mae", cfg_options=("model.vfm_model=None",)).vfm_model is None


@pytest.mark.parametrize(
    "words, message",
    [
        (
            dict(method="sclip", vfm="dino"),
            r"sclip uses no VFM, but got dino: leave out --vfm.*with a VFM: .*naclip, pr",
        ),
        (dict(method="maskclip", vfm="clip"), "maskclip uses no VFM, but got clip"),
        (dict(method="proxy", vfm="none"), r"proxy needs a VFM.*without a VFM: clearclip, maskclip, naclip"),
        (dict(vfm="none"), "proxy needs a VFM"),
        (dict(method="gla", vfm="none"), "gla needs a VFM"),
        (dict(method="resclip", vfm="dino"), "resclip uses no VFM"),
        (dict(method="sc_clip", vfm="dino"), "sc_clip uses no VFM"),
        (dict(cfg_options=("model.attention=vanilla",)), "vanilla uses no VFM, but got tiny"),
    ],
)
def test_what_does_not_go_together(words, message):
    with pytest.raises(IncompatibleComponents, match=message):
        model(**words)


@pytest.mark.parametrize(
    "words, message",
    [
        (dict(vfm="dino", cfg_options=("model.vfm_model.modle=x",)), r"'DINO' has no option \['modle'\]"),
        (dict(cfg_options=("model.attention.bta=1",)), r"'Proxy' has no option \['bta'\]"),
        (dict(cfg_options=("model.refine=aria",)), "'area'"),
        (dict(cfg_options=("model.vfm_model=dyno",)), "mean 'dino'"),
    ],
)
def test_wrong_parts_are_named_before_any_weights(words, message):
    with pytest.raises((TypeError, ValueError), match=message):
        model(**words)


def test_methods_by_name():
    assert {"proxy", "naclip", "vanilla"} <= set(list_methods())
    with pytest.raises(ConfigNotFound, match=r"no method 'sclp'.*maskclip.*my/own\.py\. Did you mean sclip\?"):
        model(method="sclp")
    with pytest.raises(ConfigNotFound, match=r"no config 'my/own\.py'"):
        model(method="my/own.py")


@pytest.mark.parametrize("name", list_methods())
def test_every_method_says_whether_it_needs_a_vfm(name):
    """By itself or by its attention; the combination that this excludes is refused, the other one is not."""
    needs = describe_method_file(name).guided
    assert needs in (True, False, None)
    for words, fits in (("none", needs is not True), ("tiny", needs is not False)):
        if fits:
            assert (model(method=name, vfm=words).vfm_model is None) == (words == "none")
        else:
            with pytest.raises(IncompatibleComponents):
                model(method=name, vfm=words)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A method of one's own in two files, outside the repository."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my").mkdir()
    source = (ROOT / "proxyclip/models/attention/vanilla.py").read_text()
    (tmp_path / "my/same.py").write_text(source.replace('"vanilla"', '"same_as_before"'))
    (tmp_path / "my/own.py").write_text("model = dict(vfm_model=None, attention=dict(type='my/same.py'))\n")
    return tmp_path / "my"


def test_a_method_by_its_path(own):
    one = model(method="my/own.py")
    assert (one.attention.type, one.vfm_model) == ("my/same.py", None)
    assert describe_method(one).name == "same_as_before"
    assert "my/same.py" in hash_named_files(one)
    with pytest.raises(IncompatibleComponents, match="same_as_before uses no VFM"):
        model(method="my/own.py", vfm="tiny")
    (own / "own.py").write_text("model = dict(prob_thd=1)\ntest_cfg = dict(type='x')\n")
    with pytest.raises(ValueError, match=r"to set `model` and nothing else, but it sets \['model', 'test_cfg'\]"):
        model(method="my/own.py")


def test_an_edited_plug_in_is_another_run(own):
    def identity():
        return run_identity(load_config(EvalOptions(config=TINY, method="my/own.py")), "cpu")

    before = identity()
    assert identity() == before
    file = own / "same.py"
    file.write_text(file.read_text() + "\n")
    assert identity() != before


def test_a_segmentor_by_its_path(own):
    (own / "seg.py").write_text(
        "from proxyclip.models.segmentors.proxyclip import ProxyCLIPSegmentation\n\n"
        "class Seg(ProxyCLIPSegmentation):\n"
        "    def __init__(self, *, power: float = 1.0, **options):\n"
        "        super().__init__(**options)\n"
    )
    cfg = load_config(EvalOptions(config=TINY, cfg_options=("model.type=my/seg.py", "model.power=2")))
    check_model_arguments(cfg)
    assert describe_method(cfg.model).name == "Seg"
    built = resolve_model_type(cfg.model)
    assert built["type"].__name__ == "Seg" and built["power"] == 2 and cfg.model.type == "my/seg.py"
    cfg.model.powr = 1
    with pytest.raises(ValueError, match=r"Seg has no argument 'powr': did you mean power"):
        check_model_arguments(cfg)
    del cfg.model["powr"]
    cfg.model.prob_th = 1  # a typo of the base's
    with pytest.raises(ValueError, match=r"no argument 'prob_th': did you mean prob_thd"):
        check_model_arguments(cfg)


def test_a_config_outside_the_repository_finds_its_base(own, monkeypatch):
    monkeypatch.delenv(REPOSITORY_VARIABLE, raising=False)
    (own / "cfg_mine.py").write_text(
        '_base_ = "{{$PROXYCLIP:}}/configs/base_config.py"\nmodel = dict(name_path="{{fileDirname}}/cls.txt")\n'
    )
    cfg = merge_config(EvalOptions(config="my/cfg_mine.py"))
    assert cfg.model.name_path == f"{own}/cls.txt"
    assert cfg.test_cfg == Config.fromfile(ROOT / "configs/base_config.py").test_cfg


@pytest.mark.parametrize(
    "words, expected",
    [
        (dict(), ("proxy", "tiny", "local-dir:clip")),
        (dict(method="my/own.py"), ("same_as_before", "none", "local-dir:clip")),
        (dict(method="naclip", vfm="dino,local-dir:a/b", clip="ViT-B-32"), ("naclip", "dino,local-dir:b", "ViT-B-32")),
    ],
)
def test_names_for_a_table(own, words, expected):
    one = model(**words)
    name = describe_method(one).name
    assert component_names(one, name, words.get("vfm"), words.get("clip")) == expected
    assert component_names(model("configs/cfg_voc20.py"), name)[2] == "ViT-B/16,openai"


def test_every_method_file_is_named_as_its_classes_say():
    assert {name: describe_method_file(name).name for name in list_methods()} == {name: name for name in list_methods()}


def test_method_of_sclip_config_is_its_attention():
    """Published SCLIP configs have a segmentor of their own, whose attention may be another one."""
    info = describe_method(dict(type="CLIPForSegmentation"))
    assert (info.name, info.guided) == ("sclip", False)
    assert describe_method(dict(type="CLIPForSegmentation", attention="naclip")).name == "naclip"


def test_a_clip_that_cannot_be_opened_is_refused_with_its_reason():
    for name in ("ViT-B-16-SigLIP", "EVA02-B-16", "RN50", "coca_ViT-B-32"):
        with pytest.raises(
            IncompatibleComponents, match=f"--clip {name}: Expected a CLIP with open_clip's own VisionTransformer"
        ):
            parse_clip_spec(name, {"model_type": "ViT-B/16", "clip_type": "openai"})
    with pytest.raises(IncompatibleComponents, match="no class token"):
        parse_clip_spec("ViT-B-16-SigLIP,webli", {})
