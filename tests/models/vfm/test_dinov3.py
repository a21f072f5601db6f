"""DINOv3 against timm and the paper, and Meta's own files."""

import math

import pytest
import timm
import torch
from helpers.hub_models import shrink_timm, write_random_vit

from proxyclip.models.vfm._timm import project_timm_qkv
from proxyclip.models.vfm.dinov3 import DINOv3
from proxyclip.models.weights import WeightsError

SMALL = dict(embed_dim=48, depth=3, num_heads=2)


@pytest.fixture(scope="module")
def v3(tmp_path_factory):
    root = tmp_path_factory.mktemp("v3") / "model"
    return write_random_vit(root, "vit_small_patch16_dinov3"), f"local-dir:{root}"


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
def test_rotary_positions_are_those_of_the_paper(v3, grid):
    """Centers of patches scaled to [-1, 1] on each axis, angles 2 pi x / 100^(i / n), n periods for y, then n for x."""
    n = SMALL["embed_dim"] // SMALL["num_heads"] // 4
    periods = 100 ** (torch.arange(n, dtype=torch.float64) / n)
    y, x = (2 * (torch.arange(k, dtype=torch.float64) + 0.5) / k - 1 for k in grid)
    positions = torch.cartesian_prod(y, x).reshape(-1, 2)
    angles = (2 * math.pi * positions[:, :, None] / periods).flatten(1).repeat(1, 2)
    want = torch.cat([angles.sin(), angles.cos()], dim=1).float()
    torch.testing.assert_close(DINOv3(v3[1]).vit.rope.get_embed(shape=grid), want, atol=2e-5, rtol=1e-5)


def write_meta_file(model, path, bias):
    """A DINOv3 checkpoint as Meta writes it: other names, fused biases with a mask, and a mask token."""
    state, names = {"mask_token": torch.zeros(1, 48), "rope_embed.periods": torch.ones(6)}, dict(model.state_dict())
    for i in range(SMALL["depth"]):
        q, v = (names.pop(f"blocks.{i}.attn.{part}_bias", torch.zeros(48)) for part in "qv")
        state[f"blocks.{i}.attn.qkv.bias"] = torch.cat([q, torch.zeros(48), v]) + bias
        state[f"blocks.{i}.attn.qkv.bias_mask"] = torch.ones(144)
    for name, value in names.items():
        name = name.replace("reg_token", "storage_tokens")
        state[name.replace("gamma_1", "ls1.gamma").replace("gamma_2", "ls2.gamma")] = value
    torch.save(state, path)
    return str(path)


@pytest.mark.parametrize("architecture", ["vit_small_patch16_dinov3", "vit_small_patch16_dinov3_qkvb"])
def test_files_of_meta_are_converted(tmp_path, monkeypatch, capsys, architecture):
    own = write_random_vit(tmp_path / "model", architecture)
    file = write_meta_file(own, tmp_path / "dinov3_vits16_pretrain.pth", 0.0)
    shrink_timm(monkeypatch, **SMALL)
    torch.testing.assert_close(DINOv3(architecture, file).vit.state_dict(), own.state_dict())
    biased = write_meta_file(own, tmp_path / "biased.pth", 0.5)
    if architecture.endswith("qkvb"):
        assert DINOv3(architecture, biased).vit.blocks[0].attn.v_bias.mean() > 0.3
    else:
        with pytest.raises(WeightsError, match="_qkvb"):
            DINOv3(architecture, biased)
    assert not capsys.readouterr().out


def test_missing_and_other_weights_are_refused(tmp_path, monkeypatch):
    shrink_timm(monkeypatch, **SMALL)
    with pytest.raises(WeightsError, match=r"timm/vit_base_patch16_dinov3\.lvd1689m"):
        DINOv3()
    torch.save(timm.create_model("vit_tiny_patch16_224").state_dict(), tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth does not fit Eva"):
        DINOv3("vit_small_patch16_dinov3", str(tmp_path / "other.pth"))


def test_biases_outside_the_fused_projection_are_added(tmp_path):
    block = write_random_vit(tmp_path / "model", "vit_small_patch16_dinov3_qkvb").blocks[-1]
    x = torch.randn(1, 7, 48)
    with torch.no_grad():
        for part, weight in zip("qkv", block.attn.qkv.weight.chunk(3), strict=True):
            want = block.norm1(x) @ weight.T + getattr(block.attn, f"{part}_bias")
            torch.testing.assert_close(project_timm_qkv(block, x, part), want, atol=1e-5, rtol=1e-5)


def test_every_dinov3_has_a_fused_projection():
    for model in DINOv3.variants.values():
        vit = timm.create_model(model, num_classes=0, embed_dim=48, depth=2, num_heads=2)
        assert project_timm_qkv(vit.blocks[-1], torch.zeros(1, 3, 48), "k").shape == (1, 3, 48)
