"""--method, --vfm and --clip: their values, their order, and combinations that are refused."""

import pytest
from mmengine.config import Config

from proxyclip.engine.config import components, reading
from proxyclip.engine.config.components import IncompatibleComponents, component_names, parse_clip_spec, parse_vfm_spec
from proxyclip.engine.config.load import describe_method_file, load_config, merge_config
from proxyclip.engine.config.names import ConfigNotFound, list_methods
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.config.overrides import check_model_arguments
from proxyclip.engine.evaluation.provenance import hash_named_files
from proxyclip.utils.paths import ROOT

TINY = "configs/cfg_tinyworld.py"
OPENAI = dict(model_type="ViT-B/16", clip_type="openai")


def load_model(config=TINY, **options):
    return load_config(EvalOptions(config=config, **options))[0].model


@pytest.mark.parametrize(
    "text, spec",
    [
        ("none", None), ("dino", dict(type="dino")), ("clip", dict(type="clip")),
        ("sam-b", dict(type="sam", model="vit_b")), ("dino-s16", dict(type="dino", model="vit_small_patch16_224.dino")),
        ("dino,local-dir:FOLDER", dict(type="dino", model="local-dir:FOLDER")),
        ("mae,mae_pretrain_vit_base.pth", dict(type="mae", checkpoint="mae_pretrain_vit_base.pth")),
        ("mae,README.md", dict(type="mae", checkpoint="README.md")),  # a file that exists
        ("dino,vit_small_patch8_224,w.bin", dict(type="dino", model="vit_small_patch8_224", checkpoint="w.bin")),
        ("dino-b16,w.safetensors", dict(type="dino", model="vit_base_patch16_224.dino", checkpoint="w.safetensors")),
    ],
)  # fmt: skip
def test_parse_vfm_spec(text, spec, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert parse_vfm_spec(text) == spec


@pytest.mark.parametrize(
    "text, message",
    [
        ("dyno", r"'dino'.*'dyno'.*mean 'dino'"),
        ("dino-x", r"dino-s16"),
        ("dino-s16,vit_small_patch8_224", "expected one model"),
        ("dino,a.pth,b.pth", "expected one checkpoint"),
    ],
)
def test_parse_vfm_spec_names_what_is_wrong(text, message):
    with pytest.raises(ValueError, match=message):
        parse_vfm_spec(text)


def test_vfm_replaces_the_one_of_the_config_with_its_arguments():
    options = ("model.checkpoint=old.pth",)
    assert load_model("configs/cfg_voc21.py", vfm="dinov2").vfm_model == dict(type="dinov2")
    model = load_model(vfm="dino,local-dir:x")
    assert (model.vfm_model, model.checkpoint) == (dict(type="dino", model="local-dir:x"), None)
    assert load_model(vfm="mae", cfg_options=options).checkpoint == "old.pth"  # --cfg-options has the last word


@pytest.mark.parametrize(
    "text, before, expected",
    [
        ("ViT-L-14", OPENAI, ("ViT-L-14", "openai")), ("ViT-L/14@336px", OPENAI, ("ViT-L-14-336", "openai")),
        ("ViT-H-14,laion2b_s32b_b79k", OPENAI, ("ViT-H-14", "laion2b_s32b_b79k")),
        ("ViT-H-14", OPENAI, ("ViT-H-14", "laion2b_s32b_b79k")), ("ViT-B-16,mine.pt", OPENAI, ("ViT-B-16", "mine.pt")),
        ("ViT-B-16", dict(model_type="ViT-B/16", clip_type="mine.pt"), ("ViT-B-16", "mine.pt")),
        ("ViT-B-16", dict(model_type="local-dir:x", clip_type=None), ("ViT-B-16", "openai")),
        ("ViT-B-16", dict(model_type="unheard of", clip_type="x"), ("ViT-B-16", "openai")),
        ("local-dir:a/b", OPENAI, ("local-dir:a/b", None)), ("hf-hub:x/y", OPENAI, ("hf-hub:x/y", None)),
    ],
)  # fmt: skip
def test_parse_clip_spec(text, before, expected):
    assert tuple(parse_clip_spec(text, before).values()) == expected


def test_parse_clip_spec_names_known_models_and_tags(monkeypatch):
    with pytest.raises(ValueError, match="ViT-B-16"):
        parse_clip_spec("ViT-B-61", OPENAI)
    monkeypatch.setattr("proxyclip.models.clip.loading.default_clip_tag", lambda name: None)
    with pytest.raises(ValueError, match=r"expected ViT-H-14,TAG or ViT-H-14,FILE; its tags are .*laion2b_s32b_b79k"):
        parse_clip_spec("ViT-H-14", OPENAI)


def test_options_apply_method_vfm_clip_and_cfg_options_in_this_order():
    model = load_model(method="naclip", vfm="mae", clip="ViT-B-32", cfg_options=("model.attention.sigma=2",))
    assert (model.attention, model.vfm_model) == (dict(type="naclip", sigma=2), dict(type="mae"))
    assert (model.model_type, model.clip_type) == ("ViT-B-32", "openai")
    assert load_model(method="naclip").vfm_model is None
    assert load_model(method="naclip", vfm="mae", cfg_options=("model.vfm_model=None",)).vfm_model is None


@pytest.mark.parametrize(
    "options, error, message",
    [
        (dict(method="sclip", vfm="dino"), IncompatibleComponents, r"sclip uses no VFM, but got dino: leave out --vfm"),
        (dict(method="sclip", vfm="dino"), IncompatibleComponents, r"with a VFM: .*naclip, pr"),
        (dict(vfm="none"), IncompatibleComponents, r"proxy needs a VFM.*without a VFM: clearclip, maskclip, naclip"),
        (dict(cfg_options=("model.attention=vanilla",)), IncompatibleComponents, "vanilla uses no VFM, but got tiny"),
        (dict(vfm="dino", cfg_options=("model.vfm_model.modle=x",)), TypeError, r"'DINO' has no option \['modle'\]"),
        (dict(cfg_options=("model.attention.bta=1",)), TypeError, r"'Proxy' has no option \['bta'\]"),
        (dict(cfg_options=("model.refine=aria",)), ValueError, "'area'"),
        (dict(cfg_options=("model.vfm_model=dyno",)), ValueError, "mean 'dino'"),
        (dict(method="sclp"), ConfigNotFound, r"no method 'sclp'.*maskclip.*my/own\.py\. Did you mean sclip\?"),
        (dict(method="my/own.py"), ConfigNotFound, r"no config 'my/own\.py'"),
    ],
)
def test_wrong_components_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        load_model(**options)


@pytest.mark.parametrize("name", list_methods())
def test_methods_take_or_refuse_a_vfm_as_they_declare(name):
    info = describe_method_file(name)
    assert info.name == name and info.guided in (True, False, None)
    for vfm, fits in (("none", info.guided is not True), ("tiny", info.guided is not False)):
        if fits:
            assert (load_model(method=name, vfm=vfm).vfm_model is None) == (vfm == "none")
        else:
            with pytest.raises(IncompatibleComponents):
                load_model(method=name, vfm=vfm)


@pytest.fixture
def own_method(tmp_path, monkeypatch):
    """Folder with a method in two files, outside the repository."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my").mkdir()
    source = (ROOT / "proxyclip/models/attention/vanilla.py").read_text()
    (tmp_path / "my/same.py").write_text(source.replace('"vanilla"', '"same_as_before"'))
    (tmp_path / "my/own.py").write_text("model = dict(vfm_model=None, attention=dict(type='my/same.py'))\n")
    return tmp_path / "my"


def test_method_by_its_path(own_method):
    cfg, method = load_config(EvalOptions(config=TINY, method="my/own.py"))
    assert (cfg.model.attention.type, cfg.model.vfm_model) == ("my/same.py", None)
    assert method.name == "same_as_before"
    before = hash_named_files(cfg.model)["my/same.py"]
    (own_method / "same.py").write_text((own_method / "same.py").read_text() + "\n")
    assert hash_named_files(cfg.model)["my/same.py"] != before
    with pytest.raises(IncompatibleComponents, match="same_as_before uses no VFM"):
        load_model(method="my/own.py", vfm="tiny")
    (own_method / "own.py").write_text("model = dict(prob_thd=1)\ntest_cfg = dict(type='x')\n")
    with pytest.raises(ValueError, match=r"to set `model` and nothing else, but it sets \['model', 'test_cfg'\]"):
        load_model(method="my/own.py")


def test_segmentor_by_its_path_takes_arguments_of_its_base(own_method):
    (own_method / "seg.py").write_text(
        "from proxyclip.models.segmentors.proxyclip import ProxyCLIPSegmentation\n\n"
        "class Seg(ProxyCLIPSegmentation):\n"
        "    def __init__(self, *, power: float = 1.0, **options):\n"
        "        super().__init__(**options)\n"
    )
    cfg, method = load_config(EvalOptions(config=TINY, cfg_options=("model.type=my/seg.py", "model.power=2")))
    check_model_arguments(cfg)
    assert method.name == "Seg"
    built = components.resolve_model_type(cfg.model)
    assert built["type"].__name__ == "Seg" and built["power"] == 2 and cfg.model.type == "my/seg.py"
    for typo, name in (("powr", "power"), ("prob_th", "prob_thd")):  # the second is the base's
        cfg.model[typo] = 1
        with pytest.raises(ValueError, match=f"Seg has no argument '{typo}': did you mean {name}"):
            check_model_arguments(cfg)
        del cfg.model[typo]


def test_config_outside_the_repository_finds_its_base(own_method, monkeypatch):
    monkeypatch.delenv(reading.REPOSITORY_VARIABLE, raising=False)
    (own_method / "cfg_mine.py").write_text(
        '_base_ = "{{$PROXYCLIP:}}/configs/base_config.py"\nmodel = dict(name_path="{{fileDirname}}/cls.txt")\n'
    )
    cfg = merge_config(EvalOptions(config="my/cfg_mine.py"))
    assert cfg.model.name_path == f"{own_method}/cls.txt"
    assert cfg.test_cfg == Config.fromfile(ROOT / "configs/base_config.py").test_cfg


@pytest.mark.parametrize(
    "options, expected",
    [
        (dict(), ("proxy", "tiny", "local-dir:clip")),
        (dict(method="my/own.py"), ("same_as_before", "none", "local-dir:clip")),
        (dict(method="naclip", vfm="dino,local-dir:a/b", clip="ViT-B-32"), ("naclip", "dino,local-dir:b", "ViT-B-32")),
    ],
)
def test_component_names(own_method, options, expected):
    cfg, method = load_config(EvalOptions(config=TINY, **options))
    assert component_names(cfg.model, method.name, options.get("vfm"), options.get("clip")) == expected
    assert component_names(load_model("configs/cfg_voc20.py"), method.name)[2] == "ViT-B/16,openai"


def test_method_of_sclip_config_is_its_attention():
    info = components.describe_method(dict(type="CLIPForSegmentation"))
    assert (info.name, info.guided) == ("sclip", False)
    assert components.describe_method(dict(type="CLIPForSegmentation", attention="naclip")).name == "naclip"


def test_unsupported_clip_is_refused_with_the_reason():
    for name in ("ViT-B-16-SigLIP", "EVA02-B-16", "RN50", "coca_ViT-B-32"):
        message = f"--clip {name}: Expected a CLIP with open_clip's own VisionTransformer"
        with pytest.raises(IncompatibleComponents, match=message):
            parse_clip_spec(name, OPENAI)
    with pytest.raises(IncompatibleComponents, match="no class token"):
        parse_clip_spec("ViT-B-16-SigLIP,webli", {})
