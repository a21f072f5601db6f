"""Every configuration parses, says the published numbers, and fits its vocabulary."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS

import proxyclip.data  # registers what configs name
from proxyclip import vocabulary
from proxyclip.paths import ROOT

# dataset class, short side, crop, threshold, classes, names; stride 112 and everything else is common
PROTOCOL = {
    "voc21": ("PascalVOCDataset", 336, 336, 0.2, 21, 46),
    "voc20": ("PascalVOC20Dataset", 336, 336, 0.0, 20, 20),
    "context60": ("PascalContext60Dataset", 336, 336, 0.15, 60, 60),
    "context59": ("PascalContext59Dataset", 336, 336, 0.0, 59, 59),
    "context459": ("PascalContext459Dataset", 448, 336, 0.0, 459, 459),
    "ade20k": ("ADE20KDataset", 448, 336, 0.0, 150, 150),
    "ade847": ("ADE20K847Dataset", 448, 336, 0.0, 847, 847),
    "city_scapes": ("CityscapesDataset", 448, 224, 0.0, 19, 19),
    "coco_stuff164k": ("COCOStuffDataset", 336, 336, 0.0, 171, 171),
    "coco_object": ("COCOObjectDataset", 336, 336, 0.25, 81, 97),
}
# folders of images and labels, list, reduce_zero_label, ignored value
FILES = {
    "voc21": ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation/val.txt", False, 255),
    "voc20": ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation/val.txt", True, 255),
    "context60": ("JPEGImages", "SegmentationClassContext", "ImageSets/SegmentationContext/val.txt", False, 255),
    "context59": ("JPEGImages", "SegmentationClassContext", "ImageSets/SegmentationContext/val.txt", True, 255),
    "context459": (
        "JPEGImages",
        "annotations_detectron2/pc459_val",
        "ImageSets/SegmentationContext/val.txt",
        False,
        65535,
    ),
    "ade20k": ("images/validation", "annotations/validation", "", True, 255),
    "ade847": ("images_detectron2/validation", "annotations_detectron2/validation", "", False, 65535),
    "city_scapes": ("leftImg8bit/val", "gtFine/val", "", False, 255),
    "coco_stuff164k": ("images/val2017", "annotations/val2017", "", False, 255),
    "coco_object": ("images/val2017", "annotations/val2017", "", False, 255),
}
CONFIGS = sorted(path.stem.removeprefix("cfg_") for path in (ROOT / "configs").glob("cfg_*.py"))


def config(name: str) -> Config:
    return Config.fromfile(ROOT / "configs" / f"cfg_{name}.py")


def test_all_configs_are_known():
    assert sorted([*PROTOCOL, "tinyworld"]) == CONFIGS


@pytest.mark.parametrize("name", PROTOCOL)
def test_protocol(name):
    kind, short, crop, threshold, _, _ = PROTOCOL[name]
    cfg = config(name)
    model, dataset = cfg.model, cfg.test_dataloader.dataset
    assert (dataset.type, model.slide_crop, model.prob_thd) == (kind, crop, threshold)
    assert (model.slide_stride, model.logit_scale, model.beta, model.gamma) == (112, 40, 1.2, 3.0)
    assert (model.clip_type, model.model_type, model.vfm_model) == ("openai", "ViT-B/16", dict(type="dino"))
    steps = [step.type for step in dataset.pipeline]
    assert steps == ["LoadImageFromFile", "Resize", "MyLoadAnnotations", "PackSegInputs"]
    assert dataset.pipeline == cfg.test_pipeline
    assert dataset.pipeline[1] == dict(type="Resize", scale=(2048, short), keep_ratio=True)
    assert "data_preprocessor" not in model  # the segmentor's own: CLIP's mean and deviation
    assert cfg.test_dataloader.batch_size == 1


@pytest.mark.parametrize("name", FILES)
def test_files_and_labels(name):
    images, labels, listed, reduce_zero, ignore = FILES[name]
    dataset = config(name).test_dataloader.dataset
    assert dataset.data_prefix == dict(img_path=images, seg_map_path=labels)
    assert dataset.get("ann_file", "") == listed
    built = DATASETS.build(dict(dataset, lazy_init=True, pipeline=[]))
    assert (built.reduce_zero_label, built.metainfo["ignore_index"]) == (reduce_zero, ignore)
    assert built.test_mode


@pytest.mark.parametrize("name", CONFIGS)
def test_vocabulary_has_a_line_a_class(name):
    cfg = config(name)
    words = vocabulary.read(ROOT / cfg.model.name_path)
    classes = DATASETS.get(cfg.test_dataloader.dataset.type).METAINFO["classes"]
    assert len(words) == len(classes)
    if name in PROTOCOL:
        assert (len(words), len(words.names)) == PROTOCOL[name][4:]
    assert (ROOT / cfg.model.name_path).read_bytes().endswith(b"\n")
    assert b"\r" not in (ROOT / cfg.model.name_path).read_bytes()


@pytest.mark.parametrize("name", CONFIGS)
def test_there_is_one_place_for_the_data(name, monkeypatch):
    monkeypatch.delenv("DATA_ROOT", raising=False)
    default = config(name).test_dataloader.dataset.data_root
    assert default.startswith("data/")
    monkeypatch.setenv("DATA_ROOT", "/mnt/sets")
    assert config(name).test_dataloader.dataset.data_root == default.replace("data/", "/mnt/sets/", 1)


def test_tinyworld_needs_no_download():
    model = config("tinyworld").model
    assert model.clip_type is None
    assert model.model_type.startswith("local-dir:")
    assert model.vfm_model.model.startswith("local-dir:")
    classes = proxyclip.data.TinyWorldDataset.METAINFO["classes"]
    assert [names[0] for names in vocabulary.read(ROOT / model.name_path).classes] == list(classes)


@pytest.mark.parametrize("path", sorted((ROOT / "configs/method").glob("*.py")), ids=lambda p: p.stem)
def test_methods_change_the_model_only(path):
    method = Config.fromfile(path)
    assert list(method.keys()) == ["model"]
    cfg = config("voc21")
    cfg.merge_from_dict(method.to_dict())
    assert cfg.model.attention.type == path.stem


PUBLISHED_STYLE = """
_base_ = './base_config.py'
model = dict(name_path='./configs/cls_voc20.txt', prob_thd=0.1)
dataset_type = 'PascalVOC20Dataset'
data_root = 'DATA'
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 336), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')
]
test_dataloader = dict(
    batch_size=1, num_workers=4, persistent_workers=True, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type, data_root=data_root,
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
        ann_file='ImageSets/Segmentation/val.txt', pipeline=test_pipeline))
"""


def test_a_config_in_the_published_style_runs_over_our_base(tmp_path):
    from PIL import Image

    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("a\n")
    Image.new("RGB", (20, 10)).save(tmp_path / "JPEGImages/a.jpg")
    Image.new("L", (20, 10), 3).save(tmp_path / "SegmentationClass/a.png")
    (tmp_path / "base_config.py").write_text((ROOT / "configs/base_config.py").read_text())
    (tmp_path / "cfg.py").write_text(PUBLISHED_STYLE.replace("DATA", str(Path(tmp_path))))
    cfg = Config.fromfile(tmp_path / "cfg.py")
    assert (cfg.model.beta, cfg.model.prob_thd) == (1.2, 0.1)
    with DefaultScope.overwrite_default_scope("mmseg"):
        one = DATASETS.build(cfg.test_dataloader.dataset)[0]
    assert one["inputs"].shape == (3, 336, 672)
    assert one["data_samples"].gt_sem_seg.data.unique().tolist() == [2]
