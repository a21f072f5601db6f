"""Slurm script: valid, quoted, a cell a task; run with a stub for Python, without Slurm."""

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


def make_script(folder: Path, *arguments: str, cells: int = 3) -> tuple[Path, str, str]:
    """Write the script of some waiting cells; return its path, its text and the message."""
    file = folder / "array job.sh"
    options = parse_sweep_options(["--slurm", str(file), "--work-dir", str(folder / "work"), *arguments])
    waiting = [Cell("configs/cfg_it's.py", method=f"m {n}", number=n, state="waiting") for n in range(cells)]
    message = write_slurm_script([Cell("configs/cfg_kept.py", state="kept"), *waiting], options)
    return file, file.read_text() if file.exists() else "", message


def run_task(file: Path, task: str | None, cwd: Path) -> tuple[int, list[str], str]:
    """Run one task of a script with a stub for Python; return exit code, its arguments and stderr."""
    stub = cwd / "my python"
    cores = "[[ $2 == 'import os; print(len'* ]] && echo 8 && exit"  # the first call of dist_test.sh
    stub.write_text(f'#!/usr/bin/env bash\n{cores}\nprintf "%s\\0" "$PWD" "$@"\n')
    stub.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if name != "SLURM_ARRAY_TASK_ID"}
    env |= {"PYTHON": str(stub)} | ({} if task is None else {"SLURM_ARRAY_TASK_ID": task})
    result = subprocess.run(["bash", str(file)], env=env, capture_output=True, text=True, cwd="/")
    return result.returncode, result.stdout.split("\0")[:-1], result.stderr


def test_each_task_runs_one_cell(tmp_path, monkeypatch):
    home = tmp_path / "it's a $HOME"
    home.mkdir()
    monkeypatch.chdir(home)
    odd = """a='x "y"' $z `w`"""
    overrides = ["--cfg-options", odd, "b=[1,2]"]
    file, text, message = make_script(tmp_path, *overrides, "--data-root", "/my data", "--skip-bad")
    assert message.startswith(f"{file}: 3 tasks") and message.endswith(f"sbatch '{file}'") and os.access(file, os.X_OK)
    assert subprocess.run(["bash", "-n", str(file)]).returncode == 0
    for task in ("0", "2"):
        code, arguments, _ = run_task(file, task, tmp_path)
        assert code == 0 and arguments[:4] == [str(home), str(ROOT / "eval.py"), "--config", "configs/cfg_it's.py"]
        assert arguments[arguments.index("--method") + 1] == f"m {task}" and arguments[-3:] == overrides
        assert arguments[arguments.index("--device") + 1] == "cuda" and "--skip-bad" in arguments
        assert arguments[arguments.index("--data-root") + 1] == "/my data"
    assert "0 to 2, but got 3" in run_task(file, "3", tmp_path)[2] and run_task(file, "3", tmp_path)[0] == 2
    code, arguments, err = run_task(file, None, tmp_path)
    assert code != 0 and not arguments and "sbatch" in err
    default = text.splitlines()[next(i for i, line in enumerate(text.splitlines()) if line.startswith("export PYTHON"))]
    shown = subprocess.run(["bash", "-c", f'{default}; printf %s "$PYTHON"'], env={}, capture_output=True, text=True)
    assert shown.stdout == sys.executable


def sbatch(text: str) -> dict[str, str]:
    lines = [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH ")]
    assert text.splitlines()[1 : 1 + len(lines)] == [f"#SBATCH {line}" for line in lines]  # sbatch stops at commands
    names = [line.partition("=")[0] for line in lines]
    assert len(set(names)) == len(names)
    return {name: line.partition("=")[2] for name, line in zip(names, lines, strict=True)}


def test_sbatch_options_are_defaults_and_those_of_the_user(tmp_path):
    defaults = sbatch(make_script(tmp_path)[1])
    assert defaults["--array"] == "0-2" and defaults["--gres"] == "gpu:1" and defaults["--signal"] == "B:TERM@60"
    assert defaults["--output"] == str(tmp_path / "work" / "logs" / "slurm" / "%A-%a.log") and "--requeue" in defaults
    assert (tmp_path / "work" / "logs" / "slurm").is_dir()
    arguments = ["--partition=gpu", "time=4:00:00", "--gpus-per-task=2", "cpus-per-task=3", "no-requeue"]
    _, text, _ = make_script(tmp_path, "--slurm-options", *arguments, "--slurm-limit", "2", "--gpus", "4")
    user_options = sbatch(text)
    expected = {"--array": "0-2%2", "--partition": "gpu", "--time": "4:00:00", "--no-requeue": ""}
    assert user_options.items() >= {**expected, "--gpus-per-task": "2", "--cpus-per-task": "3"}.items()
    assert not {"--gres", "--requeue"} & set(user_options)
    options = sbatch(make_script(tmp_path, "--slurm-options", "-c 5")[1])
    assert "-c 5" in options and "--cpus-per-task" not in options
    assert "--gres" not in sbatch(make_script(tmp_path, "--device", "cpu")[1])
    for option, message in (("array=0-9", "--slurm-limit"), ("a\nrm -rf", "expected options")):
        with pytest.raises(ValueError, match=message):
            make_script(tmp_path, "--slurm-options", option)


def test_several_gpus_a_task_run_through_dist_test(tmp_path):
    for arguments in (["--gpus", "4"], ["--gpus", "0,1,2,3", "--gpus-per-job", "4"]):
        file, text, _ = make_script(tmp_path, *arguments)
        assert f"exec bash {ROOT / 'dist_test.sh'}" in text
    _, text, _ = make_script(tmp_path, "--gpus", "4")
    assert sbatch(text)["--gres"] == "gpu:4" and sbatch(text)["--cpus-per-task"] == str(4 * CPUS_PER_PROCESS)
    code, arguments, _ = run_task(file, "1", tmp_path)
    script = arguments.index(str(ROOT / "eval.py"))
    assert code == 0 and arguments[script - 2 : script + 3] == [
        "--nproc-per-node", "4", str(ROOT / "eval.py"), "--config", "configs/cfg_it's.py"
    ]  # fmt: skip


def test_eval_all_writes_the_script_and_runs_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("proxyclip.engine.sweep.jobs.run_command", lambda *_: pytest.fail("it ran"))
    arguments = ["--configs", TINYWORLD_CONFIG, "--work-dir", str(tmp_path), "--slurm", str(tmp_path / "a.sh")]
    arguments += ["--methods", "proxy"]
    assert main([*arguments, "--slurm-options", "--time=1:00:00", "--vfms", "tiny", "none"]) == 0
    message = capsys.readouterr().out
    assert f"{tmp_path / 'a.sh'}: 1 task. Submit it with: sbatch {shlex.quote(str(tmp_path / 'a.sh'))}" in message
    assert "#SBATCH --time=1:00:00" in (tmp_path / "a.sh").read_text() and "would run" in message
    (tmp_path / "a.sh").unlink()
    assert main([*arguments, "--vfms", "none"]) == 0 and not (tmp_path / "a.sh").exists()
    assert "no script was written" in capsys.readouterr().out
    assert main([*arguments, "--slurm-options", "array=1"]) == 1
    assert "error: --slurm-options: the array" in capsys.readouterr().err
