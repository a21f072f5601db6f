"""Trainings of a model of a few weights: resuming, checkpoints, several processes, errors."""

import errno
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import torch
from helpers.learner import learner_folder, train_learner, weights_of
from helpers.train_runs import fork, read_losses, run_two_processes
from mmengine.fileio import LocalBackend

from proxyclip.cli.train import main, parse_train_options
from proxyclip.engine.training.checkpoint import find_latest_checkpoint, list_checkpoints
from proxyclip.models.trained.state_dict import load_checkpoint_file
from proxyclip.utils.paths import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("place")]


def test_resume_after_sigkill_equals_an_uninterrupted_training(whole, capfd):
    options = ("--no-eval", "--resume", "--cfg-options", "model.fault=hold", "model.at=6")
    victim = fork(train_learner, "killed", *options)
    limit = time.time() + 60
    while find_latest_checkpoint(learner_folder("killed")) != learner_folder("killed") / "iter_4.pth":
        assert victim.is_alive() and time.time() < limit
        time.sleep(0.02)
    victim.kill()
    victim.join()
    assert [path.name for path in list_checkpoints(learner_folder("killed")).values()] == ["iter_2.pth", "iter_4.pth"]
    assert train_learner("killed", "--no-eval") == 1
    assert "--resume goes on after the last that is whole, --fresh deletes them" in capfd.readouterr().err
    assert train_learner("killed", "--resume", "--workers", "1") == 0
    captured = capfd.readouterr()
    assert "WARNING" not in captured.out and "arning" not in captured.err
    assert f"going on after {learner_folder('killed') / 'iter_4.pth'}" in captured.out
    assert "8/8  loss_ce" in captured.out and "after iteration 5: aAcc" in captured.out
    losses = read_losses(learner_folder("killed"))
    assert losses == read_losses(learner_folder(whole)) and [line["iter"] for line in losses] == list(range(1, 9))
    assert weights_of(learner_folder("killed") / "iter_8.pth") == weights_of(learner_folder(whole) / "iter_8.pth")
    (record,) = (json.loads(path.read_text()) for path in Path("killed/records").glob("*.json"))
    assert record["trained"]["checkpoint"] == "iter_8.pth" and record["trained"]["iteration"] == 8
    last = learner_folder("killed") / "iter_8.pth"
    command = f"python eval.py --config cfg_learner.py --checkpoint {last} --work-dir killed"
    assert command in captured.out and f"mIoU {record['metrics']['mIoU']:.2f}" in captured.out


def test_resume_names_a_damaged_checkpoint_and_the_previous_one(whole, capfd):
    shutil.copytree(whole, "damaged")
    bad, good = learner_folder("damaged") / "iter_8.pth", learner_folder("damaged") / "iter_6.pth"
    bad.write_bytes(bad.read_bytes()[:-100])
    assert train_learner("damaged", "--no-eval", "--resume", "--load-from", str(bad)) == 1
    assert f"{bad} is damaged" in (error := capfd.readouterr().err) and f"--resume --load-from {good}" in error
    arguments = ("--cfg-options", "optim_wrapper.optimizer.lr=0.01")
    assert train_learner("damaged", "--no-eval", "--resume", *arguments) == 0
    captured = capfd.readouterr()
    assert (
        f"{bad} is damaged: its content does not fit its hash" in captured.err
        and f"going on after {good}" in captured.out
    )
    assert "other settings than before" in captured.out and "optim_wrapper.optimizer.lr 0.1 -> 0.01" in captured.out
    before, after = ([line["lr"] for line in read_losses(learner_folder(out))] for out in (whole, "damaged"))
    assert after[:6] == before[:6] and after[6:] == pytest.approx([rate / 10 for rate in before[6:]])
    assert train_learner("damaged", "--no-eval", "--fresh", "--cfg-options", "train_cfg.max_iters=1") == 0
    assert list(list_checkpoints(learner_folder("damaged"))) == [1] and len(read_losses(learner_folder("damaged"))) == 1


@pytest.mark.parametrize("fault", ["loss", "gradient"])
def test_train_never_saves_nonfinite_weights(fault, capfd):
    options = [f"model.fault={fault}", "model.at=3", "default_hooks.checkpoint.interval=1"]
    assert train_learner(fault, "--no-eval", "--amp", "--cfg-options", *options) == 1
    error = capfd.readouterr().err
    last = learner_folder(fault) / "iter_2.pth"
    assert "Iteration 3 failed: " in error and f"The last checkpoint is {last}" in error and "without --amp" in error
    assert {"loss": "loss_ce = nan", "gradient": "such as conv.weight"}[fault] in error
    assert "optim_wrapper.optimizer.lr=0.05" in error and "Traceback" not in error
    checkpoint = load_checkpoint_file(last)
    assert checkpoint["meta"]["iter"] == 2 and list(list_checkpoints(learner_folder(fault))) == [1, 2]
    assert all(v.isfinite().all() and v.dtype == torch.float32 for v in checkpoint["state_dict"].values())
    assert [line["bits"] for line in read_losses(learner_folder(fault))][:2] == [16, 16]


def test_full_disk_leaves_older_checkpoints(monkeypatch, capfd):
    put = LocalBackend.put

    def full(backend, content, path):
        if "iter_4.pth" not in str(path):
            return put(backend, content, path)
        Path(path).write_bytes(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LocalBackend, "put", full)
    assert train_learner("full", "--no-eval", "--cfg-options", "default_hooks.checkpoint.max_keep_ckpts=1") == 1
    error = capfd.readouterr().err
    last = learner_folder("full") / "iter_2.pth"
    assert "the disk is full. Make room" in error and f"{last} is saved" in error
    assert load_checkpoint_file(last)["meta"]["iter"] == 2 and find_latest_checkpoint(learner_folder("full")) == last
    assert sorted(file.name for file in learner_folder("full").glob("*iter_*")) == ["iter_2.pth", "iter_2.pth.sha256"]


def test_interrupted_training_names_its_checkpoint(capfd):
    assert train_learner("stopped", "--resume", "--cfg-options", "model.fault=stop", "model.at=4") == 130
    captured = capfd.readouterr()
    assert (
        f"{learner_folder('stopped') / 'iter_2.pth'} is saved; the same command with --resume goes on after"
        in captured.err
    )
    assert "there is no checkpoint to resume: starting from the beginning" in captured.out
    assert len(read_losses(learner_folder("stopped"))) == 3


@pytest.fixture
def second(world) -> str:
    """Name of a config that starts from the training of another one."""
    text = "_base_ = './cfg_learner.py'\nstarts_from = 'cfg_learner/iter_6.pth'\ntrain_cfg = dict(max_iters=2)\n"
    (world / "cfg_second.py").write_text(text)
    return "cfg_second"


def test_starts_from_loads_weights_alone(whole, second, capfd):
    shutil.copytree(whole, "both")
    own = Path("both/train/cfg_second")
    options = ("--no-eval", "--cfg-options", "optim_wrapper.optimizer.lr=0")
    assert train_learner("both", *options, config=second) == 0
    usual = learner_folder("both") / "iter_6.pth"
    other = learner_folder("both") / "iter_8.pth"
    assert f"starting from {usual}\n" in capfd.readouterr().out
    assert [line["iter"] for line in read_losses(own)] == [1, 2]
    assert weights_of(own / "iter_2.pth") == weights_of(usual) != weights_of(other)
    assert train_learner("both", "--fresh", "--load-from", str(other), *options, config=second) == 0
    assert f"starting from {other}\n" in capfd.readouterr().out
    assert weights_of(own / "iter_2.pth") == weights_of(other)


def test_resume_continues_the_own_training_not_starts_from(whole, second, capfd):
    shutil.copytree(whole, "again")
    own = Path("again/train/cfg_second")
    options = ("--no-eval", "--resume")
    assert train_learner("again", *options, "--cfg-options", "model.fault=stop", "model.at=2", config=second) == 130
    output = capfd.readouterr().out
    assert "there is no checkpoint to resume: starting from the beginning" in output
    assert f"starting from {learner_folder('again') / 'iter_6.pth'}\n" in output and not list_checkpoints(own)
    assert train_learner("again", *options, config=second) == 0 and list(list_checkpoints(own)) == [2]
    assert train_learner("again", *options, "--cfg-options", "train_cfg.max_iters=4", config=second) == 0
    assert f"going on after {own / 'iter_2.pth'}\n" in capfd.readouterr().out
    assert [line["iter"] for line in read_losses(own)] == [1, 2, 3, 4]


def test_train_names_the_missing_training_to_start_from(second, capfd):
    assert train_learner("alone", "--no-eval", config=second) == 1
    error = capfd.readouterr().err
    assert (
        f"cfg_second.py starts from {learner_folder('alone') / 'iter_6.pth'}, a checkpoint of another training" in error
    )
    assert "python train.py configs/trained/cfg_learner.py, or say another one with --load-from FILE" in error
    assert not Path("alone/train/cfg_second").exists()


def test_checkpoint_hook_keeps_named_iterations():
    options = ("default_hooks.checkpoint.keep=(1,3)", "default_hooks.checkpoint.max_keep_ckpts=1")
    assert train_learner("kept", "--no-eval", "--cfg-options", *options) == 0
    assert list(list_checkpoints(learner_folder("kept"))) == [1, 3, 8]
    assert load_checkpoint_file(learner_folder("kept") / "iter_3.pth")["meta"]["iter"] == 3
    assert find_latest_checkpoint(learner_folder("kept")) == learner_folder("kept") / "iter_8.pth"
    assert train_learner("kept", "--no-eval", "--fresh", "--cfg-options", "train_cfg.max_iters=1") == 0
    assert list(list_checkpoints(learner_folder("kept"))) == [1]


def test_two_processes_equal_one_with_the_double_batch(monkeypatch, capfd):
    Path("dumps").mkdir()
    monkeypatch.setenv("LEARNER_DUMP", "dumps")
    options = ("--cfg-options", "model.dropout=0", "train_cfg.max_iters=3", "train_cfg.val_interval=2")
    run_two_processes(lambda: train_learner("two", "--launcher", "pytorch", *options, "train_dataloader.batch_size=1"))
    assert capfd.readouterr().out.count("checkpoint: ") == 1 and len(list(Path("two/records").glob("*.json"))) == 1
    assert train_learner("one", "--no-eval", *options) == 0
    for call in (2, 3):
        first, second, alone = (torch.load(f"dumps/{rank}_{call}.pt", weights_only=True) for rank in (0, 1, "one"))
        for name, value in first.items():
            assert torch.equal(value, second[name])
            torch.testing.assert_close(value, alone[name], rtol=1e-5, atol=1e-7)
    start = torch.load("dumps/one_1.pt", weights_only=True)
    assert not torch.equal(start["conv.weight"], alone["conv.weight"])


WRONG = {
    "not for training: it has no train_dataloader, train_cfg": ["configs/cfg_voc21.py"],
    "nowhere": ["cfg_learner.py", "--cfg-options", "train_dataloader.dataset.type=PascalVOC20Dataset",
                "train_dataloader.dataset.data_root=nowhere"],
    "expected --amp": ["cfg_learner.py", "--cfg-options", "optim_wrapper.dtype=bfloat16"],
    "The checkpoint 'gone.pth' does not exist": ["cfg_learner.py", "--load-from", "gone.pth"],
    "the config has no 'traincfg': did you mean train_cfg": ["cfg_learner.py", "--cfg-options", "traincfg.max_iters=1"],
    "'SeededSampler', but got 'DefaultSampler'": ["cfg_learner.py", "--cfg-options",
                                                  "train_dataloader.sampler.type=DefaultSampler"],
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_train_reports_bad_options_in_one_message(text, capfd):
    assert main([*WRONG[text], "--work-dir", "wrong", "--device", "cpu"]) == 1
    error = capfd.readouterr().err
    assert text in error and error.count("error: ") == 1 and "Traceback" not in error


def test_train_exit_codes(capfd):
    assert main(["cfg_learn.py", "--work-dir", "wrong"]) == 2
    assert "There is no config 'cfg_learn.py'" in capfd.readouterr().err
    for arguments, code in ((["--help"], 0), (["--resume", "--fresh"], 2), (["a.py", "--config", "b.py"], 2)):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == code
    assert parse_train_options(["--config", "b.py"]).config == "b.py"


def test_launch_scripts_start_torchrun(tmp_path):
    stub = tmp_path / "python"
    stub.write_text('#!/bin/sh\n[ "$2" = "${2#import os}" ] && shift 2 && echo "$@" || echo 4\n')
    stub.chmod(0o755)
    for name, program in (("dist_train.sh", "train.py"), ("dist_test.sh", "eval.py")):
        environment = {**os.environ, "PYTHON": str(stub)}
        call = ["bash", str(ROOT / name)]
        output = subprocess.check_output([*call, "c.py", "2", "--amp"], env=environment, text=True)
        launched = f"--standalone --nproc-per-node 2 {ROOT / program} --config c.py --launcher pytorch --amp"
        assert output.strip() == launched
        done = subprocess.run(call, capture_output=True, text=True)
        assert done.returncode == 2 and f"bash {name} CONFIG [GPUS] [any {program} argument ...]" in done.stdout
