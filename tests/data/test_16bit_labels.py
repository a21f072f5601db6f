"""Labels 0..846 and 65535 survive every station of the ADE20K-847 config: loader, metric, export, pictures."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import DATASETS, METRICS
from PIL import Image

from proxyclip.data.benchmarks import ADE20K847Dataset
from proxyclip.engine.config.registration import register_modules
from proxyclip.engine.hooks import ComparisonImageHook
from proxyclip.utils.paths import ROOT

IGNORED, CLASSES = 65535, 847
GREY = 100


@pytest.fixture(autouse=True)
def _scope():
    register_modules()
    with DefaultScope.overwrite_default_scope("mmseg"):
        yield


@pytest.fixture(scope="module")
def labels():
    """(32, 54): every class twice and more, and ignored pixels."""
    values = np.concatenate([np.arange(CLASSES), np.arange(CLASSES), np.full(34, IGNORED)])
    return np.random.default_rng(0).permutation(values).reshape(32, 54)


@pytest.fixture
def world(tmp_path, labels):
    """(dataset of one image, its sample with the ground truth predicted, config)."""
    cfg = Config.fromfile(ROOT / "configs/cfg_ade847.py")
    for part, file in (("images", "a.jpg"), ("annotations", "a.tif")):
        folder = tmp_path / f"{part}_detectron2/validation"
        folder.mkdir(parents=True)
        grey, map16 = np.full((*labels.shape, 3), GREY, np.uint8), labels.astype(np.uint16)
        Image.fromarray(grey if part == "images" else map16).save(folder / file)
    dataset = DATASETS.build({**cfg.test_dataloader.dataset, "data_root": str(tmp_path)})
    assert type(dataset) is ADE20K847Dataset
    sample = dataset[0]["data_samples"]
    truth = sample.gt_sem_seg.data
    sample.pred_sem_seg = PixelData(data=torch.where(truth == IGNORED, 255, truth))
    return dataset, sample, cfg


def score(world, **changes):
    dataset, sample, cfg = world
    metric = METRICS.build({**cfg.test_evaluator, **changes})
    metric.dataset_meta = dataset.metainfo
    metric.process({}, [sample.to_dict()])
    return metric.compute_metrics(metric.results), metric


def test_metric_counts_every_class(world):
    found, metric = score(world)
    assert set(found.values()) == {100.0}
    assert [row["pixels"] for row in metric.per_class] == [2] * CLASSES


def test_published_scoring_drops_class_255_and_counts_ignored_pixels(world):
    """The 34 ignored pixels are predicted as 255 here; with 254 they would be false positives of it."""
    sample = world[1]
    assert score(world, scoring="published")[0]["mIoU"] == pytest.approx(100 * 846 / 847)
    sample.pred_sem_seg.data[sample.gt_sem_seg.data == IGNORED] = 254
    found, metric = score(world, scoring="published")
    assert metric.per_class[254]["iou"] == pytest.approx(100 * 2 / (2 + 34))
    assert metric.per_class[255]["pixels"] == 0
    assert found["mIoU"] < score(world)[0]["mIoU"] == 100


def test_export_writes_16_bit_labels(world, labels, tmp_path):
    score(world, output_dir=str(tmp_path))
    with Image.open(tmp_path / "a.png") as file:
        assert file.mode == "I;16"
        assert (np.array(file) == np.where(labels == IGNORED, 255, labels)).all()


def test_comparison_image_shows_every_class(world, labels, tmp_path):
    """A pixel becomes a block of 9 x 9 in each panel; outlines leave its middle free."""
    dataset, sample, _ = world
    runner = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset))
    ComparisonImageHook(tmp_path / "shown").after_test_iter(runner, 0, {"inputs": [None]}, [sample])
    (file,) = (tmp_path / "shown").iterdir()
    sheet = np.array(Image.open(file)).astype(float)
    (y, *_), (left, *_) = ((sheet == GREY).all(2).any(axis).nonzero()[0] for axis in (1, 0))  # of the image's panel
    h, w = (9 * side for side in labels.shape)
    truth = sheet[y : y + h, 2 * left + w :][:, :w][4::9, 4::9]  # the gap between panels is the margin
    palette = np.array([*dataset.metainfo["palette"], [0, 0, 0]], float)
    wanted = 0.6 * palette[np.where(labels == IGNORED, CLASSES, labels)] + 0.4 * GREY
    wanted[labels == IGNORED] = GREY // 3
    assert np.abs(truth - wanted).max() <= 1
