"""VFMs by name, kinds of features, DINOv3, and CLIP's own middle layer as guide."""

from __future__ import annotations

import json
import math
import re

import pytest
import timm
import torch
from helpers.reference import write_clip, write_vit
from safetensors.torch import save_file
from segment_anything import sam_model_registry

from proxyclip.models.clip.dense import load_clip
from proxyclip.models.registry import load_plugin_class
from proxyclip.models.vfm import build_vfm, resolve_vfm_spec
from proxyclip.models.vfm._timm import project_timm_qkv
from proxyclip.models.vfm.clip import CLIPFeatures
from proxyclip.models.vfm.dino import DINO
from proxyclip.models.vfm.dinov2 import DINOv2
from proxyclip.models.vfm.dinov3 import DINOv3
from proxyclip.models.vfm.mae import MAE
from proxyclip.models.weights import WeightsError, fingerprint_module
from proxyclip.utils.paths import ROOT

SIZES = {
    "dino": "s16 s8 b16 b8",
    "dinov2": "s b l g s-reg b-reg l-reg g-reg",
    "dinov3": "s s+ b l h+",
    "mae": "b l h",
    "sam": "b l h",
}
SMALL = dict(embed_dim=48, depth=3, num_heads=2)


def test_every_short_name_has_pretrained_weights():
    for family, sizes in SIZES.items():
        variants = load_plugin_class("vfm", family).variants
        assert list(variants) == sizes.split(), family
        for size in variants:
            model = resolve_vfm_spec(f"{family}-{size}")["model"]
            assert model in sam_model_registry if family == "sam" else timm.is_model_pretrained(model), model
            assert family == "sam" or timm.list_pretrained(model) == [model]


def test_default_models_are_among_the_short_names():
    for cls in (DINO, DINOv2, DINOv3, MAE):
        assert cls.default in cls.variants.values()


def randomise(model):
    torch.manual_seed(0)
    for name, p in model.named_parameters():
        torch.nn.init.normal_(p, mean=1.0 if name.endswith("norm.weight") else 0.0, std=0.2)
    return model.eval()


def timm_folder(root, architecture, **arguments):
    """A tiny timm model of an architecture as a `local-dir:` folder, its normalisation another than ImageNet's."""
    arguments = SMALL | arguments
    model = randomise(timm.create_model(architecture, num_classes=0, **arguments))
    root.mkdir()
    save_file(model.state_dict(), root / "model.safetensors")
    pretrained = dict(input_size=[3, 64, 64], mean=[0.43, 0.411, 0.296], std=[0.213, 0.156, 0.143], num_classes=0)
    config = dict(
        architecture=architecture,
        num_classes=0,
        num_features=arguments["embed_dim"],
        model_args=arguments,
        pretrained_cfg=pretrained,
    )
    (root / "config.json").write_text(json.dumps(config))
    return model


@pytest.fixture(scope="module")
def v3(tmp_path_factory):
    root = tmp_path_factory.mktemp("v3") / "model"
    return timm_folder(root, "vit_small_patch16_dinov3"), f"local-dir:{root}"


@pytest.mark.parametrize("size", [(256, 256), (64, 112), (320, 32), (16, 16)])
def test_dinov3_equals_timm(v3, size):
    own, name = v3
    vfm = DINOv3(name)
    image = torch.rand(2, 3, *size)
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in ([0.43, 0.411, 0.296], [0.213, 0.156, 0.143]))
    other = timm.create_model(name, pretrained=True, num_classes=0, dynamic_img_size=True).eval()
    with torch.no_grad():
        want = other.forward_features((image - mean) / std)[:, 1 + 4 :]
        got = vfm(image)
    assert got.shape == (2, 48, size[0] // 16, size[1] // 16)
    torch.testing.assert_close(got.flatten(2).mT, want, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(vfm.vit.state_dict(), own.state_dict())


@pytest.mark.parametrize("grid", [(16, 16), (3, 7), (1, 5)])
def test_dinov3_rotary_positions_are_those_of_the_paper_at_every_grid(v3, grid):
    """Centres of patches scaled to [-1, 1] on each axis, angles 2 pi x / 100^(i / n), n periods for y, then n for x."""
    vit = DINOv3(v3[1]).vit
    n = SMALL["embed_dim"] // SMALL["num_heads"] // 4
    periods = 100 ** (torch.arange(n, dtype=torch.float64) / n)
    y, x = (2 * (torch.arange(k, dtype=torch.float64) + 0.5) / k - 1 for k in grid)
    places = torch.cartesian_prod(y, x).reshape(-1, 2)
    angles = (2 * math.pi * places[:, :, None] / periods).flatten(1).repeat(1, 2)
    want = torch.cat([angles.sin(), angles.cos()], dim=1).float()
    torch.testing.assert_close(vit.rope.get_embed(shape=grid), want, atol=2e-5, rtol=1e-5)


def meta_file(model, path, bias):
    """A DINOv3 checkpoint as Meta writes it: other names, fused biases with a mask, and a mask token."""
    state, names = {"mask_token": torch.zeros(1, 48), "rope_embed.periods": torch.ones(6)}, dict(model.state_dict())
    for i in range(SMALL["depth"]):
        q, v = (names.pop(f"blocks.{i}.attn.{kind}_bias", torch.zeros(48)) for kind in "qv")
        state[f"blocks.{i}.attn.qkv.bias"] = torch.cat([q, torch.zeros(48), v]) + bias
        state[f"blocks.{i}.attn.qkv.bias_mask"] = torch.ones(144)
    for name, value in names.items():
        name = name.replace("reg_token", "storage_tokens")
        name = name.replace("gamma_1", "ls1.gamma").replace("gamma_2", "ls2.gamma")
        state[name] = value
    torch.save(state, path)
    return str(path)


@pytest.mark.parametrize("architecture", ["vit_small_patch16_dinov3", "vit_small_patch16_dinov3_qkvb"])
def test_dinov3_files_of_meta(tmp_path, monkeypatch, capsys, architecture):
    own = timm_folder(tmp_path / "model", architecture)
    file = meta_file(own, tmp_path / "dinov3_vits16_pretrain.pth", 0.0)
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **options: create(name, **options, **SMALL))
    torch.testing.assert_close(DINOv3(architecture, file).vit.state_dict(), own.state_dict())
    biased = meta_file(own, tmp_path / "biased.pth", 0.5)
    if architecture.endswith("qkvb"):
        assert DINOv3(architecture, biased).vit.blocks[0].attn.v_bias.mean() > 0.3
    else:
        with pytest.raises(WeightsError, match="_qkvb"):
            DINOv3(architecture, biased)
    assert not capsys.readouterr().out


def test_dinov3_errors(tmp_path, monkeypatch):
    import huggingface_hub.constants

    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **options: create(name, **options, **SMALL))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match=r"timm/vit_base_patch16_dinov3\.lvd1689m"):
        DINOv3()
    with pytest.raises(FileNotFoundError, match=r"checkpoint .*none\.pth"):
        DINOv3("vit_small_patch16_dinov3", str(tmp_path / "none.pth"))
    torch.save(create("vit_tiny_patch16_224", **SMALL).state_dict(), tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth does not fit Eva"):
        DINOv3("vit_small_patch16_dinov3", str(tmp_path / "other.pth"))


def hooked(vit, image, kind):
    """q, k or v of the last block as timm computes them: (B, heads, N, d), normed where the attention norms."""
    attn, found = vit.blocks[-1].attn, {}
    hooks = [attn.qkv.register_forward_hook(lambda _, __, out: found.update(qkv=out))]
    if not isinstance(attn.q_norm, torch.nn.Identity):
        hooks += [attn.q_norm.register_forward_hook(lambda _, __, out: found.update(q=out))]
        hooks += [attn.k_norm.register_forward_hook(lambda _, __, out: found.update(k=out))]
    vit.forward_features(image)
    for hook in hooks:
        hook.remove()
    parts = found["qkv"].unflatten(2, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
    return found.get(kind, parts["qkv".index(kind)])


@pytest.mark.parametrize("kind", ["q", "k", "v"])
@pytest.mark.parametrize(
    "cls, architecture, arguments, prefix",
    [
        (DINO, "vit_base_patch16_224", dict(img_size=64), 1),
        (DINO, "vit_base_patch16_224", dict(img_size=64, qk_norm=True), 1),
        (DINO, "vit_base_patch16_224", dict(img_size=64, qkv_bias=False), 1),
        (MAE, "vit_base_patch16_224", dict(img_size=64), 1),
        (DINOv2, "vit_small_patch14_reg4_dinov2", dict(img_size=56), 5),
        (DINOv3, "vit_small_patch16_dinov3", {}, 5),
    ],
)
def test_queries_keys_and_values_are_timms(tmp_path, cls, architecture, arguments, prefix, kind):
    timm_folder(tmp_path / "model", architecture, **arguments)
    vfm = cls(f"local-dir:{tmp_path / 'model'}", features=kind)
    side = arguments.get("img_size", 64)
    image = torch.rand(2, 3, side, side)
    with torch.no_grad():
        want = hooked(vfm.vit, (image - vfm.mean) / vfm.std, kind)[:, :, prefix:]
        torch.testing.assert_close(vfm(image).flatten(2).mT, want.transpose(1, 2).flatten(2), atol=1e-5, rtol=1e-5)
        assert vfm(torch.rand(1, 3, 2 * vfm.patch, 5 * vfm.patch)).shape == (1, 48, 2, 5)


def test_biases_of_evas_attention(tmp_path):
    """EVA's attention keeps its biases outside the fused projection."""
    block = timm_folder(tmp_path / "model", "vit_small_patch16_dinov3_qkvb").blocks[-1]
    x = torch.randn(1, 7, 48)
    with torch.no_grad():
        for kind in "qkv":
            weight = block.attn.qkv.weight.chunk(3)["qkv".index(kind)]
            want = block.norm1(x) @ weight.T + getattr(block.attn, f"{kind}_bias")
            torch.testing.assert_close(project_timm_qkv(block, x, kind), want, atol=1e-5, rtol=1e-5)


def test_every_dinov3_has_a_fused_projection_here():
    for model in DINOv3.variants.values():
        vit = timm.create_model(model, num_classes=0, embed_dim=48, depth=2, num_heads=2)
        assert project_timm_qkv(vit.blocks[-1], torch.zeros(1, 3, 48), "k").shape == (1, 3, 48)


@pytest.mark.parametrize("cls", [DINO, DINOv2, DINOv3, MAE])
def test_unknown_kinds_of_features(cls):
    with pytest.raises(ValueError, match="one of tokens, q, k, v, but got 'keys'"):
        cls("vit_tiny_patch16_224", features="keys")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return load_clip(f"local-dir:{write_clip(tmp_path_factory.mktemp('clip'))}", None)


def test_clip_as_its_own_guide(clip):
    vfm = build_vfm("clip", clip=clip, checkpoint=None)
    assert (vfm.layer, vfm.patch) == (2, 16)  # three quarters of 3 blocks
    image = torch.rand(2, 3, 48, 96)
    for layer in (1, 2, 3):
        with torch.no_grad():
            tokens, grid = clip.tokens((image - clip.mean) / clip.std, layer)
            features = build_vfm(dict(type="clip", layer=layer), clip=clip)(image)
        assert grid == (3, 6)
        torch.testing.assert_close(features, tokens[:, 1:].mT.reshape(2, -1, 3, 6))


def test_clip_as_guide_holds_no_weights(clip):
    vfm = CLIPFeatures(clip)
    assert not vfm.state_dict()
    assert not list(vfm.modules())[1:]
    vfm.to(torch.bfloat16)
    assert clip.model.visual.proj.dtype == torch.float32
    assert len(fingerprint_module(vfm)) == 64


def test_clip_as_guide_in_half_precision(tmp_path):
    """The segmentor casts the image tower alone; CLIP's constants stay float32."""
    clip = load_clip(f"local-dir:{write_clip(tmp_path / 'clip')}", None)
    image = torch.rand(1, 3, 32, 64)
    with torch.no_grad():
        want = CLIPFeatures(clip)(image)
        clip.model.visual.to(torch.bfloat16)
        got = CLIPFeatures(clip)(image.bfloat16())
    assert got.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(got.float(), want).min() > 0.99


class Deep:
    patch, tokens, from_rgb = 14, None, None

    def __init__(self, depth):
        self.depth = depth


@pytest.mark.parametrize("depth, layer", [(12, 9), (24, 18), (32, 24), (3, 2), (1, 1)])
def test_default_layer(depth, layer):
    assert CLIPFeatures(Deep(depth)).layer == layer


@pytest.mark.parametrize("layer", [0, -1, 13, 2.5])
def test_layers_out_of_range(layer):
    with pytest.raises(ValueError, match=f"1 to 12.* got {layer}"):
        CLIPFeatures(Deep(12), layer)


@pytest.mark.parametrize("features", ["tokens", "k"])
def test_half_precision(v3, tmp_path, features):
    """Rotary positions and position tables follow the dtype of the weights."""
    for vfm in (DINOv3(v3[1], features=features), DINO(f"local-dir:{write_vit(tmp_path, 'dino')}", features=features)):
        image = torch.rand(1, 3, 32, 64)
        with torch.no_grad():
            want, got = vfm(image), vfm.to(torch.bfloat16)(image.bfloat16())
        assert got.dtype == torch.bfloat16
        assert torch.nn.functional.cosine_similarity(got.float(), want).min() > 0.99


def test_the_documents_table_of_sizes_is_true():
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?)(?:: none by default)? \|", text, re.MULTILINE))
    for family, sizes in SIZES.items():
        assert rows[family].replace("*", "").split(", ") == sizes.split(), family
        cls = load_plugin_class("vfm", family)
        bold = re.findall(r"\*\*(.*?)\*\*", rows[family])
        if hasattr(cls, "default"):
            assert family == "mae" or cls.variants[bold[0]] == cls.default, family
