"""The metric equals MMSegmentation's where that is right, and is exact where it is not."""

import warnings

import numpy as np
import pytest
import torch
from helpers.dummy_dataset import evaluate, make_world
from helpers.reference import arrays
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from PIL import Image

from proxyclip.data.splits import compute_zero_shot_means
from proxyclip.engine.evaluation.metrics import SegMetric, sum_pairs
from proxyclip.results.records import load_records
from proxyclip.results.tables import MARKDOWN_NAME


def sample(label, prediction, **meta):
    data = {"gt_sem_seg": label, "pred_sem_seg": prediction}
    return {**{k: {"data": torch.as_tensor(v)[None]} for k, v in data.items()}, "img_path": "val/a.jpg", **meta}


def score(samples, classes, metric=None, **meta):
    metric = metric or SegMetric()
    metric.dataset_meta = {"classes": [f"c{i}" for i in range(classes)], **meta}
    for item in samples:
        metric.process({}, [item])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return metric.compute_metrics(metric.results), metric


def random_samples(classes, images=4, ignore=255, seed=0):
    draw = np.random.default_rng(seed)
    for i in range(images):
        label = draw.integers(0, classes - 2, (30 + i, 41))  # the last two classes have no label
        prediction = np.where(draw.random(label.shape) < 0.5, label, draw.integers(0, classes - 1, label.shape))
        yield sample(np.where(draw.random(label.shape) < 0.1, ignore, label), prediction)


@pytest.mark.parametrize("names", [["mIoU"], ["mIoU", "mDice", "mFscore"]])
def test_metrics_equal_those_of_mmseg(names):
    """The last class is neither labeled nor predicted, the one before it predicted only."""
    samples = list(random_samples(12))
    reference = IoUMetric(iou_metrics=names)
    reference.dataset_meta = {"classes": [str(i) for i in range(12)]}
    reference.process({}, samples)
    metrics, metric = score(samples, 12, SegMetric(iou_metrics=names))
    expected = reference.compute_metrics(reference.results)
    assert metrics.keys() - expected.keys() == {"mIoU_gt", "fwIoU"}
    metrics = {name: metrics[name] for name in expected}
    assert all(type(value) is float for value in metrics.values())
    assert metrics == pytest.approx(expected, abs=0.0051)  # rounded to two digits there
    assert metric.confusion.dtype == np.int64
    assert metric.per_class[-2]["iou"] == 0 and np.isnan(metric.per_class[-1]["iou"])


def test_metrics_of_five_pixels_by_hand():
    label, prediction = [[0, 0, 1], [1, 2, 255]], [[0, 1, 1], [1, 0, 2]]
    metrics, metric = score([sample(label, prediction)], 4)
    assert metric.confusion.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    means = {"mIoU": 100 / 3 * (1 / 3 + 2 / 3), "mIoU_gt": 100 / 3 * (1 / 3 + 2 / 3), "mAcc": 50.0, "aAcc": 60.0}
    assert metrics == pytest.approx({**means, "fwIoU": 100 * (2 / 5 / 3 + 2 / 5 * 2 / 3)})
    assert metric.per_class[0] == pytest.approx({"name": "c0", "iou": 100 / 3, "acc": 50.0, "pixels": 2})


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_labels_keep_their_width(dtype):
    """A prediction of 44 in 8 bits is no hit on label 300, and 255 is a class where 65535 is ignored."""
    item = sample([[300, 255, 65535]], [[44, 255, 1]])
    item["pred_sem_seg"]["data"] = torch.tensor([[[44, 127, 1]]]).to(dtype)
    metrics, metric = score([item], 847, ignore_index=65535)
    assert metric.confusion[300, 44] == metric.confusion[255, 127] == 1
    assert metric.confusion.sum() == 2 and metrics["aAcc"] == 0


def test_ignore_index_is_of_the_metric_or_of_the_dataset():
    item = sample([[0, 9]], [[0, 0]])
    assert score([item], 2, SegMetric(ignore_index=9))[0]["aAcc"] == 100
    assert score([item], 2, ignore_index=9)[0]["aAcc"] == 100
    with pytest.raises(ValueError, match="say it once"):
        score([item], 2, SegMetric(ignore_index=9), ignore_index=255)


@pytest.mark.parametrize(
    ("label", "prediction", "message"),
    [
        ([[0, 1]], [[0], [1]], r"val/a\.jpg.*\(1, 2\).*\(2, 1\)"),
        ([[0, 2]], [[0, 1]], r"labels 0\.\.1 for val/a\.jpg.*\[2\]"),
        ([[0, 1]], [[0, 2]], r"predictions 0\.\.1 for val/a\.jpg.*\[2\]"),
        ([[255, 255]], [[0, 1]], "nothing to score"),
    ],
)
def test_wrong_labels_and_predictions_are_refused(label, prediction, message):
    with pytest.raises(ValueError, match=message):
        score([sample(label, prediction)], 2)


def test_results_have_one_small_entry_an_image():
    """Processes exchange them: padded duplicates can be cut, and there is no K x K matrix."""
    metric = score(list(random_samples(847, ignore=65535)), 847, ignore_index=65535)[1]
    assert len(metric.results) == 4
    assert max(pairs.nbytes + counts.nbytes for pairs, counts in metric.results) < 50_000
    counts = sum_pairs(metric.results, 847)
    assert (counts[:-1] == metric.confusion).all() and not counts[-1].any()


def test_evaluate_returns_names_without_prefix_and_without_warning(capsys):
    metric = SegMetric()
    metric.dataset_meta = {"classes": ["a", "b"]}
    metric.process({}, [sample([[0, 1]], [[0, 1]])] * 2)
    assert metric.evaluate(1) == dict.fromkeys(("aAcc", "mIoU", "mIoU_gt", "mAcc", "fwIoU"), 100.0)
    assert "prefix" not in capsys.readouterr().out


def test_classes_without_labels_count_in_miou_but_not_in_miou_gt():
    """detectron2's rule: IoU of classes with ground truth, and their frequency as weight."""
    samples = list(random_samples(12))
    metrics, metric = score(samples, 12)
    label = np.concatenate([item["gt_sem_seg"]["data"].numpy().ravel() for item in samples])
    prediction = np.concatenate([item["pred_sem_seg"]["data"].numpy().ravel() for item in samples])
    label, prediction = label[label != 255], prediction[label != 255]
    pairs = [(label == k, prediction == k) for k in range(10)]
    ious = [(truth & predicted).sum() / (truth | predicted).sum() for truth, predicted in pairs]
    shares = [truth.mean() for truth, _ in pairs]
    assert metrics["mIoU_gt"] == pytest.approx(100 * np.mean(ious), rel=1e-12)
    assert metrics["mIoU"] == pytest.approx(100 * np.sum(ious) / 11, rel=1e-12)  # one class is only predicted
    assert metrics["fwIoU"] == pytest.approx(100 * np.dot(ious, shares), rel=1e-12)
    assert metric.classes_in == {"mIoU": 11, "mIoU_gt": 10}


def test_published_scoring_equals_mmseg_with_the_wrong_ignore_value():
    """65535 counts against every class predicted there, and class 255 is not scored."""
    samples = list(random_samples(300, ignore=65535))
    reference = IoUMetric(iou_metrics=["mIoU"], ignore_index=255)
    reference.dataset_meta = {"classes": [str(i) for i in range(300)]}
    reference.process({}, samples)
    expected = reference.compute_metrics(reference.results)
    published, metric = score(samples, 300, SegMetric(scoring="published"), ignore_index=65535)
    correct, _ = score(samples, 300, ignore_index=65535)
    assert {name: published[name] for name in expected} == pytest.approx(expected, abs=0.0051)
    assert published["mIoU"] < correct["mIoU"] - 1
    assert metric.per_class[255]["pixels"] == 0


def test_published_scoring_changes_nothing_where_255_is_ignored():
    samples = list(random_samples(12))
    assert score(samples, 12, SegMetric(scoring="published"))[0] == score(samples, 12)[0]
    with pytest.raises(ValueError, match="correct, published"):
        SegMetric(scoring="upstream")


def test_mmseg_configs_get_this_metric():
    assert METRICS.get("IoUMetric") is METRICS.get("SegMetric") is SegMetric


@pytest.mark.parametrize(("classes", "mode"), [(19, "L"), (300, "I;16")])
def test_predictions_are_written_exactly(tmp_path, classes, mode):
    top = classes - 1
    metric = SegMetric(output_dir=str(tmp_path), format_only=True)
    score([sample([[0, 0]], [[0, top]], reduce_zero_label=True)], classes, metric)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == mode
        assert np.array(image).tolist() == [[1, top + 1]]


SPLIT = ("mIoU_seen", "mIoU_unseen", "hIoU")


def test_seen_and_unseen_equal_the_reference():
    known = arrays("trained/gzsl_metrics")
    samples = [sample(label, prediction) for label, prediction in zip(known["label"], known["pred"], strict=True)]
    metrics, metric = score(samples, 7, unseen=tuple(known["unseen"].tolist()))
    for name in ("aAcc", "mIoU", *SPLIT):
        assert metrics[name] == pytest.approx(100 * float(known[name]), rel=1e-6), name
    assert [row["iou"] for row in metric.per_class] == pytest.approx((100 * known["IoU"]).tolist(), rel=1e-6)
    assert [row["unseen"] for row in metric.per_class] == [k in (2, 5) for k in range(7)]
    again = SegMetric()
    again.dataset_meta = metric.dataset_meta
    assert again.score(metric.results[::-1]) == metrics  # from counts, in any order: resumed, or of several processes


def test_split_adds_three_metrics_and_changes_none():
    samples = list(random_samples(12))
    plain, without = score(samples, 12)
    metrics, metric = score(samples, 12, unseen=(0, 10, 11))
    assert list(metrics) == [*plain, *SPLIT] and {name: metrics[name] for name in plain} == plain
    assert "unseen" not in without.per_class[0] and without.classes_in.keys() == {"mIoU", "mIoU_gt"}
    ious = [row["iou"] for row in metric.per_class]  # 10 is predicted only and counts as 0, 11 does not occur
    seen, unseen = float(np.mean(ious[1:10])), ious[0] / 2
    assert ious[10] == 0 and np.isnan(ious[11])
    assert [metrics[name] for name in SPLIT] == pytest.approx([seen, unseen, 2 * seen * unseen / (seen + unseen)])
    assert metric.classes_in == {"mIoU": 11, "mIoU_gt": 10, "mIoU_seen": 9, "mIoU_unseen": 2}
    assert score(samples, 12, unseen=["c0", "c10", "c11"])[0] == metrics  # a data set of MMSegmentation's own kind
    with pytest.raises(ValueError, match="none of the 12 classes"):
        score(samples, 12, unseen=["cat"])


def test_zero_shot_means_of_absent_classes_are_nan():
    iou = np.array([0.5, np.nan, 0.25, 0.0])
    assert compute_zero_shot_means(iou, [2, 1]) == pytest.approx(dict(zip(SPLIT, (0.25, 0.25, 0.25), strict=True)))
    assert compute_zero_shot_means(iou, [3])["hIoU"] == compute_zero_shot_means(iou * 0, [0])["hIoU"] == 0
    absent = compute_zero_shot_means(iou, [1])  # as with a limit of few images
    assert absent["mIoU_seen"] == 0.25 and np.isnan(absent["mIoU_unseen"]) and np.isnan(absent["hIoU"])


def test_zero_shot_run_has_its_metrics_in_record_output_and_tables(tmp_path, own_environment, capsys):
    config, split = make_world(tmp_path / "world", 4), "test_dataloader.dataset.metainfo.unseen=['bright']"
    arguments = ("--no-check", "--workers", "0", "--gallery", "0", "--cfg-options", split)
    assert evaluate(config, tmp_path / "out", *arguments) == 0
    output = capsys.readouterr().out
    (run,) = load_records(tmp_path / "out")
    metrics, ious = run["metrics"], [row["iou"] for row in run["per_class"]]
    assert [row["unseen"] for row in run["per_class"]] == [False, False, True]
    assert (metrics["mIoU_seen"], metrics["mIoU_unseen"]) == pytest.approx((sum(ious[:2]) / 2, ious[2]))
    assert f"mIoU_unseen {ious[2]:.2f} (1 class), hIoU {metrics['hIoU']:.2f}, the harmonic mean" in output
    assert "bright (unseen)" in output and "dark (unseen)" not in output
    assert f"{metrics['hIoU']:.2f} |" in (tmp_path / "out" / MARKDOWN_NAME).read_text()
