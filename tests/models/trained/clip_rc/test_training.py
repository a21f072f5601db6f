"""CLIP-RC in train.py, eval.py and the API: resuming, precision, processes, splits, parity."""

import copy
import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.train_runs import read_losses, run_two_processes
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
from proxyclip.models.trained.nonfinite import NonFiniteError
from proxyclip.models.trained.state_dict import load_checkpoint_file
from proxyclip.tinyworld import CLASSES, WEIGHTS
from proxyclip.tinyworld.scenes import draw_seeded_scene
from proxyclip.utils.paths import ROOT

pytestmark = pytest.mark.slow

UNSEEN = ("tree", "boat", "rocket", "duck", "sand")
NOVEL = [CLASSES.index(name) for name in UNSEEN]
PARTS = {"prompts", "decode_head", "recovery", "text", "words", "seen", "tower"}  # of a checkpoint
TERMS = ("loss_mask", "loss_dice", "recovery_loss_q", "recovery_loss_k")
CPU = torch.device("cpu")
CONFIG = f"""
_base_ = '{ROOT}/configs/trained/clip_rc/_base_/runtime.py'
model = dict(
    model_type='{TINY}', clip_type=None, name_path='configs/trained/maskclip_plus/cls_tinyworld.txt',
    prompts=2, regions=4, slide_crop=64, slide_stride=48,
    decoder=dict(layers=2, heads=4, hidden=32, dropout=0.1),
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
    """Folder of configs outside of the repository."""
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


def run(out: str, *arguments: str, config: str = "inductive") -> int:
    return train.main([f"{config}.py", "--work-dir", out, "--device", "cpu", *arguments])


def evaluate(out: str, file: Path, config: str = "inductive") -> int:
    arguments = ("--checkpoint", str(file), "--work-dir", out, "--gallery", "0", "--device", "cpu")
    return eval_command.main(["--config", f"{config}.py", *arguments])


def saved(out: str, iteration: int, config: str = "inductive") -> Path:
    return Path(out) / "train" / config / f"iter_{iteration}.pth"


def read_record(out: str) -> dict:
    (path,) = (Path(out) / "records").glob("*.json")
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def whole(world) -> str:
    """Work dir of an uninterrupted inductive training and its evaluation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(world)
        assert run("whole") == 0
    return "whole"


def model_of(config: str = "inductive", **options) -> CLIPRC:
    """Build the model of a config, with the initial weights of a seed and a split, for a training."""
    torch.manual_seed(0)
    model = MODELS.build({**Config.fromfile(f"{config}.py").model, **options})
    model.init_weights()
    model.split(NOVEL)
    return model.train()


def batch(seed: int = 0) -> tuple[torch.Tensor, list[SegDataSample]]:
    """Draw two scenes of 64 x 64 pixels, and their labels without the unseen classes."""
    scenes = [draw_seeded_scene(seed, number) for number in range(2)]
    images = torch.stack([torch.from_numpy(scene.image[:64, :64]).permute(2, 0, 1) for scene in scenes]).float()
    samples = []
    for scene in scenes:
        labels = torch.from_numpy(scene.mask[:64, :64].astype(np.int64))[None]
        labels[torch.isin(labels, torch.tensor(NOVEL))] = -1
        samples.append(SegDataSample(gt_sem_seg=PixelData(data=labels)))
    return (images - 120) / 60, samples


def sum_losses(losses: dict[str, torch.Tensor]) -> torch.Tensor:
    return sum(value for name, value in losses.items() if "loss" in name)


def read_tensors(file: Path) -> list[torch.Tensor]:
    """Weights and optimizer momenta of a checkpoint."""
    checkpoint = load_checkpoint_file(file)
    states = checkpoint["optimizer"]["state"].values()
    return [*checkpoint["state_dict"].values(), *(s[key] for s in states for key in ("exp_avg", "exp_avg_sq"))]


def are_equal(first: Path, second: Path) -> bool:
    return all(torch.equal(a, b) for a, b in zip(read_tensors(first), read_tensors(second), strict=True))


def test_resumed_training_equals_an_uninterrupted_one(whole, monkeypatch, capfd):
    step = CLIPRC.step
    seeds = []

    def stop(self, *args):
        seeds.append(torch.initial_seed())
        if len(seeds) == 4:
            raise KeyboardInterrupt
        return step(self, *args)

    monkeypatch.setattr(CLIPRC, "step", stop)
    assert run("resumed", "--no-eval") == 130
    assert not saved("resumed", 4).exists() and saved("resumed", 2).is_file()
    assert run("resumed", "--no-eval", "--resume", "--workers", "1") == 0  # a worker process does not seed this one
    assert f"going on after {saved('resumed', 2)}" in capfd.readouterr().out
    losses = read_losses(saved(whole, 4).parent)
    assert read_losses(saved("resumed", 4).parent) == losses and [line["iter"] for line in losses] == [1, 2, 3, 4]
    assert all(math.isfinite(line[name]) for line in losses for name in TERMS)
    assert are_equal(saved("resumed", 4), saved(whole, 4)) and not are_equal(saved(whole, 2), saved(whole, 4))
    assert len(set(seeds)) == 4  # of iterations 3 and 4 twice
    model = model_of()
    images, samples = batch()
    assert sum_losses(model.loss(images, samples)) != sum_losses(model.loss(images, samples))


def test_parse_losses_refuses_nan():
    with pytest.raises(NonFiniteError, match=r"The loss is not a number: loss_dice = nan$"):
        model_of().parse_losses({"loss_mask": torch.tensor(1.0), "loss_dice": torch.tensor(math.nan)})


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
    assert not torch.equal(sum_losses(mixed), sum_losses(plain))
    sum_losses(mixed).backward()
    assert all(p.grad.dtype is torch.float32 and p.grad.isfinite().all() for p in model.parameters())


def test_only_prompts_and_decoder_are_trained():
    model, (images, samples) = model_of(), batch()
    tower = model.frozen.open(CPU)
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    start = {name: value.clone() for name, value in model.named_parameters()}
    assert not {id(p) for p in tower.parameters()} & {id(p) for p in model.parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2, weight_decay=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        sum_losses(model.loss(images, samples)).backward()
        optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in tower.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in tower.parameters()) and not tower.training
    assert {name.partition(".")[0] for name in start} == {"prompts", "decode_head", "recovery"}
    assert all(p.grad.isfinite().all() for p in model.parameters())
    still = [name for name, value in model.named_parameters() if torch.equal(value, start[name])]
    assert not still and not any(value.requires_grad for value in model.buffers())


def test_checkpoint_has_trained_parts_text_and_split(whole):
    checkpoint = load_checkpoint_file(saved(whole, 4))
    state = checkpoint["state_dict"]
    assert {name.partition(".")[0] for name in state} == PARTS and checkpoint["meta"]["iter"] == 4
    model = model_of()
    assert {name: value.shape for name, value in state.items()} == {
        name: value.shape for name, value in model.state_dict().items()
    }
    assert state["seen"].tolist() == [0 if name in UNSEEN else 1 for name in CLASSES]
    assert torch.equal(state["text"], model.text) and torch.equal(state["tower"], model.frozen.hash(CPU))
    assert torch.equal(state["text"], state["text"].half().float()) and state["tower"].any()
    assert {name.partition(".")[0] for name in model_of("fully").state_dict()} == PARTS - {"recovery"}


def test_focal_and_dice_loss_average_classes_over_processes(monkeypatch):
    """Average the number of classes over the processes: the mean of both is the loss of the whole batch."""
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


def test_two_processes_equal_one_with_the_double_batch(monkeypatch):
    init = DeepPrompts.__init__
    monkeypatch.setattr(DeepPrompts, "__init__", lambda self, *args: init(self, *args, dropout=0.0))
    options = ("--no-eval", "--cfg-options", "model.decoder.dropout=0")
    arguments = ("--launcher", "pytorch", *options, "train_dataloader.batch_size=1")
    run_two_processes(lambda: run("two", *arguments, config="plain"))
    assert run("one", *options, config="plain") == 0
    two, one = (load_checkpoint_file(saved(out, 2, "plain"))["state_dict"] for out in ("two", "one"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-6)
    first = model_of("plain").state_dict()
    assert not torch.allclose(first["prompts.first"], one["prompts.first"], rtol=1e-3, atol=1e-5)


def test_train_refuses_data_without_a_split(capfd):
    assert run("no_split", "--no-eval", config="no_split") == 1
    error = capfd.readouterr().err
    assert "CLIPRC needs a data set that says which classes are unseen in its training: zero_shot=True" in error
    assert not saved("no_split", 2, "no_split").exists()


def test_loss_refuses_labels_of_unseen_classes(capfd):
    assert run("leaky", "--no-eval", config="leaky") == 1
    assert "Labels have classes [" in (error := capfd.readouterr().err) and "is SuppressLabels there?" in error
    images, samples = batch()
    samples[1].gt_sem_seg.data[0, 3, 4] = NOVEL[1]
    for config in ("inductive", "transductive"):
        with pytest.raises(ValueError, match=rf"Labels have classes \[{NOVEL[1]}\], which are unlabelled"):
            model_of(config).loss(images, samples)
    assert sum_losses(model_of("fully").loss(images, samples)).isfinite()


def test_transductive_training_starts_from_an_inductive_one(whole, capfd):
    assert run("second", "--no-eval", config="transductive") == 1
    assert "train that first, python train.py" in capfd.readouterr().err
    saved("second", 2).parent.mkdir(parents=True)
    shutil.copy(saved(whole, 2), saved("second", 2))
    assert run("second", config="transductive") == 0
    output = capfd.readouterr().out
    assert f"starting from {saved('second', 2)}" in output and "lacks" not in output
    assert "after iteration 2: aAcc" in output and "hIoU" in output
    assert [line["iter"] for line in read_losses(saved("second", 4, "transductive").parent)] == [1, 2, 3, 4]
    states = [load_checkpoint_file(saved(*key))["state_dict"] for key in ((whole, 2), ("second", 4, "transductive"))]
    assert torch.equal(states[0]["seen"], states[1]["seen"])
    assert read_record("second")["arguments"]["setting"] == "transductive"


def test_train_refuses_weights_that_have_seen_unseen_classes(whole, capfd):
    assert run("leaked", "--no-eval", "--load-from", str(saved(whole, 2)), config="other_training") == 1
    error = next(line for line in capfd.readouterr().err.splitlines() if line.startswith("error: "))
    assert "trained with labels of car, which are unseen" in error and "tree" not in error
    assert "start from a checkpoint of the same split" in error
    assert run("everything", "--no-eval", "--cfg-options", "train_cfg.max_iters=1", config="fully") == 0
    file = saved("everything", 1, "fully")
    assert run("leaked", "--no-eval", "--load-from", str(file), config="transductive") == 1
    assert f"trained with labels of {', '.join(sorted(UNSEEN, key=CLASSES.index))}, which" in capfd.readouterr().err
    assert run("everything", "--no-eval", "--load-from", str(saved(whole, 2)), "--fresh", config="fully") == 0


def test_load_from_recomputes_text_of_other_templates(whole):
    arguments = ("--no-eval", "--load-from", str(saved(whole, 2)), "--cfg-options", "train_cfg.max_iters=1")
    assert run("drawing", *arguments, config="other_template") == 0
    state = load_checkpoint_file(saved("drawing", 1, "other_template"))["state_dict"]
    model = model_of("other_template")
    assert torch.equal(state["text"], model.text) and torch.equal(state["words"], model.words)
    assert not torch.allclose(state["text"], load_checkpoint_file(saved(whole, 2))["state_dict"]["text"], atol=1e-3)


def runner(model: CLIPRC, unseen: tuple[int, ...] | None) -> SimpleNamespace:
    """Runner with what SplitHook reads."""
    metainfo = {} if unseen is None else {"unseen": unseen}
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=metainfo))
    return SimpleNamespace(model=model, train_dataloader=loader, test_dataloader=loader)


def test_split_hook_refuses_another_split_in_an_evaluation(whole, capfd):
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


def test_fully_supervised_model_accepts_any_split_without_bias():
    model, hook = model_of("fully"), SplitHook()
    hook.before_train(runner(model, None))
    assert model.ids(seen=True) == list(range(len(CLASSES)))
    for unseen in (None, (0, 3), tuple(NOVEL)):
        hook.before_test(runner(model, unseen))
    images, _ = batch()
    scores = model.eval().scores(images)
    assert scores.min() >= 0  # no bias where every class would have it


def loaded(file: Path, config: str = "inductive", **options) -> CLIPRC:
    """Build the model of a config with a checkpoint, for an evaluation."""
    model = MODELS.build({**Config.fromfile(f"{config}.py").model, "checkpoint": str(file), **options})
    model.prepare(CPU)
    return model


def test_record_has_checkpoint_and_per_class_split(whole):
    record = read_record(whole)
    assert record["trained"]["checkpoint"] == "iter_4.pth" and record["trained"]["iteration"] == 4
    seen, unseen = (record["metrics"][f"mIoU_{name}"] for name in ("seen", "unseen"))
    assert record["metrics"]["hIoU"] == pytest.approx(2 * seen * unseen / max(seen + unseen, 1e-9), abs=0.01)
    assert [row["name"] for row in record["per_class"]] == list(CLASSES)
    assert {row["name"] for row in record["per_class"] if row["unseen"]} == set(UNSEEN)
    assert record["arguments"]["seen_bias"] == 0.1 and record["precision"] == "fp32"
    assert evaluate("again", saved(whole, 4)) == 0
    assert all(read_record("again")[key] == record[key] for key in ("metrics", "identity"))


def test_scores_have_all_classes_after_training_on_seen_ones(whole, monkeypatch):
    """Decode with 14 text rows in a step, and 19 in an evaluation, where an unseen class may be the best."""
    rows = []
    model = loaded(saved(whole, 4))
    forward = type(model.decode_head).forward
    spied = lambda self, seen, text: rows.append(len(text)) or forward(self, seen, text)  # noqa: E731
    monkeypatch.setattr(type(model.decode_head), "forward", spied)
    images, samples = batch()
    scores = model.scores(images)
    assert rows == [19] and scores.shape == (2, 19, 64, 64)
    model_of().loss(images, samples)
    assert rows == [19, 14]
    assert set(model.predict(images).unique().tolist()) & set(NOVEL)


def test_checkpoint_refuses_another_image_tower(whole, capfd):
    state = load_file(WEIGHTS / "clip" / "open_clip_model.safetensors")
    shutil.copytree(WEIGHTS / "clip", "clip")
    message = (
        "was trained on another image tower than that of model_type='local-dir:clip', clip_type=None: use the CLIP"
    )
    for name, change in (("text_projection", False), ("visual.proj", True)):
        save_file(state | {name: state[name] * 1.5}, "clip/open_clip_model.safetensors")
        assert evaluate(f"clip_{name}", saved(whole, 4), config="other_clip") == int(change)
        assert (f"iter_4.pth {message}" in capfd.readouterr().err) == change
    for options in ((), ("--resume",)):
        arguments = ("--no-eval", "--load-from", str(saved(whole, 2)), *options)
        assert run("clip_training", *arguments, config="other_clip") == 1
        assert f"iter_2.pth {message}" in capfd.readouterr().err


def test_checkpoint_split_applies_to_its_names_alone(whole, tmp_path):
    (tmp_path / "cls.txt").write_text("\n".join(reversed(CLASSES)))
    known, other = loaded(saved(whole, 4)), loaded(saved(whole, 4), templates=["a drawing of a {}"])
    assert known.ids(seen=False) == other.ids(seen=False) == NOVEL and not torch.equal(known.text, other.text)
    turned = loaded(saved(whole, 4), name_path=str(tmp_path / "cls.txt"))
    assert turned.ids(seen=True) == turned.ids(seen=False) == []
    torch.testing.assert_close(turned.text.flip(0), known.text)


@torch.no_grad()
def test_half_precision_scores_are_close(whole):
    exact, (images, _) = loaded(saved(whole, 4)), batch()
    scores = exact.scores(images)
    for dtype in (torch.bfloat16, torch.float16):
        half = loaded(saved(whole, 4))
        half.cast_for_inference(dtype)
        rounded = half.scores(images)
        assert rounded.dtype is torch.float32 and not torch.equal(rounded, scores)
        assert (rounded - scores).abs().mean() < 0.01 and (rounded.argmax(1) == scores.argmax(1)).float().mean() > 0.9
        assert half.text.dtype is torch.float32 and half.frozen.open(CPU).clip.model.visual.proj.dtype is dtype
    bf16 = loaded(saved(whole, 4), precision="bf16")
    assert {p.dtype for p in (*bf16.prompts.parameters(), *bf16.decode_head.parameters())} == {torch.bfloat16}
    assert (bf16.predict(images) == exact.predict(images)).float().mean() > 0.9
    with pytest.raises(ValueError, match="fp16' needs a CUDA device"):
        loaded(saved(whole, 4), precision="fp16")


@pytest.mark.parametrize("config", ["inductive", "small"])
def test_segmenter_takes_images_of_any_shape(whole, config):
    segmenter = Segmenter(config=f"{config}.py", checkpoint=str(saved(whole, 4)), device="cpu")
    scene = draw_seeded_scene(7, 0).image
    for h, w in ((130, 150), (37, 61), (9, 100), (131, 20), (1, 1)):
        crop = np.ascontiguousarray(scene[:h, :w])
        result = segmenter(crop)
        assert result.names == CLASSES and result.labels.shape == (h, w)
        np.testing.assert_allclose(result.probabilities.sum(0), 1, atol=1e-5)
        inputs = segmenter._prepared([crop])
        assert min(inputs[0].shape[1:]) == (40 if config == "small" else 72)
        (sample,) = segmenter._model.predict(inputs, [SegDataSample(metainfo=dict(ori_shape=(h, w)))])
        assert np.array_equal(sample.pred_sem_seg.data[0].numpy(), result.labels)


def test_segmenter_scores_custom_classes_without_bias(whole, tmp_path):
    file = str(saved(whole, 4))
    scene = draw_seeded_scene(7, 0).image
    segmenter = Segmenter(config="inductive.py", checkpoint=file, device="cpu")
    custom = Segmenter([["sea", "water"], "sky", "car"], config="inductive.py", checkpoint=file, device="cpu")
    assert custom(scene).names == ("sea", "sky", "car") and set(np.unique(custom(scene).labels)) <= {0, 1, 2}
    inputs = segmenter._prepared([scene])[0]
    bias = torch.full((19, 1, 1), 0.1)
    bias[NOVEL] = 0
    with torch.no_grad():
        biased = segmenter._model.slide(inputs)
        reversed_scores = custom.set_classes(list(CLASSES[::-1]))._model.slide(inputs)
    torch.testing.assert_close(reversed_scores.flip(0), biased + bias, rtol=0, atol=5e-3)  # text is not rounded
    assert segmenter.fork().set_classes("sea; sky")(scene).names == ("sea", "sky")
    assert segmenter(scene).names == CLASSES
    Image.fromarray(scene[:50, :33]).save(tmp_path / "scene.png")
    options = ["--config", "inductive.py", "--checkpoint", file, "--classes", "sea; sky", "--device", "cpu"]
    assert demo.main([str(tmp_path / "scene.png"), *options, "--out", str(tmp_path / "out")]) == 0
    assert np.asarray(Image.open(tmp_path / "out" / "scene_mask.png")).shape == (50, 33)


def test_parity_selects_normalization():
    upstream, paper = model_of(parity="upstream").eval(), model_of(parity="paper").eval()
    paper.load_state_dict(upstream.state_dict())
    assert upstream.data_preprocessor.mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    assert upstream.data_preprocessor.std.flatten().tolist() == pytest.approx([58.395, 57.12, 57.375])
    clip = load_clip(TINY, None)
    for name in ("mean", "std"):
        torch.testing.assert_close(getattr(paper.data_preprocessor, name) / 255, getattr(clip, name), rtol=1e-4, atol=0)


def test_paper_parity_renormalizes_for_another_clip(tmp_path):
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


def test_parity_selects_initial_weights():
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


def test_parity_selects_weight_decay_of_norms():
    """Compare 146 tensors: 6 of the prompts, 100 of the decoder with three layers, 40 of recovery."""
    cfg = Config.fromfile("inductive.py")
    cfg.model.decoder.layers = 3
    for parity in ("upstream", "paper"):
        model = MODELS.build({**cfg.model, "parity": parity})
        groups = build_optim_wrapper(model, copy.deepcopy(cfg.optim_wrapper)).optimizer.param_groups
        names = {id(p): name for name, p in model.named_parameters()}
        options = {names[id(p)]: (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
        assert set(options) == set(names.values()) and len(options) == 146
        assert sum(len(group["params"]) for group in groups) == 146
        norms = {
            f"{n}.{p}" for n, m in model.named_modules() if isinstance(m, nn.LayerNorm) for p in ("weight", "bias")
        }
        assert len(norms) == 2 * (1 + 2 * 3 * 2 + 2 * 2)
        assert {value for name, value in options.items() if name not in norms} == {(2e-4, 0.01)}
        assert {options[name] for name in norms} == {(2e-4, 0.01 if parity == "upstream" else 0.0)}
        assert parity == "paper" or len(groups) == 1
