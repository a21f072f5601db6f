"""Records and the workbook made of them: order, types, atomicity, and two processes at once."""

import json
import math
import multiprocessing

import numpy as np
import pytest
from openpyxl import load_workbook

from proxyclip import results


def run(identity: str = "a1", miou: float = 37.123456789, **more) -> dict:
    return {
        "identity": identity,
        "metrics": {"aAcc": 71.5, "mIoU": miou, "mAcc": np.float32(50)},
        "per_class": [
            {"name": "sky", "iou": 80.25, "acc": 90.0, "pixels": 12},
            {"name": "horse", "iou": math.nan, "acc": None, "pixels": 0},
        ],
        "arguments": {
            "model_type": "ViT-B/16",
            "clip_type": "openai",
            "vfm_model": {"type": "dino"},
            "attention": "Proxy(beta=1.2, gamma=3.0)",
            "prob_thd": 0.1,
            "slide_crop": 336,
        },
        "dataset": {"type": "PascalVOC20Dataset", "images": 1449},
        "protocol": {"resize": "2048x336 keep ratio"},
        "git": {"commit": "f" * 40, "dirty": False},
        "end": "2026-01-01T00:00:00+00:00",
        **more,
    }


def sheet(path, name="Summary"):
    header, *rows = load_workbook(path)[name].iter_rows(values_only=True)
    return header, [dict(zip(header, row, strict=True)) for row in rows]


def test_record_keeps_full_precision_and_is_json(tmp_path):
    path = results.record(run(), tmp_path)
    assert path == tmp_path / "records" / "a1.json"
    kept = json.loads(path.read_text())
    assert kept["schema"] == results.SCHEMA and kept["metrics"]["mIoU"] == 37.123456789
    assert kept["per_class"][1]["iou"] is None and kept["metrics"]["mAcc"] == 50.0
    assert [f.name for f in path.parent.iterdir()] == ["a1.json"]  # nothing temporary stays


def test_workbook_order_types_and_looks(tmp_path):
    results.record(run("b2", end="2026-01-02"), tmp_path)
    results.record(run("a1", end="2026-01-03"), tmp_path)
    book = results.table(tmp_path)
    header, rows = sheet(book)
    assert header[:7] == ("Model", "CLIP", "VFM", "Dataset", "aAcc", "mIoU", "mAcc")
    assert [row["identity"] for row in rows] == ["b2", "a1"]
    assert rows[0]["VFM"] == "dino" and rows[0]["Model"] == "ViT-B/16" and rows[0]["CLIP"] == "openai"
    assert rows[0]["mIoU"] == 37.123456789 and rows[0]["dirty"] is False and rows[0]["crop"] == 336
    assert rows[0]["attention"] == "Proxy(beta=1.2, gamma=3.0)" and rows[0]["limit"] is None
    summary = load_workbook(book)["Summary"]
    assert summary.freeze_panes == "A2" and summary["F2"].number_format == "0.00"
    assert summary.column_dimensions["D"].width >= len("PascalVOC20Dataset")
    header, rows = sheet(book, "Per class")
    shown = [(row["identity"], row["name"], row["IoU"]) for row in rows[:2]]
    assert shown == [("b2", "sky", 80.25), ("b2", "horse", None)]


def test_a_repeated_run_replaces_its_row(tmp_path):
    results.record(run(miou=1.0), tmp_path)
    results.record(run(miou=2.0), tmp_path)
    _, rows = sheet(results.table(tmp_path))
    assert [row["mIoU"] for row in rows] == [2.0]


def test_runs_that_end_within_one_second_keep_their_order(tmp_path):
    names = ["b2", "c3", "a1"]
    for name in names:
        results.record(run(name, end=results.now()), tmp_path)
    assert [one["identity"] for one in results.records(tmp_path)] == names


def test_no_vfm_and_no_records(tmp_path):
    assert sheet(results.table(tmp_path))[1] == []
    results.record(run(arguments={"vfm_model": None}), tmp_path)
    assert sheet(results.table(tmp_path))[1][0]["VFM"] == "none"


def test_a_broken_record_is_named_and_left_out(tmp_path, capsys):
    results.record(run(), tmp_path)
    (tmp_path / "records" / "zz.json").write_text('{"identity": ')
    (tmp_path / "records" / "yy.json").write_text("[]")
    assert len(sheet(results.table(tmp_path))[1]) == 1
    assert "zz.json" in capsys.readouterr().err


def test_a_kill_while_writing_leaves_the_old_record(tmp_path, monkeypatch):
    path = results.record(run(miou=1.0), tmp_path)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(results.Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        results.record(run(miou=2.0), tmp_path)
    assert json.loads(path.read_text())["metrics"]["mIoU"] == 1.0
    assert len(list(path.parent.iterdir())) == 1


def test_a_workbook_that_cannot_be_replaced_gets_a_neighbour(tmp_path, capsys):
    (tmp_path / results.WORKBOOK / "open").mkdir(parents=True)  # a folder of that name cannot be replaced either
    results.record(run(), tmp_path)
    beside = results.table(tmp_path)
    assert beside.name.startswith("results-") and len(sheet(beside)[1]) == 1
    assert "cannot be replaced" in capsys.readouterr().err


def _finish(folder, number):
    for i in range(5):
        results.record(run(f"{number}-{i}"), folder)
        results.table(folder)


def test_processes_that_finish_at_once_lose_nothing(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_finish, args=(tmp_path, n)) for n in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [w.exitcode for w in workers] == [0, 0]
    _, rows = sheet(tmp_path / results.WORKBOOK)
    assert len(rows) == 10


def test_identity_depends_on_its_parts_only():
    assert results.identity({"a": 1, "b": 2}, None) == results.identity({"b": 2, "a": 1}, None)
    assert results.identity({"a": 1}) != results.identity({"a": 2})
