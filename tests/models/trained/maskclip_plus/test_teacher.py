"""MaskCLIP as a teacher, ViT and ResNet, and class weight: arrays of the published code."""

import numpy as np
import pytest
import torch
from helpers.reference import folder
from helpers.trained_reference import RESNET, TINY, VIT, folder_of, tensors
from PIL import Image
from torch import nn

from proxyclip.models.clip.loading import get_clip_config, load_open_clip
from proxyclip.models.clip.prompts import embed_class_names
from proxyclip.models.clip.text import TextCLIP
from proxyclip.models.trained.maskclip_plus.class_weight import ClassWeight, compute_class_weights
from proxyclip.models.trained.maskclip_plus.teacher import (
    ResNetTeacher,
    ViTTeacher,
    build_teacher,
    compute_teacher_scores,
)

WEIGHT = "trained/maskclip_classweight"
SETTINGS = [(0.0, 0.0), (0.0, 0.5), (0.6, 0.0), (1.0, 0.0), (1.0, 0.5)]


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    return build_teacher(folder_of(tmp_path_factory.mktemp("vit") / "clip", VIT), parity="upstream")


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    if not (folder() / f"{RESNET}.npz").is_file():
        pytest.skip("too large for tests/golden; PROXYCLIP_GOLDEN says where the full arrays are")
    return build_teacher(folder_of(tmp_path_factory.mktemp("resnet") / "clip", RESNET), parity="upstream")


def close(actual, expected, atol=2e-5):
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=atol)


@pytest.mark.parametrize(("ks", "pd"), SETTINGS)
def test_vit_teacher_equals_the_reference(vit, ks, pd):
    stored = tensors(VIT)
    with torch.no_grad():
        features, keys = vit(stored["image"])
    close(features, stored["feat"])
    close(keys, stored["k"])
    scores = compute_teacher_scores(
        features, keys, stored["text"], key_smoothing=ks, prompt_denoising=pd, parity="upstream"
    )
    close(scores, stored[f"logits_ks{ks}_pd{pd}"])


def test_resnet_teacher_equals_the_reference(resnet):
    stored = tensors(RESNET)
    with torch.no_grad():
        features, keys = resnet(stored["image"])
    close(features, stored["feat"])
    close(keys, stored["key"])
    for name in (n for n in stored if n.startswith("logits_ks")):
        ks, pd = (float(part[2:]) for part in name.split("_")[1:])
        scores = compute_teacher_scores(
            features, keys, stored["text"], key_smoothing=ks, prompt_denoising=pd, parity="upstream"
        )
        close(scores, stored[name], 5e-5)


def test_attention_pooling_equals_the_reference(resnet):
    stored = tensors(RESNET)
    pooling = ResNetTeacher(resnet.clip, attention_pooling=True)
    with torch.no_grad():
        close(compute_teacher_scores(*pooling(stored["image"]), stored["text"]), stored["logits_attn_pooling"])


@pytest.mark.parametrize("tau", [0.25, 1.0])
@pytest.mark.parametrize(("name", "ks", "pd"), [("", 0.0, 0.0), ("_kspd", 1.0, 0.5)])
def test_class_weighted_scores_equal_the_reference(vit, tau, name, ks, pd):
    stored = tensors(WEIGHT)
    weights = compute_class_weights(stored["image_global_feature"], stored["class_text_feature"], tau)
    close(weights.sum(1), torch.ones(2))
    with torch.no_grad():
        dense = vit(stored["image"])
    scores = compute_teacher_scores(
        *dense, stored["text"], weights=weights, key_smoothing=ks, prompt_denoising=pd, parity="upstream"
    )
    close(scores, stored[f"logits_tau{tau}{name}"])


def test_class_weight_of_large_temperature_changes_no_label(vit):
    stored = tensors(WEIGHT)
    weights = compute_class_weights(stored["image_global_feature"], stored["class_text_feature"], 1e6)
    with torch.no_grad():
        dense = vit(stored["image"])
    plain, weighed = (
        compute_teacher_scores(*dense, stored["text"]),
        compute_teacher_scores(*dense, stored["text"], weights=weights),
    )
    assert torch.equal(plain.argmax(1), weighed.argmax(1))
    close(weighed * 7, plain)


def test_embed_class_names_equals_the_reference():
    """Embed rows of the classifier, which are unit, and those of class weight, which are not."""
    stored = tensors("trained/text_ensemble")

    def tokenize(texts):
        return torch.tensor([[int(word) for word in text.split()] for text in texts])

    def encode(tokens):
        return torch.stack([stored["raw"][name - 1, template - 1] for template, name in tokens])

    for unit, expected in ((True, "maskclip"), (False, "fork_class_text")):
        rows = embed_class_names(["1", "2", "3"], ["1 {}", "2 {}", "3 {}"], tokenize, encode, unit=unit)
        close(rows, stored[expected], 1e-6)


def test_embed_caches_unit_rows_and_means_apart():
    clip = TextCLIP(*load_open_clip(TINY, None))
    unit, mean = (clip.embed(["car", "sky"], ["a {}.", "the {} there."], unit=u) for u in (True, False))
    close(unit.norm(dim=1), torch.ones(2), 1e-6)
    assert (mean.norm(dim=1) < 0.99995).all()
    close(torch.nn.functional.normalize(mean, dim=1), unit, 1e-6)


def test_class_weight_reads_each_file_once(tmp_path):
    weight = ClassWeight(["grass", "sand"], ["a {}."], 0.05, TINY, None)
    for name, color in (("grass", (40, 150, 50)), ("sand", (220, 200, 150))):
        Image.fromarray(np.full((120, 200, 3), color, np.uint8)).save(tmp_path / f"{name}.png")
    files = [str(tmp_path / f"{name}.png") for name in ("grass", "sand", "grass")]
    weights = weight(files)
    assert weights.argmax(1).tolist() == [0, 1, 0]
    (tmp_path / "grass.png").unlink()
    assert torch.equal(weight(files[:1]), weights[:1])  # the file is read once
    with pytest.raises(FileNotFoundError, match="other"):
        weight([str(tmp_path / "other.png")])
    with pytest.raises(ValueError, match="tau above 0"):
        ClassWeight(["grass"], ["a {}."], 0.0, TINY, None)


def test_vit_teacher_ignores_queries_and_uses_keys_for_smoothing_alone(vit):
    stored = tensors(VIT)
    attention = vit.clip.last.attn
    weight = attention.in_proj_weight.clone()
    width = attention.embed_dim
    scores = {}
    smoothed = {}
    with torch.no_grad():
        for part, rows in (("none", slice(0, 0)), ("queries", slice(0, width)), ("keys", slice(width, 2 * width))):
            attention.in_proj_weight.copy_(weight)
            attention.in_proj_weight[rows] += 0.1
            features, keys = vit(stored["image"])
            scores[part] = compute_teacher_scores(features, keys, stored["text"])
            smoothed[part] = compute_teacher_scores(features, keys, stored["text"], key_smoothing=1.0)
        attention.in_proj_weight.copy_(weight)
    assert torch.equal(scores["none"], scores["queries"]) and torch.equal(smoothed["none"], smoothed["queries"])
    assert torch.equal(scores["none"], scores["keys"]) and not torch.equal(smoothed["none"], smoothed["keys"])


def test_parity_selects_norms_positions_and_key_smoothing():
    paper, upstream = build_teacher(TINY), build_teacher(TINY, parity="upstream")
    norms = [m for m in upstream.clip.model.visual.modules() if isinstance(m, nn.LayerNorm)]
    assert {m.eps for m in norms} == {1e-6} and upstream.clip.position_offset == 0
    assert {m.eps for m in paper.clip.model.visual.modules() if isinstance(m, nn.LayerNorm)} == {1e-5}
    torch.manual_seed(0)
    features, keys, text = torch.randn(1, 4, 3, 5), torch.randn(1, 15, 6), torch.eye(4)
    rows = {p: compute_teacher_scores(features, keys, text, key_smoothing=1.0, parity=p) for p in ("paper", "upstream")}
    assert not torch.allclose(rows["paper"], rows["upstream"])


def test_teacher_stays_frozen_in_training_mode():
    teacher = build_teacher(TINY)
    assert isinstance(teacher, ViTTeacher)
    assert not teacher.train().training and not any(p.requires_grad for p in teacher.parameters())


def test_residual_changes_the_features():
    image = torch.randn(1, 3, 96, 100)
    with torch.no_grad():
        kept, left = (build_teacher(TINY, residual=r)(image)[0] for r in (True, False))
    assert kept.shape == left.shape == (1, 128, 6, 7) and not torch.allclose(kept, left)


def test_get_clip_config_has_the_embedding_width():
    widths = {"RN50": 1024, "RN50x16": 768, "ViT-B/16": 512, TINY: 128}
    assert {name: get_clip_config(name)["embed_dim"] for name in widths} == widths
    with pytest.raises(ValueError, match="ViT-B-16"):
        get_clip_config("ViT-B-17")
