"""Images of the gallery: their choice and their files."""

from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from helpers.dummy_dataset import evaluate, make_world
from mmengine.dataset import pseudo_collate
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from proxyclip.engine.evaluation.gallery import rank_gallery_images, render_gallery_images
from proxyclip.engine.evaluation.metrics import count_pairs, score_image
from proxyclip.results.records import load_records

NAMES = ("sky", "cow", "sheep")


def counts(label: list[int], prediction: list[int]):
    return count_pairs(torch.tensor([prediction]), torch.tensor([label]), len(NAMES), 255, "x.png")


def test_score_image_is_over_classes_in_the_image():
    assert score_image(counts([0, 0, 1, 1], [0, 0, 1, 2]), 3) == pytest.approx((100 * (1 + 0.5 + 0) / 3, 75.0))
    assert score_image(counts([0, 255], [0, 1]), 3) == (100.0, 100.0)
    assert all(np.isnan(score_image(counts([255, 255], [0, 1]), 3)))
    outside = np.array([3 * 3 + 1, 0]), np.array([5, 5])  # label 3 is no class: --scoring published
    assert score_image(outside, 3) == (50.0, 100.0)


def test_rank_gallery_images_takes_best_worst_and_confused_ones():
    kept = {
        0: counts([0] * 4, [0] * 4),  # 100
        1: counts([1] * 4, [1, 1, 2, 2]),  # cow called sheep, 2
        2: counts([1] * 6, [2, 2, 2, 2, 2, 1]),  # cow called sheep, 5
        3: counts([0, 0, 1, 1], [0, 1, 1, 1]),  # sky called cow, 1
        4: counts([255], [0]),
    }
    scores = [score_image(kept.get(i, (np.zeros(0, int),) * 2), 3)[0] for i in range(6)]  # image 5 was left out
    picks = rank_gallery_images(scores, kept, NAMES, 2)
    assert [(pick["index"], pick["why"]) for pick in picks] == [
        (0, "best"), (3, "best"), (2, "worst"), (1, "worst"), (2, "failure"), (3, "failure")
    ]  # fmt: skip
    assert [pick["note"] for pick in picks[4:]] == ["cow called sheep, 5 pixels", "sky called cow, 1 pixels"]
    assert rank_gallery_images(scores, kept, NAMES, 9)[:2] == picks[:2]
    assert [p["why"] for p in rank_gallery_images(scores, {0: kept[0]}, NAMES, 3)] == ["best"]
    assert rank_gallery_images(scores, kept, NAMES, 0) == []


@pytest.mark.parametrize("classes, ignored, dtype", [(3, 255, np.uint8), (300, 65535, np.uint16)])
def test_render_gallery_images_replaces_the_folder_by_panels(tmp_path, classes, ignored, dtype):
    label = torch.zeros(1, 800, 1000, dtype=torch.int32)
    label[:, :400, :500] = classes - 1
    label[:, 400:, 500:] = ignored
    prediction = label * (label < classes)
    sample = SegDataSample(gt_sem_seg=PixelData(data=label), pred_sem_seg=PixelData(data=prediction))
    model = SimpleNamespace(test_step=lambda batch: batch["data_samples"])

    class Data(dict):
        metainfo = {"classes": range(classes), "ignore_index": ignored}  # noqa: RUF012

    data = Data({7: {"inputs": torch.full((3, 80, 100), 90, dtype=torch.uint8), "data_samples": sample}})
    picks = [dict(index=7, why="best"), dict(index=7, why="failure")]
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "old-truth.png").write_text("of an earlier run")
    render_gallery_images(model, data, pseudo_collate, picks, tmp_path / "g")
    assert sorted(f.name for f in (tmp_path / "g").iterdir()) == ["7-image.jpg", "7-prediction.png", "7-truth.png"]
    truth, prediction = (np.asarray(Image.open(tmp_path / "g" / f"7-{name}.png")) for name in ("truth", "prediction"))
    assert truth.shape == (512, 640) and truth.dtype == dtype
    assert [truth[0, 0], truth[0, -1], truth[-1, -1]] == [classes - 1, 0, np.iinfo(dtype).max]
    assert [prediction[0, 0], prediction[-1, -1]] == [classes - 1, 0]
    assert Image.open(tmp_path / "g" / "7-image.jpg").size == (640, 512)


@pytest.mark.slow
@pytest.mark.usefixtures("own_environment")
def test_failing_gallery_costs_no_record(tmp_path, monkeypatch, capsys):
    fail = Mock(side_effect=OSError("No space left on device"))
    monkeypatch.setattr("proxyclip.engine.evaluation.record.render_gallery_images", fail)
    config = make_world(tmp_path / "world")
    assert evaluate(config, tmp_path, "--gallery", "2") == 0
    assert "no pictures for the report" in capsys.readouterr().err
    (run,) = load_records(tmp_path)
    assert [pick["why"] for pick in run["gallery"]] == ["best"] * 2 + ["worst"] * 2 + ["failure"] * 2
    monkeypatch.setattr("proxyclip.engine.evaluation.record.render_gallery_images", render_gallery_images)
    assert evaluate(config, tmp_path, "--gallery", "2") == 0
    saved = {int(f.name.split("-")[0]) for f in (tmp_path / "gallery" / run["identity"]).iterdir()}
    assert saved == {pick["index"] for pick in run["gallery"]}
