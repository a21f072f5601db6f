"""Loading of timm's ViTs, their features, and their position tables."""

import json

import huggingface_hub.constants
import pytest
import timm
import torch
from helpers.hub_models import add_to_hub_cache, shrink_timm, write_random_vit
from helpers.reference import write_vit
from safetensors.torch import load_file, save_file

from proxyclip.models.vfm.dino import DINO
from proxyclip.models.vfm.dinov2 import DINOv2
from proxyclip.models.vfm.dinov3 import DINOv3
from proxyclip.models.vfm.mae import MAE
from proxyclip.models.weights import WeightsError


def test_dino_equals_timm_at_its_native_size(tmp_path):
    vfm = DINO(f"local-dir:{write_vit(tmp_path, 'dino')}")
    image = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        own = vfm.vit.forward_features((image - vfm.mean) / vfm.std)[:, 1:]
        torch.testing.assert_close(vfm(image).flatten(2).mT, own, atol=1e-5, rtol=1e-5)


def test_dinov2_with_registers_equals_timm_at_every_size(tmp_path):
    own = write_random_vit(tmp_path / "v2", "vit_small_patch14_reg4_dinov2", img_size=70)
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
    write_random_vit(tmp_path / "v2", "vit_small_patch14_dinov2", img_size=70)
    vfm = DINOv2(f"local-dir:{tmp_path / 'v2'}")
    assert (vfm.offset, vfm.antialias) == (0.1, False)
    assert vfm(torch.rand(1, 3, 42, 84)).shape == (1, 48, 3, 6)


@pytest.mark.parametrize("registers", [True, False])
def test_dinov2_files_of_meta_are_converted(tmp_path, registers, monkeypatch):
    """A mask token, registers under another name, and a class token without its position."""
    name = f"vit_small_patch14{'_reg4' if registers else ''}_dinov2"
    own = write_random_vit(tmp_path / "v2", name, img_size=70)
    state = dict(own.state_dict()) | {"mask_token": torch.zeros(1, 48)}
    if registers:
        position = torch.randn(1, 1, 48)
        state["register_tokens"] = state.pop("reg_token")
        state["cls_token"] = state["cls_token"] - position
        state["pos_embed"] = torch.cat([position, state["pos_embed"]], dim=1)
    torch.save(state, tmp_path / "dinov2.pth")
    shrink_timm(monkeypatch, embed_dim=48, depth=3, num_heads=2, img_size=70)
    loaded = DINOv2(name, str(tmp_path / "dinov2.pth")).vit.state_dict()
    torch.testing.assert_close(loaded, own.state_dict(), atol=1e-6, rtol=0)


def compute_timm_qkv(vit, image, part):
    """q, k or v of the last block as timm computes them: (B, heads, N, d), normed where the attention norms."""
    attn, outputs = vit.blocks[-1].attn, {}
    hooks = [attn.qkv.register_forward_hook(lambda _, __, out: outputs.update(qkv=out))]
    if not isinstance(attn.q_norm, torch.nn.Identity):
        hooks += [attn.q_norm.register_forward_hook(lambda _, __, out: outputs.update(q=out))]
        hooks += [attn.k_norm.register_forward_hook(lambda _, __, out: outputs.update(k=out))]
    vit.forward_features(image)
    for hook in hooks:
        hook.remove()
    parts = outputs["qkv"].unflatten(2, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
    return outputs.get(part, parts["qkv".index(part)])


@pytest.mark.parametrize("part", ["q", "k", "v"])
@pytest.mark.parametrize("cls, architecture, arguments, prefix", [
    (DINO, "vit_base_patch16_224", dict(img_size=64), 1),
    (DINO, "vit_base_patch16_224", dict(img_size=64, qk_norm=True), 1),
    (DINO, "vit_base_patch16_224", dict(img_size=64, qkv_bias=False), 1),
    (MAE, "vit_base_patch16_224", dict(img_size=64), 1),
    (DINOv2, "vit_small_patch14_reg4_dinov2", dict(img_size=56), 5),
    (DINOv3, "vit_small_patch16_dinov3", {}, 5),
])  # fmt: skip
def test_queries_keys_and_values_equal_timm(tmp_path, cls, architecture, arguments, prefix, part):
    write_random_vit(tmp_path / "model", architecture, **arguments)
    vfm = cls(f"local-dir:{tmp_path / 'model'}", features=part)
    side = arguments.get("img_size", 64)
    image = torch.rand(2, 3, side, side)
    with torch.no_grad():
        want = compute_timm_qkv(vfm.vit, (image - vfm.mean) / vfm.std, part)[:, :, prefix:]
        torch.testing.assert_close(vfm(image).flatten(2).mT, want.transpose(1, 2).flatten(2), atol=1e-5, rtol=1e-5)
        assert vfm(torch.rand(1, 3, 2 * vfm.patch, 5 * vfm.patch)).shape == (1, 48, 2, 5)


@pytest.mark.parametrize("features", ["tokens", "k"])
def test_position_tables_follow_the_precision_of_the_weights(tmp_path, features):
    write_random_vit(tmp_path / "v3", "vit_small_patch16_dinov3")
    write_vit(tmp_path / "dino", "dino")
    for cls, name in ((DINOv3, "v3"), (DINO, "dino")):
        vfm = cls(f"local-dir:{tmp_path / name}", features=features)
        image = torch.rand(1, 3, 32, 64)
        with torch.no_grad():
            want, got = vfm(image), vfm.to(torch.bfloat16)(image.bfloat16())
        assert got.dtype == torch.bfloat16
        assert torch.nn.functional.cosine_similarity(got.float(), want).min() > 0.99


@pytest.mark.parametrize("cls", [DINO, DINOv2, DINOv3, MAE])
def test_unknown_features_are_refused(cls):
    with pytest.raises(ValueError, match="one of tokens, q, k, v, but got 'keys'"):
        cls("vit_tiny_patch16_224", features="keys")


def test_checkpoints_of_several_forms_are_unwrapped(monkeypatch, tmp_path):
    """Original releases: bare, under `model`, under `teacher` with `backbone.`, with a head that is dropped."""
    shrink_timm(monkeypatch, depth=2)
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


def test_wrong_names_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"checkpoint .*none\.pth.* does not exist"):
        DINO("vit_tiny_patch16_224", str(tmp_path / "none.pth"))
    with pytest.raises(RuntimeError, match="Unknown model"):
        DINO("vit_huge_patch3.dino")
    with pytest.raises(WeightsError, match=r"config\.json and model\.safetensors"):
        DINO(f"local-dir:{tmp_path}")


def test_unreachable_weights_are_reported_with_source_and_remedy(monkeypatch):
    shrink_timm(monkeypatch, depth=2)
    with pytest.raises(WeightsError) as error:
        DINO()
    for part in ("vit_base_patch8_224.dino", "https://huggingface.co/timm/", "hf download", "local-dir:FOLDER"):
        assert part in str(error.value)


def test_file_that_lacks_tensors_is_refused_where_a_classifier_is_dropped(tmp_path):
    """timm leaves such tensors random, and says so at a level that nobody sees."""
    folder = write_vit(tmp_path / "vit", "dino")
    config = json.loads((folder / "config.json").read_text())
    config["num_classes"] = 10
    config["pretrained_cfg"] |= {"num_classes": 10, "classifier": "head"}
    (folder / "config.json").write_text(json.dumps(config))
    state = load_file(folder / "model.safetensors")
    width = state["norm.weight"].shape[0]
    state |= {"head.weight": torch.zeros(10, width), "head.bias": torch.zeros(10)}
    save_file(state, folder / "model.safetensors")
    assert DINO(f"local-dir:{folder}").patch
    del state["blocks.0.attn.qkv.weight"], state["norm.bias"]
    save_file(state, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=r"lacks 2 tensors of the model \(first: blocks\.0\.attn\.qkv\.weight\)"):
        DINO(f"local-dir:{folder}")


def test_weights_are_read_from_the_cache_of_the_hub(tmp_path, monkeypatch):
    shrink_timm(monkeypatch, depth=2)
    state = timm.create_model("vit_small_patch16_224", num_classes=0).state_dict()
    repository = "timm/vit_small_patch16_224.dino"
    add_to_hub_cache(tmp_path, repository, "model.safetensors", lambda path: save_file(state, path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    torch.testing.assert_close(DINO("vit_small_patch16_224.dino").vit.state_dict(), state)
