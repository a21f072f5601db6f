"""Configs of MaskCLIP+: published schedules, vocabularies and splits, and what docs/training.md shows."""

import contextlib
import functools
import json
import re

import pytest
import torch
from helpers.reference import HERE, arrays
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS, MODELS
from PIL import Image

from proxyclip.data.vocabulary import read_vocabulary
from proxyclip.engine.config.load import load_config, merge_config
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.config.overrides import check_model_arguments
from proxyclip.engine.training.hooks import StageHook
from proxyclip.engine.training.schedule import WarmupPolyLR
from proxyclip.models.trained.maskclip_plus import MaskCLIPTeacher
from proxyclip.models.trained.maskclip_plus.students import STUDENTS, build_student
from proxyclip.utils.paths import ROOT

CONFIG_FOLDER = ROOT / "configs/trained/maskclip_plus"
LISTS = json.loads((HERE / "trained/class_lists.json").read_text())
DATA = {  # data set -> its class and vocabulary
    "voc20": ("PascalVOC20Dataset", "voc20"),
    "voc21": ("PascalVOCDataset", "voc20"),
    "context59": ("PascalContext59Dataset", "context59"),
    "context60": ("PascalContext60Dataset", "context59"),
    "coco_stuff164k": ("COCOStuffDataset", "coco_stuff"),
    "ade20k": ("ADE20KDataset", "ade20k"),
    "city_scapes": ("CityscapesDataset", "city_scapes"),
}
BACKGROUND = ("voc21", "context60")
STUDENT_NAMES = ("deeplabv2_r101", "deeplabv3plus_r101", "segformer_b0", "segformer_b5")
ANNOFREE = {"voc20": 2000, "context59": 4000, "city_scapes": 4000, "coco_stuff164k": 8000, "ade20k": 8000}
ZERO_SHOT = {"voc20": 20000, "voc21": 20000, "context60": 40000, "coco_stuff164k": 80000}
WEIGHTED = "annofree/context59_deeplabv2_r101_class_weight"
TEACHERS = ("voc20", "context59", "coco_stuff164k", "city_scapes", "context59_class_weight")
TRAINED = [
    *(f"annofree/{data}_{student}" for data in ANNOFREE for student in STUDENT_NAMES),
    WEIGHTED,
    *(f"zero_shot/{data}_{student}" for data in ZERO_SHOT for student in STUDENT_NAMES),
]


@functools.cache
def load(name: str) -> Config:
    return Config.fromfile(CONFIG_FOLDER / f"{name}.py")


def split_name(name: str) -> tuple[str, str, str]:
    """(setting, data, student) of a config's name."""
    setting, _, rest = name.removesuffix("_class_weight").partition("/")
    student = next(student for student in STUDENT_NAMES if rest.endswith(student))
    return setting, rest.removesuffix(f"_{student}"), student


def test_configs_exist_for_each_dataset_and_student():
    files = [path.relative_to(CONFIG_FOLDER) for path in CONFIG_FOLDER.rglob("*.py") if path.parent.name != "_base_"]
    names = {path.with_suffix("").as_posix() for path in files if not path.name.startswith("tinyworld_")}
    assert names == {*TRAINED, "annofree/folder", *(f"teacher/{name}" for name in TEACHERS)}


@pytest.mark.parametrize("name", [*TRAINED, "annofree/folder"])
def test_config_builds_and_hides_the_labels_of_its_setting(name):
    cfg = load(name)
    check_model_arguments(cfg)
    assert cfg.model.teacher == dict(model_type="ViT-B-16", clip_type="openai", residual=True)
    assert (cfg.model.class_weight is not None) == (name == WEIGHTED)
    if name == "annofree/folder":
        return
    setting, data, student = split_name(name)
    train_set = cfg.train_dataloader.dataset
    test_set = cfg.test_dataloader.dataset
    is_zero_shot = setting == "zero_shot"
    assert cfg.model.student == dict(type=student) and cfg.model.get("background", False) == (data in BACKGROUND)
    assert train_set.type == test_set.type == DATA[data][0]
    assert train_set.get("zero_shot", False) == test_set.get("zero_shot", False) == is_zero_shot
    suppressed = [step.which for step in train_set.pipeline if step.type == "SuppressLabels"]
    assert suppressed == ["unseen" if is_zero_shot else "all"]
    assert {"img_path", "suppressed"} <= set(train_set.pipeline[-1].meta_keys)
    assert cfg.val_dataloader == cfg.test_dataloader and cfg.val_evaluator == cfg.test_evaluator


@pytest.mark.parametrize("name", TRAINED)
def test_stages_cover_the_training(name):
    setting, data, student = split_name(name)
    cfg = load(name)
    is_zero_shot = setting == "zero_shot"
    length = ZERO_SHOT[data] if is_zero_shot else 8000 if student.startswith("segformer") else ANNOFREE[data]
    assert cfg.train_cfg.max_iters == length
    (stages,) = (hook for hook in cfg.custom_hooks if hook.type == "StageHook")
    hook = StageHook(**{key: value for key, value in stages.items() if key != "type"})
    assert hook.at(1) == hook.at(length // 10 - 1) == "guided"
    assert hook.at(length // 10) == hook.at(length) == ("self_training" if is_zero_shot else "guided")


@pytest.mark.parametrize("data", DATA)
def test_vocabulary_has_the_published_name_of_each_class(data):
    dataset_type, file = DATA[data]
    name = next(name for name in TRAINED if split_name(name)[1] == data)
    vocabulary = read_vocabulary(ROOT / load(name).model.name_path)
    classes = DATASETS.get(dataset_type).METAINFO["classes"]
    assert len(vocabulary) + (data in BACKGROUND) == len(classes) and not vocabulary.has_synonyms
    key = {"coco_stuff164k": "coco_stuff171"}.get(data, data)
    names = [name.strip() for name in classes]
    if key in LISTS:
        assert list(classes) == LISTS[key]["dataset_names"]
        names = LISTS["coco_stuff171" if file == "coco_stuff" else file]["maskclip_prompt_names"]
    assert list(vocabulary.names) == names


@pytest.mark.parametrize("data", ZERO_SHOT)
def test_datasets_have_the_published_unseen_classes(data, monkeypatch):
    monkeypatch.delenv("DATA_ROOT", raising=False)
    cfg = load(f"zero_shot/{data}_{STUDENT_NAMES[0]}")
    key = {"coco_stuff164k": "coco_stuff171"}.get(data, data)
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        with DefaultScope.overwrite_default_scope("mmseg"):
            dataset = DATASETS.build({**loader.dataset, "lazy_init": True, "pipeline": []})
        assert list(dataset.metainfo["unseen"]) == LISTS[key]["unseen"]


# config -> curves of the reference, each with its base rate
CURVES = {
    "annofree/folder": {"sgd_300": 0.01},
    "annofree/voc20_deeplabv2_r101": {"sgd_2k": 0.01},
    "annofree/context59_deeplabv2_r101": {"sgd_4k": 0.01},
    "annofree/coco_stuff164k_deeplabv3plus_r101": {"sgd_8k": 0.01},
    "zero_shot/voc21_deeplabv2_r101": {"sgd_20k": 0.01},
    "zero_shot/coco_stuff164k_deeplabv2_r101": {"sgd_80k": 0.01},
    "zero_shot/context60_deeplabv3plus_r101": {"sgd_context_zs_40k": 0.004},
    "annofree/context59_segformer_b5": {"adamw_segformer_8k_backbone": 2.4e-5, "adamw_segformer_8k_head": 2.4e-4},
}


@pytest.mark.parametrize("name", CURVES)
def test_config_has_published_learning_rates(name):
    cfg = load(name)
    golden = arrays("trained/lr_schedules")
    factor = cfg.optim_wrapper.get("paramwise_cfg", {}).get("custom_keys", {}).get("decode_head", {}).get("lr_mult", 1)
    for curve, base in CURVES[name].items():
        assert base == pytest.approx(cfg.optim_wrapper.optimizer.lr * (factor if curve.endswith("_head") else 1))
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=base)
        options = {key: value for key, value in cfg.param_scheduler[0].items() if key != "type"}
        schedule = WarmupPolyLR(optimizer, end=cfg.train_cfg.max_iters, **options)
        rates = [schedule.at(int(i), base) for i in golden[f"{curve}/iter"]]
        assert rates == pytest.approx(golden[f"{curve}/lr"].tolist(), rel=1e-6), curve


# student, as built from a config -> (learning rate, weight decay) of the groups of its parameters
ADAMW = {(2.4e-5, 0.004), (2.4e-5, 0.0), (2.4e-4, 0.004)}
GROUPS = {
    "annofree/context59_deeplabv2_r101_class_weight": {(0.01, 5e-4)},
    "zero_shot/context60_deeplabv3plus_r101": {(0.004, 1e-4)},
    "zero_shot/context60_segformer_b0": ADAMW,
}


@pytest.mark.parametrize("name", GROUPS)
def test_optimizer_groups_have_published_rate_and_decay(name):
    cfg = load(name)
    # MiT asks tensors for numbers while it is built, so that it needs a real device
    device = contextlib.nullcontext() if "segformer" in name else torch.device("meta")
    with DefaultScope.overwrite_default_scope("mmseg"), device:
        model = MODELS.build(cfg.model)
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    options = {names[id(p)]: (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    assert set(options) == set(names.values()) and set(options.values()) == GROUPS[name]
    assert type(optimizer).__name__ == cfg.optim_wrapper.optimizer.type
    if GROUPS[name] is ADAMW:
        head = {name for name in options if name.startswith("decode_head.")}
        assert {name for name, (rate, _) in options.items() if rate == 2.4e-4} == head
        undecayed = {name for name, (_, decay) in options.items() if decay == 0}
        assert undecayed == {name for name in options if name.startswith("backbone.") and "norm" in name}
        assert len(undecayed) > 30


@pytest.mark.parametrize("name", TEACHERS)
def test_teacher_config_evaluates_like_the_student_s(name):
    cfg, _ = load_config(EvalOptions(config=f"configs/trained/maskclip_plus/teacher/{name}.py"))
    assert not {"train_dataloader", "train_cfg", "val_cfg", "optim_wrapper"} & {k for k, v in cfg.items() if v}
    student_cfg = load(f"annofree/{name.removesuffix('_class_weight')}_deeplabv2_r101")
    assert cfg.test_dataloader.dataset.pipeline == student_cfg.test_dataloader.dataset.pipeline
    with DefaultScope.overwrite_default_scope("mmseg"):
        model = MODELS.build(cfg.model)
    assert type(model) is MaskCLIPTeacher and model.guide.parity == "paper"
    assert (cfg.model.class_weight or {}).get("tau") == (1.0 if name.endswith("weight") else None)


def test_folder_config_trains_on_images_without_labels(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    (tmp_path / "images").mkdir()
    Image.new("RGB", (80, 60), (200, 30, 30)).save(tmp_path / "images/a.jpg")
    (tmp_path / "classes.txt").write_text("horse\ngrass\n")
    cfg = Config.fromfile(CONFIG_FOLDER / "annofree/folder.py")
    assert (cfg.val_dataloader, cfg.val_cfg, cfg.val_evaluator) == (None, None, None)
    assert cfg.model.name_path == str(tmp_path / "classes.txt")
    with DefaultScope.overwrite_default_scope("mmseg"):
        (item,) = DATASETS.build(cfg.train_dataloader.dataset)
    labels = item["data_samples"].gt_sem_seg.data
    assert item["inputs"].shape[1:] == labels.shape[1:]  # of a random size
    assert 256 <= min(labels.shape[1:]) <= max(labels.shape[1:]) <= 512
    assert labels.unique().tolist() == [-1] and item["data_samples"].suppressed == (0, 1)


@pytest.mark.parametrize("name", ["annofree/voc20_segformer_b0", "zero_shot/context60_deeplabv3plus_r101"])
def test_data_root_follows_the_environment(name, monkeypatch):
    monkeypatch.delenv("DATA_ROOT", raising=False)
    default = Config.fromfile(CONFIG_FOLDER / f"{name}.py").train_dataloader.dataset.data_root
    assert default.startswith("data/VOCdevkit/")
    monkeypatch.setenv("DATA_ROOT", "/mnt/sets")
    cfg = Config.fromfile(CONFIG_FOLDER / f"{name}.py")
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == default.replace("data/", "/mnt/sets/", 1)


@pytest.mark.docs
def test_page_names_existing_files_and_pretrained_weights():
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    for name in re.findall(r"configs/trained/[\w/]+\.(?:py|txt)", text):
        assert (ROOT / name).is_file() or "tinyworld_" in name, name
    cells = [line.strip("|").split("|") for line in text.splitlines()]
    rows = {row[0].strip(" `"): row for row in cells if len(row) == 6}
    for name, student in STUDENTS.items():
        assert student["pretrained"] is None or f"`{student['pretrained']}`" in rows[name][4], name


@pytest.mark.docs
def test_page_s_custom_student_builds(tmp_path):
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "own.py").write_text(block, encoding="utf-8")
    cfg = merge_config(EvalOptions(config=str(tmp_path / "own.py")))
    assert "type" not in cfg.model.student
    assert cfg.train_dataloader == load("annofree/voc20_deeplabv2_r101").train_dataloader
    with torch.device("meta"):
        backbone, decoder, pretrained = build_student(cfg.model.student, 512)
    assert (type(backbone).__name__, type(decoder).__name__, pretrained) == ("ResNetV1c", "FCNHead", None)
