"""The data are looked at before they are scored: all of them by datasets/check.py, a part by eval.py."""

import json
import subprocess
import sys

import numpy as np
import pytest
from helpers.dummy_dataset import make_world
from PIL import Image

from proxyclip.cli import check as check_command
from proxyclip.cli import eval as eval_command
from proxyclip.data.check import DataError, run_preflight
from proxyclip.engine.config.load import merge_config
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.config.registration import activate_scope, register_modules
from proxyclip.utils.paths import ROOT

pytestmark = pytest.mark.slow

FOLDER = "configs/cfg_folder.py"


def make(root, count=3, images="images", masks="masks", size=(16, 12)):
    """A folder of one's own, two classes in every mask."""
    for part in (images, masks):
        (root / part).mkdir(parents=True)
    labels = np.zeros(size[::-1], np.uint8)
    labels[3:, 5:] = 1
    labels[0, 0] = 255
    for i in range(count):
        Image.new("RGB", size, (9, 99, 199)).save(root / images / f"{i}.jpg")
        Image.fromarray(labels).save(root / masks / f"{i}.png")
    (root / "classes.txt").write_text("ground\nthing\n")
    return root


def run(root, *words, config=FOLDER):
    """(exit code, report) of the check."""
    file = root / "report.json"
    options = ["--config", config, "--data-root", str(root), "--report", str(file), "--workers", "1"]
    code = check_command.main([*options, *words])
    return code, json.loads(file.read_text()) if file.exists() else None


def kinds(report):
    return sorted((p["level"], p["kind"], p["file"].rpartition("/")[2]) for p in report["problems"])


def test_check_reports_counts_of_a_fit_data_set(tmp_path, capsys):
    code, report = run(make(tmp_path))
    assert (code, report["errors"], report["notes"], report["problems"]) == (0, 0, 0, [])
    assert (report["schema"], report["config"], report["dataset"]) == (1, FOLDER, "FolderDataset")
    assert (report["split"], report["images"], report["expected"]) == ("images", 3, None)
    assert report["labels"] == [
        dict(value=0, name="ground", pixels=3 * (16 * 12 - 9 * 11 - 1), images=3),
        dict(value=1, name="thing", pixels=3 * 9 * 11, images=3),
    ]
    assert report["ignored_pixels"] == 3
    said = capsys.readouterr().out
    assert "3 images of an unknown number" in said
    assert "0 errors: fit to be scored" in said


def test_check_reports_every_bad_file_with_a_remedy(tmp_path, capsys):
    root = make(tmp_path, 9)
    (root / "images/0.jpg").unlink()
    (root / "masks/1.png").unlink()
    data = (root / "images/2.jpg").read_bytes()
    (root / "images/2.jpg").write_bytes(data[: len(data) * 3 // 4])
    Image.new("L", (16, 11)).save(root / "masks/3.png")
    Image.new("L", (16, 12), 7).save(root / "masks/4.png")
    Image.new("RGB", (16, 12)).save(root / "masks/5.png")
    (root / "masks/6.png").write_bytes(b"<html>")
    Image.new("L", (16, 12), 255).save(root / "masks/7.png")
    code, report = run(root)
    assert code == 1
    assert kinds(report) == [
        ("error", "damaged image", "2.jpg"), ("error", "damaged label map", "6.png"),
        ("error", "illegal label", "4.png"), ("error", "missing image", "0.png"), ("error", "missing label", "1.png"),
        ("error", "no label map", "5.png"), ("error", "sizes differ", "3.png"), ("note", "all ignored", "7.png"),
    ]  # fmt: skip
    assert all(problem["remedy"] for problem in report["problems"] if problem["level"] == "error")
    said = capsys.readouterr().out
    assert all(f"{number}.png" in said for number in (0, 1, 3, 4, 5, 6))
    assert "7 errors: not fit to be scored" in said


def voc(root, names, listed=None):
    """`names` in the layout of VOC 2012, with `listed` in the list."""
    home = make(root / "VOCdevkit/VOC2012", 0, "JPEGImages", "SegmentationClass")
    (home / "ImageSets/Segmentation").mkdir(parents=True)
    (home / "ImageSets/Segmentation/val.txt").write_text("".join(f"{name}\n" for name in listed or names))
    for name in names:
        Image.new("RGB", (16, 12)).save(home / f"JPEGImages/{name}.jpg")
        Image.new("L", (16, 12), 15).save(home / f"SegmentationClass/{name}.png")
    return root


def test_check_compares_number_and_list_of_images(tmp_path):
    code, report = run(voc(tmp_path, ("a", "b", "c"), ("a", "b", "b", "d")), config="configs/cfg_voc21.py")
    assert code == 1
    assert kinds(report) == [
        ("error", "listed twice", "val.txt"),
        ("error", "missing image", "d.jpg"),
        ("error", "wrong count", "val.txt"),
    ]
    assert "has 2 images, but val of this data set is known to have 1449" in str(report["problems"])
    assert (report["expected"], report["not_listed"]) == (1449, 1)


def test_check_notes_classes_without_a_pixel(tmp_path, monkeypatch):
    monkeypatch.setattr("proxyclip.data.benchmarks.PascalVOCDataset.counts", {"val": 2})
    code, report = run(voc(tmp_path, ("a", "b")), config="configs/cfg_voc21.py")
    assert code == 0
    assert kinds(report) == [("note", "absent classes", "SegmentationClass")]
    assert "20 of 21 classes have no pixel" in report["problems"][0]["text"]


def test_check_reports_labels_of_the_whole_set(tmp_path):
    root = make(tmp_path)
    for file in (root / "masks").iterdir():
        labels = np.zeros((12, 16), np.uint8)
        labels[3:] = 255  # meant as the second class
        Image.fromarray(labels).save(file)
    assert kinds(run(root)[1])[0] == ("error", "foreground ignored", "masks")
    for file in (root / "masks").iterdir():
        Image.new("L", (16, 12), 255).save(file)
    assert kinds(run(root)[1])[0] == ("error", "nothing labelled", "masks")


def test_check_reports_missing_folders_and_configs(tmp_path, capsys):
    code, report = run(tmp_path, config="configs/cfg_voc21.py")
    assert code == 1
    assert [problem["kind"] for problem in report["problems"]] == ["missing place"]
    assert check_command.main(["--config", "configs/cfg_voc22.py"]) == 2
    assert "did you mean" in capsys.readouterr().err
    assert check_command.main(["--config", FOLDER, "--data-root", str(tmp_path)]) == 1
    assert "no file" in capsys.readouterr().err
    make(tmp_path)
    assert check_command.main(["--config", FOLDER, "--data-root", str(tmp_path), "--report", "/dev/null/x"]) == 1
    assert "choose another --report" in capsys.readouterr().err


def test_check_refuses_foreign_dataset_classes(tmp_path, capsys):
    assert check_command.main(["--config", str(make_world(tmp_path))]) == 1
    assert "cannot be checked" in capsys.readouterr().err


def test_check_script_runs_from_another_folder_with_threads(tmp_path):
    root = make(tmp_path / "set", 40)
    (root / "masks/20.png").write_bytes(b"")
    words = ["--config", FOLDER, "--data-root", str(root), "--workers", "2"]
    done = subprocess.run(
        [sys.executable, ROOT / "datasets/check.py", *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert "masks/20.png: is empty; copy it or convert" in done.stdout
    two = json.loads((tmp_path / "work_dirs/check/cfg_folder.json").read_text())
    one = run(root)[1]
    changing = dict.fromkeys(("seconds", "workers", "date"))
    assert one | changing == two | changing


TINY = (
    "model.clip_type=None", "model.model_type=local-dir:proxyclip/tinyworld/weights/clip", "model.precision=fp32",
    "model.vfm_model=None", "model.attention=vanilla", "model.slide_crop=96", "model.slide_stride=48",
)  # fmt: skip


def evaluate(tmp_path, root, *words, config=FOLDER):
    where = ["--config", config, "--data-root", str(root), "--work-dir", str(tmp_path / "out"), "--device", "cpu"]
    code = eval_command.main([*where, "--workers", "0", "--cfg-options", *TINY, *words])
    records = sorted((tmp_path / "out/records").glob("*.json"))
    return code, json.loads(records[0].read_text()) if records else None


def test_eval_scores_a_folder_dataset(tmp_path):
    code, record = evaluate(tmp_path, make(tmp_path / "mine", size=(160, 120)))
    assert code == 0
    assert [row["name"] for row in record["per_class"]] == ["ground", "thing"]
    assert sum(row["pixels"] for row in record["per_class"]) == 3 * (160 * 120 - 1)
    assert record["data_check"] == "quick"


def test_eval_refuses_bad_files_before_it_builds_the_model(tmp_path, capsys):
    root = make(tmp_path / "mine")
    Image.new("L", (15, 12)).save(root / "masks/2.png")
    assert evaluate(tmp_path, root, "model.model_type=no-such-model") == (1, None)
    said = capsys.readouterr().err
    assert "masks/2.png: the label map is 15 x 12 pixels, the image 16 x 12" in said
    assert "python datasets/check.py --config configs/cfg_folder.py" in said
    assert "no-such-model" not in said


def test_eval_refuses_a_wrong_count_without_no_check(tmp_path, capsys):
    root = voc(tmp_path / "sets", ("a", "b"))
    voc21 = "configs/cfg_voc21.py"
    assert evaluate(tmp_path, root, config=voc21) == (1, None)
    assert "known to have 1449" in capsys.readouterr().err
    assert evaluate(tmp_path, root, "--limit", "1", config=voc21)[0] == 0  # marked as partial
    code, record = evaluate(tmp_path / "all", root, "--no-check", config=voc21)
    assert (code, record["data_check"], record["dataset"]["images"]) == (0, "none", 2)
    assert not record["partial"]


def test_eval_tries_the_pipeline_before_it_builds_the_model(tmp_path, capsys):
    root = make(tmp_path / "mine")
    pipeline = "test_dataloader.dataset.pipeline.2.reduce_zero_label=True"
    assert evaluate(tmp_path, root, pipeline, "model.model_type=no-such-model") == (1, None)
    said = capsys.readouterr().err
    assert "images/0.jpg does not go through the pipeline: reduce_zero_label is False in the dataset but True" in said


def test_check_train_inspects_the_training_set(tmp_path, capsys, monkeypatch):
    """No checkpoint is asked for, and no model is built."""
    monkeypatch.chdir(tmp_path)
    trained = ("--config", "configs/trained/maskclip_plus/tinyworld_segformer.py", "--data-root", "drawn")
    counts = ("--cfg-options", "train_dataloader.dataset.count=3", "test_dataloader.dataset.count=2")
    assert check_command.main([*trained, "--train", *counts]) == 0 and check_command.main([*trained, *counts]) == 0
    found = {path.name: json.loads(path.read_text()) for path in (tmp_path / "work_dirs/check").rglob("*.json")}
    counts = {name: one["images"] for name, one in found.items()}
    assert counts == {"tinyworld_segformer-train.json": 3, "tinyworld_segformer.json": 2}
    assert check_command.main(["--config", "configs/cfg_tinyworld.py", "--data-root", "drawn", "--train"]) == 1
    assert "has no training data: leave out --train" in capsys.readouterr().err


def write_masks(root, *rows):
    """Masks of the rows' labels, in turn."""
    for number, file in enumerate(sorted((root / "masks").iterdir())):
        labels = np.zeros((12, 16), np.uint8)
        row = rows[number % len(rows)]
        labels[:] = np.resize(row, 16)
        Image.fromarray(labels).save(file)
    return root


NAMES = ("wall", "sky", "floor", "tree")
UNCLEAR = {
    "0 and 255": (("ground", "thing"), ([0, 0, 255],), "ignore_index=255 says so", "ignore_index=255"),
    "void in most pixels": (NAMES, ([0, 3, 255, 255, 255],), "ignore_index=255 says so", "ignore_index=255"),
    "not labelled 0": (NAMES, ([0, 1, 2], [0, 2]), "reduce_zero_label=True if it is not", "reduce_zero_label=True"),
    "first class 0": (NAMES, ([0, 1, 2], [0, 2]), "reduce_zero_label=False if 0 is wall", "reduce_zero_label=False"),
    "void 4": (NAMES, ([0, 1, 4], [0, 2, 3]), "ignore_index=4 if it means void", "ignore_index=4"),
    "classes from 1": (NAMES, ([1, 2, 3, 4], [0, 1]), "reduce_zero_label=True if 0 means", "reduce_zero_label=True"),
    "black": (NAMES, ([0],), "reduce_zero_label=False says so", "reduce_zero_label=False"),
}


@pytest.mark.parametrize("name", list(UNCLEAR))
def test_eval_asks_what_the_labels_leave_open(tmp_path, capsys, name):
    """Before a model is built; an option of the data set answers, and check.py asks the same."""
    names, rows, remedy, answer = UNCLEAR[name]
    root = write_masks(make(tmp_path / "mine", count=10), *rows)
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in names))
    assert evaluate(tmp_path, root, "model.model_type=no-such-model") == (1, None)
    error = capsys.readouterr().err
    assert remedy in error and "--no-check" in error and "no-such-model" not in error
    assert "test_dataloader.dataset.NAME=VALUE" in error
    code, report = run(root)
    assert (code, report["errors"]) == (1, 1)
    assert remedy in capsys.readouterr().out
    option = f"test_dataloader.dataset.{answer}"
    assert run(root, "--cfg-options", option)[0] == 0
    assert evaluate(tmp_path, root, option, "model.model_type=no-such-model") == (1, None)
    assert "no-such-model" in capsys.readouterr().err


def test_one_cause_is_one_line(tmp_path, capsys):
    root = write_masks(make(tmp_path, count=30), [0, 1, 7])
    code, report = run(root)
    output = capsys.readouterr().out
    assert (code, report["errors"], len(report["illegal_files"])) == (1, 1, 30)
    assert sum("label 7" in line for line in output.splitlines()) == 1
    assert "label 7 in 30 of 30 files, 31 % of the pixels (first: 0.png)" in output


def test_check_prints_a_table_of_the_values(tmp_path, capsys):
    root = write_masks(make(tmp_path, count=3), [0, 1, 1, 255])
    (root / "classes.txt").write_text(f"ground\n{'a long name of a class ' * 3}\n")
    assert run(root)[0] == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(
        number for number, line in enumerate(lines) if line.split() == ["value", "class", "pixels", "share", "images"]
    )
    assert lines[start + 2].split() == ["0", "ground", "144", "25.00", "%", "3"]
    assert lines[start + 3].split()[-4:] == ["288", "50.00", "%", "3"]
    assert lines[start + 4].split() == ["255", "ignored", "144", "25.00", "%", "3"]
    assert all(len(line) <= 80 for line in lines[start : start + 5])


def test_skip_bad_passes_single_bad_files_and_no_wrong_labels(tmp_path, capsys):
    root = make(tmp_path / "mine", 9, size=(160, 120))
    (root / "masks/4.png").write_bytes(b"<html>")
    (root / "images/7.jpg").write_bytes(b"")
    Image.new("L", (160, 120), 9).save(root / "masks/2.png")
    assert evaluate(tmp_path, root) == (1, None)
    code, record = evaluate(tmp_path, root, "--skip-bad")
    assert (code, len(record["left_out"])) == (0, 3)
    capsys.readouterr()
    write_masks(root, [0, 1, 7])
    assert evaluate(tmp_path / "again", root, "--skip-bad") == (1, None)
    assert "label 7 in 9 of 9 files" in capsys.readouterr().err


def test_training_data_are_checked_too(tmp_path):
    root = write_masks(make(tmp_path), [0, 1, 7])
    cfg = merge_config(EvalOptions(FOLDER, data_root=str(root)))
    register_modules()
    activate_scope(cfg)
    cfg.train_dataloader = dict(dataset=dict(type="SeededDraws", dataset=cfg.test_dataloader.dataset))
    with pytest.raises(DataError, match=r"not fit for a training: .* label 7 in 3 of 3 .* --train\."):
        run_preflight(cfg, of_training=True)
    write_masks(root, [0, 1, 255])
    assert run_preflight(cfg, of_training=True) == []


def test_a_first_class_of_many_names_is_a_background(tmp_path):
    root = write_masks(make(tmp_path), [0, 1, 2], [0, 2])
    (root / "classes.txt").write_text("sky; wall; grass; building\ncat\ndog\ncow\n")
    assert run(root)[0] == 0
    (root / "classes.txt").write_text("sky; heaven\ncat\ndog\ncow\n")
    assert run(root)[0] == 1
