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
        vfm = words[words.index("--vfm") + 1] if "--vfm" in words else None
        cfg = configs.load(configs.Options(config=config, work_dir=str(tmp_path), vfm=vfm))
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
    words = eval_all.command(eval_all.Cell("configs/cfg_x.py"), args)
    assert words[1].endswith("eval.py") and not {"--method", "--vfm", "--clip"} & set(words)
    words = eval_all.command(eval_all.Cell("configs/cfg_x.py", "naclip", "dino-s16", "ViT-L-14,openai"), args)
    assert words[-9:-3] == ["--method", "naclip", "--vfm", "dino-s16", "--clip", "ViT-L-14,openai"]


def cells(*words: str) -> list[tuple]:
    args = eval_all.parse(["--configs", "configs/cfg_tinyworld.py", *words])
    return [(cell.method, cell.vfm, cell.clip) for cell in eval_all.grid(args)]


def test_a_method_runs_with_the_vfms_it_can_use():
    assert cells() == [(None, None, None)]
    assert cells("--methods", "vanilla", "proxy") == [("vanilla", None, None), ("proxy", None, None)]
    got = cells("--methods", "sclip", "proxy", "naclip", "gla", "sclip", "--vfms", "tiny", "clip")
    guided = [("tiny", None), ("clip", None)]
    want = [("sclip", None, None), *(("proxy", *one) for one in guided)]
    want += [("naclip", "none", None), *(("naclip", *one) for one in guided), *(("gla", *one) for one in guided)]
    assert got == want
    clips = ("ViT-B-16", "ViT-L-14")
    assert cells("--clips", *clips, "--vfms", "dino") == [(None, "dino", clip) for clip in clips]
    assert cells("--methods", "no_such", "--vfms", "dino") == [("no_such", None, None)]


def test_all_methods():
    found = [method for method, _, _ in cells("--methods", "all", "proxy")]
    assert found == configs.methods() and len(found) > 5
    rows = cells("--methods", "all", "--vfms", "tiny")
    assert len(rows) == len(found) + 1  # naclip twice


def test_what_does_not_go_together_is_refused_and_no_failure(world, capsys):
    folder, started = world
    words = ["--configs", "configs/cfg_tinyworld.py", "--work-dir", str(folder), "--device", "cpu", "--dry-run"]
    assert eval_all.main([*words, "--methods", "proxy", "--vfms", "none", "tiny"]) == 0
    said = capsys.readouterr().out
    assert "refused: proxy needs a VFM, but vfm_model is None" in said and "without a VFM: clearclip" in said
    assert "would run: " in said and "--method proxy --vfm tiny" in said and started == []
    assert eval_all.main([*words, "--methods", "proxi", "--vfms", "tiny"]) == 1
    assert "failed: There is no method 'proxi'" in capsys.readouterr().out
    assert eval_all.main([*words, "--vfms", "dyno"]) == 1
    assert "mean 'dino'?" in capsys.readouterr().out


def test_the_table_in_markdown(world, capsys):
    folder, _ = world
    assert call(folder, "dummy", more=("--markdown", "--vfms", "none")) == 0
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert cells[0] == ["config", "method", "VFM", "CLIP", "state", "mIoU", "aAcc", "mAcc", "images", "record"]
    assert cells[2][1:8] == ["proxy", "none", "dummy,none", "done", "50.00", "-", "-"]


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
