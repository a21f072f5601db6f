"""VFMs: contract, position tables, loading by every door, and refusal of random weights."""

from __future__ import annotations

import json

import pytest
import timm
import torch
from helpers.reference import tensors, tiny_sam, write_clip, write_sam, write_vit
from safetensors.torch import save_file

from proxyclip.models.clip.dense import load_clip
from proxyclip.models.layers.pos_embed import resize_positions
from proxyclip.models.registry import build_plugin, list_plugins
from proxyclip.models.vfm.clip import CLIPFeatures
from proxyclip.models.vfm.dino import DINO
from proxyclip.models.vfm.dinov2 import DINOv2
from proxyclip.models.vfm.dinov3 import DINOv3
from proxyclip.models.vfm.mae import MAE
from proxyclip.models.vfm.sam import SAM
from proxyclip.models.weights import WeightsError, fingerprint_module


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("vfm")
    for name in ("dino", "mae"):
        write_vit(root / name, name)
    return root


def v2_folder(root, registers):
    """A tiny DINOv2 in timm's layout, with or without registers."""
    name = f"vit_small_patch14{'_reg4' if registers else ''}_dinov2"
    arguments = dict(embed_dim=48, depth=2, num_heads=2, img_size=70)
    model = timm.create_model(name, num_classes=0, **arguments)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3)
    root.mkdir()
    save_file(model.state_dict(), root / "model.safetensors")
    (root / "config.json").write_text(
        f'{{"architecture": "{name}", "num_classes": 0, "num_features": 48, "model_args": '
        f'{{"embed_dim": 48, "depth": 2, "num_heads": 2, "img_size": 70}}, '
        '"pretrained_cfg": {"input_size": [3, 70, 70], "num_classes": 0, "first_conv": "patch_embed.proj"}}'
    )
    return model.eval()


def v3_folder(root):
    """A tiny DINOv3 in timm's layout."""
    arguments = dict(embed_dim=48, depth=2, num_heads=2)
    model = timm.create_model("vit_small_patch16_dinov3", num_classes=0, **arguments)
    root.mkdir()
    save_file(model.state_dict(), root / "model.safetensors")
    config = dict(architecture="vit_small_patch16_dinov3", num_classes=0, num_features=48, model_args=arguments)
    (root / "config.json").write_text(json.dumps(config | {"pretrained_cfg": {"num_classes": 0}}))


def vfms(folders, tmp_path, monkeypatch):
    from segment_anything import sam_model_registry

    monkeypatch.setitem(sam_model_registry, "tiny", tiny_sam)
    v2_folder(tmp_path / "v2", True)
    v3_folder(tmp_path / "v3")
    return {
        "clip": CLIPFeatures(load_clip(f"local-dir:{write_clip(tmp_path / 'clip')}", None)),
        "dino": DINO(f"local-dir:{folders / 'dino'}"),
        "dinov2": DINOv2(f"local-dir:{tmp_path / 'v2'}"),
        "dinov3": DINOv3(f"local-dir:{tmp_path / 'v3'}"),
        "mae": MAE(f"local-dir:{folders / 'mae'}"),
        "sam": SAM("tiny", str(write_sam(tmp_path / "sam.pth"))),
    }


def test_contract(folders, tmp_path, monkeypatch):
    made = vfms(folders, tmp_path, monkeypatch)
    assert set(list_plugins("vfm")) - {"tiny"} == set(made)  # tiny is the embedded world's: see its own tests
    for name, vfm in made.items():
        h, w = 4 * vfm.patch, 6 * vfm.patch
        image = torch.rand(2, 3, h, w)
        with torch.no_grad():
            features = vfm(image)
            alone = torch.cat([vfm(image[:1]), vfm(image[1:])])
        assert features.ndim == 4, name
        assert features.shape[2:] == ((64, 64) if name == "sam" else (4, 6)), name
        assert features.isfinite().all(), name
        torch.testing.assert_close(features, alone, atol=2e-5, rtol=1e-5)
        assert not any(p.requires_grad for p in vfm.parameters()), name


def test_native_size_equals_timm(folders):
    vfm = DINO(f"local-dir:{folders / 'dino'}")
    image = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        own = vfm.vit.forward_features((image - vfm.mean) / vfm.std)[:, 1:]
        torch.testing.assert_close(vfm(image).flatten(2).mT, own, atol=1e-5, rtol=1e-5)


def test_dinov2_with_registers_equals_timm_at_every_size(tmp_path):
    own = v2_folder(tmp_path / "v2", True)
    vfm = DINOv2(f"local-dir:{tmp_path / 'v2'}")
    other = timm.create_model(f"local-dir:{tmp_path / 'v2'}", pretrained=True, num_classes=0, dynamic_img_size=True)
    for size in ((70, 70), (56, 98), (140, 42)):
        image = torch.rand(1, 3, *size)
        with torch.no_grad():
            want = other.eval().forward_features((image - vfm.mean) / vfm.std)[:, 5:]
            torch.testing.assert_close(vfm(image).flatten(2).mT, want, atol=1e-5, rtol=1e-5)
    assert (vfm.offset, vfm.antialias) == (0.0, True)
    torch.testing.assert_close(vfm.vit.pos_embed, own.pos_embed)


def test_dinov2_without_registers_resizes_like_dino(tmp_path):
    v2_folder(tmp_path / "v2", False)
    vfm = DINOv2(f"local-dir:{tmp_path / 'v2'}")
    assert (vfm.offset, vfm.antialias) == (0.1, False)
    assert vfm(torch.rand(1, 3, 42, 84)).shape == (1, 48, 3, 6)


def test_position_tables():
    table = torch.randn(1 + 25, 8)
    assert resize_positions(table, (5, 5), (5, 5)) is table
    for grid in ((3, 9), (9, 3), (1, 1), (21, 42)):
        for offset in (0.1, 0.0):
            out = resize_positions(table, (5, 5), grid, offset)
            assert out.shape == (1 + grid[0] * grid[1], 8)
            assert torch.equal(out[0], table[0])
    grid = table[1:].reshape(5, 5, 8)
    other_way = torch.cat([table[:1], grid.transpose(0, 1).reshape(25, 8)])
    a = resize_positions(table, (5, 5), (4, 7))[1:].reshape(4, 7, 8)
    b = resize_positions(other_way, (5, 5), (7, 4))[1:].reshape(7, 4, 8)
    torch.testing.assert_close(a, b.transpose(0, 1))
    half = resize_positions(table.bfloat16(), (5, 5), (4, 7))
    assert half.dtype == torch.bfloat16


@pytest.fixture
def shallow(monkeypatch):
    """Every architecture that timm makes has two blocks."""
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **options: create(name, **{"depth": 2, **options}))


def test_checkpoint_files(shallow, tmp_path):
    """Original releases: bare, under `model`, under `teacher` with `backbone.`, with a head that is not wanted."""
    state = timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()
    forms = {
        "bare.pth": state | {"head.weight": torch.zeros(3, 3)},
        "mae.pth": {"model": state},
        "full.pth": {"teacher": {f"backbone.{k}": v for k, v in state.items()}},
        "parallel.pth": {"state_dict": {f"module.{k}": v for k, v in state.items()}},
    }
    for name, content in forms.items():
        torch.save(content, tmp_path / name)
        vfm = DINO("vit_tiny_patch16_224", str(tmp_path / name))
        torch.testing.assert_close(vfm.vit.state_dict(), state)
    with pytest.raises(WeightsError, match=r"bare\.pth does not fit .*another architecture"):
        DINO("vit_small_patch16_224.dino", str(tmp_path / "bare.pth"))


@pytest.mark.parametrize("registers", [True, False])
def test_dinov2_releases(tmp_path, registers, monkeypatch):
    """Meta's own files: a mask token, registers under another name, and a class token without its position."""
    own = v2_folder(tmp_path / "v2", registers)
    state = dict(own.state_dict()) | {"mask_token": torch.zeros(1, 48)}
    if registers:
        position = torch.randn(1, 1, 48)
        state["register_tokens"] = state.pop("reg_token")
        state["cls_token"] = state["cls_token"] - position
        state["pos_embed"] = torch.cat([position, state["pos_embed"]], dim=1)
    torch.save(state, tmp_path / "dinov2.pth")
    create = timm.create_model
    small = dict(embed_dim=48, depth=2, num_heads=2, img_size=70)
    monkeypatch.setattr(timm, "create_model", lambda name, **options: create(name, **options, **small))
    name = f"vit_small_patch14{'_reg4' if registers else ''}_dinov2"
    loaded = DINOv2(name, str(tmp_path / "dinov2.pth")).vit.state_dict()
    torch.testing.assert_close(loaded, own.state_dict(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("family, options", [("sam", {}), ("mae", {}), ("sam", {"model": "vit_h"})])
def test_missing_checkpoint_is_an_error(family, options):
    with pytest.raises(WeightsError, match="checkpoint="):
        build_plugin("vfm", {"type": family, **options})


def test_wrong_models(tmp_path):
    with pytest.raises(ValueError, match=r"vit_b.*'vit_x'"):
        SAM("vit_x", "x.pth")
    with pytest.raises(FileNotFoundError, match="SAM checkpoint"):
        SAM("vit_b", str(tmp_path / "none.pth"))
    with pytest.raises(FileNotFoundError, match=r"checkpoint .*none\.pth.* does not exist"):
        DINO("vit_tiny_patch16_224", str(tmp_path / "none.pth"))
    with pytest.raises(RuntimeError, match="Unknown model"):
        DINO("vit_huge_patch3.dino")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"config\.json and model\.safetensors"):
        DINO(f"local-dir:{tmp_path / 'empty'}")


def test_unreachable_hub_says_what_where_and_how(shallow, tmp_path, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError) as error:
        DINO()
    for part in ("vit_base_patch8_224.dino", "https://huggingface.co/timm/", "hf download", "local-dir:FOLDER"):
        assert part in str(error.value)


def test_hub_layout(shallow, tmp_path, monkeypatch):
    """timm's own name, found in a hub cache that lies on disk in the hub's layout."""
    import huggingface_hub.constants

    state = timm.create_model("vit_small_patch16_224", num_classes=0).state_dict()
    repository = tmp_path / "models--timm--vit_small_patch16_224.dino"
    snapshot = repository / "snapshots" / ("1" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("1" * 40)
    save_file(state, snapshot / "model.safetensors")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    torch.testing.assert_close(DINO("vit_small_patch16_224.dino").vit.state_dict(), state)


def test_mae_can_resize_its_window(folders):
    plain, fixed = (MAE(f"local-dir:{folders / 'mae'}", size=s) for s in (None, 96))
    with torch.no_grad():
        assert plain(torch.rand(1, 3, 64, 112)).shape[2:] == (4, 7)
        assert fixed(torch.rand(1, 3, 64, 112)).shape[2:] == (6, 6)
    assert fingerprint_module(plain) == fingerprint_module(fixed)
    torch.testing.assert_close(plain.vit.pos_embed[0], tensors("mae_tiny")["pos_embed"][0])
