"""train.py and dist_train.sh with a model of a few weights: killed, resumed, shared by processes, and gone wrong."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.dummy_trained import DummyTrained
from mmengine.config import Config
from mmengine.fileio import LocalBackend
from mmseg.registry import MODELS

from proxyclip.cli.train import main, parse_train_options
from proxyclip.engine.training.checkpoint import find_latest_checkpoint, list_checkpoints
from proxyclip.models.trained.nonfinite import check_finite_losses
from proxyclip.models.trained.state_dict import read_checkpoint_state
from proxyclip.utils.paths import ROOT

CONFIG = """
default_scope = 'mmseg'
model = dict(
    type='Learner', checkpoint=None, dropout=0.3,
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[127, 127, 127], std=[60, 60, 60], bgr_to_rgb=True, size=(24, 24)))
train_pipeline = [
    dict(type='LoadImageFromFile'), dict(type='MyLoadAnnotations'), dict(type='RandomCrop', crop_size=(24, 24)),
    dict(type='RandomFlip', prob=0.5), dict(type='PhotoMetricDistortion'), dict(type='PackSegInputs')]
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='MyLoadAnnotations'), dict(type='PackSegInputs')]
scenes = dict(
    type='TinyWorldDataset', data_root='DATA', count=3, seed=5, serialize_data=False,
    ann_file='ImageSets/Segmentation/val.txt',
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'))
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=True, sampler=dict(type='SeededSampler'),
    dataset=dict(scenes, pipeline=train_pipeline))
test_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(scenes, pipeline=test_pipeline))
val_dataloader = test_dataloader
val_evaluator = test_evaluator = dict(type='SegMetric', iou_metrics=['mIoU'])
val_cfg, test_cfg = dict(type='ValLoop'), dict(type='TestLoop')
train_cfg = dict(type='SeededTrainLoop', max_iters=8, val_interval=5)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9))
param_scheduler = [dict(type='WarmupPolyLR', power=0.9, warmup=3)]
default_hooks = dict(logger=dict(type='LoggerHook', interval=4), checkpoint=dict(type='CheckpointHook', interval=2))
"""


@MODELS.register_module(force=True)
class Learner(DummyTrained):
    """A 1x1 convolution that learns, and does at iteration `at` (from 1) what `trouble` says."""

    def __init__(self, dropout: float = 0.0, trouble: str = "", at: int = 0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.dropout, self.trouble, self.at, self.calls = dropout, trouble, at, 0

    def init_weights(self) -> None:
        self.calls = 0

    def loss(self, inputs, data_samples):
        self.calls += 1
        if "LEARNER_DUMP" in os.environ:
            place = Path(os.environ["LEARNER_DUMP"]) / f"{os.environ.get('RANK', 'one')}_{self.calls}.pt"
            torch.save(self.state_dict(), place)
        labels = torch.stack([sample.gt_sem_seg.data[0] for sample in data_samples]).long()
        scores = self.conv(F.dropout(inputs, self.dropout))
        loss = F.cross_entropy(scores.float(), labels, ignore_index=255, reduction="sum") / labels.numel()
        if self.calls == self.at and self.trouble == "hold":
            time.sleep(600)
        if self.calls == self.at and self.trouble == "stop":
            raise KeyboardInterrupt
        if self.calls == self.at and self.trouble == "loss":
            loss = loss * float("nan")
        if self.calls == self.at and self.trouble == "gradient":
            loss = loss + (loss - loss.detach()).sqrt()
        return {"loss_ce": loss, "bits": torch.tensor(8.0 * scores.element_size())}

    def parse_losses(self, losses):
        check_finite_losses(losses)
        return super().parse_losses(losses)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    (folder / "cfg_learner.py").write_text(CONFIG.replace("DATA", str(folder / "data")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # another number rounds otherwise; and it is safe to fork
        patch.setattr(Config, "pretty_text", "")  # it is half of the time of a run as short as these
        yield folder


@pytest.fixture(autouse=True)
def place(world, own_environment, monkeypatch):
    monkeypatch.chdir(world)


def run(out: str, *words: str) -> int:
    return main(["cfg_learner.py", "--work-dir", out, "--device", "cpu", *words])


def folder(out: str) -> Path:
    return Path(out) / "train" / "cfg_learner"


def lines(out: str) -> list[dict]:
    return [json.loads(line) for line in (folder(out) / "losses.jsonl").read_text().splitlines()]


def fork(target, *args) -> multiprocessing.Process:
    """A process with everything imported already."""
    process = multiprocessing.get_context("fork").Process(target=target, args=args)
    process.start()
    return process


@pytest.fixture(scope="module")
def whole(world) -> str:
    """A training that nothing disturbed."""
    old = Path.cwd()
    os.chdir(world)
    try:
        assert run("whole", "--no-eval") == 0
    finally:
        os.chdir(old)
    return "whole"


def held(out: str) -> None:
    run(out, "--no-eval", "--resume", "--cfg-options", "model.trouble=hold", "model.at=6")


def test_a_killed_training_goes_on_as_if_nothing_had_been(whole, capfd):
    """SIGKILL in iteration 6, then --resume with another number of loading processes."""
    victim = fork(held, "killed")
    limit = time.time() + 60
    while find_latest_checkpoint(folder("killed")) != folder("killed") / "iter_4.pth":
        assert victim.is_alive() and time.time() < limit
        time.sleep(0.02)
    victim.kill()
    victim.join()
    assert [path.name for path in list_checkpoints(folder("killed")).values()] == ["iter_2.pth", "iter_4.pth"]
    assert run("killed", "--no-eval") == 1
    assert "--resume goes on after it, --fresh deletes them" in (said := capfd.readouterr()).err
    assert run("killed", "--resume", "--workers", "1") == 0
    said = capfd.readouterr()
    assert (
        "WARNING" not in said.out
        and "arning" not in said.err
        and f"going on after {folder('killed') / 'iter_4.pth'}" in said.out
    )
    assert "8/8  loss_ce" in said.out and "after iteration 5: aAcc" in said.out
    assert lines("killed") == lines(whole) and [line["iter"] for line in lines(whole)] == list(range(1, 9))
    states = [read_checkpoint_state(folder(out) / "iter_8.pth")[0] for out in ("killed", whole)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    (record,) = (json.loads(path.read_text()) for path in Path("killed/records").glob("*.json"))
    assert record["trained"]["checkpoint"] == "iter_8.pth" and record["trained"]["iteration"] == 8
    command = f"python eval.py --config cfg_learner.py --checkpoint {folder('killed') / 'iter_8.pth'} --work-dir killed"
    assert command in said.out and f"mIoU {record['metrics']['mIoU']:.2f}" in said.out


def test_a_damaged_checkpoint_is_named_and_the_one_before(whole, capfd):
    shutil.copytree(whole, "damaged")
    bad, good = folder("damaged") / "iter_8.pth", folder("damaged") / "iter_6.pth"
    bad.write_bytes(bad.read_bytes()[:-100])
    assert run("damaged", "--no-eval", "--resume") == 1
    assert f"{bad} cannot be read" in (error := capfd.readouterr().err) and f"--resume --load-from {good}" in error
    words = ("--load-from", str(good), "--cfg-options", "optim_wrapper.optimizer.lr=0.01")
    assert run("damaged", "--no-eval", "--resume", *words) == 0
    before, after = ([line["lr"] for line in lines(out)] for out in (whole, "damaged"))
    assert after[:6] == before[:6] and after[6:] == pytest.approx([rate / 10 for rate in before[6:]])
    assert run("damaged", "--no-eval", "--fresh", "--cfg-options", "train_cfg.max_iters=1") == 0
    assert list(list_checkpoints(folder("damaged"))) == [1] and len(lines("damaged")) == 1


@pytest.mark.parametrize("trouble", ["loss", "gradient"])
def test_weights_that_are_no_numbers_are_never_kept(trouble, capfd):
    options = [f"model.trouble={trouble}", "model.at=3", "default_hooks.checkpoint.interval=1"]
    assert run(trouble, "--no-eval", "--amp", "--cfg-options", *options) == 1
    error, last = capfd.readouterr().err, folder(trouble) / "iter_2.pth"
    assert "Iteration 3 failed: " in error and f"The last checkpoint is {last}" in error and "without --amp" in error
    assert {"loss": "loss_ce = nan", "gradient": "such as conv.weight"}[trouble] in error
    assert "optim_wrapper.optimizer.lr=0.05" in error and "Traceback" not in error
    state, meta = read_checkpoint_state(last)
    assert meta["iter"] == 2 and list(list_checkpoints(folder(trouble))) == [1, 2]
    assert all(value.isfinite().all() and value.dtype == torch.float32 for value in state.values())
    assert [line["bits"] for line in lines(trouble)][:2] == [16, 16]


def test_a_full_disk_costs_no_checkpoint(monkeypatch, capfd):
    put = LocalBackend.put

    def full(backend, content, path):
        if "iter_4.pth" not in str(path):
            return put(backend, content, path)
        Path(path).write_bytes(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LocalBackend, "put", full)
    assert run("full", "--no-eval", "--cfg-options", "default_hooks.checkpoint.max_keep_ckpts=1") == 1
    error, last = capfd.readouterr().err, folder("full") / "iter_2.pth"
    assert "the disk is full. Make room" in error and f"{last} is saved" in error
    assert read_checkpoint_state(last)[1]["iter"] == 2 and find_latest_checkpoint(folder("full")) == last
    assert [file.name for file in folder("full").glob("*iter_*")] == ["iter_2.pth"]


def test_a_stopped_training_says_how_to_go_on(capfd):
    assert run("stopped", "--resume", "--cfg-options", "model.trouble=stop", "model.at=4") == 130
    said = capfd.readouterr()
    assert f"{folder('stopped') / 'iter_2.pth'} is saved; the same command with --resume goes on after it" in said.err
    assert "there is no checkpoint to resume: starting from the beginning" in said.out and len(lines("stopped")) == 3


@pytest.fixture
def second(world) -> str:
    """A config that starts from the training of another one."""
    text = "_base_ = './cfg_learner.py'\nstarts_from = 'cfg_learner/iter_6.pth'\ntrain_cfg = dict(max_iters=2)\n"
    (world / "cfg_second.py").write_text(text)
    return "cfg_second.py"


def start(config: str, out: str, *words: str) -> int:
    return main([config, "--work-dir", out, "--device", "cpu", "--no-eval", *words])


def weights_of(file: Path) -> list:
    return [value.tolist() for value in read_checkpoint_state(file)[0].values()]


def iterations(folder: Path) -> list[int]:
    return [json.loads(line)["iter"] for line in (folder / "losses.jsonl").read_text().splitlines()]


def test_a_config_starts_from_another_training(whole, second, capfd):
    """Weights alone: iterations are counted from 1, and the learning rate is this config's, here none."""
    shutil.copytree(whole, "both")
    own, still = Path("both/train/cfg_second"), ("--cfg-options", "optim_wrapper.optimizer.lr=0")
    assert start(second, "both", *still) == 0
    usual, other = folder("both") / "iter_6.pth", folder("both") / "iter_8.pth"
    assert f"starting from {usual}\n" in capfd.readouterr().out and iterations(own) == [1, 2]
    assert weights_of(own / "iter_2.pth") == weights_of(usual) != weights_of(other)
    assert start(second, "both", "--fresh", "--load-from", str(other), *still) == 0
    assert f"starting from {other}\n" in capfd.readouterr().out
    assert weights_of(own / "iter_2.pth") == weights_of(other)


def test_to_resume_is_to_go_on_with_the_training_itself(whole, second, capfd):
    """Not with the one it starts from, which is at iteration 6 of 2."""
    shutil.copytree(whole, "again")
    own = Path("again/train/cfg_second")
    assert start(second, "again", "--resume", "--cfg-options", "model.trouble=stop", "model.at=2") == 130
    said = capfd.readouterr().out
    assert "there is no checkpoint to resume: starting from the beginning" in said
    assert f"starting from {folder('again') / 'iter_6.pth'}\n" in said and not list_checkpoints(own)
    assert start(second, "again", "--resume") == 0 and list(list_checkpoints(own)) == [2]
    assert start(second, "again", "--resume", "--cfg-options", "train_cfg.max_iters=4") == 0
    assert f"going on after {own / 'iter_2.pth'}\n" in capfd.readouterr().out and iterations(own) == [1, 2, 3, 4]


def test_the_training_to_start_from_is_named(second, capfd):
    assert start(second, "alone") == 1
    error = capfd.readouterr().err
    assert f"cfg_second.py starts from {folder('alone') / 'iter_6.pth'}, a checkpoint of another training" in error
    assert "python train.py configs/trained/cfg_learner.py, or say another one with --load-from FILE" in error
    assert not Path("alone/train/cfg_second").exists()


def test_checkpoints_that_are_kept():
    """Iterations 1 and 3 are saved out of turn, and outlive those that come after them; --fresh deletes all."""
    words = ("default_hooks.checkpoint.keep=(1,3)", "default_hooks.checkpoint.max_keep_ckpts=1")
    assert run("kept", "--no-eval", "--cfg-options", *words) == 0
    assert list(list_checkpoints(folder("kept"))) == [1, 3, 8]
    assert read_checkpoint_state(folder("kept") / "iter_3.pth")[1]["iter"] == 3
    assert find_latest_checkpoint(folder("kept")) == folder("kept") / "iter_8.pth"
    assert run("kept", "--no-eval", "--fresh", "--cfg-options", "train_cfg.max_iters=1") == 0
    assert list(list_checkpoints(folder("kept"))) == [1]


def one_of_two(rank: int, port: int) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LEARNER_DUMP": "dumps"}
    torch.set_num_threads(1)
    words = ("--launcher", "pytorch", "--cfg-options", "train_dataloader.batch_size=1", "model.dropout=0")
    sys.exit(run("two", *words, "train_cfg.max_iters=3", "train_cfg.val_interval=2"))


def test_two_processes_are_one_with_the_double_batch(monkeypatch, capfd):
    Path("dumps").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = [fork(one_of_two, rank, port) for rank in (0, 1)]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert capfd.readouterr().out.count("checkpoint: ") == 1 and len(list(Path("two/records").glob("*.json"))) == 1
    monkeypatch.setenv("LEARNER_DUMP", "dumps")
    options = ("model.dropout=0", "train_cfg.max_iters=3", "train_cfg.val_interval=2")
    assert run("one", "--no-eval", "--cfg-options", *options) == 0
    for call in (2, 3):
        first, second, alone = (torch.load(f"dumps/{who}_{call}.pt", weights_only=True) for who in (0, 1, "one"))
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
    "There is no file gone.pth": ["cfg_learner.py", "--load-from", "gone.pth"],
    "the config has no 'traincfg': did you mean train_cfg": ["cfg_learner.py", "--cfg-options", "traincfg.max_iters=1"],
    "'SeededSampler', but got 'DefaultSampler'": ["cfg_learner.py", "--cfg-options",
                                                  "train_dataloader.sampler.type=DefaultSampler"],
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_wrong_words_are_one_message(text, capfd):
    assert main([*WRONG[text], "--work-dir", "wrong", "--device", "cpu"]) == 1
    error = capfd.readouterr().err
    assert text in error and error.startswith("error: ") and "Traceback" not in error


def test_the_command_line(capfd):
    assert main(["cfg_learn.py", "--work-dir", "wrong"]) == 2
    assert "There is no config 'cfg_learn.py'" in capfd.readouterr().err
    for words, code in ((["--help"], 0), (["--resume", "--fresh"], 2), (["a.py", "--config", "b.py"], 2)):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == code
    assert parse_train_options(["--config", "b.py"]).config == "b.py"


def test_one_launcher_starts_both_programs(tmp_path):
    stub = tmp_path / "python"
    stub.write_text('#!/bin/sh\n[ "$2" = "${2#import os}" ] && shift 2 && echo "$@" || echo 4\n')
    stub.chmod(0o755)
    for name, program in (("dist_train.sh", "train.py"), ("dist_test.sh", "eval.py")):
        environment = {**os.environ, "PYTHON": str(stub)}
        call = ["bash", str(ROOT / name)]
        done = subprocess.run(
            [*call, "c.py", "2", "--amp"], env=environment, capture_output=True, text=True, check=True
        )
        wanted = f"--standalone --nproc-per-node 2 {ROOT / program} --config c.py --launcher pytorch --amp"
        assert done.stdout.strip() == wanted
        done = subprocess.run(call, capture_output=True, text=True)
        assert done.returncode == 2 and f"bash {name} CONFIG [GPUS] [any {program} argument ...]" in done.stdout
