"""Configs of configs/<method>: each runs its method, under the protocol that was published with it."""

import itertools

import pytest
from mmengine.config import Config

from proxyclip.engine.config.components import IncompatibleComponents
from proxyclip.engine.config.load import load_config, merge_config
from proxyclip.engine.config.names import _known_configs
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.config.overrides import check_model_arguments
from proxyclip.engine.config.protocols import list_folder_configs, list_protocol_configs, list_protocols
from proxyclip.models.segmentors.resclip import ResCLIPSegmentation
from proxyclip.utils.paths import ROOT

DATASETS = (
    "voc21", "context60", "coco_object", "voc20", "city_scapes", "context59", "ade20k", "coco_stuff164k"
)  # fmt: skip
SCLIP_WORDS = ("voc20", "voc21", "coco_object")  # of which SCLIP has lists of its own
DINO = dict(type="dino")
# crop, stride, VFM, padding, whether whole images are interpolated twice, refinements
WINDOWS = {
    "sclip": (224, 112, None, None, False, None),
    "clearclip": (448, 224, None, None, False, None),
    "naclip": (224, 112, None, 1, True, "pamr"),
    "resclip": (224, 112, None, 1, True, None),
    "sc_clip": (224, 112, None, 1, False, None),
    "gla": (224, 112, DINO, 56, False, None),
}
# short sides and logit scales, and those of single data sets
SHORT_SIDES = {
    "sclip": (336, dict(city_scapes=560, coco_stuff164k=448)),
    "clearclip": (448, {}),
    "naclip": (336, dict(city_scapes=560)),
    "resclip": (336, dict(city_scapes=560)),
    "sc_clip": (336, dict(city_scapes=560, coco_stuff164k=448)),
    "gla": (336, dict(city_scapes=448, ade20k=448)),
}
SCALES = {
    "sclip": (40, dict(coco_object=50, context60=50, voc21=65)),
    "clearclip": (50, {}),
    "naclip": (40, {}),
    "resclip": (40, {}),
    "sc_clip": (40, dict(coco_object=55, voc21=50)),
    "gla": (40, {}),
}
THRESHOLDS = {
    "sclip": dict(coco_object=0.1, context60=0.1, voc21=0.1),
    "clearclip": dict(coco_object=0.4, context60=0.15, voc21=0.5),
    "naclip": dict(coco_object=0.1, context60=0.1, voc21=0.1),
    "resclip": dict(coco_object=0.1, context60=0.1, voc21=0.1),
    "sc_clip": dict(coco_object=0.35, context60=0.15, voc21=0.15),
    "gla": dict(coco_object=0.25, context60=0.15, voc21=0.2),
}
CROPS = {
    ("clearclip", "city_scapes"): 224,
    **{(method, name): 0 for method in ("naclip", "resclip") for name in ("voc20", "voc21")},
}
# label_threshold, residual_weight, feedback_temperature, feedback_weight; the residual temperature is 2 everywhere
RESCLIP = {
    "ade20k": (0.25, 0.3, 2.1, 0.7),
    "city_scapes": (0.10, 0.2, 2.1, 0.6),
    "coco_object": (0.11, 0.4, 1.8, 0.7),
    "coco_stuff164k": (0.11, 0.4, 1.8, 0.7),
    "context59": (0.25, 0.4, 1.8, 0.7),
    "context60": (0.30, 0.3, 1.8, 0.7),
    "voc20": (0.10, 0.6, 2.1, 0.6),
    "voc21": (0.50, 0.3, 2.2, 0.7),
}
RESCLIP_OPTIONS = ("label_threshold", "residual_weight", "feedback_temperature", "feedback_weight")
CELLS = [*itertools.product(WINDOWS, DATASETS), ("sclip", "coco_stuff10k")]


def load(folder: str, dataset: str, **options):
    return load_config(EvalOptions(config=f"configs/{folder}/cfg_{dataset}.py", **options))


@pytest.mark.parametrize(("method", "dataset"), CELLS)
def test_config_runs_its_method_under_its_protocol(method, dataset):
    cfg, info = load(method, dataset)
    model = cfg.model
    crop, stride, vfm, padding, upsampled, refine = WINDOWS[method]
    assert (info.name, model.vfm_model) == (method, vfm)
    assert (model.slide_crop, model.slide_stride) == (CROPS.get((method, dataset), crop), stride)
    assert (model.get("pad_multiple"), model.get("upsample_to_input", False)) == (padding, upsampled)
    side, sides = SHORT_SIDES[method]
    assert cfg.test_dataloader.dataset.pipeline[1].scale == (2048, sides.get(dataset, side))
    assert cfg.test_pipeline == cfg.test_dataloader.dataset.pipeline
    scale, scales = SCALES[method]
    assert (model.logit_scale, model.prob_thd) == (
        scales.get(dataset, scale),
        THRESHOLDS[method].get(dataset, 0.0),
    )
    if method in ("sclip", "sc_clip") and dataset == "voc21":
        refine = [dict(type="area", threshold=0.1)]
    assert model.get("refine") == refine
    folder = "configs/sclip" if dataset in SCLIP_WORDS and method not in ("clearclip", "gla") else "configs"
    name = "coco_stuff" if dataset.startswith("coco_stuff") else dataset
    assert model.name_path == f"./{folder}/cls_{name}.txt" and (ROOT / model.name_path).is_file()
    own = tuple(model.get(option) for option in RESCLIP_OPTIONS)
    assert own == (RESCLIP[dataset] if method == "resclip" else (None,) * 4)
    plain = Config.fromfile(ROOT / f"configs/cfg_{dataset}.py")
    assert (model.clip_type, model.model_type) == (plain.model.clip_type, plain.model.model_type)
    assert cfg.test_dataloader.dataset.type == plain.test_dataloader.dataset.type
    check_model_arguments(cfg)


def test_resclip_has_the_published_residual_temperature_by_default():
    defaults = ResCLIPSegmentation.__init__.__kwdefaults__
    assert (defaults["residual_temperature"], defaults["base"], defaults["line_of_sight"]) == (2.0, "naclip", True)


@pytest.mark.parametrize(("method", "dataset"), CELLS)
def test_config_of_protocol_is_whole_for_mmengine_too(method, dataset):
    """Read by mmengine alone it has the same model; the leftover of its base is no part of a run."""
    plain = Config.fromfile(ROOT / f"configs/{method}/cfg_{dataset}.py")
    cfg = merge_config(EvalOptions(config=f"configs/{method}/cfg_{dataset}.py"))
    assert plain.model.to_dict() == cfg.model.to_dict()
    assert set(plain) - set(cfg) == {"protocol"} and set(cfg) < set(plain)


def test_protocol_is_no_option_and_no_config():
    with pytest.raises(ValueError, match=r"--cfg-options protocol\.slide_crop: .*no 'protocol'"):
        load("naclip", "voc21", cfg_options=("protocol.slide_crop=1",))
    known = _known_configs()
    assert not any(path.endswith("protocol.py") for path in known)
    assert {f"configs/{method}/cfg_{dataset}.py" for method, dataset in CELLS} < set(known)


@pytest.mark.parametrize("protocol", WINDOWS)
@pytest.mark.parametrize("method", ["vanilla", "maskclip", "clearclip", "naclip", "resclip", "sc_clip"])
def test_method_without_vfm_runs_in_any_protocol(protocol, method):
    cfg, info = load(protocol, "voc21", method=method)
    own = load(protocol, "voc21")[0].model
    check_model_arguments(cfg)
    assert (info.name, cfg.model.vfm_model) == (method, None)
    kept = ("name_path", "prob_thd", "logit_scale", "slide_crop", "slide_stride", "pad_multiple", "refine")
    assert all(cfg.model.get(key) == own.get(key) for key in kept)
    assert ("label_threshold" in cfg.model) == (protocol == method == "resclip")


@pytest.mark.parametrize("protocol", WINDOWS)
@pytest.mark.parametrize("method", ["proxy", "gla"])
def test_guided_method_needs_a_vfm_in_the_protocol_of_another(protocol, method):
    cfg, info = load(protocol, "voc20", method=method, vfm="dino-s16")
    check_model_arguments(cfg)
    assert (info.name, cfg.model.vfm_model.type) == (method, "dino")
    if protocol != "gla":
        with pytest.raises(
            IncompatibleComponents, match=rf"{method} needs a VFM, but vfm_model is None: say --vfm dino"
        ):
            load(protocol, "voc20", method=method)


def test_naclip_with_vfm_runs_in_its_own_protocol():
    cfg, info = load("naclip", "voc20", vfm="dino-s16")
    assert (info.name, cfg.model.vfm_model.type, cfg.model.refine) == ("naclip", "dino", "pamr")


def test_wrong_argument_of_a_config_is_refused_with_another_method(tmp_path):
    config = tmp_path / "own.py"
    config.write_text(f'_base_ = "{ROOT}/configs/resclip/cfg_voc21.py"\nmodel = dict(label_treshold=0.2)\n')
    for method in (None, "vanilla"):
        cfg = merge_config(EvalOptions(config=str(config), method=method))
        with pytest.raises(ValueError, match="has no argument 'label_treshold'"):
            check_model_arguments(cfg)


def test_attention_replaces_a_method_of_the_published_kind_only(tmp_path):
    """In the segmentor of a published SCLIP config, and in one of the user's own, --method changes the attention."""
    model = "type='CLIPForSegmentation', clip_path='ViT-B/16', name_path='configs/cls_voc20.txt'"
    config = tmp_path / "own.py"
    config.write_text(f"model = dict({model})\n")
    model = merge_config(EvalOptions(config=str(config), method="clearclip")).model
    assert (model.type, model.clip_path, model.attention.type) == ("CLIPForSegmentation", "ViT-B/16", "clearclip")


def test_method_does_not_go_into_a_teacher():
    cfg = merge_config(EvalOptions(config="configs/trained/maskclip_plus/tinyworld_teacher.py", method="naclip"))
    with pytest.raises(ValueError, match="MaskCLIPTeacher has no argument"):
        check_model_arguments(cfg)


def test_list_protocols():
    assert list_protocols() == sorted([*WINDOWS, "proxyclip"])


@pytest.mark.parametrize("name", [*WINDOWS, "proxyclip"])
def test_list_protocol_configs_has_the_order_of_the_papers(name):
    folder = "configs" if name == "proxyclip" else f"configs/{name}"
    more = {"sclip": ["coco_stuff10k"], "proxyclip": ["coco_stuff10k", "ade847", "context459"]}.get(name, [])
    assert list_protocol_configs(name) == [f"{folder}/cfg_{dataset}.py" for dataset in (*DATASETS, *more)]


def test_list_protocol_configs_answers_a_typo():
    with pytest.raises(ValueError, match=r"no protocol 'sc-clip': expected one of clearclip, .*Did you mean sc_clip\?"):
        list_protocol_configs("sc-clip")


def test_list_folder_configs(tmp_path, monkeypatch):
    names = [f"configs/gla/cfg_{dataset}.py" for dataset in sorted(DATASETS)]
    assert list_folder_configs("configs/gla") == list_folder_configs("configs/gla/") == names
    assert list_folder_configs("configs/gla/cfg_voc20.py") == ["configs/gla/cfg_voc20.py"]
    assert list_folder_configs("configs/glaa") == ["configs/glaa"]
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"there is no cfg_\*\.py in own"):
        list_folder_configs("own")
    (tmp_path / "own/cfg_b.py").write_text("")
    (tmp_path / "own/other.py").write_text("")
    assert list_folder_configs("own") == ["own/cfg_b.py"] and list_folder_configs("configs/gla") == names
