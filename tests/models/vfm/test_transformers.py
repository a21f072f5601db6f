"""Weights in transformers' form give what transformers itself computes, as folders and as files."""

import json

import pytest
import torch
from helpers.hub_models import add_to_hub_cache, shrink_timm, write_random_vit
from helpers.transformers_models import (
    build_transformers_model,
    compute_with_transformers,
    make_image,
    read_golden,
    write_transformers_folder,
)
from safetensors.torch import save_file

from proxyclip.engine.config.components import parse_vfm_spec
from proxyclip.models.vfm import build_vfm
from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.reading import read_network

GUIDES = [
    ("dino", "vit"), ("dino", "vit_classifier"), ("mae", "mae"), ("mae", "mae_pretraining"), ("dinov2", "dinov2"),
    ("dinov2", "dinov2_swiglu"), ("dinov2", "dinov2_registers"), ("dinov3", "dinov3"), ("dinov3", "dinov3_gated"),
    ("sam", "sam"),
]  # fmt: skip
BASE = dict(embed_dim=16, depth=2, num_heads=2)


def compute_features(vfm, name):
    """Features of the golden input, as transformers orders them."""
    image = make_image(name) * vfm.std + vfm.mean
    with torch.no_grad():
        features = vfm(image)
    return features[:, :, ::4, ::4] if name == "sam" else features.flatten(2).mT


@pytest.mark.parametrize("family, name", GUIDES, ids=[name for _, name in GUIDES])
def test_folders_give_the_features_of_transformers(tmp_path, family, name):
    folder, arrays = write_transformers_folder(tmp_path / name, name)
    vfm = build_vfm(parse_vfm_spec(f"{family},local-dir:{folder}"))
    torch.testing.assert_close(compute_features(vfm, name), arrays["features"], atol=2e-5, rtol=1e-4)
    if name != "sam":
        assert vfm(torch.rand(1, 3, 2 * vfm.patch, 5 * vfm.patch)).shape == (1, 16, 2, 5)


@pytest.mark.parametrize("family, name", GUIDES, ids=[name for _, name in GUIDES])
def test_installed_transformers_computes_the_golden_features(tmp_path, family, name):
    pytest.importorskip("transformers")
    model, _ = build_transformers_model(name, tmp_path / name)
    vfm = build_vfm(dict(type=family, model=f"local-dir:{tmp_path / name}"))
    features = compute_with_transformers(name, model, make_image(name))["features"]
    features = features[:, :, ::4, ::4] if name == "sam" else features
    torch.testing.assert_close(compute_features(vfm, name), features, atol=2e-5, rtol=1e-4)


FILES = [
    ("dino", "vit", "vit_small_patch16_224", dict(BASE, patch_size=8, img_size=32, mlp_ratio=1.5)),
    ("mae", "mae_pretraining", "vit_base_patch16_224", dict(BASE, patch_size=8, img_size=32, mlp_ratio=1.5)),
    ("dinov2", "dinov2", "vit_small_patch14_dinov2", dict(BASE, img_size=56, mlp_ratio=2)),
    ("dinov2", "dinov2_registers", "vit_small_patch14_reg4_dinov2", dict(BASE, img_size=56, mlp_ratio=2)),
    ("dinov3", "dinov3", "vit_small_patch16_dinov3_qkvb", dict(BASE, mlp_ratio=1.51)),
]  # fmt: skip


@pytest.mark.parametrize("form", ["model.safetensors", "pytorch_model.bin", "weights.pth"])
@pytest.mark.parametrize("family, name, architecture, sizes", FILES, ids=[name for _, name, _, _ in FILES])
def test_files_give_the_features_of_transformers(tmp_path, monkeypatch, family, name, architecture, sizes, form):
    shrink_timm(monkeypatch, **sizes)
    _, weights, arrays = read_golden(name)
    path = tmp_path / form
    if form.endswith("safetensors"):
        save_file(weights, path)
    elif form.endswith("bin"):
        torch.save(weights, path)
    else:  # of a training, in a wrapper
        content = {f"module.backbone.{key}": value for key, value in weights.items()}
        torch.save({"state_dict": content, "epoch": 3, "optimizer": {"state": {0: torch.zeros(2)}}}, path)
    vfm = build_vfm(dict(type=family, model=architecture, checkpoint=str(path)))
    if family == "dinov2" or family == "dino":  # those of vit and dinov3 have another epsilon in their norms
        torch.testing.assert_close(compute_features(vfm, name), arrays["features"], atol=1e-4, rtol=1e-3)
    assert vfm(torch.rand(1, 3, 2 * vfm.patch, 3 * vfm.patch)).shape == (1, 16, 2, 3)


NEW_NAMES = (
    ("encoder.layer.", "layers."), ("attention.attention.query", "attention.q_proj"),
    ("attention.attention.key", "attention.k_proj"), ("attention.attention.value", "attention.v_proj"),
    ("attention.output.dense", "attention.o_proj"), ("intermediate.dense", "mlp.fc1"), ("output.dense", "mlp.fc2"),
)  # fmt: skip


def test_names_of_transformers_5_are_those_of_4(tmp_path):
    """The model in memory has other names since version 5, though it is saved under the old ones."""
    _, old, _ = read_golden("vit")
    new = {}
    for key, value in old.items():
        for before, after in NEW_NAMES:
            key = key.replace(before, after)
        new[key] = value
    assert set(new) != set(old)
    for name, weights in (("old", old), ("new", new)):
        torch.save(weights, tmp_path / f"{name}.pth")
    torch.testing.assert_close(read_network(tmp_path / "new.pth"), read_network(tmp_path / "old.pth"))


def test_weights_in_parts_are_read_by_their_index(tmp_path):
    folder, arrays = write_transformers_folder(tmp_path / "v2", "dinov2")
    _, weights, _ = read_golden("dinov2")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[:9], "model-00002-of-00002.safetensors": names[9:]}
    for part, keys in parts.items():
        save_file({key: weights[key] for key in keys}, folder / part)
    index = {"weight_map": {key: part for part, keys in parts.items() for key in keys}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    vfm = build_vfm(dict(type="dinov2", model=f"local-dir:{folder}"))
    torch.testing.assert_close(compute_features(vfm, "dinov2"), arrays["features"], atol=2e-5, rtol=1e-4)
    for file in ("model.safetensors.index.json", "model-00002-of-00002.safetensors"):
        assert len(read_network(folder / file)) == len(read_network(folder / "model.safetensors.index.json"))
    (folder / "model-00001-of-00002.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"lists model-00001-of-00002\.safetensors, which is not beside it"):
        build_vfm(dict(type="dinov2", model=f"local-dir:{folder}"))


def test_repositories_of_the_hub_are_converted_too(tmp_path, monkeypatch):
    folder, arrays = write_transformers_folder(tmp_path / "vit", "vit")
    for name in ("config.json", "model.safetensors"):
        content = (folder / name).read_bytes()
        add_to_hub_cache(tmp_path / "hub", "someone/vit", name, lambda path, content=content: path.write_bytes(content))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    vfm = build_vfm(dict(type="dino", model="hf-hub:someone/vit"))
    torch.testing.assert_close(compute_features(vfm, "vit"), arrays["features"], atol=2e-5, rtol=1e-4)


def write_config(folder, **config):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file({"x": torch.zeros(2)}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("family, config, message", [
    ("dino", dict(architectures=["BeitModel"], model_type="beit", hidden_size=384, patch_size=16),
     r"is of transformers \(BeitModel\); timm's form is needed: python -m proxyclip weights fetch dino-s16"),
    ("dinov2", dict(architectures=["SwinModel"], model_type="swin"),
     r"is of transformers \(SwinModel\); timm's form is needed: python -m proxyclip weights fetch dinov2"),
    ("dino", dict(architectures=["ViTModel"], model_type="vit", hidden_size=768, patch_size=8),
     r"is of transformers \(ViTModel\); timm's form is needed: .*fetch dino-b8\n  why: .*does not fit"),
    ("dinov2", dict(model_type="dinov2", hidden_act="mish"), r"is of transformers \(dinov2\).*\n.*'mish'"),
    ("dino", dict(architectures=["Dinov2Model"], model_type="dinov2"),
     r"is of transformers \(Dinov2Model\), which is of the family dinov2: --vfm dinov2,local-dir:"),
    ("mae", dict(architectures=["CLIPModel"], model_type="clip"), r"which is a CLIP: --clip local-dir:"),
    ("sam", dict(architectures=["Sam2Model"], model_type="sam2"), r"\(Sam2Model\), which is no SAM: .*fetch sam-b"),
])  # fmt: skip
def test_other_forms_are_named_with_the_remedy(tmp_path, family, config, message):
    folder = write_config(tmp_path / "model", **config)
    with pytest.raises(WeightsError, match=message) as error:
        build_vfm(parse_vfm_spec(f"{family},local-dir:{folder}"))
    assert "KeyError" not in str(error.value)


def test_folders_without_weights_are_named(tmp_path):
    folder, _ = write_transformers_folder(tmp_path / "vit", "vit")
    (folder / "model.safetensors").rename(folder / "tf_model.h5")
    with pytest.raises(
        WeightsError, match=r"but no weights: expected model\.safetensors .*; tf_model\.h5 is of another"
    ):
        build_vfm(dict(type="dino", model=f"local-dir:{folder}"))
    with pytest.raises(WeightsError, match=r"hf-hub:someone/none is no SamModel of transformers, or cannot be had"):
        build_vfm(dict(type="sam", model="hf-hub:someone/none"))


def test_folders_of_timm_without_an_architecture_are_named(tmp_path):
    write_random_vit(tmp_path / "vit", "vit_tiny_patch16_224")
    (tmp_path / "vit" / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"its config\.json has no 'architecture'"):
        build_vfm(dict(type="dino", model=f"local-dir:{tmp_path / 'vit'}"))
    with pytest.raises(ValueError, match=rf"say 'local-dir:{tmp_path}/vit'"):
        build_vfm(dict(type="dino", model=f"{tmp_path}/vit"))


def test_a_file_of_another_size_of_the_family_is_loaded_as_that(tmp_path, monkeypatch, caplog):
    shrink_timm(monkeypatch, embed_dim=48, depth=2, num_heads=2)
    import timm

    torch.manual_seed(0)
    state = timm.create_model("vit_small_patch16_224", num_classes=0).state_dict()
    torch.save(state, tmp_path / "own.pth")
    vfm = build_vfm(parse_vfm_spec(f"dino,{tmp_path / 'own.pth'}"))  # whose default has patches of 8
    assert vfm.patch == 16
    assert "own.pth is loaded as dino-s16" in caplog.text
    with pytest.raises(WeightsError, match=r"does not fit .* It is of the size of dino-s16: --vfm dino-s16,"):
        build_vfm(parse_vfm_spec(f"dino-b8,{tmp_path / 'own.pth'}"))  # a size that was asked for stays


def test_files_of_sam_are_converted(tmp_path):
    folder, arrays = write_transformers_folder(tmp_path / "sam", "sam")
    _, weights, _ = read_golden("sam")
    torch.save({"state_dict": {f"module.{key}": value for key, value in weights.items()}}, tmp_path / "own.pth")
    vfm = build_vfm(dict(type="sam", model=f"local-dir:{folder}", checkpoint=str(tmp_path / "own.pth")))
    torch.testing.assert_close(compute_features(vfm, "sam"), arrays["features"], atol=2e-5, rtol=1e-4)
    with pytest.raises(WeightsError, match=r"does not fit ImageEncoderViT"):
        build_vfm(parse_vfm_spec(f"sam,{tmp_path / 'own.pth'}"))
