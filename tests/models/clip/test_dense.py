"""Every supported tower against open_clip itself, made small; unsupported built towers are refused."""

import logging

import open_clip
import pytest
import torch
from helpers.hub_models import VOCABULARY_SIZE, shrink_clip_config, write_random_clip
from helpers.reference import write_clip

from proxyclip.models.clip.dense import DenseCLIP, load_clip
from proxyclip.models.clip.loading import list_supported_clips
from proxyclip.models.registry import build_plugin, list_plugins
from proxyclip.models.weights.reading import fingerprint_module


@pytest.fixture(scope="module", autouse=True)
def _quick():
    """One tokenizer for all models, and one thread: these networks are too small for more."""
    tokenizer, threads = open_clip.SimpleTokenizer(), torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_clip, "get_tokenizer", lambda name: tokenizer)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("models") / "clip")


def load_small(root, vision=(), text=(), preprocess=(), **changes):
    config = shrink_clip_config(open_clip.get_model_config("ViT-S-16"))
    config["vision_cfg"] |= dict(vision)
    config["text_cfg"] |= dict(text)
    return load_clip(write_random_clip(root, config | changes, **dict(preprocess)), None)


def check_text_tower(clip, eos):
    """Texts of 3, 7 and all tokens: an end token, which has the highest id, then zeros; whole and cut."""
    context = getattr(clip.model, "text", clip.model).context_length
    tokens = torch.randint(3, VOCABULARY_SIZE - 1, (3, context))
    for row, length in zip(tokens, (3, 7, context), strict=True):
        row[length - 1 :] = 0
        row[length - 1] = eos
    want = clip.model.encode_text(tokens)
    torch.testing.assert_close(clip.encode_text(tokens), want, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(clip.encode_text(tokens[:2, :8]), want[:2], atol=1e-5, rtol=1e-4)


def check_towers(clip):
    """Vanilla features at the native size and text features are those of open_clip's own towers.

    Every strategy takes windows larger and smaller than the native one, and not square.
    """
    visual = clip.model.visual
    x = torch.randn(1, 3, *visual.image_size)
    outputs = visual.forward_intermediates(x, indices=1, normalize_intermediates=True, output_fmt="NLC")
    want = outputs["image_intermediates"][0] @ visual.proj
    got = clip.encode_dense(x, build_plugin("attention", "vanilla"))
    assert got.shape == (1, visual.output_dim, *visual.grid_size)
    torch.testing.assert_close(got.flatten(2).mT, want, atol=1e-5, rtol=1e-4)
    check_text_tower(clip, clip.model.text_eos_id if clip._text_pooling == "eos" else VOCABULARY_SIZE - 1)
    n = clip.patch
    for h, w in ((3, 5), (1, 2), (visual.grid_size[0] + 2, 4)):
        x, guide = torch.randn(1, 3, h * n, w * n), torch.randn(1, 6, h + 1, 2 * w)
        for strategy in (build_plugin("attention", name) for name in list_plugins("attention")):
            guided = strategy.guided is not False
            features = clip.encode_dense(x, strategy, guide if guided else None)
            assert features.shape == (1, 24, *((h + 1, 2 * w) if guided else (h, w))), strategy
            assert features.isfinite().all(), strategy


@pytest.mark.parametrize("name", list_supported_clips())
@torch.no_grad()
def test_every_supported_name_equals_open_clip(tmp_path, name):
    config = open_clip.get_model_config(name)
    clip = load_clip(write_random_clip(tmp_path / "clip", shrink_clip_config(config)), None)
    assert clip.patch == config["vision_cfg"]["patch_size"]
    assert clip.last.attn.head_dim == config["vision_cfg"].get("head_width", 64)
    assert clip.activation == ("QuickGELU" if config.get("quick_gelu") else "GELU")
    check_towers(clip)


OPTIONS = [
    dict(no_ln_pre=True), dict(pos_embed_type="sin_cos_2d"), dict(final_ln_after_pool=True), dict(pool_type="avg"),
    dict(output_tokens=True), dict(ls_init_value=0.3), dict(patch_dropout=0.5), dict(mlp_ratio=2.5),
    dict(norm_kwargs={"eps": 1e-2}), dict(act_kwargs={"approximate": "tanh"}), dict(image_size=[64, 96]),
]  # fmt: skip


@pytest.mark.parametrize("custom_text", [False, True])
@pytest.mark.parametrize("option", OPTIONS, ids=lambda o: next(iter(o)))
@torch.no_grad()
def test_options_of_the_image_tower_equal_open_clip(tmp_path, option, custom_text):
    clip = load_small(tmp_path / "clip", dict(image_size=64) | option, custom_text=custom_text)
    assert type(clip.model).__name__ == ("CustomTextCLIP" if custom_text else "CLIP")
    clip.model.visual.output_tokens = False
    check_towers(clip)


TEXT_OPTIONS = [
    dict(no_causal_mask=True, pool_type="last"), dict(pool_type="last"), dict(pool_type="first", no_causal_mask=True),
    dict(pool_type="eos", eos_id=2), dict(proj_bias=True), dict(proj_type="none", width=24), dict(qk_norm=True),
]  # fmt: skip


@pytest.mark.parametrize("custom_text", [False, True])
@pytest.mark.parametrize("option", TEXT_OPTIONS, ids=str)
@torch.no_grad()
def test_options_of_the_text_tower_equal_open_clip(tmp_path, option, custom_text):
    clip = load_small(tmp_path / "clip", text=option, custom_text=custom_text)
    check_text_tower(clip, option.get("eos_id", VOCABULARY_SIZE - 1))


@torch.no_grad()
def test_average_pooling_is_the_mean_of_dense_features(tmp_path):
    clip = load_small(tmp_path / "clip", dict(pool_type="avg"))
    x = torch.randn(2, 3, 224, 224)
    dense = clip.encode_dense(x, build_plugin("attention", "vanilla"))
    torch.testing.assert_close(dense.mean((2, 3)), clip.model.encode_image(x), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_other_normalizations_are_applied_inside(tmp_path):
    """A CLIP trained with mean and std 0.5 sees the pixels it was trained with; callers normalize as for any CLIP."""
    half = dict(mean=[0.5] * 3, std=[0.5] * 3)
    clip = load_small(tmp_path / "half", dict(image_size=48), preprocess=half)
    usual = load_small(tmp_path / "usual", dict(image_size=48))
    assert (clip.needs_renormalization, usual.needs_renormalization) == (True, False)
    rgb, vanilla = torch.rand(1, 3, 48, 48), build_plugin("attention", "vanilla")
    torch.testing.assert_close(clip.from_rgb(rgb), usual.from_rgb(rgb))
    torch.testing.assert_close(clip.to_rgb(clip.from_rgb(rgb)), rgb)
    want = usual.encode_dense((rgb - 0.5) / 0.5, vanilla)
    torch.testing.assert_close(clip.encode_dense(clip.from_rgb(rgb), vanilla), want, atol=1e-4, rtol=1e-4)
    clip.model.visual.to(torch.bfloat16)
    assert clip.tokens(clip.from_rgb(rgb).bfloat16())[0].dtype == torch.bfloat16


@pytest.mark.parametrize(("name", "cls", "vision", "message"), [
    ("RN50", open_clip.CLIP, dict(layers=[1, 1, 1, 1], width=8), "CLIP with ModifiedResNet"),
    ("coca_ViT-B-32", open_clip.CoCa, dict(width=64, layers=1), "CoCa"),
    ("MobileCLIP-S1", open_clip.CustomTextCLIP, {}, "CustomTextCLIP with Timm"),
])  # fmt: skip
def test_built_models_of_other_types_are_refused(name, cls, vision, message):
    config = open_clip.get_model_config(name)
    config["vision_cfg"] |= vision
    for part in config.keys() & {"text_cfg", "multimodal_cfg"}:
        config[part] |= dict(width=64, heads=1, layers=1)
    config.pop("custom_text", None)
    with pytest.raises(TypeError, match=message):
        DenseCLIP(cls(**config), lambda texts: torch.zeros(len(texts), 77))


@pytest.mark.parametrize("option", [dict(attentional_pool=True), dict(qk_norm=True)], ids=str)
def test_built_towers_with_other_attention_are_refused(option):
    config = shrink_clip_config(open_clip.get_model_config("ViT-S-16"))
    config["vision_cfg"] |= option
    with pytest.raises(TypeError, match="cannot take apart"):
        DenseCLIP(open_clip.CLIP(**config), lambda texts: torch.zeros(len(texts), 77))


def test_clip_is_frozen_and_fingerprinted_by_its_weights(folder):
    a, b = (load_clip(f"local-dir:{folder}", None) for _ in range(2))
    assert not any(p.requires_grad for p in a.parameters())
    assert fingerprint_module(a) == fingerprint_module(b)
    with torch.no_grad():
        b.model.visual.proj[0, 0] += 1
    assert fingerprint_module(a) != fingerprint_module(b)
    assert fingerprint_module(a.model, skip="visual.") == fingerprint_module(b.model, skip="visual.")


def test_text_features_are_cached_by_weights(folder, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PROXYCLIP_CACHE", str(tmp_path))
    clip = load_clip(f"local-dir:{folder}", None)
    with torch.no_grad():
        first = clip.embed(["cat", "dog"], ("a {}", "the {}"))
        assert len(list(tmp_path.rglob("*.safetensors"))) == 1
        with caplog.at_level(logging.WARNING):
            assert torch.equal(clip.embed(["cat", "dog"], ("a {}", "the {}")), first)
        clip.embed(["cat", "dog"], ("a {}",))
        clip.model.ln_final.bias += 1
        assert not torch.equal(clip.embed(["cat", "dog"], ("a {}", "the {}")), first)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 3
