"""The configs of CLIP-RC: the published settings, words and splits; trainings that begin where another was half-way."""

from __future__ import annotations

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

HOME = ROOT / "configs/trained/clip_rc"
PAGE = ROOT / "docs/clip_rc.md"
LISTS = json.loads((HERE / "trained/class_lists.json").read_text())
SIZES = json.loads((HERE / "trained/test_resize.json").read_text())
SETTINGS = ("inductive", "transductive", "fully")
# data: its class, vocabulary, key and templates of the reference's lists, images a process, prompts, data root
DATA = {
    "voc20": ("PascalVOC20Dataset", "voc20", "voc20", "voc", 8, 10, "VOCdevkit/VOC2012"),
    "coco_stuff164k": ("COCOStuffDataset", "coco_stuff", "coco_stuff171", "coco", 2, 100, "coco_stuff164k"),
    "context60": ("PascalContext60Dataset", "context60", "context60", "voc", 8, 10, "VOCdevkit/VOC2010"),
}
# images and labels of training, its list; of evaluation
FILES = {
    "voc20": (
        ("JPEGImages", "SegmentationClassAug", "ImageSets/Segmentation/trainaug.txt"),
        ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation/val.txt"),
    ),
    "coco_stuff164k": tuple((f"images/{split}2017", f"annotations/{split}2017", "") for split in ("train", "val")),
    "context60": tuple(
        ("JPEGImages", "SegmentationClassContext", f"ImageSets/SegmentationContext/{split}.txt")
        for split in ("train", "val")
    ),
}
# config: iterations, and weights of mask, dice and recovery loss; nothing is published for Context, which has VOC's
OF_VOC = {"inductive": (40000, 100, 1, 2), "transductive": (20000, 100, 1, 2), "fully": (40000, 100, 1, 0)}
RUNS = {
    **{f"{data}_{setting}": run for data in ("voc20", "context60") for setting, run in OF_VOC.items()},
    "coco_stuff164k_inductive": (80000, 200, 3, 50),
    "coco_stuff164k_transductive": (40000, 200, 3, 50),
    "coco_stuff164k_fully": (80000, 100, 1.5, 1),
}
LOADED = ["LoadImageFromFile", "MyLoadAnnotations"]
TURNED = ["RandomResize", "RandomCrop", "RandomFlip", "PhotoMetricDistortion", "PackSegInputs"]


@functools.cache
def load(name: str) -> Config:
    return Config.fromfile(HOME / f"{name}.py")


def parts(name: str) -> tuple[str, str]:
    """(data, setting) of a config's name."""
    data, _, setting = name.rpartition("_")
    return data, setting


def built(dataset):
    """A data set of a config that looks at no file."""
    with DefaultScope.overwrite_default_scope("mmseg"):
        return DATASETS.build({**dataset, "lazy_init": True, "pipeline": []})


def test_all_are_known():
    assert {path.stem for path in HOME.glob("*.py") if not path.stem.startswith("tinyworld_")} == set(RUNS)
    assert set(RUNS) == {f"{data}_{setting}" for data in DATA for setting in SETTINGS}


@pytest.mark.parametrize("name", RUNS)
def test_model(name):
    cfg, (data, setting) = load(name), parts(name)
    _, words, _, templates, _, prompts, _ = DATA[data]
    _, mask, dice, recovery = RUNS[name]
    assert cfg.custom_imports == dict(imports=["proxyclip.engine.training", "proxyclip.models.trained.clip_rc"])
    assert cfg.model == dict(
        type="CLIPRC",
        model_type="ViT-B-16",
        clip_type="openai",
        name_path=f"./configs/trained/clip_rc/cls_{words}.txt",
        templates=LISTS[f"templates_cliprc_{templates}"],
        setting=setting,
        prompts=prompts,
        regions=16,
        decoder=dict(layers=3, heads=8, hidden=2048, dropout=0.1),
        loss_weights=dict(mask=mask, dice=dice, recovery=recovery),
        slide_crop=512,
        slide_stride=426,
        seen_bias=0.1,
        parity="upstream",
        checkpoint=None,
        precision="fp32",
        data_preprocessor=dict(size=(512, 512), pad_val=0, seg_pad_val=255),
    )
    check_model_arguments(cfg)


@pytest.mark.parametrize("name", RUNS)
def test_data_and_preparation(name):
    cfg, (data, setting) = load(name), parts(name)
    kind, _, _, _, batch, _, _ = DATA[data]
    train, test = cfg.train_dataloader.dataset, cfg.test_dataloader.dataset
    hidden = setting != "fully"
    assert train.type == test.type == kind
    assert (train.get("zero_shot", False), test.zero_shot, test.test_mode) == (hidden, True, True)
    assert train.pipeline[len(LOADED) : -len(TURNED)] == [dict(type="SuppressLabels", which="unseen")] * hidden
    assert [step.type for step in (*train.pipeline[: len(LOADED)], *train.pipeline[-len(TURNED) :])] == LOADED + TURNED
    resize, crop, flip, _, pack = train.pipeline[-len(TURNED) :]
    assert resize == dict(type="RandomResize", scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True)
    assert crop == dict(type="RandomCrop", crop_size=(512, 512), cat_max_ratio=0.75) and flip.prob == 0.5
    assert pack.meta_keys == ("img_path", "ori_shape", "img_shape")
    steps = ["LoadImageFromFile", "ResizeShortestEdge", "MyLoadAnnotations", "PackSegInputs"]
    assert [step.type for step in test.pipeline] == steps
    assert (cfg.train_dataloader.batch_size, cfg.test_dataloader.batch_size) == (batch, 1)
    assert (cfg.train_dataloader.sampler.type, cfg.train_dataloader.sampler.shuffle) == ("SeededSampler", True)
    assert cfg.val_dataloader == cfg.test_dataloader and cfg.val_evaluator == cfg.test_evaluator
    for dataset, place in zip((train, test), FILES[data], strict=True):
        assert (*dataset.data_prefix.values(), dataset.get("ann_file", "")) == place


@pytest.mark.parametrize("name", RUNS)
def test_length_hooks_and_optimiser(name):
    cfg, length = load(name), RUNS[name][0]
    assert cfg.train_cfg == dict(type="SeededTrainLoop", max_iters=length, val_interval=length // 10)
    assert cfg.custom_hooks == [dict(type="SplitHook"), dict(type="VocabularyCheckHook")]
    assert cfg.optim_wrapper == dict(
        type="OptimWrapper",
        constructor="ParityOptimWrapperConstructor",
        optimizer=dict(type="AdamW", lr=2e-4, betas=(0.9, 0.999), weight_decay=0.01),
    )
    stored, optimizer = arrays("trained/lr_schedules"), torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2e-4)
    (options,) = [{key: value for key, value in one.items() if key != "type"} for one in cfg.param_scheduler]
    assert cfg.param_scheduler[0].type == "WarmupPolyLR" and "end" not in options  # MMEngine: that of the loop
    schedule = WarmupPolyLR(optimizer, end=length, **options)
    curve = f"adamw_cliprc_{length // 1000}k"
    got = [schedule.at(int(i), 2e-4) for i in stored[f"{curve}/iter"]]
    assert got == pytest.approx(stored[f"{curve}/lr"].tolist(), rel=1e-6)


@pytest.mark.parametrize("data", DATA)
def test_transductive_begins_where_inductive_is_half_way(data):
    first, second, third = (load(f"{data}_{setting}") for setting in SETTINGS)
    half = first.train_cfg.max_iters // 2
    hook = first.default_hooks.checkpoint
    assert second.starts_from == f"clip_rc/{data}_inductive/iter_{half}.pth"
    assert tuple(hook.keep) == (half,) and half % first.train_cfg.val_interval == 0  # is saved, and stays
    assert "interval" not in hook and hook.type == "CheckpointHook" and not hook.by_epoch
    assert second.train_cfg.max_iters == half and second.resume is False
    assert "starts_from" not in first and "starts_from" not in third
    for cfg in (second, third):
        assert "keep" not in cfg.default_hooks.checkpoint


def test_a_transductive_training_without_the_other_one_says_what_to_do_first(tmp_path, own_environment):
    for below in ("JPEGImages", "SegmentationClassAug", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / "VOCdevkit/VOC2012" / below).mkdir(parents=True)
    for one in ("trainaug", "val"):
        (tmp_path / f"VOCdevkit/VOC2012/ImageSets/Segmentation/{one}.txt").touch()
    options = TrainOptions(
        "configs/trained/clip_rc/voc20_transductive.py",
        work_dir=str(tmp_path / "out"),
        data_root=str(tmp_path),
        device="cpu",
    )
    with pytest.raises(FileNotFoundError, match=r"clip_rc/voc20_inductive/iter_20000\.pth") as failed:
        train(options)
    assert "python train.py configs/trained/clip_rc/voc20_inductive.py" in str(failed.value)
    assert "--load-from" in str(failed.value)


@pytest.mark.parametrize("data", DATA)
def test_a_name_a_class(data):
    kind, words, key, *_ = DATA[data]
    path = HOME / f"cls_{words}.txt"
    read, classes = read_vocabulary(path), list(getattr(datasets, kind).METAINFO["classes"])
    wanted = LISTS[key]["dataset_names"]
    assert classes == list(read.names) == wanted == LISTS[key].get("cliprc_prompt_names", wanted)
    assert not read.has_synonyms and path.read_text(encoding="utf-8") == "".join(f"{one}\n" for one in wanted)
    assert (classes[0] == "background") == (data == "context60")


@pytest.mark.parametrize("name", RUNS)
def test_the_unseen_classes(name, monkeypatch):
    monkeypatch.delenv("DATA_ROOT", raising=False)
    (data, setting), cfg = parts(name), load(name)
    wanted = LISTS[DATA[data][2]]["unseen"]
    train, test = (built(loader.dataset).metainfo for loader in (cfg.train_dataloader, cfg.test_dataloader))
    assert list(test["unseen"]) == wanted and 0 not in wanted
    assert train.get("unseen") == (None if setting == "fully" else test["unseen"])


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size['h']}x{size['w']}")
def test_images_of_an_evaluation_have_a_short_side_of_512(size):
    spec = load("voc20_inductive").test_dataloader.dataset.pipeline[1]
    with DefaultScope.overwrite_default_scope("mmseg"):
        step = TRANSFORMS.build(spec)
    got = step({"img": np.zeros((size["h"], size["w"], 3), np.uint8)})
    assert list(got["img"].shape[:2]) == size["short512"]
    for name in RUNS:
        pipeline = load(name).test_dataloader.dataset.pipeline
        assert pipeline[1] == spec and describe_resize(pipeline) == "short side 512"


@pytest.mark.parametrize("name", ["voc20_transductive", "coco_stuff164k_fully", "context60_inductive"])
def test_there_is_one_place_for_the_data(name, monkeypatch):
    below = DATA[parts(name)[0]][-1]
    for given, place in ((None, "data"), ("/mnt/sets", "/mnt/sets")):
        monkeypatch.delenv("DATA_ROOT", raising=False)
        if given:
            monkeypatch.setenv("DATA_ROOT", given)
        cfg = Config.fromfile(HOME / f"{name}.py")
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            assert loader.dataset.data_root == f"{place}/{below}"


def rows(columns: int) -> dict[str, list[str]]:
    """The rows of the page's tables of so many columns, by the config in the first, without its mark."""
    found = [line.strip("|").split("|") for line in PAGE.read_text(encoding="utf-8").splitlines()]
    cut = [[cell.strip(" `") for cell in row] for row in found if len(row) == columns]
    return {row[0]: row[1:] for row in cut if row[0] in RUNS}


def test_the_page_has_the_settings():
    said = rows(6)
    assert set(said) == set(RUNS)
    for name, (iterations, images, prompts, weights, start) in said.items():
        cfg = load(name)
        assert (int(iterations), int(images)) == (cfg.train_cfg.max_iters, cfg.train_dataloader.batch_size)
        assert int(prompts) == cfg.model.prompts
        assert [float(one) for one in weights.split(" / ")] == list(cfg.model.loss_weights.values())
        assert start == cfg.get("starts_from", "CLIP").removeprefix("clip_rc/")


def test_the_page_has_the_published_numbers():
    said = rows(5)
    known = {}
    for row in load_published_rows():
        if row["method"] == "clip_rc" and "tinyworld" not in row["mIoU"]:
            (pattern,), (data,) = row["configs"], row["mIoU"]
            name = pattern.format(dataset=data).rpartition("/")[2]
            known[name] = [row[metric][data] for metric in ("aAcc", "mIoU_seen", "mIoU_unseen", "hIoU")]
    assert len(known) == 6 and {name: [float(cell) for cell in row] for name, row in said.items()} == known


def test_the_page_names_what_there_is():
    text = PAGE.read_text(encoding="utf-8")
    named = re.findall(r"configs/trained/[\w/]+\.(?:py|txt)", text)
    assert len(named) > 5
    for name in named:
        assert (ROOT / name).is_file() or "tinyworld_" in name, name
    for name in re.findall(r"train/clip_rc/(\w+)/iter_\d+\.pth", text):
        assert name in RUNS or name.startswith("tinyworld_"), name
