"""Wrappers, prefixes and heads of checkpoints are removed in any combination; nothing in a file is run."""

import argparse
import datetime
import functools
import logging
import pathlib

import numpy as np
import pytest
import timm
import torch
from helpers.hub_models import shrink_timm
from helpers.reference import tensors, tiny_sam
from segment_anything import sam_model_registry

from proxyclip.models.clip.dense import load_clip
from proxyclip.models.vfm import build_vfm
from proxyclip.models.vfm.dino import DINO
from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.nesting import strip_shared_prefixes, unwrap_checkpoint
from proxyclip.models.weights.reading import read_state_dict

HEADS = {"head.mlp.0.weight": torch.zeros(3, 3), "head.last_layer.weight_g": torch.zeros(3, 1)}
TRAINING = {"epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}}


@pytest.fixture
def vit(monkeypatch):
    """The tensors of a small DINO, which its name builds."""
    shrink_timm(monkeypatch, depth=2, embed_dim=48, num_heads=2)
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()


def add_prefix(state, prefix):
    return {f"{prefix}{key}": value for key, value in state.items()}


@pytest.mark.parametrize(
    "key", ["state_dict", "model", "teacher", "student", "model_state_dict", "module", "model_ema", "ema"]
)
@pytest.mark.parametrize("prefix", ["", "model.", "backbone.", "encoder.", "_orig_mod.", "module.", "vit.", "visual."])
def test_wrappers_and_prefixes_are_removed(vit, tmp_path, key, prefix):
    torch.save({key: add_prefix(vit, prefix) | HEADS, **TRAINING}, tmp_path / "file.pth")
    torch.testing.assert_close(DINO("vit_tiny_patch16_224", str(tmp_path / "file.pth")).vit.state_dict(), vit)
    torch.save({key: add_prefix(vit, prefix)}, tmp_path / "bare.pth")
    assert set(read_state_dict(tmp_path / "bare.pth")) == set(vit)


@pytest.mark.parametrize("keys, prefix", [
    (("state_dict", "model"), "module._orig_mod.backbone."), (("model", "teacher"), "_orig_mod.module.encoder."),
    (("checkpoint", "state_dict"), "model.model."), (("model",), "teacher.backbone._fsdp_wrapped_module."),
])  # fmt: skip
def test_wrappers_and_prefixes_are_removed_in_any_depth(vit, tmp_path, keys, prefix):
    content = add_prefix(vit, prefix)
    for key in reversed(keys):
        content = {key: content, **TRAINING}
    torch.save(content, tmp_path / "file.pth")
    torch.testing.assert_close(DINO("vit_tiny_patch16_224", str(tmp_path / "file.pth")).vit.state_dict(), vit)


def test_the_teacher_of_a_training_of_dino_is_used_with_a_line(vit, tmp_path, caplog):
    other = {key: value + 1 for key, value in vit.items()}
    content = {
        "student": add_prefix(other | HEADS, "module.backbone.") | add_prefix(HEADS, "module."),
        "teacher": add_prefix(vit, "backbone.") | HEADS,
        "args": argparse.Namespace(arch="vit_small", patch_size=16, betas=(0.9, 0.99)),
        "dino_loss": {"center": torch.zeros(1, 3)},
        **TRAINING,
    }
    torch.save(content, tmp_path / "full.pth")
    with caplog.at_level(logging.WARNING):
        vfm = DINO("vit_tiny_patch16_224", str(tmp_path / "full.pth"))
    torch.testing.assert_close(vfm.vit.state_dict(), vit)
    assert "full.pth: it has 'teacher' and 'student'; 'teacher' is used" in caplog.text
    # DINOv2's checkpoints have both in one dict
    flat = add_prefix(other, "student.backbone.") | add_prefix(vit, "teacher.backbone.")
    flat |= add_prefix(HEADS, "teacher.dino_") | add_prefix(HEADS, "student.ibot_")
    torch.save({"model": flat, "iteration": 9}, tmp_path / "flat.pth")
    vfm = DINO("vit_tiny_patch16_224", str(tmp_path / "flat.pth"))
    torch.testing.assert_close(vfm.vit.state_dict(), vit)
    assert "'teacher.backbone.' is used" in caplog.text


def test_chunks_of_blocks_of_dinov2_are_joined(tmp_path, monkeypatch):
    shrink_timm(monkeypatch, depth=3, embed_dim=48, num_heads=2, img_size=56)
    state = timm.create_model("vit_small_patch14_dinov2", num_classes=0).state_dict()
    chunks = {
        key.replace("blocks.2.", "blocks.1.2.").replace("blocks.0.", "blocks.0.0."): v for key, v in state.items()
    }
    chunks = {key.replace("blocks.1.norm", "blocks.0.1.norm"): v for key, v in chunks.items()}
    torch.save({"teacher": add_prefix(chunks | {"mask_token": torch.zeros(1, 48)}, "backbone.")}, tmp_path / "v2.pth")
    vfm = build_vfm(dict(type="dinov2", model="vit_small_patch14_dinov2", checkpoint=str(tmp_path / "v2.pth")))
    torch.testing.assert_close(vfm.vit.state_dict(), state)


@pytest.mark.parametrize("prefix", ["module.", "model.clip.", "_orig_mod.", "backbone."])
def test_clips_are_unwrapped(small, tmp_path, prefix):
    content = {"epoch": 1, "name": "x", "state_dict": add_prefix(tensors("clip_tiny"), prefix), **TRAINING}
    if prefix != "_orig_mod.":
        content["state_dict"]["loss.weight"] = torch.zeros(2)
    torch.save(content, tmp_path / "clip_openai.pt")
    clip = load_clip("tiny-test", str(tmp_path / "clip_openai.pt"))
    torch.testing.assert_close(clip.model.visual.proj, tensors("clip_tiny")["visual.proj"])


@pytest.mark.parametrize("prefix, key", [("", "model"), ("module.", "state_dict"), ("sam.", "model_state_dict")])
def test_sams_are_unwrapped(monkeypatch, tmp_path, prefix, key):
    monkeypatch.setitem(sam_model_registry, "vit_tiny", tiny_sam)
    torch.manual_seed(1)
    state = tiny_sam().state_dict()
    torch.save({key: add_prefix(state, prefix), **TRAINING}, tmp_path / "sam.pth")
    encoder = build_vfm(dict(type="sam", model="vit_tiny", checkpoint=str(tmp_path / "sam.pth"))).encoder
    own = {key.removeprefix("image_encoder."): v for key, v in state.items() if key.startswith("image_encoder.")}
    torch.testing.assert_close(dict(encoder.state_dict()), own)


def test_choices_between_sets_of_weights_are_said():
    a, b = {"x": torch.zeros(1)}, {"x": torch.ones(1)}
    assert unwrap_checkpoint({"model": a, "model_ema": b}) == (a, "it has 'model' and 'model_ema'; 'model' is used")
    assert unwrap_checkpoint({"ema": b, "model": {}, "optimizer": a}) == (b, "")
    assert unwrap_checkpoint({"net_g": a, "step": 3}) == (a, "")
    assert unwrap_checkpoint({"a": a, "b": b}) == ({}, "")
    assert unwrap_checkpoint([1]) == ({}, "")


def test_prefixes_of_some_names_alone_stay():
    state = {"backbone.x": torch.zeros(1), "decode_head.y": torch.zeros(1)}
    assert strip_shared_prefixes(state) == state
    assert strip_shared_prefixes({"model.": torch.zeros(1)}).keys() == {"model."}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("value", [
    argparse.Namespace(a=1, path=pathlib.Path("x")), np.float64(3.5), pathlib.PurePosixPath("x"), np.float32(2),
], ids=["namespace", "float64", "path", "float32"])  # fmt: skip
def test_arguments_and_scores_of_a_training_are_ignored(tmp_path, value, legacy):
    content = {"model": {"x": torch.zeros(1)}, "args": value}
    torch.save(content, tmp_path / "file.pth", _use_new_zipfile_serialization=not legacy)
    assert list(read_state_dict(tmp_path / "file.pth")) == ["x"]
    assert not [entry for entry in torch.serialization.get_safe_globals() if "argparse" in str(entry)]


@pytest.mark.parametrize("value, name", [
    (datetime.date(2020, 1, 1), "datetime.date"), (functools.partial(print), "functools.partial"),
    (np.zeros(2), "_reconstruct"), (argparse.Namespace(a=functools.partial(print)), "functools.partial"),
], ids=["date", "partial", "array", "namespace"])  # fmt: skip
def test_other_values_are_refused_with_the_remedy(tmp_path, value, name):
    torch.save({"model": {"x": torch.zeros(1)}, "args": value}, tmp_path / "file.pth")
    with pytest.raises(
        WeightsError, match=rf"asks for \S*{name}.*save its tensors alone where you trust it: torch\.save"
    ):
        read_state_dict(tmp_path / "file.pth")


def test_whole_models_are_refused_with_the_remedy(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pth")
    with pytest.raises(WeightsError, match=r"asks for torch\.nn\.modules\.linear\.Linear.*model\.state_dict\(\)"):
        read_state_dict(tmp_path / "whole.pth")
