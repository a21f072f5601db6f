"""eval.py from its command line to its files, with a segmentor without weights."""

import json
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
from proxyclip.utils.termination import TerminationSignal

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_environment")]


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


def load_only_record(work_dir: Path) -> dict:
    (path,) = (work_dir / "records").glob("*.json")
    return json.loads(path.read_text())


def test_eval_writes_record_tables_pictures_and_log(config, tmp_path, capsys):
    assert evaluate(config, tmp_path, "--show-dir", str(tmp_path / "pictures")) == 0
    output = capsys.readouterr()
    run = load_only_record(tmp_path)
    assert f"mIoU {run['metrics']['mIoU']:.2f}" in output.out and "mmengine" not in output.out + output.err
    assert len(output.out.splitlines()) < 25
    assert [row["name"] for row in run["per_class"]] == list(CLASSES)
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


def test_eval_again_keeps_one_row(config, tmp_path):
    assert evaluate(config, tmp_path, "--workers", "0") == 0
    first = load_only_record(tmp_path)
    assert evaluate(config, tmp_path, "--workers", "1") == 0
    second = load_only_record(tmp_path)
    assert second["metrics"] == first["metrics"] and second["identity"] == first["identity"]
    assert len(sheet_rows(tmp_path / "results.xlsx")) == 1


def test_eval_scoring_is_printed_and_has_its_own_record(config, tmp_path, capsys):
    assert evaluate(config, tmp_path) == 0
    assert "mIoU is over the 3 classes labelled or predicted (MMSegmentation's rule)" in capsys.readouterr().out
    assert evaluate(config, tmp_path, "--scoring", "published") == 0
    assert "--scoring published" in capsys.readouterr().out
    correct, published = load_records(tmp_path)
    assert (correct["scoring"], published["scoring"]) == ("correct", "published")
    assert correct["metrics"] == published["metrics"] and correct["identity"] != published["identity"]
    assert correct["metrics"]["mIoU_gt"] == correct["metrics"]["mIoU"]
    assert correct["classes_in"] == {"mIoU": 3, "mIoU_gt": 3}
    matrix = to_dense_confusion(correct)
    assert matrix.sum(1).tolist() == [row["pixels"] for row in correct["per_class"]]
    assert matrix.trace() / matrix.sum() * 100 == pytest.approx(correct["metrics"]["aAcc"])
    rows = sheet_rows(tmp_path / "results.xlsx")
    assert [row["scoring"] for row in rows] == ["correct", "published"]
    assert rows[0]["fwIoU"] == correct["metrics"]["fwIoU"]


def test_eval_limit_is_marked(config, tmp_path, capsys):
    assert evaluate(config, tmp_path, "--limit", "3") == 0
    run = load_only_record(tmp_path)
    assert run["dataset"]["images"] == 3 and run["partial"] is True and "first 3 images only" in capsys.readouterr().out
    assert evaluate(config, tmp_path, "--limit", "3", "--cfg-options", "model.prob_thd=0.2") == 0
    assert len(list((tmp_path / "records").iterdir())) == 2


def evaluate_failing(config, tmp_path, capsys, *arguments: str) -> str:
    """Return the standard error of a run that ends with exit code 1, one message and no traceback on the console."""
    assert evaluate(config, tmp_path, *arguments) == 1
    output = capsys.readouterr()
    assert "Traceback" not in output.out + output.err and output.err.count("error:") == 1
    return output.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--scoring", "published", "--cfg-options", "test_evaluator.type=DepthMetric"], "of type SegMetric"),
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
        (["--cfg-options", "model.fail=late"], "ZeroDivisionError: a fault in the code (dummy_dataset.py"),
        (["--limit", "0"], "--limit to be 1 or more"),
        (["--launcher", "pytorch"], "torchrun"),
    ],
)
def test_eval_error_is_one_message(config, tmp_path, capsys, monkeypatch, arguments, expected):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert expected in evaluate_failing(config, tmp_path, capsys, *arguments)


def test_eval_refuses_vocabulary_of_another_length(config, tmp_path, capsys):
    other = tmp_path / "cls_other.txt"
    other.write_text("one\ntwo\n")
    error = evaluate_failing(config, tmp_path, capsys, "--cfg-options", f"model.name_path={other}")
    assert "cls_other.txt has 2 lines and BaseSegDataset has 3 classes" in error


def test_eval_logs_traceback(config, tmp_path, capsys):
    error = evaluate_failing(config, tmp_path, capsys, "--cfg-options", "model.fail=late")
    log = Path(error.split("the traceback is in ")[1].split(";")[0])
    assert "ZeroDivisionError" in log.read_text() and "Traceback" in log.read_text()
    assert evaluate(config, tmp_path, "--debug", "--cfg-options", "model.fail=late") == 1
    assert "Traceback" in capsys.readouterr().err


def test_eval_suggests_config_for_unknown_path(capsys, monkeypatch):
    known = ["configs/cfg_voc20.py", "configs/cfg_voc21.py", "configs/method/vanilla.py"]
    monkeypatch.setattr("proxyclip.engine.config.names._known_configs", lambda: known)
    for wrong in ("config/cfg_voc21.py", "./config/cfg_voc21.py", "configs/cfg_voc21"):
        assert main(["--config", wrong]) == 2
        assert "did you mean configs/cfg_voc21.py?" in capsys.readouterr().err


def test_apply_method_file_replaces_attention_and_vfm(config, tmp_path):
    method = tmp_path / "plain.py"
    method.write_text("model = dict(attention=dict(type='vanilla'), vfm_model=None, prob_thd=0.3)\n")
    cfg, _ = load_config(EvalOptions(config=str(config)))
    apply_method_file(cfg, method)
    assert cfg.model.attention == dict(type="vanilla") and cfg.model.vfm_model is None and cfg.model.prob_thd == 0.3
    method.write_text("model = dict(attention=dict(type='vanilla', scale=2))\n")
    apply_method_file(cfg, method)
    assert cfg.model.attention == dict(type="vanilla", scale=2)


def test_load_config_drops_arguments_of_replaced_type(config):
    changes = ("model.attention.type=naclip", "model.vfm_model=None")
    options = EvalOptions(config=str(config), cfg_options=changes)
    cfg, _ = load_config(options)
    assert cfg.model.attention == dict(type="naclip") and cfg.model.vfm_model is None


def test_run_identity_changes_with_what_changes_numbers(config, tmp_path):
    def identity(**options):
        return run_identity(*load_config(EvalOptions(config=str(config), **options)), "cpu")

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


def test_load_config_data_root_replaces_plain_path(config, tmp_path):
    plain = tmp_path / "cfg_plain.py"
    plain.write_text(config.read_text().replace("{{$DATA_ROOT:", "").replace("}}'", "'"))
    cfg, _ = load_config(EvalOptions(config=str(plain), data_root="/elsewhere"))
    assert cfg.test_dataloader.dataset.data_root == "/elsewhere"


def test_comparison_image_hook_draws_without_labels(tmp_path):
    sample = SegDataSample(metainfo={"ori_shape": (6, 9)})
    sample.pred_sem_seg = PixelData(data=__import__("torch").zeros(1, 6, 9, dtype=int))
    dataset = type("D", (), {"metainfo": {"classes": ("a", "b"), "palette": None}})()
    runner = type("R", (), {"test_dataloader": type("L", (), {"dataset": dataset})()})()
    ComparisonImageHook(tmp_path).after_test_iter(runner, 0, {"inputs": [None]}, [sample])
    (path,) = tmp_path.glob("*.png")
    assert cv2.imread(str(path)).shape[1] > 2 * 9 * 53  # two panels, enlarged


def test_format_error_names_the_cause():
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


def test_load_config_restores_data_root_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_ROOT", "before")
    cfg, _ = load_config(EvalOptions(config="configs/cfg_voc21.py", data_root=str(tmp_path)))
    assert cfg.test_dataloader.dataset.data_root == f"{tmp_path}/VOCdevkit/VOC2012"
    cfg, _ = load_config(EvalOptions(config="configs/cfg_voc21.py"))
    assert cfg.test_dataloader.dataset.data_root == "before/VOCdevkit/VOC2012"


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), TerminationSignal("terminated")])
def test_eval_interruption_prints_one_line(config, tmp_path, monkeypatch, capsys, stop):
    def interrupt(*_):
        raise stop

    for target in ("proxyclip.engine.evaluation.evaluate.load_config", "proxyclip.engine.sweep.cells.merge_config"):
        monkeypatch.setattr(target, interrupt)
    assert evaluate(config, tmp_path) == 130
    assert capsys.readouterr().err == f"{str(stop) or 'interrupted'}\n"
