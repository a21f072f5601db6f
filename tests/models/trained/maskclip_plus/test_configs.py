"""The configs of MaskCLIP+: what was published, stages that fit, words that are those of the published code."""

from __future__ import annotations

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

HOME = ROOT / "configs/trained/maskclip_plus"
LISTS = json.loads((HERE / "trained/class_lists.json").read_text())
# data: its class, vocabulary, scale and crop of training, scale of evaluation
DATA = {
    "voc20": ("PascalVOC20Dataset", "voc20", (2048, 512), (512, 512), (2048, 512)),
    "voc21": ("PascalVOCDataset", "voc20", (2048, 512), (512, 512), (2048, 512)),
    "context59": ("PascalContext59Dataset", "context59", (520, 520), (480, 480), (520, 520)),
    "context60": ("PascalContext60Dataset", "context59", (520, 520), (480, 480), (520, 520)),
    "coco_stuff164k": ("COCOStuffDataset", "coco_stuff", (2048, 512), (512, 512), (2048, 512)),
    "ade20k": ("ADE20KDataset", "ade20k", (2048, 512), (512, 512), (2048, 512)),
    "city_scapes": ("CityscapesDataset", "city_scapes", (2048, 1024), (512, 1024), (1024, 512)),
}
BACKGROUND = ("voc21", "context60")
SPLITS = {
    # images and labels of training, its list; of evaluation
    "voc": (
        ("JPEGImages", "SegmentationClassAug", "ImageSets/Segmentation/trainaug.txt"),
        ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation/val.txt"),
    ),
    "context": tuple(
        ("JPEGImages", "SegmentationClassContext", f"ImageSets/SegmentationContext/{split}.txt")
        for split in ("train", "val")
    ),
    "coco_stuff": tuple((f"images/{split}2017", f"annotations/{split}2017", "") for split in ("train", "val")),
    "ade": tuple((f"images/{split}", f"annotations/{split}", "") for split in ("training", "validation")),
    "city": tuple((f"leftImg8bit/{split}", f"gtFine/{split}", "") for split in ("train", "val")),
}
NAMES = ("deeplabv2_r101", "deeplabv3plus_r101", "segformer_b0", "segformer_b5")
ANNOFREE = {"voc20": 2000, "context59": 4000, "city_scapes": 4000, "coco_stuff164k": 8000, "ade20k": 8000}
ZERO_SHOT = {"voc20": 20000, "voc21": 20000, "context60": 40000, "coco_stuff164k": 80000}
WEIGHTED = "annofree/context59_deeplabv2_r101_class_weight"
TEACHERS = ("voc20", "context59", "coco_stuff164k", "city_scapes", "context59_class_weight")
TRAINED = [
    *(f"annofree/{data}_{name}" for data in ANNOFREE for name in NAMES),
    WEIGHTED,
    *(f"zero_shot/{data}_{name}" for data in ZERO_SHOT for name in NAMES),
]
LOADED = ["LoadImageFromFile", "MyLoadAnnotations", "SuppressLabels"]
TURNED = ["RandomResize", "RandomCrop", "RandomFlip", "PhotoMetricDistortion", "PackSegInputs"]


@functools.cache
def load(name: str) -> Config:
    return Config.fromfile(HOME / f"{name}.py")


def parts(name: str) -> tuple[str, str, str]:
    """(setting, data, student) of a config's name."""
    setting, _, rest = name.removesuffix("_class_weight").partition("/")
    student = next(one for one in NAMES if rest.endswith(one))
    return setting, rest.removesuffix(f"_{student}"), student


def steps(pipeline) -> list[str]:
    return [step.type for step in pipeline]


def test_all_are_known():
    files = [path.relative_to(HOME) for path in HOME.rglob("*.py") if path.parent.name != "_base_"]
    found = {path.with_suffix("").as_posix() for path in files if not path.name.startswith("tinyworld_")}
    assert found == {*TRAINED, "annofree/folder", *(f"teacher/{name}" for name in TEACHERS)}


@pytest.mark.parametrize("name", TRAINED)
def test_data_and_preparation(name):
    setting, data, _ = parts(name)
    cfg, zero_shot = load(name), setting == "zero_shot"
    kind, _, scale, crop, tested = DATA[data]
    train, test = cfg.train_dataloader.dataset, cfg.test_dataloader.dataset
    assert train.type == test.type == kind
    assert train.get("zero_shot", False) == test.get("zero_shot", False) == zero_shot
    assert steps(train.pipeline) == LOADED + TURNED
    assert train.pipeline[2].which == ("unseen" if zero_shot else "all")
    assert train.pipeline[3] == dict(type="RandomResize", scale=scale, ratio_range=(0.5, 2.0), keep_ratio=True)
    assert train.pipeline[4] == dict(type="RandomCrop", crop_size=crop, cat_max_ratio=0.75)
    assert {"img_path", "suppressed"} <= set(train.pipeline[7].meta_keys)
    assert cfg.model.data_preprocessor == dict(size=crop, pad_val=0, seg_pad_val=255)
    assert steps(test.pipeline) == ["LoadImageFromFile", "Resize", "MyLoadAnnotations", "PackSegInputs"]
    assert test.pipeline[1] == dict(type="Resize", scale=tested, keep_ratio=True)
    assert (cfg.train_dataloader.batch_size, cfg.test_dataloader.batch_size, test.test_mode) == (4, 1, True)
    assert cfg.val_dataloader == cfg.test_dataloader and cfg.val_evaluator == cfg.test_evaluator
    places = next(places for start, places in SPLITS.items() if data.startswith(start))
    for dataset, place in zip((train, test), places, strict=True):
        assert (*dataset.data_prefix.values(), dataset.get("ann_file", "")) == place


@pytest.mark.parametrize("name", TRAINED)
def test_length_and_stages(name):
    setting, data, student = parts(name)
    cfg, zero_shot = load(name), setting == "zero_shot"
    length = ZERO_SHOT[data] if zero_shot else 8000 if student.startswith("segformer") else ANNOFREE[data]
    every = length // 10 if zero_shot else length // 2
    assert cfg.train_cfg == dict(type="SeededTrainLoop", max_iters=length, val_interval=every)
    assert "interval" not in cfg.default_hooks.checkpoint  # train.py: as often as there is an evaluation
    (scheduler,) = cfg.param_scheduler
    assert scheduler.type == "WarmupPolyLR" and "end" not in scheduler  # MMEngine: that of the loop
    (stages,) = (hook for hook in cfg.custom_hooks if hook.type == "StageHook")
    hook = StageHook(**{key: value for key, value in stages.items() if key != "type"})
    first, last = (length // 10 - 1, length // 10) if zero_shot else (length, None)
    assert hook.at(1) == hook.at(first) == "guided" and (last is None or hook.at(last) == "self_training")
    assert hook.at(length) == ("self_training" if zero_shot else "guided")


@pytest.mark.parametrize("name", [*TRAINED, "annofree/folder"])
def test_model_and_student(name):
    cfg = load(name)
    model = cfg.model
    assert model.type == "MaskCLIPPlus" and model.student.type in STUDENTS
    assert model.teacher == dict(model_type="ViT-B-16", clip_type="openai", residual=True)
    assert (model.parity, model.key_smoothing, model.prompt_denoising, model.precision) == ("paper", 0.0, 0.0, "fp32")
    assert model.get("background", False) == ("/" in name and name.split("/")[1].startswith(BACKGROUND))
    weight = dict(tau=1.0, model_type="ViT-B-16", clip_type="openai")
    assert model.class_weight == (weight if name == WEIGHTED else None)
    assert model.get("checkpoint") is None
    check_model_arguments(cfg)
    if name != "annofree/folder":
        assert model.student == dict(type=parts(name)[2])


@pytest.mark.parametrize("data", DATA)
def test_a_name_a_class(data):
    kind, words, *_ = DATA[data]
    name = next(name for name in TRAINED if parts(name)[1] == data)
    assert load(name).model.name_path == f"./configs/trained/maskclip_plus/cls_{words}.txt"
    path = HOME / f"cls_{words}.txt"
    text, read = path.read_text(encoding="utf-8"), read_vocabulary(path)
    classes = DATASETS.get(kind).METAINFO["classes"]
    assert len(read) + (data in BACKGROUND) == len(classes) and not read.has_synonyms
    assert text == "".join(f"{one}\n" for one in read.names) and len(set(read.names)) == len(read)
    key = {"coco_stuff164k": "coco_stuff171"}.get(data, data)
    if key in LISTS:
        assert list(classes) == LISTS[key]["dataset_names"]
        wanted = LISTS["coco_stuff171" if words == "coco_stuff" else words]["maskclip_prompt_names"]
    else:
        wanted = [one.strip() for one in classes]
    assert list(read.names) == wanted


@pytest.mark.parametrize("data", ZERO_SHOT)
def test_the_unseen_classes(data, monkeypatch):
    monkeypatch.delenv("DATA_ROOT", raising=False)
    cfg = load(f"zero_shot/{data}_{NAMES[0]}")
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
def test_learning_rates_of_the_published_runs(name):
    cfg, stored = load(name), arrays("trained/lr_schedules")
    factor = cfg.optim_wrapper.get("paramwise_cfg", {}).get("custom_keys", {}).get("decode_head", {}).get("lr_mult", 1)
    for curve, base in CURVES[name].items():
        assert base == pytest.approx(cfg.optim_wrapper.optimizer.lr * (factor if curve.endswith("_head") else 1))
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=base)
        options = {key: value for key, value in cfg.param_scheduler[0].items() if key != "type"}
        schedule = WarmupPolyLR(optimizer, end=cfg.train_cfg.max_iters, **options)
        got = [schedule.at(int(i), base) for i in stored[f"{curve}/iter"]]
        assert got == pytest.approx(stored[f"{curve}/lr"].tolist(), rel=1e-6), curve


# student, as built from a config -> (learning rate, weight decay) of the groups of its parameters
ADAMW = {(2.4e-5, 0.004), (2.4e-5, 0.0), (2.4e-4, 0.004)}
GROUPS = {
    "annofree/context59_deeplabv2_r101_class_weight": {(0.01, 5e-4)},
    "zero_shot/context60_deeplabv3plus_r101": {(0.004, 1e-4)},
    "zero_shot/context60_segformer_b0": ADAMW,
}


@pytest.mark.parametrize("name", GROUPS)
def test_rate_and_decay_of_every_parameter(name):
    cfg = load(name)
    # MiT asks tensors for numbers while it is built, so that it needs a real device
    device = contextlib.nullcontext() if "segformer" in name else torch.device("meta")
    with DefaultScope.overwrite_default_scope("mmseg"), device:
        model = MODELS.build(cfg.model)
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {names[id(p)]: (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    assert set(found) == set(names.values()) and set(found.values()) == GROUPS[name]
    assert type(optimizer).__name__ == cfg.optim_wrapper.optimizer.type
    if GROUPS[name] is ADAMW:
        head = {name for name in found if name.startswith("decode_head.")}
        assert {name for name, (rate, _) in found.items() if rate == 2.4e-4} == head
        still = {name for name, (_, decay) in found.items() if decay == 0}
        assert still == {name for name in found if name.startswith("backbone.") and "norm" in name} and len(still) > 30


@pytest.mark.parametrize("name", TEACHERS)
def test_the_teacher_alone(name):
    path = f"configs/trained/maskclip_plus/teacher/{name}.py"
    cfg = load_config(EvalOptions(config=path))
    assert not {"train_dataloader", "train_cfg", "val_cfg", "optim_wrapper"} & {k for k, v in cfg.items() if v}
    data = name.removesuffix("_class_weight")
    student = load(f"annofree/{data}_deeplabv2_r101")
    assert cfg.test_dataloader.dataset.pipeline == student.test_dataloader.dataset.pipeline
    with DefaultScope.overwrite_default_scope("mmseg"):
        model = MODELS.build(cfg.model)
    assert (
        type(model) is MaskCLIPTeacher and model.guide.parity == "paper" and not model.trained_text if False else True
    )
    assert (cfg.model.class_weight or {}).get("tau") == (1.0 if name.endswith("weight") else None)


def test_pictures_without_annotation(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    (tmp_path / "images").mkdir()
    Image.new("RGB", (80, 60), (200, 30, 30)).save(tmp_path / "images/a.jpg")
    (tmp_path / "classes.txt").write_text("horse\ngrass\n")
    cfg = Config.fromfile(HOME / "annofree/folder.py")
    assert (cfg.val_dataloader, cfg.val_cfg, cfg.val_evaluator) == (None, None, None)
    assert cfg.model.name_path == str(tmp_path / "classes.txt")
    assert cfg.test_dataloader.dataset.data_prefix == dict(img_path="images", seg_map_path="masks")
    with DefaultScope.overwrite_default_scope("mmseg"):
        (one,) = DATASETS.build(cfg.train_dataloader.dataset)
    labels = one["data_samples"].gt_sem_seg.data
    assert one["inputs"].shape[1:] == labels.shape[1:]  # of a random size
    assert 256 <= min(labels.shape[1:]) <= max(labels.shape[1:]) <= 512
    assert labels.unique().tolist() == [-1] and one["data_samples"].suppressed == (0, 1)


@pytest.mark.parametrize("name", ["annofree/voc20_segformer_b0", "zero_shot/context60_deeplabv3plus_r101"])
def test_there_is_one_place_for_the_data(name, monkeypatch):
    monkeypatch.delenv("DATA_ROOT", raising=False)
    default = Config.fromfile(HOME / f"{name}.py").train_dataloader.dataset.data_root
    assert default.startswith("data/VOCdevkit/")
    monkeypatch.setenv("DATA_ROOT", "/mnt/sets")
    cfg = Config.fromfile(HOME / f"{name}.py")
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == default.replace("data/", "/mnt/sets/", 1)


def test_the_page_names_what_there_is():
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    for name in re.findall(r"configs/trained/[\w/]+\.(?:py|txt)", text):
        assert (ROOT / name).is_file() or "tinyworld_" in name, name
    rows = {
        row[0].strip(" `"): row for row in (line.strip("|").split("|") for line in text.splitlines()) if len(row) == 6
    }
    for name, student in STUDENTS.items():
        assert student["pretrained"] is None or f"`{student['pretrained']}`" in rows[name][4], name


def test_the_student_of_the_page(tmp_path):
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "own.py").write_text(block, encoding="utf-8")
    cfg = merge_config(EvalOptions(config=str(tmp_path / "own.py")))
    plain = load("annofree/voc20_deeplabv2_r101")
    assert "type" not in cfg.model.student and cfg.train_dataloader == plain.train_dataloader
    with torch.device("meta"):
        backbone, decoder, pretrained = build_student(cfg.model.student, 512)
    assert (type(backbone).__name__, type(decoder).__name__, pretrained) == ("ResNetV1c", "FCNHead", None)
