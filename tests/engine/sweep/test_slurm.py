"""The script for Slurm: valid, quoted, a cell a task; played with a stand-in for Python, for there is no Slurm."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from proxyclip.cli.eval_all import main, parse_sweep_options
from proxyclip.engine.config.options import TINYWORLD_CONFIG
from proxyclip.engine.sweep.cells import Cell
from proxyclip.engine.sweep.slurm import CPUS_PER_PROCESS, write_slurm_script
from proxyclip.utils.paths import ROOT


def slurm_script(folder: Path, *words: str, cells: int = 3) -> tuple[Path, str, str]:
    """The script of some cells that wait, its text, and what is said of it."""
    file = folder / "array job.sh"
    options = parse_sweep_options(["--slurm", str(file), "--work-dir", str(folder / "work"), *words])
    waiting = [Cell("configs/cfg_it's.py", method=f"m {n}", number=n, state="waiting") for n in range(cells)]
    said = write_slurm_script([Cell("configs/cfg_kept.py", state="kept"), *waiting], options)
    return file, file.read_text() if file.exists() else "", said


def play(file: Path, task: str | None, cwd: Path) -> tuple[int, list[str], str]:
    """Run one task of a script with a stand-in for Python that says what it gets; exit code, arguments, errors."""
    stand_in = cwd / "my python"
    cores = "[[ $2 == 'import os; print(len'* ]] && echo 8 && exit"  # what dist_test.sh asks first
    stand_in.write_text(f'#!/usr/bin/env bash\n{cores}\nprintf "%s\\0" "$PWD" "$@"\n')
    stand_in.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if name != "SLURM_ARRAY_TASK_ID"}
    env |= {"PYTHON": str(stand_in)} | ({} if task is None else {"SLURM_ARRAY_TASK_ID": task})
    done = subprocess.run(["bash", str(file)], env=env, capture_output=True, text=True, cwd="/")
    return done.returncode, done.stdout.split("\0")[:-1], done.stderr


def test_each_task_of_the_slurm_array_runs_one_cell(tmp_path, monkeypatch):
    home = tmp_path / "it's a $HOME"
    home.mkdir()
    monkeypatch.chdir(home)
    odd = """a='x "y"' $z `w`"""
    file, text, said = slurm_script(tmp_path, "--cfg-options", odd, "b=[1,2]", "--data-root", "/my data", "--skip-bad")
    assert said.startswith(f"{file}: 3 tasks") and said.endswith(f"sbatch '{file}'") and os.access(file, os.X_OK)
    assert subprocess.run(["bash", "-n", str(file)]).returncode == 0
    for task in ("0", "2"):
        code, words, _ = play(file, task, tmp_path)
        assert code == 0 and words[:4] == [str(home), str(ROOT / "eval.py"), "--config", "configs/cfg_it's.py"]
        assert words[words.index("--method") + 1] == f"m {task}" and words[-3:] == ["--cfg-options", odd, "b=[1,2]"]
        assert words[words.index("--device") + 1] == "cuda" and "--skip-bad" in words
        assert words[words.index("--data-root") + 1] == "/my data"
    assert "0 to 2, but got 3" in play(file, "3", tmp_path)[2] and play(file, "3", tmp_path)[0] == 2
    code, words, err = play(file, None, tmp_path)
    assert code != 0 and not words and "sbatch" in err
    default = text.splitlines()[next(i for i, line in enumerate(text.splitlines()) if line.startswith("export PYTHON"))]
    shown = subprocess.run(["bash", "-c", f'{default}; printf %s "$PYTHON"'], env={}, capture_output=True, text=True)
    assert shown.stdout == sys.executable


def sbatch(text: str) -> dict[str, str]:
    lines = [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH ")]
    assert text.splitlines()[1 : 1 + len(lines)] == [f"#SBATCH {line}" for line in lines]  # sbatch stops at commands
    names = [line.partition("=")[0] for line in lines]
    assert len(set(names)) == len(names)
    return {name: line.partition("=")[2] for name, line in zip(names, lines, strict=True)}


def test_options_of_the_slurm_array(tmp_path):
    usual = sbatch(slurm_script(tmp_path)[1])
    assert usual["--array"] == "0-2" and usual["--gres"] == "gpu:1" and usual["--signal"] == "B:TERM@60"
    assert usual["--output"] == str(tmp_path / "work" / "logs" / "slurm" / "%A-%a.log") and "--requeue" in usual
    assert (tmp_path / "work" / "logs" / "slurm").is_dir()
    words = ["--partition=gpu", "time=4:00:00", "--gpus-per-task=2", "cpus-per-task=3", "no-requeue"]
    _, text, _ = slurm_script(tmp_path, "--slurm-options", *words, "--slurm-limit", "2", "--gpus", "4")
    own = sbatch(text)
    assert own["--array"] == "0-2%2" and own["--partition"] == "gpu" and own["--time"] == "4:00:00"
    assert own["--gpus-per-task"] == "2" and own["--cpus-per-task"] == "3" and "--no-requeue" in own
    assert not {"--gres", "--requeue"} & set(own)
    assert "-c 5" in sbatch(slurm_script(tmp_path, "--slurm-options", "-c 5")[1])
    assert "--cpus-per-task" not in sbatch(slurm_script(tmp_path, "--slurm-options", "-c 5")[1])
    assert "--gres" not in sbatch(slurm_script(tmp_path, "--device", "cpu")[1])
    for words, why in (("array=0-9", "--slurm-limit"), ("a\nrm -rf", "expected options")):
        with pytest.raises(ValueError, match=why):
            slurm_script(tmp_path, "--slurm-options", words)


def test_several_gpus_a_task(tmp_path):
    for words in (["--gpus", "4"], ["--gpus", "0,1,2,3", "--gpus-per-job", "4"]):
        file, text, _ = slurm_script(tmp_path, *words)
        assert f"exec bash {ROOT / 'dist_test.sh'}" in text
    _, text, _ = slurm_script(tmp_path, "--gpus", "4")
    assert sbatch(text)["--gres"] == "gpu:4" and sbatch(text)["--cpus-per-task"] == str(4 * CPUS_PER_PROCESS)
    code, words, _ = play(file, "1", tmp_path)
    script = words.index(str(ROOT / "eval.py"))
    assert code == 0 and words[script - 2 : script + 3] == [
        "--nproc-per-node", "4", str(ROOT / "eval.py"), "--config", "configs/cfg_it's.py"
    ]  # fmt: skip


def test_an_empty_grid_makes_no_script(tmp_path):
    file, _, said = slurm_script(tmp_path, cells=0)
    assert not file.exists() and "no script was written" in said


def test_eval_all_writes_the_script_and_runs_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("proxyclip.engine.sweep.run.run_command", lambda *_: pytest.fail("it ran"))
    words = [
        "--configs",
        TINYWORLD_CONFIG,
        "--work-dir",
        str(tmp_path),
        "--slurm",
        str(tmp_path / "a.sh"),
        "--methods",
        "proxy",
    ]
    assert main([*words, "--slurm-options", "--time=1:00:00", "--vfms", "tiny", "none"]) == 0
    said = capsys.readouterr().out
    assert f"{tmp_path / 'a.sh'}: 1 task. Submit it with: sbatch {shlex.quote(str(tmp_path / 'a.sh'))}" in said
    assert "#SBATCH --time=1:00:00" in (tmp_path / "a.sh").read_text() and "would run" in said
    (tmp_path / "a.sh").unlink()
    assert main([*words, "--vfms", "none"]) == 0 and not (tmp_path / "a.sh").exists()
    assert "no script was written" in capsys.readouterr().out
    assert main([*words, "--slurm-options", "array=1"]) == 1
    assert "error: --slurm-options: the array" in capsys.readouterr().err
