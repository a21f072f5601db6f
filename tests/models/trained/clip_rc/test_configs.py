"""Configs of CLIP-RC: published settings, vocabularies and splits, and the tables of docs/clip_rc.md."""

import functools
import json
import re

import numpy as np
import pytest
import torch
from helpers.reference import HERE, arrays
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS, TRANSFORMS

from proxyclip.data import benchmarks as datasets
from proxyclip.data.vocabulary import read_vocabulary
from proxyclip.engine.config.options import TrainOptions
from proxyclip.engine.config.overrides import check_model_arguments
from proxyclip.engine.evaluation.record import describe_resize
from proxyclip.engine.training.schedule import WarmupPolyLR
from proxyclip.engine.training.train import train
from proxyclip.results.published import load_published_rows
from proxyclip.utils.paths import ROOT

CONFIG_FOLDER = ROOT / "configs/trained/clip_rc"
PAGE = ROOT / "docs/clip_rc.md"
LISTS = json.loads((HERE / "trained/class_lists.json").read_text())
SIZES = json.loads((HERE / "trained/test_resize.json").read_text())
SETTINGS = ("inductive", "transductive", "fully")
# data: its class, vocabulary, key and templates of the reference's lists, data root
DATA = {
    "voc20": ("PascalVOC20Dataset", "voc20", "voc20", "voc", "VOCdevkit/VOC2012"),
    "coco_stuff164k": ("COCOStuffDataset", "coco_stuff", "coco_stuff171", "coco", "coco_stuff164k"),
    "context60": ("PascalContext60Dataset", "context60", "context60", "voc", "VOCdevkit/VOC2010"),
}
NAMES = [f"{data}_{setting}" for data in DATA for setting in SETTINGS]


@functools.cache
def load(name: str) -> Config:
    return Config.fromfile(CONFIG_FOLDER / f"{name}.py")


def split_name(name: str) -> tuple[str, str]:
    """(data, setting) of a config's name."""
    data, _, setting = name.rpartition("_")
    return data, setting


def test_configs_exist_for_each_dataset_and_setting():
    files = {path.stem for path in CONFIG_FOLDER.glob("*.py") if not path.stem.startswith("tinyworld_")}
    assert files == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_config_has_published_templates_and_hides_unseen_labels(name):
    cfg = load(name)
    data, setting = split_name(name)
    dataset_type, vocabulary, _, templates, _ = DATA[data]
    check_model_arguments(cfg)
    assert cfg.model.name_path.endswith(f"/cls_{vocabulary}.txt") and cfg.model.setting == setting
    assert cfg.model.templates == LISTS[f"templates_cliprc_{templates}"]
    train_set = cfg.train_dataloader.dataset
    test_set = cfg.test_dataloader.dataset
    is_zero_shot = setting != "fully"
    assert train_set.type == test_set.type == dataset_type
    assert (train_set.get("zero_shot", False), test_set.zero_shot) == (is_zero_shot, True)
    suppressed = [step.which for step in train_set.pipeline if step.type == "SuppressLabels"]
    assert suppressed == ["unseen"] * is_zero_shot
    assert cfg.val_dataloader == cfg.test_dataloader and cfg.val_evaluator == cfg.test_evaluator


@pytest.mark.parametrize("name", NAMES)
def test_config_has_published_learning_rates(name):
    cfg = load(name)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2e-4)
    (scheduler,) = cfg.param_scheduler
    assert scheduler.type == "WarmupPolyLR" and cfg.optim_wrapper.optimizer.lr == 2e-4
    options = {key: value for key, value in scheduler.items() if key != "type"}
    schedule = WarmupPolyLR(optimizer, end=cfg.train_cfg.max_iters, **options)
    golden = arrays("trained/lr_schedules")
    curve = f"adamw_cliprc_{cfg.train_cfg.max_iters // 1000}k"
    rates = [schedule.at(int(i), 2e-4) for i in golden[f"{curve}/iter"]]
    assert rates == pytest.approx(golden[f"{curve}/lr"].tolist(), rel=1e-6)


@pytest.mark.parametrize("data", DATA)
def test_transductive_config_starts_from_half_an_inductive_training(data):
    inductive, transductive, fully = (load(f"{data}_{setting}") for setting in SETTINGS)
    half = inductive.train_cfg.max_iters // 2
    assert transductive.starts_from == f"clip_rc/{data}_inductive/iter_{half}.pth"
    assert transductive.train_cfg.max_iters == half and transductive.resume is False
    assert tuple(inductive.default_hooks.checkpoint.keep) == (half,)
    assert half % inductive.train_cfg.val_interval == 0  # is saved
    assert "starts_from" not in inductive and "starts_from" not in fully


def test_train_without_the_inductive_checkpoint_names_the_command_for_it(tmp_path, own_environment):
    root = tmp_path / "VOCdevkit/VOC2012"
    for subfolder in ("JPEGImages", "SegmentationClassAug", "SegmentationClass", "ImageSets/Segmentation"):
        (root / subfolder).mkdir(parents=True)
    for split in ("trainaug", "val"):
        (root / f"ImageSets/Segmentation/{split}.txt").touch()
    config = "configs/trained/clip_rc/voc20_transductive.py"
    options = TrainOptions(config, work_dir=str(tmp_path / "out"), data_root=str(tmp_path), device="cpu")
    with pytest.raises(FileNotFoundError, match=r"clip_rc/voc20_inductive/iter_20000\.pth") as caught:
        train(options)
    assert "python train.py configs/trained/clip_rc/voc20_inductive.py" in str(caught.value)
    assert "--load-from" in str(caught.value)


@pytest.mark.parametrize("data", DATA)
def test_vocabulary_has_the_published_name_of_each_class(data):
    dataset_type, _, key, *_ = DATA[data]
    vocabulary = read_vocabulary(ROOT / load(f"{data}_inductive").model.name_path)
    names = LISTS[key]["dataset_names"]
    assert list(getattr(datasets, dataset_type).METAINFO["classes"]) == list(vocabulary.names) == names
    assert names == LISTS[key].get("cliprc_prompt_names", names) and not vocabulary.has_synonyms
    assert (names[0] == "background") == (data == "context60")


@pytest.mark.parametrize("name", NAMES)
def test_datasets_have_the_published_unseen_classes(name, monkeypatch):
    monkeypatch.delenv("DATA_ROOT", raising=False)
    data, setting = split_name(name)
    metainfo = []
    for loader in (load(name).train_dataloader, load(name).test_dataloader):
        with DefaultScope.overwrite_default_scope("mmseg"):
            metainfo.append(DATASETS.build({**loader.dataset, "lazy_init": True, "pipeline": []}).metainfo)
    train_info, test_info = metainfo
    assert list(test_info["unseen"]) == LISTS[DATA[data][2]]["unseen"]
    assert train_info.get("unseen") == (None if setting == "fully" else test_info["unseen"])


def test_test_pipelines_resize_the_short_side_to_512():
    resize = load("voc20_inductive").test_dataloader.dataset.pipeline[1]
    with DefaultScope.overwrite_default_scope("mmseg"):
        step = TRANSFORMS.build(resize)
    for size in SIZES:
        image = step({"img": np.zeros((size["h"], size["w"], 3), np.uint8)})["img"]
        assert list(image.shape[:2]) == size["short512"]
    for name in NAMES:
        pipeline = load(name).test_dataloader.dataset.pipeline
        assert pipeline[1] == resize and describe_resize(pipeline) == "short side 512"


@pytest.mark.parametrize("name", ["voc20_transductive", "coco_stuff164k_fully", "context60_inductive"])
def test_data_root_follows_the_environment(name, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", "/mnt/sets")
    cfg = Config.fromfile(CONFIG_FOLDER / f"{name}.py")
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == f"/mnt/sets/{DATA[split_name(name)[0]][-1]}"


def read_page_rows(columns: int) -> dict[str, list[str]]:
    """Rows of the page's tables with so many columns, by the config in the first one."""
    lines = [line.strip("|").split("|") for line in PAGE.read_text(encoding="utf-8").splitlines()]
    rows = [[cell.strip(" `") for cell in line] for line in lines if len(line) == columns]
    return {row[0]: row[1:] for row in rows if row[0] in NAMES}


@pytest.mark.docs
def test_page_has_the_settings_of_the_configs():
    rows = read_page_rows(6)
    assert set(rows) == set(NAMES)
    for name, (iterations, images, prompts, weights, start) in rows.items():
        cfg = load(name)
        assert (int(iterations), int(images)) == (cfg.train_cfg.max_iters, cfg.train_dataloader.batch_size)
        assert int(prompts) == cfg.model.prompts
        assert [float(weight) for weight in weights.split(" / ")] == list(cfg.model.loss_weights.values())
        assert start == cfg.get("starts_from", "CLIP").removeprefix("clip_rc/")


@pytest.mark.docs
def test_page_has_the_published_numbers():
    published = {}
    for row in load_published_rows():
        if row["method"] == "clip_rc" and "tinyworld" not in row["mIoU"]:
            (pattern,), (data,) = row["configs"], row["mIoU"]
            name = pattern.format(dataset=data).rpartition("/")[2]
            published[name] = [row[metric][data] for metric in ("aAcc", "mIoU_seen", "mIoU_unseen", "hIoU")]
    assert len(published) == 6
    assert {name: [float(cell) for cell in row] for name, row in read_page_rows(5).items()} == published


@pytest.mark.docs
def test_page_names_existing_files():
    text = PAGE.read_text(encoding="utf-8")
    files = re.findall(r"configs/trained/[\w/]+\.(?:py|txt)", text)
    assert len(files) > 5
    for name in files:
        assert (ROOT / name).is_file() or "tinyworld_" in name, name
    for name in re.findall(r"train/clip_rc/(\w+)/iter_\d+\.pth", text):
        assert name in NAMES or name.startswith("tinyworld_"), name
