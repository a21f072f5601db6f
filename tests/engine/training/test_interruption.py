"""Trainings that Ctrl-C or SIGTERM stops: what is saved, what is said, and that the same numbers follow."""

import errno
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.learner import learner_folder, train_learner, weights_of
from helpers.train_runs import fork, read_losses, start_two_processes
from mmengine.fileio import LocalBackend

from proxyclip.cli.train import main
from proxyclip.engine.config.options import TrainOptions
from proxyclip.engine.training.checkpoint import find_latest_checkpoint, list_checkpoints
from proxyclip.engine.training.interruption import format_resume_command
from proxyclip.engine.training.loop import SeededDraws
from proxyclip.models.trained.state_dict import load_checkpoint_file

pytestmark = pytest.mark.usefixtures("place")
slow = pytest.mark.slow


def start(*arguments: str):
    """Start a training in a process and a group of its own, which ends with its exit code."""

    def run() -> None:
        os.setsid()
        sys.exit(train_learner(*arguments))

    for fault in ("start", "slow", "hold", "predict", "save", "sent", "load", "told"):
        Path(fault).unlink(missing_ok=True)
    return fork(run)


def wait_for(condition: Callable[[], bool], *processes) -> None:
    limit = time.time() + 60
    while not condition():
        assert all(process.is_alive() for process in processes) and time.time() < limit
        time.sleep(0.01)


def has_losses(out: str, count: int) -> bool:
    """Return True if so many iterations of a training have ended."""
    file = learner_folder(out) / "losses.jsonl"
    return file.is_file() and len(file.read_text().splitlines()) >= count


def stop(process, number: int = signal.SIGINT, group: bool = False) -> int:
    """Send a signal and return the exit code, which must come soon."""
    (os.killpg if group else os.kill)(process.pid, number)
    Path("told").touch()
    process.join(30)
    if process.exitcode is None:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail("the training goes on after the signal")
    return process.exitcode


@slow
@pytest.mark.parametrize(
    ("number", "workers", "group"), [("SIGINT", "0", False), ("SIGTERM", "0", False), ("SIGTERM", "2", True)]
)
def test_stopped_training_goes_on_with_the_same_numbers(number, workers, group, whole, capfd):
    out = f"{number} {workers}"  # a name to be quoted
    options = ("--no-eval", "--workers", workers, "--cfg-options", "model.fault=slow", "model.at=5")
    process = start(out, *options)
    wait_for(Path("slow").exists, process)
    assert stop(process, getattr(signal, number), group) == 130
    error = capfd.readouterr().err
    last = learner_folder(out) / "iter_5.pth"
    assert find_latest_checkpoint(last.parent) == last and load_checkpoint_file(last)["meta"]["iter"] == 5
    assert f"{last} is saved; the same command with --resume goes on after it:\n    python train.py" in error
    assert "stopping after this iteration" in error and "Traceback" not in error and "error" not in error
    command = next(line for line in error.splitlines() if "python train.py" in line)
    assert main(shlex.split(command)[2:]) == 0
    assert f"going on after {last}" in capfd.readouterr().out
    assert read_losses(last.parent) == read_losses(learner_folder(whole))
    assert weights_of(last.with_name("iter_8.pth")) == weights_of(learner_folder(whole) / "iter_8.pth")


@slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_before_the_first_iteration_saves_nothing_and_says_so(number, capfd):
    out = f"early{int(number)}"
    process = start(out, "--no-eval", "--cfg-options", "model.fault=start")
    wait_for(Path("start").exists, process)
    assert stop(process, number) == 130
    assert "no checkpoint is saved yet" in capfd.readouterr().err and not list_checkpoints(learner_folder(out))


@slow
def test_stop_during_a_validation_saves_the_iteration_before(whole, capfd):
    options = ("default_hooks.checkpoint.interval=100", "train_cfg.val_interval=3")
    process = start("validated", "--no-eval", "--cfg-options", *options, "model.fault=predict")
    wait_for(Path("predict").exists, process)
    assert stop(process) == 130
    last = learner_folder("validated") / "iter_3.pth"
    assert f"{last} is saved" in capfd.readouterr().err
    assert train_learner("validated", "--no-eval", "--resume") == 0
    assert read_losses(last.parent) == read_losses(learner_folder(whole))


@slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_stop_while_a_batch_is_loaded_saves_the_iteration_before(workers, whole, monkeypatch, capfd):
    load = SeededDraws.__getitem__

    def load_slowly(dataset, draw):
        if draw.seed[-1] >= 6:  # of the fourth batch
            Path("load").touch()
            time.sleep(600)
        return load(dataset, draw)

    out = f"loading{workers}"
    with monkeypatch.context() as patch:
        patch.setattr(SeededDraws, "__getitem__", load_slowly)
        process = start(out, "--no-eval", "--workers", workers)
        last = learner_folder(out) / "iter_3.pth"
        wait_for(lambda: Path("load").exists() and has_losses(out, 3), process)
        assert stop(process) == 130
    assert f"{last} is saved" in capfd.readouterr().err
    assert train_learner(out, "--no-eval", "--resume") == 0
    assert read_losses(last.parent) == read_losses(learner_folder(whole))


@slow
def test_stop_during_the_evaluation_names_the_command_that_goes_on(capfd):
    process = start("evaluated", "--cfg-options", "train_cfg.val_begin=100", "model.fault=predict")
    wait_for(Path("predict").exists, process)
    assert stop(process, signal.SIGTERM) == 130
    last = learner_folder("evaluated") / "iter_8.pth"
    error = capfd.readouterr().err
    assert f"the training is finished, {last} is its end; the evaluation goes on with\n    python eval.py" in error
    assert f"--checkpoint {last} --work-dir evaluated" in error and find_latest_checkpoint(last.parent) == last


@slow
def test_second_signal_while_a_checkpoint_is_saved_leaves_it_whole(monkeypatch, capfd):
    put = LocalBackend.put

    def put_slowly(backend, content, path):
        if "iter_3.pth" in str(path):
            Path("save").touch()
            wait_for(Path("sent").exists)
        put(backend, content, path)

    monkeypatch.setattr(LocalBackend, "put", put_slowly)
    process = start("twice", "--no-eval", "--cfg-options", "model.fault=slow", "model.at=3")
    wait_for(Path("slow").exists, process)
    os.kill(process.pid, signal.SIGINT)
    Path("told").touch()
    wait_for(Path("save").exists, process)
    time.sleep(1.1)  # sooner it would be the same signal
    os.kill(process.pid, signal.SIGINT)
    Path("sent").touch()
    process.join(30)
    assert process.exitcode == 130
    last = learner_folder("twice") / "iter_3.pth"
    assert load_checkpoint_file(last)["meta"]["iter"] == 3 and find_latest_checkpoint(last.parent) == last
    assert not list(last.parent.glob(".*.tmp")) and f"{last} is saved" in capfd.readouterr().err


@slow
def test_second_signal_ends_an_iteration_that_does_not_end(capfd):
    process = start("held", "--no-eval", "--cfg-options", "model.fault=hold", "model.at=4")
    wait_for(Path("hold").exists, process)
    os.kill(process.pid, signal.SIGINT)
    time.sleep(1.2)
    assert stop(process) == 130
    error = capfd.readouterr().err
    assert "Ctrl-C again" in error and f"{learner_folder('held') / 'iter_2.pth'} is saved" in error
    assert list(list_checkpoints(learner_folder("held"))) == [2]


@slow
def test_full_disk_while_a_stopped_training_is_saved_leaves_the_last_checkpoint(monkeypatch, capfd):
    put = LocalBackend.put

    def put_if_there_is_space(backend, content, path):
        if "iter_5.pth" in str(path):
            Path(path).write_bytes(content[:100])
            raise OSError(errno.ENOSPC, "No space left on device")
        put(backend, content, path)

    monkeypatch.setattr(LocalBackend, "put", put_if_there_is_space)
    process = start("crowded", "--no-eval", "--cfg-options", "model.fault=slow", "model.at=5")
    wait_for(Path("slow").exists, process)
    assert stop(process) == 1
    error = capfd.readouterr().err
    last = learner_folder("crowded") / "iter_4.pth"
    assert "iteration 5 cannot be saved: " in error and "the disk is full. Make room" in error
    assert f"{last} is saved; the same command with --resume goes on after it" in error
    assert find_latest_checkpoint(last.parent) == last and not list(last.parent.glob(".*.tmp"))


@slow
@pytest.mark.parametrize("ranks", [(1,), (0, 1)])
def test_all_processes_stop_after_one_iteration(ranks, capfd):
    out = f"ranks{len(ranks)}"
    options = ("--launcher", "pytorch", "--no-eval", "--cfg-options", "model.fault=slow", "model.at=3")
    for fault in ("slow", "told"):
        Path(fault).unlink(missing_ok=True)
    processes = start_two_processes(lambda: train_learner(out, *options))
    wait_for(Path("slow").exists, *processes)
    for rank in ranks:
        os.kill(processes[rank].pid, signal.SIGTERM)
    Path("told").touch()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [130, 130]
    last = find_latest_checkpoint(learner_folder(out))
    assert last is not None and last.name == "iter_3.pth"
    error = capfd.readouterr().err
    assert error.count(" is saved; ") == 1 and f"bash dist_train.sh cfg_learner.py 2 --work-dir {out} --resume" in error
    assert len(read_losses(last.parent)) == 3


@slow
def test_error_between_iterations_costs_none_of_them(monkeypatch, capfd):
    options = ("default_hooks.checkpoint.interval=100", "train_cfg.val_interval=3", "val_evaluator.iou_metrics=[no]")
    assert train_learner("faulty", "--no-eval", "--cfg-options", *options) == 1
    last = find_latest_checkpoint(learner_folder("faulty"))
    assert last == learner_folder("faulty") / "iter_3.pth" and f"{last} is saved" in capfd.readouterr().err


def test_resume_command_is_the_same_less_what_starts_anew():
    shared = {"config": "my cfg.py", "work_dir": "w", "cfg_options": ("a=1", "b='x y'"), "amp": True}
    options = TrainOptions(**shared, fresh=True, load_from="w.pth", evaluate=False)
    command = shlex.split(format_resume_command(options, 1))
    assert command[:3] == ["python", "train.py", "my cfg.py"]
    assert sorted(command[3:-3]) == ["--amp", "--no-eval", "--resume", "--work-dir", "w"]
    assert command[-3:] == ["--cfg-options", "a=1", "b='x y'"]
    assert "--load-from w.pth" in format_resume_command(options, 1, is_new=False)
    launched = TrainOptions(**shared, launcher="pytorch")
    assert shlex.split(format_resume_command(launched, 4))[:4] == ["bash", "dist_train.sh", "my cfg.py", "4"]
    assert format_resume_command(TrainOptions(launcher="slurm"), 4) == ""
