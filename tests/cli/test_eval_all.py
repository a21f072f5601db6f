"""eval_all.py: resuming, going on after a failure, missing data, comparison, the exit code, and Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.dummy_dataset import make_world

from proxyclip.cli.eval_all import main, parse_sweep_options
from proxyclip.engine.config.load import load_config
from proxyclip.engine.config.names import list_methods
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.evaluation.identity import run_identity
from proxyclip.engine.sweep.cells import Cell, build_eval_command, find_cell_target, make_cells
from proxyclip.engine.sweep.display import COMPARISON_COLUMNS, PROTOCOL_FOOTNOTE
from proxyclip.engine.sweep.run import PROGRESS_VARIABLE
from proxyclip.results.published import PublishedResult
from proxyclip.results.records import save_record
from proxyclip.utils.paths import ROOT

TINY = "configs/cfg_tinyworld.py"
READY = "ready"  # printed by a stand-in for eval.py once it runs


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A work dir, good configs, one that fails and one without data; nothing is evaluated."""
    for name in ("DATA_ROOT", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    for target in ("proxyclip.engine.evaluation.identity.hash_code", "proxyclip.engine.evaluation.record.hash_code"):
        monkeypatch.setattr(target, lambda trained=False: "the code")
    good = make_world(tmp_path)
    text = good.read_text()
    for name, old, new in (
        *((f"other{n}", "prob_thd=0.1", f"prob_thd=0.2{n}") for n in ("", 1, 2, 3, 4, 5)),
        ("fails", "prob_thd=0.1", "fail='build'"),
        ("empty", "{{$DATA_ROOT:", "/nowhere{{$NOTHING:"),
    ):
        (tmp_path / f"cfg_{name}.py").write_text(text.replace(old, new))
    started = []

    def act(argv, env, log):
        config = argv[argv.index("--config") + 1]
        started.append(Path(config).stem)
        if "fails" in config:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text("7 images\nerror: the weights are gone\n(the traceback is in a.log; --debug shows it)\n")
            return 1
        record(tmp_path, config, argv[argv.index("--vfm") + 1] if "--vfm" in argv else None)
        return 0

    monkeypatch.setattr("proxyclip.engine.sweep.jobs.run_command", act)
    return tmp_path, started


def record(folder: Path, config: str, vfm: str | None = None, **more) -> None:
    """Save the record of a config, as of a run on the CPU."""
    cfg, method = load_config(EvalOptions(config=config, work_dir=str(folder), vfm=vfm))
    run = {"metrics": {"mIoU": 50.0}, "dataset": {"images": 7}, "method": "proxy", "scoring": "correct"}
    save_record({**run, "identity": run_identity(cfg, method, "cpu"), **more}, folder)


def call(folder: Path, *names: str, more: tuple[str, ...] = ()) -> int:
    files = [str(folder / f"cfg_{name}.py") for name in names]
    return main(["--configs", *files, "--work-dir", str(folder), "--device", "cpu", *more])


def rows(output: str) -> dict[str, dict[str, str]]:
    """Rows of a Markdown table, each a dict by column, by the stem of the config."""
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in output.splitlines() if line[:1] == "|"]
    return {Path(row[0]).name: dict(zip(table[0], row, strict=True)) for row in table[2:]}


def test_sweep_continues_after_failures_and_resumes(world, capsys):
    folder, started = world
    assert call(folder, "fails", "empty", "dummy", "other", "absent", more=("--markdown",)) == 1
    assert started == ["cfg_fails", "cfg_dummy", "cfg_other"]
    output = capsys.readouterr().out
    assert "no data: The data of BaseSegDataset are not on disk" in output and "There is no config" in output
    assert "failed: the weights are gone (log: " in output and "001-" in output
    assert output.count("    done: mIoU 50.00 (") == 2
    shown = {name: (row["state"], row["mIoU"]) for name, row in rows(output).items()}
    assert shown == {
        "cfg_fails": ("failed", "-"), "cfg_empty": ("no data", "-"), "cfg_absent": ("failed", "-"),
        "cfg_dummy": ("done", "50.00"), "cfg_other": ("done", "50.00"),
    }  # fmt: skip
    started.clear()
    assert call(folder, "dummy", "other") == 0
    assert started == [] and capsys.readouterr().out.count("kept") == 3  # printed, and for all of the table
    assert call(folder, "dummy", more=("--force",)) == 0 and started == ["cfg_dummy"]


def test_sweep_keeps_incomplete_records_with_skip_bad(world, capsys):
    folder, started = world
    record(folder, str(folder / "cfg_dummy.py"), left_out=[{"file": "3.png", "why": "broken"}])
    assert call(folder, "dummy", more=("--skip-bad",)) == 0 and started == []
    assert call(folder, "dummy", more=("--dry-run",)) == 0 and started == []
    assert "would run: " in capsys.readouterr().out
    assert call(folder, "dummy") == 0 and started == ["cfg_dummy"]
    assert call(folder, "other", more=("--skip-bad", "--dry-run")) == 0
    assert "--skip-bad" in capsys.readouterr().out


def test_sweep_dry_run_runs_nothing(world, capsys):
    folder, started = world
    assert call(folder, "dummy", more=("--dry-run", "--limit", "3", "--cfg-options", "model.name_path=a b")) == 0
    output = capsys.readouterr().out
    assert started == [] and "--limit 3" in output and "'model.name_path=a b'" in output
    assert not (folder / "records").exists() and not (folder / "logs").exists()


def test_sweep_runs_equal_cells_once(world, capsys):
    folder, started = world
    (folder / "cfg_same.py").write_text((folder / "cfg_dummy.py").read_text())
    assert call(folder, "dummy", "same", more=("--markdown",)) == 0 and started == ["cfg_dummy"]
    output = capsys.readouterr().out
    same = rows(output)["cfg_same"]
    assert "    as [1]" in output and (same["state"], same["mIoU"]) == ("kept", "50.00")


def test_sweep_missing_data_fail_requested_configs_only(world, monkeypatch):
    folder, _ = world
    assert call(folder, "empty") == 1
    monkeypatch.setattr("proxyclip.engine.sweep.cells.default_configs", lambda: [str(folder / "cfg_empty.py")])
    assert main(["--work-dir", str(folder), "--device", "cpu"]) == 0


def test_build_eval_command_formats_arguments():
    arguments = ["--gpus", "4", "--limit", "2", "--cfg-options", "a=1", "b=2", "--methods", "vanilla"]
    options = parse_sweep_options(arguments)
    argv = build_eval_command(Cell("configs/cfg_x.py", "vanilla"), options)
    assert argv[2] == "bash" and argv[3] == str(ROOT / "dist_test.sh")
    assert argv[4:6] == ["configs/cfg_x.py", "4"] and argv[-3:] == ["--cfg-options", "a=1", "b=2"]
    options = replace(options, gpus=None)
    argv = build_eval_command(Cell("configs/cfg_x.py"), options)
    assert argv[1] == str(ROOT / "eval.py") and not {"--method", "--vfm", "--clip", "--skip-bad"} & set(argv)
    argv = build_eval_command(Cell("configs/cfg_x.py", "naclip", "dino-s16", "ViT-L-14,openai"), options)
    assert argv[-9:-3] == ["--method", "naclip", "--vfm", "dino-s16", "--clip", "ViT-L-14,openai"]
    options = parse_sweep_options(["--gpus", "0,1,2,3", "--gpus-per-job", "2"])
    assert build_eval_command(Cell("configs/cfg_x.py"), options)[4:6] == ["configs/cfg_x.py", "2"]
    options = parse_sweep_options(["--gpus", "0,"])
    assert options.gpus == ("0",) and "eval.py" in build_eval_command(Cell("configs/cfg_x.py"), options)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--gpus 0", "one GPU: '0,'"),
        ("--gpus 1,1", "different GPUs"),
        ("--gpus-per-job 2", "needs a list"),
        ("--gpus 0,1,2 --gpus-per-job 2", "divide the 3 GPUs"),
        ("--gpus 0,1 --jobs 2", "leave out --jobs"),
        ("--jobs 0", "1 or more"),
        ("--strict -1", "0 or more"),
        ("--slurm-options time=1", "need --slurm"),
    ],
)
def test_parse_sweep_options_refuses_contradictions(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        parse_sweep_options(arguments.split())
    assert message in capsys.readouterr().err


def cells(*argv: str) -> list[tuple]:
    options = parse_sweep_options(["--configs", TINY, *argv])
    return [(cell.method, cell.vfm, cell.clip) for cell in make_cells(options)]


def test_make_cells_combines_methods_with_usable_vfms():
    assert cells() == [(None, None, None)]
    assert cells("--methods", "vanilla", "proxy") == [("vanilla", None, None), ("proxy", None, None)]
    got = cells("--methods", "sclip", "proxy", "naclip", "gla", "sclip", "--vfms", "tiny", "clip")
    guided = [("tiny", None), ("clip", None)]
    want = [("sclip", None, None), *(("proxy", *models) for models in guided)]
    want += [
        ("naclip", "none", None),
        *(("naclip", *models) for models in guided),
        *(("gla", *models) for models in guided),
    ]
    assert got == want
    clips = ("ViT-B-16", "ViT-L-14")
    assert cells("--clips", *clips, "--vfms", "dino") == [(None, "dino", clip) for clip in clips]
    assert cells("--methods", "no_such", "--vfms", "dino") == [("no_such", None, None)]


def test_make_cells_expands_all_methods():
    methods = [method for method, _, _ in cells("--methods", "all", "proxy")]
    assert methods == list_methods() and len(methods) > 5
    assert len(cells("--methods", "all", "--vfms", "tiny")) == len(methods) + 1  # naclip twice


def test_sweep_takes_protocols_and_folders():
    def configs(*argv: str) -> list[str]:
        return [cell.config for cell in make_cells(parse_sweep_options(argv))]

    order = ("voc21", "context60", "coco_object", "voc20", "city_scapes", "context59", "ade20k", "coco_stuff164k")
    naclip, gla = ([f"configs/{folder}/cfg_{name}.py" for name in order] for folder in ("naclip", "gla"))
    assert configs("--protocol", "naclip") == naclip
    assert configs("--protocol", "naclip", "gla", "naclip") == [*naclip, *gla]
    assert configs("--configs", "configs/naclip") == sorted(naclip)
    both = configs("--configs", TINY, "configs/gla", "--protocol", "naclip", "gla")
    assert both == [TINY, *sorted(gla), *naclip]
    assert configs("--protocol", "proxyclip")[:2] == ["configs/cfg_voc21.py", "configs/cfg_context60.py"]
    methods = [
        cell.method for cell in make_cells(parse_sweep_options(["--protocol", "gla", "--methods", "proxy", "gla"]))
    ]
    assert methods == ["proxy", "gla"] * 8


def test_make_cells_gives_a_config_without_vfm_no_vfm():
    options = parse_sweep_options(["--configs", "configs/sclip/cfg_voc21.py", TINY, "--vfms", "dino", "clip"])
    got = [(Path(cell.config).parent.name, cell.vfm) for cell in make_cells(options)]
    assert got == [("sclip", None), ("configs", "dino"), ("configs", "clip")]


@pytest.mark.parametrize(
    ("protocol", "method", "count", "first"),
    [
        ("proxyclip", None, 8, "61.30"), ("sclip", None, 9, "59.63"), ("clearclip", None, 8, "~51.80"),
        ("clearclip", "vanilla", 8, "~16.20"), ("naclip", None, 8, "64.07"), ("resclip", None, 8, "61.10"),
        ("sc_clip", None, 8, "64.60"), ("gla", None, 5, "~66.30"),
    ],
)  # fmt: skip
def test_sweep_dry_run_lists_targets_without_data(tmp_path, capsys, protocol, method, count, first):
    """The count is that of published numbers: GLA-CLIP has five, and Context-459 and ADE20K-847 have none."""
    argv = ["--protocol", protocol, "--compare", "--dry-run", "--markdown", "--data-root", str(tmp_path / "none")]
    argv += ["--methods", method] if method else []
    assert main([*argv, "--work-dir", str(tmp_path)]) == 1  # asked for, and no data
    shown = rows(capsys.readouterr().out)
    assert {row["state"] for row in shown.values()} == {"no data"}
    assert {row["method"] for row in shown.values()} == {method or {"proxyclip": "proxy"}.get(protocol, protocol)}
    assert next(iter(shown)) == "cfg_voc21" and shown["cfg_voc21"]["target"] == first
    assert sum(row["target"] != "-" for row in shown.values()) == count


def test_sweep_answers_unknown_protocols_and_empty_folders(tmp_path, capsys):
    for argv, message in (
        (["--protocol", "naclp"], "no protocol 'naclp': expected one of clearclip, gla, naclip, proxyclip"),
        (["--protocol", "naclp"], "Did you mean naclip?"),
        (["--configs", str(tmp_path)], "there is no cfg_*.py in "),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(argv)
        assert message in " ".join(capsys.readouterr().err.split())


def test_sweep_refuses_impossible_cells_without_failure(world, capsys):
    folder, started = world
    argv = ["--configs", TINY, "--work-dir", str(folder), "--device", "cpu", "--dry-run"]
    assert main([*argv, "--methods", "proxy", "--vfms", "none", "tiny"]) == 0
    output = capsys.readouterr().out
    assert "refused: proxy needs a VFM, but vfm_model is None" in output and "without a VFM: clearclip" in output
    assert "would run: " in output and "--method proxy --vfm tiny" in output and started == []
    assert main([*argv, "--methods", "proxi", "--vfms", "tiny"]) == 1
    assert "error: There is no method 'proxi'" in capsys.readouterr().err
    assert main([*argv, "--methods", "proxi", "vanilla", "--vfms", "tiny"]) == 1
    assert "failed: There is no method 'proxi'" in capsys.readouterr().out
    assert main([*argv, "--vfms", "dyno"]) == 1
    assert "mean 'dino'?" in capsys.readouterr().err


def test_sweep_prints_markdown_table(world, capsys):
    folder, _ = world
    assert call(folder, "dummy", more=("--markdown", "--vfms", "none")) == 0
    row = rows(capsys.readouterr().out)["cfg_dummy"]
    assert row.pop("config").endswith("cfg_dummy") and row.pop("record")
    assert row == {
        "method": "DummySegmentor", "VFM": "none", "CLIP": "dummy,none", "state": "done", "mIoU": "50.00", "aAcc": "-",
        "mAcc": "-", "images": "7",
    }  # fmt: skip


def test_sweep_runs_one_job_a_gpu(world, monkeypatch):
    folder, _ = world
    busy, seen, lock, four = set(), [], threading.Lock(), threading.Barrier(4, timeout=60)

    def act(argv, env, log):
        gpu = env["CUDA_VISIBLE_DEVICES"]
        with lock:
            assert gpu not in busy
            busy.add(gpu)
            seen.append((gpu, env["OMP_NUM_THREADS"], env[PROGRESS_VARIABLE]))
            number = len(seen)
        if number <= 4:
            four.wait()  # as many at once as there are GPUs, or this fails
        with lock:
            busy.remove(gpu)
        return 1

    monkeypatch.setattr("proxyclip.engine.sweep.jobs.run_command", act)
    monkeypatch.setattr("proxyclip.engine.sweep.jobs.count_cores", lambda: 12)
    files = [str(folder / f"cfg_other{n}.py") for n in ("", 1, 2, 3, 4, 5)]
    assert main(["--configs", *files, "--work-dir", str(folder), "--gpus", "0,1,2,7"]) == 1
    assert {gpu for gpu, _, _ in seen[:4]} == {"0", "1", "2", "7"} and len(seen) == 6
    assert {threads for _, threads, _ in seen} == {"3"} and len({file for _, _, file in seen}) == 6
    assert not four.broken and not busy


def test_sweep_gives_one_job_all_gpus(world, monkeypatch):
    folder, _ = world
    seen = []
    monkeypatch.setattr("proxyclip.engine.sweep.jobs.run_command", lambda argv, env, log: seen.append((argv, env)) or 1)
    arguments = ["--work-dir", str(folder), "--gpus", "0,1,2,3", "--gpus-per-job", "4"]
    assert main(["--configs", str(folder / "cfg_dummy.py"), *arguments]) == 1
    ((argv, env),) = seen
    assert env["CUDA_VISIBLE_DEVICES"] == "0,1,2,3" and argv[3].endswith("dist_test.sh") and argv[5] == "4"


@pytest.fixture
def targets(monkeypatch):
    """Published results by the name of the config: 50.1 for dummy, 48 for other, a doubtful one for other1."""
    results = {
        "dummy": PublishedResult(50.1, True, "a paper", "", ""),
        "other": PublishedResult(48.0, True, "a paper", "", ""),
        "other1": PublishedResult(10.0, False, "a README", "", ""),
        "empty": PublishedResult(60.0, True, "a paper", "", ""),
    }
    name = {"cfg_" + short: target for short, target in results.items()}
    monkeypatch.setattr(
        "proxyclip.engine.sweep.cells.find_cell_target", lambda cfg, options, method: name.get(Path(cfg.filename).stem)
    )
    monkeypatch.setattr(
        "proxyclip.engine.sweep.display.find_published_result", lambda run: name.get(run.get("config_name"))
    )


def record_configs(folder: Path, *names: str, **more) -> None:
    for name in names:
        record(folder, str(folder / f"cfg_{name}.py"), config_name=f"cfg_{name}", **more)


def test_sweep_compares_records_with_published_results(world, targets, capsys):
    folder, started = world
    record_configs(folder, "dummy", "other1", "other2")
    assert call(folder, "dummy", "other", "other1", "other2", more=("--compare", "--dry-run", "--markdown")) == 0
    output = capsys.readouterr().out
    columns = ("state", *COMPARISON_COLUMNS)
    shown = {name: tuple(row[column] for column in columns) for name, row in rows(output).items()}
    assert shown == {
        "cfg_dummy": ("kept", "50.10", "-0.10", "a paper"),
        "cfg_other": ("would run", "48.00", "-", "a paper"),
        "cfg_other1": ("kept", "~10.00", "+40.00", "a README"),
        "cfg_other2": ("kept", "-", "-", "-"),
    }
    assert PROTOCOL_FOOTNOTE in output and started == []
    assert call(folder, "dummy", more=("--compare", "--dry-run")) == 0
    assert PROTOCOL_FOOTNOTE not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("names", "points", "code", "verdict"),
    [
        (("dummy", "other1"), "0.1", 0, "reproduced: 1 of 1 within 0.1 mIoU\n"),
        (("dummy",), "0.09", 1, "0 of 1 within 0.09 mIoU (off: cfg_dummy DummySegmentor eyes: 50.00 instead of 50.10)"),
        (("dummy", "other"), "2", 0, "reproduced: 2 of 2"),
        (("dummy", "other"), "1", 1, "reproduced: 1 of 2 within 1 mIoU (off: "),
        (("dummy", "empty"), "1", 1, "reproduced: 1 of 2 within 1 mIoU (missing: "),
        (("other1", "other2"), "1", 1, "reproduced: nothing to compare"),
    ],
)  # fmt: skip
def test_sweep_strict_sets_exit_code(world, targets, capsys, monkeypatch, names, points, code, verdict):
    folder, _ = world
    record_configs(folder, *(name for name in names if name != "empty"))
    monkeypatch.setattr(
        "proxyclip.engine.sweep.cells.default_configs", lambda: [str(folder / f"cfg_{name}.py") for name in names]
    )
    argv = ["--work-dir", str(folder), "--device", "cpu", "--strict", points]
    assert main([*argv, "--dry-run"]) == code
    assert verdict in capsys.readouterr().out


def test_sweep_strict_leaves_out_incomparable_runs(world, targets, capsys, monkeypatch):
    folder, _ = world
    record_configs(folder, "dummy", left_out=[{"file": "3.png", "why": "broken"}])
    monkeypatch.setattr("proxyclip.engine.sweep.display.find_published_result", lambda run: None)
    assert call(folder, "dummy", more=("--skip-bad", "--strict", "5", "--dry-run")) == 1
    assert "images are left out" in capsys.readouterr().out
    assert call(folder, "dummy", more=("--strict", "5", "--dry-run")) == 1  # would have to run
    assert "missing: " in capsys.readouterr().out


def test_find_cell_target_needs_unchanged_whole_run():
    def find_target(**changes):
        options = EvalOptions(config=TINY, **changes)
        return find_cell_target(load_config(options)[0], options, "proxy")

    assert find_target().exact
    for changes in (dict(limit=3), dict(scoring="published"), dict(cfg_options=("model.prob_thd=0.5",))):
        assert find_target(**changes) is None


STAND_IN = f"""
import os, signal, sys, time
def end(*_):
    print("saved", flush=True)
    sys.exit(130)
signal.signal(signal.SIGTERM, end)
print("pid", os.getpid(), flush=True)
os.write(int(sys.argv[1]), b"{READY[0]}")
time.sleep(60)
"""
DRIVER = """
import subprocess, sys
from proxyclip.cli import eval_all
from proxyclip.engine.sweep import cells as grid, jobs
start = subprocess.Popen
jobs.subprocess.Popen = lambda argv, **more: start(argv, pass_fds=[int(sys.argv[2])], **more)
grid.build_eval_command = lambda cell, options: [sys.executable, "-c", sys.argv[1], sys.argv[2]]
sys.exit(eval_all.main(sys.argv[3:]))
"""


@pytest.mark.slow
def test_sweep_sigterm_ends_children(tmp_path):
    """They get the signal and save; the exit code is 130."""
    make_world(tmp_path)
    text = (tmp_path / "cfg_dummy.py").read_text()
    (tmp_path / "cfg_other.py").write_text(text.replace("prob_thd=0.1", "prob_thd=0.2"))
    hear, say = os.pipe()
    argv = [sys.executable, "-c", DRIVER, STAND_IN, str(say), "--device", "cpu", "--jobs", "2"]
    argv += ["--configs", *(str(tmp_path / f"cfg_{name}.py") for name in ("dummy", "other"))]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    parent = subprocess.Popen(
        [*argv, "--work-dir", str(tmp_path)], env=env, pass_fds=[say], stdout=-1, stderr=-1, text=True
    )
    os.close(say)
    try:
        for _ in range(2):
            assert os.read(hear, 1) == READY[:1].encode(), parent.communicate()
        parent.send_signal(signal.SIGTERM)
        assert os.read(hear, 1) == b""  # the pipe closes when all who could write to it are gone
        out, err = parent.communicate()
    finally:
        parent.kill()
        os.close(hear)
    logs = [path.read_text() for path in (tmp_path / "logs" / "eval_all").glob("*.log")]
    assert len(logs) == 2 and all("saved" in log for log in logs)
    assert parent.returncode == 130 and out.count("interrupted") >= 2
    assert "run the same command again to go on" in err


@pytest.mark.slow
def test_sweep_runs_real_cell(tmp_path, monkeypatch):
    """Through the real eval.py: the record is found under the identity computed before the run."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    make_world(tmp_path)
    assert call(tmp_path, "dummy") == 0
    (path,) = (tmp_path / "records").glob("*.json")
    assert json.loads(path.read_text())["dataset"]["images"] == 7
    (log,) = (tmp_path / "logs" / "eval_all").glob("001-*-DummySegmentor-eyes.log")
    assert "7 images" in log.read_text()
