"""Every CLIP by name: open_clip's configs made small, against open_clip itself; the others refused with a reason."""

from __future__ import annotations

import functools
import json
import re

import open_clip
import pytest
import torch
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model
from safetensors.torch import save_file

from proxyclip.models.clip.dense import DenseCLIP, load_clip
from proxyclip.models.clip.loading import (
    canonical_clip_name,
    default_clip_tag,
    list_supported_clips,
    unsupported_clip_reason,
)
from proxyclip.models.registry import build_plugin, list_plugins
from proxyclip.models.weights import WeightsError
from proxyclip.utils.paths import ROOT

PUBLISHED = ["ViT-B-16", "ViT-B-32", "ViT-L-14", "ViT-L-14-336", "ViT-H-14", "ViT-g-14", "ViT-bigG-14"]
VOCABULARY = 400


@pytest.fixture(scope="module", autouse=True)
def _quick():
    """One tokenizer for all models, and one thread: these networks are too small for more."""
    tokenizer, threads = open_clip.SimpleTokenizer(), torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_clip, "get_tokenizer", lambda name: tokenizer)
        yield
    torch.set_num_threads(threads)


@functools.cache
def all_supported():
    return list_supported_clips()


def small(config):
    """The config with the width of two heads, three layers and a tiny text tower; all else as it is."""
    vision, text = config["vision_cfg"], config["text_cfg"]
    vision |= dict(width=2 * vision.get("head_width", 64), layers=3)
    text |= dict(width=32, heads=2, layers=2, vocab_size=VOCABULARY)
    for key in ("hf_tokenizer_name", "tokenizer_kwargs"):  # need transformers; the tower is the same without
        text.pop(key, None)
    return config | dict(embed_dim=24)


def write(root, config, **preprocess):
    """An open_clip folder of a config with random weights; `create_model` reads it like one of the hub."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{root}")
    for name, p in model.named_parameters():
        scale = bool(re.search(r"(ln_\w+|norm)\.weight$", name))
        torch.nn.init.normal_(p, mean=float(scale), std=0.1 if p.ndim < 2 else p.shape[-1] ** -0.5)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, root / "open_clip_model.safetensors")
    return f"local-dir:{root}"


def prompts(context, eos=VOCABULARY - 1):
    """Token ids of three prompts of 3, 7 and `context` tokens: an end token, which has the highest id, then zeros."""
    tokens = torch.randint(3, VOCABULARY - 1, (3, context))
    for row, length in zip(tokens, (3, 7, context), strict=True):
        row[length - 1 :] = 0
        row[length - 1] = eos
    return tokens


def strategies():
    found = [build_plugin("attention", name) for name in list_plugins("attention")]
    assert len(found) >= 6
    return found


def same_as_open_clip(clip):
    """Vanilla features at the native size and text features are those of open_clip's own towers."""
    visual = clip.model.visual
    vanilla = build_plugin("attention", "vanilla")
    x = torch.randn(1, 3, *visual.image_size)
    found = visual.forward_intermediates(x, indices=1, normalize_intermediates=True, output_fmt="NLC")
    want = found["image_intermediates"][0] @ visual.proj
    got = clip.encode_dense(x, vanilla)
    assert got.shape == (1, visual.output_dim, *visual.grid_size)
    torch.testing.assert_close(got.flatten(2).mT, want, atol=1e-5, rtol=1e-4)
    tower = getattr(clip.model, "text", clip.model)
    eos = clip.model.text_eos_id if clip._text_pooling == "eos" else VOCABULARY - 1
    tokens = prompts(tower.context_length, eos)
    torch.testing.assert_close(clip.encode_text(tokens), clip.model.encode_text(tokens), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        clip.encode_text(tokens[:2, :8]), clip.model.encode_text(tokens[:2]), atol=1e-5, rtol=1e-4
    )


def windows_of_any_size(clip):
    """Every strategy at windows larger and smaller than the native one, and not square."""
    n = clip.patch
    for h, w in ((3, 5), (1, 2), (clip.model.visual.grid_size[0] + 2, 4)):
        x, guide = torch.randn(1, 3, h * n, w * n), torch.randn(1, 6, h + 1, 2 * w)
        for strategy in strategies():
            guided = strategy.guided is not False
            features = clip.encode_dense(x, strategy, guide if guided else None)
            grid = (h + 1, 2 * w) if guided else (h, w)
            assert features.shape == (1, 24, *grid), strategy
            assert features.isfinite().all(), strategy


@pytest.mark.parametrize("name", all_supported())
@torch.no_grad()
def test_every_supported_name_equals_open_clip(tmp_path, name):
    config = open_clip.get_model_config(name)
    clip = load_clip(write(tmp_path / "clip", small(config)), None)
    assert clip.patch == config["vision_cfg"]["patch_size"]
    assert clip.last.attn.head_dim == config["vision_cfg"].get("head_width", 64)
    assert clip.activation == ("QuickGELU" if config.get("quick_gelu") else "GELU")
    same_as_open_clip(clip)
    windows_of_any_size(clip)


def test_the_published_names_are_supported():
    assert set(PUBLISHED) <= set(all_supported())
    assert len(all_supported()) >= 40


OPTIONS = [
    dict(no_ln_pre=True),
    dict(pos_embed_type="sin_cos_2d"),
    dict(final_ln_after_pool=True),
    dict(pool_type="avg"),
    dict(output_tokens=True),
    dict(ls_init_value=0.3),
    dict(patch_dropout=0.5),
    dict(mlp_ratio=2.5),
    dict(norm_kwargs={"eps": 1e-2}),
    dict(act_kwargs={"approximate": "tanh"}),
    dict(image_size=[64, 96]),
]


@pytest.mark.parametrize("custom_text", [False, True])
@pytest.mark.parametrize("option", OPTIONS, ids=lambda o: next(iter(o)))
@torch.no_grad()
def test_options_of_the_image_tower(tmp_path, option, custom_text):
    config = small(open_clip.get_model_config("ViT-S-16"))
    config["vision_cfg"] |= dict(image_size=64) | option
    clip = load_clip(write(tmp_path / "clip", config | dict(custom_text=custom_text)), None)
    assert type(clip.model).__name__ == ("CustomTextCLIP" if custom_text else "CLIP")
    clip.model.visual.output_tokens = False
    same_as_open_clip(clip)
    windows_of_any_size(clip)


@pytest.mark.parametrize("custom_text", [False, True])
@pytest.mark.parametrize(
    "option",
    [
        dict(no_causal_mask=True, pool_type="last"),
        dict(pool_type="last"),
        dict(pool_type="first", no_causal_mask=True),
        dict(pool_type="eos", eos_id=2),
        dict(proj_bias=True),
        dict(proj_type="none", width=24),
        dict(qk_norm=True),
    ],
    ids=str,
)
@torch.no_grad()
def test_options_of_the_text_tower(tmp_path, option, custom_text):
    config = small(open_clip.get_model_config("ViT-S-16"))
    config["text_cfg"] |= option
    clip = load_clip(write(tmp_path / "clip", config | dict(custom_text=custom_text)), None)
    tower = getattr(clip.model, "text", clip.model)
    tokens = prompts(tower.context_length, option.get("eos_id", VOCABULARY - 1))
    want = clip.model.encode_text(tokens)
    torch.testing.assert_close(clip.encode_text(tokens), want, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(clip.encode_text(tokens[:2, :8]), want[:2], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_average_pooling_is_the_mean_of_dense_features(tmp_path):
    config = small(open_clip.get_model_config("ViT-S-16"))
    config["vision_cfg"] |= dict(pool_type="avg")
    clip = load_clip(write(tmp_path / "clip", config), None)
    x = torch.randn(2, 3, 224, 224)
    dense = clip.encode_dense(x, build_plugin("attention", "vanilla"))
    torch.testing.assert_close(dense.mean((2, 3)), clip.model.encode_image(x), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_other_normalisations_are_applied_inside(tmp_path):
    """A CLIP trained with mean and std 0.5 sees the pixels it was trained with; callers normalise as for any CLIP."""
    config = small(open_clip.get_model_config("ViT-S-16"))
    config["vision_cfg"] |= dict(image_size=48)
    clip = load_clip(write(tmp_path / "half", config, mean=[0.5] * 3, std=[0.5] * 3), None)
    usual = load_clip(write(tmp_path / "usual", config), None)
    assert (clip.needs_renormalization, usual.needs_renormalization) == (True, False)
    rgb, vanilla = torch.rand(1, 3, 48, 48), build_plugin("attention", "vanilla")
    torch.testing.assert_close(clip.from_rgb(rgb), usual.from_rgb(rgb))
    torch.testing.assert_close(clip.to_rgb(clip.from_rgb(rgb)), rgb)
    want = usual.encode_dense((rgb - 0.5) / 0.5, vanilla)
    torch.testing.assert_close(clip.encode_dense(clip.from_rgb(rgb), vanilla), want, atol=1e-4, rtol=1e-4)
    clip.model.visual.to(torch.bfloat16)
    assert clip.tokens(clip.from_rgb(rgb).bfloat16())[0].dtype == torch.bfloat16


def test_normalisation_and_activation_of_a_file_named_by_its_tag(tmp_path, monkeypatch):
    """LAION's ViT-L/14 was trained with mean 0.5; DFN's on 39 billion pictures, alone of its family, with GELU."""
    weights = {}
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", dict(open_clip.factory._MODEL_CONFIGS))
    config = small(open_clip.get_model_config("ViT-L-14"))
    open_clip.factory._MODEL_CONFIGS["ViT-L-14"] = config
    weights = open_clip.create_model("ViT-L-14", load_weights=False).state_dict()
    for tag, mean, activation in (
        ("laion2b_s32b_b82k", 0.5, "GELU"),
        ("dfn2b_s39b", 0.48145466, "GELU"),
        ("dfn2b", 0.48145466, "QuickGELU"),
        ("openai", 0.48145466, "QuickGELU"),
    ):
        torch.save(weights, tmp_path / f"clip_{tag}.pt")
        clip = load_clip("ViT-L/14", str(tmp_path / f"clip_{tag}.pt"))
        assert clip.own_mean.flatten()[0] == pytest.approx(mean), tag
        assert clip.activation == activation, tag


@pytest.mark.parametrize(
    "given, name",
    [
        ("ViT-B/16", "ViT-B-16"),
        ("ViT-B-32", "ViT-B-32"),
        ("ViT-L/14@336px", "ViT-L-14-336"),
        ("ViT-L-14@336", "ViT-L-14-336"),
        ("ViT-L-14-336", "ViT-L-14-336"),
        ("vit-b-16", "ViT-B-16"),
        ("ViT-BigG-14", "ViT-bigG-14"),
        ("ViT-B/16-quickgelu", "ViT-B-16-quickgelu"),
        ("RN50", "RN50"),
    ],
)
def test_spellings(given, name):
    assert canonical_clip_name(given) == name


def test_no_two_names_differ_in_case_alone():
    assert len({name.lower() for name in open_clip.list_models()}) == len(open_clip.list_models())


def test_wrong_names_get_a_few_close_ones(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"'ViT-L/14@337px'; close are .*ViT-L-14-336\b.*supported") as error:
        canonical_clip_name("ViT-L/14@337px")
    assert len(str(error.value)) < 400
    with pytest.raises(ValueError, match=r"got 'qqqqq'\. All:"):
        canonical_clip_name("qqqqq")
    (tmp_path / "CLIP_FOLDER").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="say 'local-dir:CLIP_FOLDER'"):
        canonical_clip_name("CLIP_FOLDER")


@pytest.mark.parametrize(
    "name, tag",
    [
        ("ViT-B/16", "openai"),
        ("ViT-L/14@336px", "openai"),
        ("ViT-H-14", "laion2b_s32b_b79k"),
        ("ViT-g-14", "laion2b_s34b_b88k"),
        ("ViT-bigG-14", "laion2b_s39b_b160k"),
        ("ViT-S-16", None),
        ("ViT-X-99", None),
        ("local-dir:somewhere", None),
    ],
)
def test_default_tags(name, tag):
    assert default_clip_tag(name) == tag
    assert tag is None or tag in list_pretrained_tags_by_model(canonical_clip_name(name))


@pytest.mark.parametrize("name", ["ViT-B-16", "ViT-B-16-quickgelu"])
def test_metaclip_is_quick_gelu(name):
    assert {"metaclip_400m", "metaclip_fullcc"} <= set(list_pretrained_tags_by_model(name))
    assert get_pretrained_cfg(name, "metaclip_fullcc")["quick_gelu"]


REFUSED = {
    "RN50x4": "a ResNet",
    "convnext_base_w": "a ConvNeXt",
    "EVA01-g-14": "EVA's tower",
    "EVA02-L-14-336": "rotary positions",
    "ViT-B-16-SigLIP": "SigLIP has no class token",
    "ViT-SO400M-14-SigLIP2-378": "SigLIP has no class token",
    "nllb-clip-base-siglip": "SigLIP has no class token",
    "coca_ViT-B-32": "CoCa",
    "coca_base": "CoCa",
    "ViTamin-L-336": "ViTamin",
    "PE-Core-B-16": "PE-Core",
    "MobileCLIP-S1": "FastViT",
    "MobileCLIP-B": "stem of convolutions",
    "MobileCLIP2-L-14": "timm's",
    "swin_base_patch4_window7_224": "Swin",
    "vit_relpos_medium_patch16_cls_224": "timm's",
    "roberta-ViT-B-32": "roberta-base",
    "xlm-roberta-large-ViT-H-14": "xlm-roberta-large",
}


@pytest.mark.parametrize("name, why", REFUSED.items())
def test_refused_before_anything_is_fetched(name, why, monkeypatch):
    monkeypatch.setattr(open_clip, "create_model", lambda *_, **__: pytest.fail("a model is made"))
    with pytest.raises(TypeError, match=rf"VisionTransformer, but got '{name}': .*{why}"):
        load_clip(name, "openai")


def test_every_name_is_either_supported_or_refused_for_a_reason_of_its_family():
    vague = []
    for name in set(open_clip.list_models()) - set(all_supported()):
        why = unsupported_clip_reason(open_clip.get_model_config(name))
        assert why
        if why.startswith("its image tower is timm's"):
            vague.append(name)
    assert sorted(vague) == [
        "MobileCLIP2-L-14",
        "vit_medium_patch16_gap_256",
        "vit_relpos_medium_patch16_cls_224",
    ]


UNFIT = [
    dict(attentional_pool=True),
    dict(attentional_pool="parallel"),
    dict(pool_type="none"),
    dict(block_type="custom"),
    dict(patch_size=[16, 8]),
    *({key: True} for key in ("qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn")),
    dict(scale_fc=True),
]


@pytest.mark.parametrize("option", UNFIT, ids=str)
def test_options_that_are_refused(tmp_path, option):
    config = small(open_clip.get_model_config("ViT-S-16"))
    config["vision_cfg"] |= option
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    with pytest.raises(TypeError, match=r"pooler|attention module|not square"):
        load_clip(f"local-dir:{tmp_path}", None)


@pytest.mark.parametrize("name", ["RN50", "coca_ViT-B-32", "MobileCLIP-S1"])
def test_built_models_are_checked_too(name):
    config = open_clip.get_model_config(name)
    if name == "RN50":
        config["vision_cfg"] |= dict(layers=[1, 1, 1, 1], width=8)
    kind = {"RN50": "CLIP with ModifiedResNet", "coca_ViT-B-32": "CoCa", "MobileCLIP-S1": "CustomTextCLIP with Timm"}
    if name == "coca_ViT-B-32":
        config["vision_cfg"] |= dict(width=64, layers=1)
        config["multimodal_cfg"] |= dict(layers=1, width=64, heads=1)
    config["text_cfg"] |= dict(width=64, heads=1, layers=1)
    config.pop("custom_text", None)
    made = {"coca_ViT-B-32": open_clip.CoCa, "RN50": open_clip.CLIP, "MobileCLIP-S1": open_clip.CustomTextCLIP}
    with pytest.raises(TypeError, match=kind[name]):
        DenseCLIP(made[name](**config), lambda texts: torch.zeros(len(texts), 77))


@pytest.mark.parametrize("option", [dict(attentional_pool=True), dict(qk_norm=True)], ids=str)
def test_built_towers_are_checked_too(option):
    config = small(open_clip.get_model_config("ViT-S-16"))
    config["vision_cfg"] |= option
    with pytest.raises(TypeError, match="cannot take apart"):
        DenseCLIP(open_clip.CLIP(**config), lambda texts: torch.zeros(len(texts), 77))


def test_tokenizers_of_transformers_are_asked_for_before_the_weights(monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(open_clip, "create_model", lambda *_, **__: pytest.fail("a model is made"))
    with pytest.raises(WeightsError, match=r"ViT-L-14-CLIPA needs the tokenizer 'bert-base-uncased'.*pip install"):
        load_clip("ViT-L-14-CLIPA", "datacomp1b")


def test_a_name_without_weights_lists_its_tags():
    with pytest.raises(WeightsError, match=r"ViT-H-14 needs weights.*laion2b_s32b_b79k"):
        load_clip("ViT-H/14", None)
    with pytest.raises(WeightsError, match=r"ViT-S-16 needs weights.*has none"):
        load_clip("ViT-S-16", None)


def test_the_documents_table_of_names_is_true():
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(ViT-\S+)`(?: \(`(.*?)`\))? \| (\d+) \| (\d+) \| `(\w+)` \| (.*)\|$", text, re.MULTILINE)
    assert [row[0] for row in rows] == PUBLISHED
    for name, spelling, patch, size, tag, others in rows:
        vision = open_clip.get_model_config(name)["vision_cfg"]
        assert (vision["patch_size"], vision["image_size"]) == (int(patch), int(size))
        assert not spelling or canonical_clip_name(spelling) == name
        assert tag == default_clip_tag(name)
        assert set(re.findall(r"`(\w+)`", others)) <= set(list_pretrained_tags_by_model(name)), name
