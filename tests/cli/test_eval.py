"""eval.py from its command line to its files, with a segmentor without weights."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from helpers.dummy_dataset import CLASSES, evaluate, make_world
from helpers.workbook_reader import sheet_rows
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from proxyclip.cli.eval import main
from proxyclip.engine.config.load import load_config
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.config.overrides import apply_method_file
from proxyclip.engine.errors import format_error
from proxyclip.engine.evaluation.identity import run_identity
from proxyclip.engine.hooks import ComparisonImageHook
from proxyclip.results.records import load_records, to_dense_confusion
from proxyclip.utils.distributed import TerminationSignal
from proxyclip.utils.paths import ROOT

pytestmark = pytest.mark.usefixtures("own_environment")


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


def only_record(work_dir: Path) -> dict:
    (path,) = (work_dir / "records").glob("*.json")
    return json.loads(path.read_text())


def test_help_is_quick_and_needs_nothing():
    code = "import sys, eval; sys.modules['torch'] = None; eval.main(['--help'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "--show-dir" in done.stdout


def test_whole_way(config, tmp_path, capsys):
    assert evaluate(config, tmp_path, "--show-dir", str(tmp_path / "pictures")) == 0
    said = capsys.readouterr()
    run = only_record(tmp_path)
    assert f"mIoU {run['metrics']['mIoU']:.2f}" in said.out and "mmengine" not in said.out + said.err
    assert len(said.out.splitlines()) < 25
    assert [c["name"] for c in run["per_class"]] == list(CLASSES)
    assert 60 < run["metrics"]["mIoU"] < 100 and run["metrics"]["mIoU"] != round(run["metrics"]["mIoU"], 2)
    assert run["dataset"]["images"] == 7 and run["partial"] is False and run["limit"] is None
    assert run["arguments"]["attention"].startswith("Dummy") and run["protocol"]["resize"] == "2048x24 keep ratio"
    assert run["files"] and run["versions"]["torch"] and run["processes"] == 1 and run["seed"] == 0
    assert run["images_per_second"] > 0 and run["peak_memory_mib"] > 0 and run["config_sha256"]
    (row,) = sheet_rows(tmp_path / "results.xlsx")
    assert [row[name] for name in ("Model", "CLIP", "VFM", "Dataset")] == ["dummy", "none", "eyes", "BaseSegDataset"]
    assert row["mIoU"] == run["metrics"]["mIoU"]
    shown = sorted((tmp_path / "pictures").glob("*.png"))
    assert len(shown) == 7 and cv2.imread(str(shown[0])).shape[1] > 3 * 40 * 12
    (log,) = (tmp_path / "logs").rglob("*.log")
    assert len(log.read_text().splitlines()) > 50


def test_again_gives_the_same_and_one_row(config, tmp_path):
    assert evaluate(config, tmp_path, "--workers", "0") == 0
    first = only_record(tmp_path)
    assert evaluate(config, tmp_path, "--workers", "1") == 0
    second = only_record(tmp_path)
    assert second["metrics"] == first["metrics"] and second["identity"] == first["identity"]
    assert len(sheet_rows(tmp_path / "results.xlsx")) == 1


def test_the_scoring_is_said_and_has_its_own_record(config, tmp_path, capsys):
    """Labels of 8 bits score the same both ways; the rules of the means stand beside the numbers."""
    assert evaluate(config, tmp_path) == 0
    assert "mIoU is over the 3 classes labelled or predicted (MMSegmentation's rule)" in capsys.readouterr().out
    assert evaluate(config, tmp_path, "--scoring", "published") == 0
    assert "--scoring published" in capsys.readouterr().out
    one, two = load_records(tmp_path)
    assert (one["scoring"], two["scoring"]) == ("correct", "published")
    assert one["metrics"] == two["metrics"] and one["identity"] != two["identity"]
    assert one["metrics"]["mIoU_gt"] == one["metrics"]["mIoU"] and one["classes_in"] == {"mIoU": 3, "mIoU_gt": 3}
    matrix = to_dense_confusion(one)
    assert matrix.sum(1).tolist() == [row["pixels"] for row in one["per_class"]]
    assert matrix.trace() / matrix.sum() * 100 == pytest.approx(one["metrics"]["aAcc"])
    rows = sheet_rows(tmp_path / "results.xlsx")
    assert [row["scoring"] for row in rows] == ["correct", "published"] and rows[0]["fwIoU"] == one["metrics"]["fwIoU"]


def test_scoring_needs_our_metric(config, tmp_path, capsys):
    words = ("--scoring", "published", "--cfg-options", "test_evaluator.type=DepthMetric")
    assert "needs a test_evaluator of type SegMetric" in failing(config, tmp_path, capsys, *words)


def test_limit_is_marked(config, tmp_path, capsys):
    assert evaluate(config, tmp_path, "--limit", "3") == 0
    run = only_record(tmp_path)
    assert run["dataset"]["images"] == 3 and run["partial"] is True and "first 3 images only" in capsys.readouterr().out
    assert evaluate(config, tmp_path, "--limit", "3", "--cfg-options", "model.prob_thd=0.2") == 0
    assert len(list((tmp_path / "records").iterdir())) == 2


def failing(config, tmp_path, capsys, *words: str) -> str:
    """Standard error of a run that must end with exit code 1, one message and no traceback on the console."""
    assert evaluate(config, tmp_path, *words) == 1
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err and said.err.count("error:") == 1
    return said.err


@pytest.mark.parametrize(
    "words, expected",
    [
        (["--cfg-options", "modle.prob_thd=1"], "no 'modle': did you mean model?"),
        (["--cfg-options", "model.prob_th=1"], "no argument 'prob_th': did you mean prob_thd?"),
        (["--cfg-options", "model.attn.beta=1"], "model has no 'attn'"),
        (["--cfg-options", "test_dataloader.dataset.pipeline.7.scale=1"], "is a list of 4"),
        (["--cfg-options", "tset_cfg=1"], "did you mean test_cfg"),
        (["--cfg-options", "words"], "key=value, but got 'words'"),
        (["--cfg-options", "test_dataloader.dataset.type=BaseSegDatset"], "did you mean BaseSegDataset"),
        (["--cfg-options", "test_dataloader.dataset.img_suffix=.jpg"], "The data set is empty"),
        (["--data-root", "/no/such/folder"], "not on disk: /no/such/folder/images"),
        (["--cfg-options", "model.fail=build"], "neither on disk nor to be had"),
        (["--cfg-options", "model.fail=late"], "ZeroDivisionError: a fault in the code (dummy_world.py"),
        (["--limit", "0"], "--limit to be 1 or more"),
        (["--launcher", "pytorch"], "torchrun"),
    ],
)
def test_errors_are_one_message(config, tmp_path, capsys, monkeypatch, words, expected):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert expected in failing(config, tmp_path, capsys, *words)


def test_vocabulary_of_another_length(config, tmp_path, capsys):
    other = tmp_path / "cls_other.txt"
    other.write_text("one\ntwo\n")
    said = failing(config, tmp_path, capsys, "--cfg-options", f"model.name_path={other}")
    assert "cls_other.txt has 2 lines and BaseSegDataset has 3 classes" in said


def test_the_traceback_is_in_the_log(config, tmp_path, capsys):
    said = failing(config, tmp_path, capsys, "--cfg-options", "model.fail=late")
    log = Path(said.split("the traceback is in ")[1].split(";")[0])
    assert "ZeroDivisionError" in log.read_text() and "Traceback" in log.read_text()
    assert evaluate(config, tmp_path, "--debug", "--cfg-options", "model.fail=late") == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_config_that_does_not_exist(capsys, monkeypatch):
    known = ["configs/cfg_voc20.py", "configs/cfg_voc21.py", "configs/method/vanilla.py"]
    monkeypatch.setattr("proxyclip.engine.config.load._known_configs", lambda: known)
    for wrong in ("config/cfg_voc21.py", "./config/cfg_voc21.py", "configs/cfg_voc21"):
        assert main(["--config", wrong]) == 2
        assert "did you mean configs/cfg_voc21.py?" in capsys.readouterr().err


def test_method_replaces_attention_and_vfm(config, tmp_path):
    method = tmp_path / "plain.py"
    method.write_text("model = dict(attention=dict(type='vanilla'), vfm_model=None, prob_thd=0.3)\n")
    cfg = load_config(EvalOptions(config=str(config)))
    apply_method_file(cfg, method)
    assert cfg.model.attention == dict(type="vanilla") and cfg.model.vfm_model is None and cfg.model.prob_thd == 0.3
    method.write_text("model = dict(attention=dict(type='vanilla', scale=2))\n")
    apply_method_file(cfg, method)
    assert cfg.model.attention == dict(type="vanilla", scale=2)


def test_a_new_type_drops_the_old_arguments(config):
    changes = ("model.attention.type=naclip", "model.vfm_model=None")
    options = EvalOptions(config=str(config), cfg_options=changes)
    cfg = load_config(options)
    assert cfg.model.attention == dict(type="naclip") and cfg.model.vfm_model is None


def test_identity_follows_what_changes_a_number(config, tmp_path):
    def identity(**options):
        return run_identity(load_config(EvalOptions(config=str(config), **options)), "cpu")

    base = identity()
    assert identity(workers=2, work_dir=str(tmp_path)) == base
    assert identity(limit=2) != base
    assert identity(cfg_options=("model.prob_thd=0.5",)) != base
    vocabulary = config.parent / "cls_dummy.txt"
    text = vocabulary.read_text()
    try:
        vocabulary.write_text(text.replace("dark", "black"))
        assert identity() != base
    finally:
        vocabulary.write_text(text)


def test_data_root_serves_configs_that_do_not_read_the_variable(config, tmp_path):
    plain = tmp_path / "cfg_plain.py"
    plain.write_text(config.read_text().replace("{{$DATA_ROOT:", "").replace("}}'", "'"))
    cfg = load_config(EvalOptions(config=str(plain), data_root="/elsewhere"))
    assert cfg.test_dataloader.dataset.data_root == "/elsewhere"


def test_pictures_without_ground_truth_or_file(tmp_path):
    sample = SegDataSample(metainfo={"ori_shape": (6, 9)})
    sample.pred_sem_seg = PixelData(data=__import__("torch").zeros(1, 6, 9, dtype=int))
    dataset = type("D", (), {"metainfo": {"classes": ("a", "b"), "palette": None}})()
    runner = type("R", (), {"test_dataloader": type("L", (), {"dataset": dataset})()})()
    ComparisonImageHook(tmp_path).after_test_iter(runner, 0, {"inputs": [None]}, [sample])
    (path,) = tmp_path.glob("*.png")
    assert cv2.imread(str(path)).shape[1] > 2 * 9 * 53  # two panels, enlarged


def test_message_finds_the_cause():
    try:
        try:
            raise RuntimeError("operator torchvision::nms does not exist")
        except RuntimeError as inner:
            raise ImportError("no timm") from inner
    except ImportError as error:
        assert "same index" in format_error(error)
    worker = "Caught X in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  f\nOSError: gone"
    assert format_error(RuntimeError(worker)) == "OSError: gone"
    assert format_error(AssertionError()).startswith("AssertionError: no text")


def test_the_data_root_of_one_run_is_not_the_next_ones(monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_ROOT", "before")
    cfg = load_config(EvalOptions(config="configs/cfg_voc21.py", data_root=str(tmp_path)))
    assert cfg.test_dataloader.dataset.data_root == f"{tmp_path}/VOCdevkit/VOC2012"
    assert load_config(EvalOptions(config="configs/cfg_voc21.py")).test_dataloader.dataset.data_root == (
        "before/VOCdevkit/VOC2012"
    )


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), TerminationSignal("terminated")])
def test_an_interruption_is_one_word(config, tmp_path, monkeypatch, capsys, stop):
    def interrupt(*_):
        raise stop

    for target in ("proxyclip.engine.evaluation.evaluate.load_config", "proxyclip.engine.sweep.cells.load_config"):
        monkeypatch.setattr(target, interrupt)
    assert evaluate(config, tmp_path) == 130
    assert capsys.readouterr().err == f"{str(stop) or 'interrupted'}\n"
