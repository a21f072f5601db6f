"""eval_all.py: resuming, going on after a failure, missing data, and the exit code."""

import json
import subprocess
from pathlib import Path

import pytest
from dummy_world import make_world

import eval_all
from proxyclip import configs, results


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A work dir, two good configs, one that fails and one without data; the runs are acted, not run."""
    monkeypatch.delenv("DATA_ROOT", raising=False)
    good = make_world(tmp_path)
    text = good.read_text()
    for name, old, new in (
        ("other", "prob_thd=0.1", "prob_thd=0.2"),
        ("fails", "prob_thd=0.1", "fail='build'"),
        ("empty", "{{$DATA_ROOT:", "/nowhere{{$NOTHING:"),
    ):
        (tmp_path / f"cfg_{name}.py").write_text(text.replace(old, new))
    started = []

    def act(words, **_):
        config = words[words.index("--config") + 1]
        started.append(Path(config).stem)
        if "fails" in config:
            return subprocess.CompletedProcess(words, 1)
        cfg = configs.load(configs.Options(config=config, work_dir=str(tmp_path)))
        identity = configs.run_identity(cfg, "cpu")
        run = {"identity": identity, "metrics": {"mIoU": 50.0}, "dataset": {"images": 7}, "method": "proxy"}
        results.record(run, tmp_path)
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(eval_all.subprocess, "run", act)
    return tmp_path, started


def call(folder: Path, *names: str, more: tuple[str, ...] = ()) -> int:
    files = [str(folder / f"cfg_{name}.py") for name in names]
    return eval_all.main(["--configs", *files, "--work-dir", str(folder), "--device", "cpu", *more])


def test_goes_on_after_failures_and_resumes(world, capsys):
    folder, started = world
    assert call(folder, "fails", "empty", "dummy", "other", "absent") == 1
    assert started == ["cfg_fails", "cfg_dummy", "cfg_other"]
    said = capsys.readouterr().out
    assert "no data: The data of BaseSegDataset are not on disk" in said and "There is no config" in said
    assert said.count("50.00") == 2
    started.clear()
    assert call(folder, "dummy", "other") == 0
    assert started == [] and capsys.readouterr().out.count("kept") == 4  # said and shown in the table
    assert call(folder, "dummy", more=("--force",)) == 0 and started == ["cfg_dummy"]


def test_dry_run_runs_nothing(world, capsys):
    folder, started = world
    assert call(folder, "dummy", more=("--dry-run", "--limit", "3")) == 0
    assert started == [] and "--limit 3" in capsys.readouterr().out


def test_missing_data_fail_only_what_was_asked_for(world, monkeypatch):
    folder, _ = world
    assert call(folder, "empty") == 1
    monkeypatch.setattr(eval_all, "default_configs", lambda: [str(folder / "cfg_empty.py")])
    assert eval_all.main(["--work-dir", str(folder), "--device", "cpu"]) == 0


def test_command_lines():
    args = eval_all.parse(["--gpus", "4", "--limit", "2", "--cfg-options", "a=1", "b=2", "--methods", "vanilla"])
    words = eval_all.command(eval_all.Cell("configs/cfg_x.py", "vanilla"), args)
    assert words[2].endswith("bash") or "dist_test.sh" in words[3]
    assert words[4:6] == ["configs/cfg_x.py", "4"] and words[-3:] == ["--cfg-options", "a=1", "b=2"]
    args.gpus = None
    words = eval_all.command(eval_all.Cell("configs/cfg_x.py", None), args)
    assert words[1].endswith("eval.py") and "--method" not in words


def test_help_is_quick():
    code = "import sys, eval_all; sys.modules['torch'] = None; eval_all.main(['--help'])"
    done = subprocess.run([eval_all.sys.executable, "-c", code], cwd=eval_all.ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "does not stop the rest" in done.stdout


def test_one_real_cell(tmp_path, monkeypatch):
    """Through the real eval.py: the record is found under the identity computed before the run."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    make_world(tmp_path)
    assert call(tmp_path, "dummy") == 0
    (path,) = (tmp_path / "records").glob("*.json")
    assert json.loads(path.read_text())["dataset"]["images"] == 7
