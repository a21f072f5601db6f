"""CLIP-RC in train.py, eval.py and the API: interrupted, in bfloat16, in two processes, and with the wrong split."""

from __future__ import annotations

import copy
import json
import math
import multiprocessing
import os
import shutil
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.trained_reference import TINY
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from proxyclip import Segmenter
from proxyclip.cli import demo, train
from proxyclip.cli import eval as eval_command
from proxyclip.engine.training.hooks import SplitHook
from proxyclip.models.clip.dense import load_clip
from proxyclip.models.trained.clip_rc import CLIPRC
from proxyclip.models.trained.clip_rc.encoder import DeepPrompts
from proxyclip.models.trained.clip_rc.losses import focal_and_dice_loss
from proxyclip.models.trained.state_dict import load_checkpoint_file, read_checkpoint_state
from proxyclip.tinyworld import CLASSES, WEIGHTS
from proxyclip.tinyworld.scenes import draw_seeded_scene
from proxyclip.utils.paths import ROOT

UNSEEN = ("tree", "boat", "rocket", "duck", "sand")
NOVEL = [CLASSES.index(name) for name in UNSEEN]
PARTS = {"prompts", "decode_head", "recovery", "text", "words", "seen", "tower"}  # of a checkpoint
TERMS = ("loss_mask", "loss_dice", "recovery_loss_q", "recovery_loss_k")
CPU = torch.device("cpu")
CONFIG = f"""
_base_ = '{ROOT}/configs/trained/clip_rc/_base_/runtime.py'
model = dict(
    model_type='{TINY}', clip_type=None, name_path='configs/trained/clip_rc/cls_tinyworld.txt', prompts=2, regions=4,
    decoder=dict(layers=2, heads=4, hidden=32, dropout=0.1), slide_crop=64, slide_stride=48,
    data_preprocessor=dict(size=(64, 64)))
train_pipeline = _base_.train_pipeline
train_pipeline[3].update(scale=(2048, 64))
train_pipeline[4].update(crop_size=(64, 64))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=72)
world = dict(
    type='TinyWorldDataset', data_root='DATA', count=3, seed=5, serialize_data=False,
    ann_file='ImageSets/Segmentation/val.txt',
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'))
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(**world, pipeline=train_pipeline))
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(**world, pipeline=test_pipeline))
val_dataloader, val_cfg, val_evaluator = None, None, None
train_cfg = dict(max_iters=4, val_interval=2)
param_scheduler = [dict(type='WarmupPolyLR', by_epoch=False, power=0.9, eta_min=1e-6, warmup=2)]
"""
OTHERS = {
    "transductive": """
model = dict(setting='transductive')
starts_from = 'inductive/iter_2.pth'
val_dataloader = dict(_delete_=True, **_base_.test_dataloader)
val_cfg = dict(_delete_=True, type='ValLoop')
val_evaluator = dict(_delete_=True, **_base_.test_evaluator)""",
    "fully": """
model = dict(setting='fully', loss_weights=dict(recovery=0.0))
train_pipeline = _base_.train_pipeline
del train_pipeline[2]
train_dataloader = dict(dataset=dict(zero_shot=False, pipeline=train_pipeline))""",
    "no_split": "train_dataloader = dict(dataset=dict(zero_shot=False))",
    "leaky": "train_pipeline = _base_.train_pipeline\ndel train_pipeline[2]\n"
    "train_dataloader = dict(dataset=dict(pipeline=train_pipeline))",
    "other_split": "test_dataloader = dict(dataset=dict(metainfo=dict(unseen=['car', 'tree'])))",
    "other_training": "model = dict(setting='transductive')\n"
    "train_dataloader = dict(dataset=dict(metainfo=dict(unseen=['car', 'tree'])))",
    "other_clip": "model = dict(model_type='local-dir:clip')",
    "other_template": "model = dict(templates=['a drawing of a {}'])",
    "small": "test_pipeline = _base_.test_pipeline\ntest_pipeline[1].update(scale=40)\n"
    "test_dataloader = dict(dataset=dict(pipeline=test_pipeline))",
    # plain steps, whose size follows the gradient
    "plain": "optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=1e-3))\n"
    "train_cfg = dict(max_iters=2, val_interval=2)",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder of configs; nothing of it is in the repository."""
    folder = tmp_path_factory.mktemp("clip_rc")
    (folder / "inductive.py").write_text(CONFIG.replace("DATA", str(folder / "data")))
    for name, text in OTHERS.items():
        (folder / f"{name}.py").write_text(f"_base_ = './inductive.py'\n{text}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setattr(Config, "pretty_text", "")  # it is half of the time of a run as short as these
        yield folder


@pytest.fixture(autouse=True)
def place(world, own_environment, monkeypatch):
    monkeypatch.chdir(world)


def run(out: str, *words: str, config: str = "inductive") -> int:
    return train.main([f"{config}.py", "--work-dir", out, "--device", "cpu", *words])


def evaluate(out: str, file: Path, *words: str, config: str = "inductive") -> int:
    given = ("--checkpoint", str(file), "--work-dir", out, "--gallery", "0", "--device", "cpu")
    return eval_command.main(["--config", f"{config}.py", *given, *words])


def saved(out: str, iteration: int, config: str = "inductive") -> Path:
    return Path(out) / "train" / config / f"iter_{iteration}.pth"


def lines(out: str, config: str = "inductive") -> list[dict]:
    file = Path(out) / "train" / config / "losses.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def record(out: str) -> dict:
    (path,) = (Path(out) / "records").glob("*.json")
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def whole(world) -> str:
    """An inductive training that nothing disturbed, and its evaluation."""
    old = Path.cwd()
    os.chdir(world)
    try:
        assert run("whole") == 0
    finally:
        os.chdir(old)
    return "whole"


def model_of(config: str = "inductive", **options) -> CLIPRC:
    """The model of a config on the first weights of a seed, ready to be trained, and told its split."""
    torch.manual_seed(0)
    model = MODELS.build({**Config.fromfile(f"{config}.py").model, **options})
    model.init_weights()
    model.split(NOVEL)
    return model.train()


def batch(seed: int = 0) -> tuple[torch.Tensor, list[SegDataSample]]:
    """Two drawn scenes of 64 x 64 pixels, and their labels without the unseen classes."""
    pictures = [draw_seeded_scene(seed, number) for number in range(2)]
    images = torch.stack([torch.from_numpy(one.image[:64, :64]).permute(2, 0, 1) for one in pictures]).float()
    samples = []
    for one in pictures:
        labels = torch.from_numpy(one.mask[:64, :64].astype(np.int64))[None]
        labels[torch.isin(labels, torch.tensor(NOVEL))] = -1
        samples.append(SegDataSample(gt_sem_seg=PixelData(data=labels)))
    return (images - 120) / 60, samples


def total(found: dict[str, torch.Tensor]) -> torch.Tensor:
    return sum(value for name, value in found.items() if "loss" in name)


def same(first: Path, second: Path) -> bool:
    """Whether two checkpoints have the same weights and the same state of the optimiser."""
    one, two = load_checkpoint_file(first), load_checkpoint_file(second)
    momenta = [
        [v for s in found["optimizer"]["state"].values() for v in (s["exp_avg"], s["exp_avg_sq"])]
        for found in (one, two)
    ]
    assert set(one["state_dict"]) == set(two["state_dict"]) and len(momenta[0]) == len(momenta[1]) > 0
    weights = all(torch.equal(value, two["state_dict"][name]) for name, value in one["state_dict"].items())
    return weights and all(torch.equal(a, b) for a, b in zip(*momenta, strict=True))


def test_a_training_that_goes_on_is_one_that_was_not_interrupted(whole, monkeypatch, capfd):
    """Stopped in iteration 4, after the checkpoint of iteration 2; dropout draws what it would have drawn."""
    step, calls = CLIPRC.step, []

    def stop(self, *args):
        calls.append(torch.initial_seed())
        if len(calls) == 4:
            raise KeyboardInterrupt
        return step(self, *args)

    monkeypatch.setattr(CLIPRC, "step", stop)
    assert run("resumed", "--no-eval") == 130
    assert not saved("resumed", 4).exists() and saved("resumed", 2).is_file()
    words = ("--resume", "--workers", "1")  # who loads the samples does not seed this process then
    assert run("resumed", "--no-eval", *words) == 0
    assert f"going on after {saved('resumed', 2)}" in capfd.readouterr().out
    assert lines("resumed") == lines(whole) and [line["iter"] for line in lines(whole)] == [1, 2, 3, 4]
    assert all(math.isfinite(line[name]) for line in lines(whole) for name in TERMS)
    assert same(saved("resumed", 4), saved(whole, 4)) and not same(saved(whole, 2), saved(whole, 4))
    assert len(set(calls)) == 4  # iterations 3 and 4 came twice, with the same numbers
    assert DeepPrompts(2, 4, 2, 4).dropout.p == 0.1


def test_a_step_draws_dropout(whole):
    model, (images, samples) = model_of(), batch()
    model.load_trained_state(read_checkpoint_state(saved(whole, 4))[0], saved(whole, 4))
    first, second = (total(model.loss(images, samples)) for _ in range(2))
    assert first != second


@pytest.mark.parametrize("term", ["loss_dice", "recovery_loss_k"])
def test_a_loss_that_is_no_number_changes_no_weight(term, monkeypatch, capfd):
    step, models = CLIPRC.step, []

    def spoil(self, *args):
        models.append(self)
        found = step(self, *args)
        return found | ({term: found[term] * float("nan")} if len(models) == 2 else {})

    monkeypatch.setattr(CLIPRC, "step", spoil)
    assert run(term, "--no-eval", "--cfg-options", "default_hooks.checkpoint.interval=1") == 1
    error = capfd.readouterr().err
    assert f"Iteration 2 failed: The loss is not a number: {term} = nan" in error and "iter_1.pth" in error
    state, after = read_checkpoint_state(saved(term, 1))[0], models[0].state_dict()
    assert set(state) == set(after) and all(torch.equal(value, after[name]) for name, value in state.items())


def test_mixed_precision(whole):
    assert run("amp", "--no-eval", "--amp", "--cfg-options", "train_cfg.max_iters=2") == 0
    for mixed, plain in zip(lines("amp"), lines(whole), strict=False):
        for name in TERMS:
            assert mixed[name] == pytest.approx(plain[name], rel=0.05) and math.isfinite(mixed[name])
    assert lines("amp")[0] != lines(whole)[0]
    state, _ = read_checkpoint_state(saved("amp", 2))
    assert all(value.dtype is torch.float32 for value in state.values() if value.is_floating_point())


@pytest.mark.parametrize("config", ["inductive", "transductive", "fully"])
def test_losses_are_float32_under_autocast(config):
    model, (images, samples) = model_of(config).eval(), batch()
    plain = model.loss(images, samples)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model.loss(images, samples)
        assert model.decode(images, model.text).logits.dtype is torch.float32
    for name in TERMS if config != "fully" else TERMS[:2]:
        assert mixed[name].dtype is torch.float32
        torch.testing.assert_close(mixed[name], plain[name], rtol=0.05, atol=0.02)
    assert not torch.equal(total(mixed), total(plain))
    total(mixed).backward()
    assert all(p.grad.dtype is torch.float32 and p.grad.isfinite().all() for p in model.parameters())


def test_only_prompts_and_decoder_are_trained():
    """AdamW with weight decay, on all that the model calls its parameters: CLIP stays as it is, bit by bit."""
    model, (images, samples) = model_of(), batch()
    tower = model.frozen.open(CPU)
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    start = {name: value.clone() for name, value in model.named_parameters()}
    assert not {id(p) for p in tower.parameters()} & {id(p) for p in model.parameters()}
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2, weight_decay=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        total(model.loss(images, samples)).backward()
        optimiser.step()
    assert all(torch.equal(value, before[name]) for name, value in tower.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in tower.parameters()) and not tower.training
    assert {name.partition(".")[0] for name in start} == {"prompts", "decode_head", "recovery"}
    assert all(p.grad.isfinite().all() for p in model.parameters())
    still = [name for name, value in model.named_parameters() if torch.equal(value, start[name])]
    assert not still and not any(value.requires_grad for value in model.buffers())


def test_what_a_checkpoint_has(whole):
    state, meta = read_checkpoint_state(saved(whole, 4))
    assert {name.partition(".")[0] for name in state} == PARTS and meta["iter"] == 4
    model = model_of()
    assert {name: value.shape for name, value in state.items()} == {
        name: value.shape for name, value in model.state_dict().items()
    }
    assert state["seen"].tolist() == [0 if name in UNSEEN else 1 for name in CLASSES]
    assert torch.equal(state["text"], model.text) and torch.equal(state["tower"], model.frozen.hash(CPU))
    assert torch.equal(state["text"], state["text"].half().float()) and state["tower"].any()
    assert {name.partition(".")[0] for name in model_of("fully").state_dict()} == PARTS - {"recovery"}


# ---- several processes


def test_losses_of_two_processes_are_those_of_one(monkeypatch):
    """With the number of classes averaged over the processes, the mean of both is the loss of the whole batch."""
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 5, 8, 8), torch.randint(0, 2, (2, 8, 8))
    labels[1] = 2 + torch.arange(64).view(8, 8) % 3  # 2 classes, and 3
    labels[0, 0] = 255
    for parity in ("upstream", "paper"):
        both = focal_and_dice_loss(logits, labels, 255, parity)
        alone = torch.stack(
            [torch.stack(focal_and_dice_loss(logits[[i]], labels[[i]], 255, parity)) for i in range(2)]
        ).mean(0)
        with monkeypatch.context() as patch:
            patch.setattr(
                "proxyclip.models.trained.clip_rc.losses.all_reduce", lambda pairs, how: pairs.fill_({"mean": 2.5}[how])
            )
            parts = [torch.stack(focal_and_dice_loss(logits[[i]], labels[[i]], 255, parity)) for i in range(2)]
        torch.testing.assert_close(torch.stack(parts).mean(0), torch.stack(both))
        assert not torch.allclose(alone, torch.stack(both), rtol=1e-3)


def fork(target, *args) -> multiprocessing.Process:
    """A process with everything imported already."""
    process = multiprocessing.get_context("fork").Process(target=target, args=args)
    process.start()
    return process


def one_of_two(rank: int, port: int) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    words = ("--launcher", "pytorch", "--cfg-options", "train_dataloader.batch_size=1", "model.decoder.dropout=0")
    sys.exit(run("two", "--no-eval", *words, config="plain"))


def test_two_processes_are_one_with_the_double_batch(monkeypatch):
    init = DeepPrompts.__init__
    monkeypatch.setattr(DeepPrompts, "__init__", lambda self, *args: init(self, *args, dropout=0.0))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = [fork(one_of_two, rank, port) for rank in (0, 1)]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert run("one", "--no-eval", "--cfg-options", "model.decoder.dropout=0", config="plain") == 0
    two, one = (read_checkpoint_state(saved(out, 2, "plain"))[0] for out in ("two", "one"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-6)
    first = model_of("plain").state_dict()
    assert not torch.allclose(first["prompts.first"], one["prompts.first"], rtol=1e-3, atol=1e-5)


# ---- the split


def test_a_training_has_to_know_its_split(capfd):
    assert run("no_split", "--no-eval", config="no_split") == 1
    error = capfd.readouterr().err
    assert "CLIPRC needs a data set that says which classes are unseen in its training: zero_shot=True" in error
    assert not saved("no_split", 2, "no_split").exists()


def test_labels_of_unseen_classes_are_refused(capfd):
    assert run("leaky", "--no-eval", config="leaky") == 1
    assert "Labels have classes [" in (error := capfd.readouterr().err) and "is SuppressLabels there?" in error
    images, samples = batch()
    samples[1].gt_sem_seg.data[0, 3, 4] = NOVEL[1]
    for config in ("inductive", "transductive"):
        with pytest.raises(ValueError, match=rf"Labels have classes \[{NOVEL[1]}\], which are unlabelled"):
            model_of(config).loss(images, samples)
    assert total(model_of("fully").loss(images, samples)).isfinite()


def copied(whole: str, out: str, *iterations: int) -> None:
    """The checkpoints of the whole training, in another work dir."""
    saved(out, 0).parent.mkdir(parents=True)
    for iteration in iterations:
        shutil.copy(saved(whole, iteration), saved(out, iteration))


def test_a_transductive_training_starts_from_an_inductive_one(whole, capfd):
    assert run("second", "--no-eval", config="transductive") == 1
    assert "train that first, python train.py" in capfd.readouterr().err
    copied(whole, "second", 2)
    assert run("second", config="transductive") == 0
    assert f"starting from {saved('second', 2)}" in (said := capfd.readouterr().out)
    assert "lacks" not in said and "after iteration 2: aAcc" in said and "hIoU" in said
    assert [line["iter"] for line in lines("second", "transductive")] == [1, 2, 3, 4]
    state = read_checkpoint_state(saved("second", 4, "transductive"))[0]
    assert torch.equal(state["seen"], read_checkpoint_state(saved(whole, 2))[0]["seen"])
    assert record("second")["arguments"]["setting"] == "transductive"


def test_weights_that_have_seen_the_unseen_are_refused(whole, capfd):
    words = ("--no-eval", "--load-from", str(saved(whole, 2)))
    assert run("leaked", *words, config="other_training") == 1
    error = capfd.readouterr().err
    assert "trained with labels of car, which are unseen" in error and "tree" not in error
    assert "start from a checkpoint of the same split" in error
    assert run("everything", "--no-eval", "--cfg-options", "train_cfg.max_iters=1", config="fully") == 0
    file = saved("everything", 1, "fully")
    assert run("leaked", "--no-eval", "--load-from", str(file), config="transductive") == 1
    assert f"trained with labels of {', '.join(sorted(UNSEEN, key=CLASSES.index))}, which" in capfd.readouterr().err
    assert run("everything", "--no-eval", "--load-from", str(saved(whole, 2)), "--fresh", config="fully") == 0


def test_text_features_are_those_of_the_config(whole):
    """Weights to start from bring the text features of their own templates, which are no weights."""
    words = ("--no-eval", "--load-from", str(saved(whole, 2)), "--cfg-options", "train_cfg.max_iters=1")
    assert run("drawing", *words, config="other_template") == 0
    state, wanted = read_checkpoint_state(saved("drawing", 1, "other_template"))[0], model_of("other_template")
    assert torch.equal(state["text"], wanted.text) and torch.equal(state["words"], wanted.words)
    assert not torch.allclose(state["text"], read_checkpoint_state(saved(whole, 2))[0]["text"], atol=1e-3)


def runner(model: CLIPRC, unseen: tuple[int, ...] | None) -> SimpleNamespace:
    """What SplitHook looks at."""
    said = {} if unseen is None else {"unseen": unseen}
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=said))
    return SimpleNamespace(model=model, train_dataloader=loader, test_dataloader=loader)


def test_an_evaluation_has_the_split_of_the_training(whole, capfd):
    assert evaluate("split", saved(whole, 4), config="other_split") == 1
    error = capfd.readouterr().err
    assert "The data set says that car are unseen, but this model was trained with their labels" in error
    model, hook = model_of(), SplitHook()
    hook.before_test(runner(model, None))
    hook.before_test(runner(model, tuple(NOVEL)))
    for setting in ("inductive", "transductive"):
        model.setting = setting
        with pytest.raises(ValueError, match="evaluate it with the split of its training"):
            hook.before_test(runner(model, (0, *NOVEL)))


def test_a_fully_supervised_model_goes_with_any_split():
    model, hook = model_of("fully"), SplitHook()
    hook.before_train(runner(model, None))
    assert model.ids(seen=True) == list(range(len(CLASSES)))
    for unseen in (None, (0, 3), tuple(NOVEL)):
        hook.before_test(runner(model, unseen))
    images, _ = batch()
    scores = model.eval().scores(images)
    assert scores.min() >= 0  # no bias where every class would have it


# ---- evaluations


def loaded(file: Path, config: str = "inductive", **options) -> CLIPRC:
    """The model of a config with a checkpoint, ready for an evaluation."""
    model = MODELS.build({**Config.fromfile(f"{config}.py").model, "checkpoint": str(file), **options})
    model.prepare(CPU)
    return model


def test_the_record_of_an_evaluation(whole):
    found = record(whole)
    assert found["trained"]["checkpoint"] == "iter_4.pth" and found["trained"]["iteration"] == 4
    seen, unseen = (found["metrics"][f"mIoU_{name}"] for name in ("seen", "unseen"))
    assert found["metrics"]["hIoU"] == pytest.approx(2 * seen * unseen / max(seen + unseen, 1e-9), abs=0.01)
    assert [row["name"] for row in found["per_class"]] == list(CLASSES) and len(CLASSES) == 19
    assert {row["name"] for row in found["per_class"] if row["unseen"]} == set(UNSEEN)
    assert found["arguments"]["seen_bias"] == 0.1 and found["precision"] == "fp32"
    assert evaluate("again", saved(whole, 4)) == 0
    assert record("again")["metrics"] == found["metrics"] and record("again")["identity"] == found["identity"]


def test_all_classes_come_out_of_a_training_on_some(whole, monkeypatch):
    """14 text rows in a step, 19 in an evaluation, where an unseen class may be the best."""
    rows, model = [], loaded(saved(whole, 4))
    forward = type(model.decode_head).forward
    spied = lambda self, seen, text: rows.append(len(text)) or forward(self, seen, text)  # noqa: E731
    monkeypatch.setattr(type(model.decode_head), "forward", spied)
    images, samples = batch()
    scores = model.scores(images)
    assert rows == [19] and scores.shape == (2, 19, 64, 64)
    model_of().loss(images, samples)
    assert rows == [19, 14]
    assert set(model.predict(images).unique().tolist()) & set(NOVEL)


def test_another_clip_than_that_of_the_training_is_refused(whole, capfd):
    state = load_file(WEIGHTS / "clip" / "open_clip_model.safetensors")
    shutil.copytree(WEIGHTS / "clip", "clip")
    said = "was trained on another image tower than that of model_type='local-dir:clip', clip_type=None: use the CLIP"
    for name, change in (("text_projection", False), ("visual.proj", True)):
        save_file(state | {name: state[name] * 1.5}, "clip/open_clip_model.safetensors")
        assert evaluate(f"clip_{name}", saved(whole, 4), config="other_clip") == int(change)
        assert (f"iter_4.pth {said}" in capfd.readouterr().err) == change
    for more in ((), ("--resume",)):
        words = ("--no-eval", "--load-from", str(saved(whole, 2)), *more)
        assert run("clip_training", *words, config="other_clip") == 1
        assert f"iter_2.pth {said}" in capfd.readouterr().err


def test_only_names_of_the_training_count_as_seen(whole, tmp_path):
    """As many other names, or the same in another order, are not those whose labels the training had."""
    (tmp_path / "cls.txt").write_text("\n".join(reversed(CLASSES)))
    known, other = loaded(saved(whole, 4)), loaded(saved(whole, 4), templates=["a drawing of a {}"])
    assert known.ids(seen=False) == other.ids(seen=False) == NOVEL and not torch.equal(known.text, other.text)
    turned = loaded(saved(whole, 4), name_path=str(tmp_path / "cls.txt"))
    assert turned.ids(seen=True) == turned.ids(seen=False) == []
    torch.testing.assert_close(turned.text.flip(0), known.text)


@torch.no_grad()
def test_half_precision_is_close(whole):
    exact, (images, _) = loaded(saved(whole, 4)), batch()
    scores = exact.scores(images)
    for dtype in (torch.bfloat16, torch.float16):
        half = loaded(saved(whole, 4))
        half.cast_for_inference(dtype)
        found = half.scores(images)
        assert found.dtype is torch.float32 and not torch.equal(found, scores)
        assert (found - scores).abs().mean() < 0.01 and (found.argmax(1) == scores.argmax(1)).float().mean() > 0.9
        assert half.text.dtype is torch.float32 and half.frozen.open(CPU).clip.model.visual.proj.dtype is dtype
    bf16 = loaded(saved(whole, 4), precision="bf16")
    assert {p.dtype for p in (*bf16.prompts.parameters(), *bf16.decode_head.parameters())} == {torch.bfloat16}
    assert (bf16.predict(images) == exact.predict(images)).float().mean() > 0.9
    with pytest.raises(ValueError, match="fp16' needs a CUDA device"):
        loaded(saved(whole, 4), precision="fp16")


@pytest.mark.parametrize("config", ["inductive", "small"])
def test_pictures_of_any_shape(whole, config):
    """Short sides are 72 pixels, or 40, less than the window of 64; a long side is what it is."""
    segmenter = Segmenter(config=f"{config}.py", checkpoint=str(saved(whole, 4)), device="cpu")
    picture = draw_seeded_scene(7, 0).image
    for h, w in ((130, 150), (37, 61), (9, 100), (131, 20), (1, 1)):
        crop = np.ascontiguousarray(picture[:h, :w])
        found = segmenter(crop)
        assert found.names == CLASSES and found.labels.shape == (h, w)
        np.testing.assert_allclose(found.probabilities.sum(0), 1, atol=1e-5)
        inputs = segmenter._prepared([crop])
        short = min(inputs[0].shape[1:])
        assert short == (40 if config == "small" else 72)
        (sample,) = segmenter._model.predict(inputs, [SegDataSample(metainfo=dict(ori_shape=(h, w)))])
        assert np.array_equal(sample.pred_sem_seg.data[0].numpy(), found.labels)


def test_words_of_ones_own(whole, tmp_path):
    """None of them counts as seen; in another order they are scored as those of the config are without a bias."""
    file = str(saved(whole, 4))
    picture = draw_seeded_scene(7, 0).image
    segmenter = Segmenter(config="inductive.py", checkpoint=file, device="cpu")
    words = Segmenter([["sea", "water"], "sky", "car"], config="inductive.py", checkpoint=file, device="cpu")
    assert words(picture).names == ("sea", "sky", "car") and set(np.unique(words(picture).labels)) <= {0, 1, 2}
    inputs, bias = segmenter._prepared([picture])[0], torch.full((19, 1, 1), 0.1)
    bias[NOVEL] = 0
    with torch.no_grad():
        theirs = segmenter._model.slide(inputs)
        own = words.set_classes(list(CLASSES[::-1]))._model.slide(inputs)
    torch.testing.assert_close(own.flip(0), theirs + bias, rtol=0, atol=5e-3)  # text in float32, not rounded
    assert segmenter.fork().set_classes("sea; sky")(picture).names == ("sea", "sky")
    assert segmenter(picture).names == CLASSES  # the first one's are as they were
    Image.fromarray(picture[:50, :33]).save(tmp_path / "scene.png")
    out = tmp_path / "out"
    given = ["--config", "inductive.py", "--checkpoint", file, "--classes", "sea; sky", "--device", "cpu"]
    assert demo.main([str(tmp_path / "scene.png"), *given, "--out", str(out)]) == 0
    assert np.asarray(Image.open(out / "scene_mask.png")).shape == (50, 33)


# ---- parity: Q3, Q11, Q12; Q9 and Q10 are in test_clip_rc.py


def test_q3_whose_mean_and_deviation():
    upstream, paper = model_of(parity="upstream").eval(), model_of(parity="paper").eval()
    paper.load_state_dict(upstream.state_dict())
    assert upstream.data_preprocessor.mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    assert upstream.data_preprocessor.std.flatten().tolist() == pytest.approx([58.395, 57.12, 57.375])
    clip = load_clip(TINY, None)
    for name in ("mean", "std"):
        found = getattr(paper.data_preprocessor, name) / 255
        torch.testing.assert_close(found, getattr(clip, name), rtol=1e-4, atol=0)


def test_q3_another_mean_of_a_clip(tmp_path):
    """In the paper's form a CLIP that was trained with a mean of its own gets it; upstream gets what comes."""
    shutil.copytree(WEIGHTS / "clip", tmp_path / "own")
    file = tmp_path / "own" / "open_clip_config.json"
    config = json.loads(file.read_text())
    config["preprocess_cfg"] |= dict(mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5])
    file.write_text(json.dumps(config))
    images, _ = batch()
    for parity, changes in (("upstream", False), ("paper", True)):
        plain = model_of(parity=parity).eval()
        other = model_of(parity=parity, model_type=f"local-dir:{tmp_path / 'own'}").eval()
        with torch.no_grad():
            pair = [model.extract_feat(images).patches for model in (plain, other)]
        assert torch.allclose(*pair, atol=1e-4) != changes


def test_q11_first_weights():
    upstream, paper = (model_of(parity=parity) for parity in ("upstream", "paper"))
    for name, module in upstream.decode_head.named_modules():
        if isinstance(module, nn.Linear):  # PyTorch's: uniform up to 1 / sqrt(inputs), biases too
            bound = 1 / math.sqrt(module.in_features)
            assert 0.95 * bound < module.weight.abs().max() <= bound and module.bias.abs().max() > 0.5 * bound, name
    for name, module in (*paper.decode_head.named_modules(), *upstream.recovery.named_modules()):
        if isinstance(module, nn.Linear):
            assert not module.bias.any()
            if "patches" in name and name.endswith("ffn2") and module in list(paper.decode_head.modules()):
                assert not module.weight.any(), name
            else:
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.1), name
        elif isinstance(module, nn.LayerNorm):
            assert module.weight.eq(1).all() and not module.bias.any()


def test_q11_streams_begin_as_copies():
    for parity in ("upstream", "paper"):
        streams = model_of(parity=parity).decode_head.streams
        first, second = (streams.queries[i].state_dict() for i in range(2))
        alike = [torch.equal(value, second[name]) for name, value in first.items() if value.ndim == 2]
        assert all(alike) if parity == "upstream" else not any(alike)
        other = streams.patches[0].state_dict()
        assert not any(torch.equal(value, other[name]) for name, value in first.items() if value.ndim == 2)


def test_q12_weight_decay_of_norms():
    """146 tensors, whatever the CLIP: 6 of the prompts, 100 of the decoder with its three layers, 40 of recovery."""
    cfg, found = Config.fromfile("inductive.py"), {}
    cfg.model.decoder.layers = 3
    for parity in ("upstream", "paper"):
        model = MODELS.build({**cfg.model, "parity": parity})
        groups = build_optim_wrapper(model, copy.deepcopy(cfg.optim_wrapper)).optimizer.param_groups
        known = {id(p): name for name, p in model.named_parameters()}
        found[parity] = {known[id(p)]: (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
        assert set(found[parity]) == set(known.values()) and len(found[parity]) == 146
        assert sum(len(group["params"]) for group in groups) == 146
        norms = {
            f"{n}.{p}" for n, m in model.named_modules() if isinstance(m, nn.LayerNorm) for p in ("weight", "bias")
        }
        assert len(norms) == 2 * (1 + 2 * 3 * 2 + 2 * 2)
        assert {value for name, value in found[parity].items() if name not in norms} == {(2e-4, 0.01)}
        assert {found[parity][name] for name in norms} == {(2e-4, 0.01 if parity == "upstream" else 0.0)}
        assert parity == "paper" or len(groups) == 1
