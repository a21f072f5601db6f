"""CLIPs in transformers' form give its embeddings in open_clip's model, as folders and as files."""

import json
import logging

import huggingface_hub.constants as hub_constants
import open_clip
import pytest
import torch
from helpers.hub_models import add_to_hub_cache
from helpers.transformers_models import (
    build_transformers_model,
    compute_with_transformers,
    make_image,
    read_golden,
    write_transformers_folder,
)
from safetensors.torch import save_file

from proxyclip.models.clip import loading
from proxyclip.models.clip.dense import load_clip
from proxyclip.models.weights import WeightsError

NAMES = ["clip_quick_gelu", "clip_gelu"]
ACTIVATION = {"clip_quick_gelu": "QuickGELU", "clip_gelu": "GELU"}


def check_embeddings(clip, name, arrays):
    with torch.no_grad():
        image = clip.model.encode_image(make_image(name), normalize=True)
        text = torch.nn.functional.normalize(clip.encode_text(arrays["tokens"]), dim=-1)
    torch.testing.assert_close(image, arrays["image_embeds"], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(text, arrays["text_embeds"], atol=2e-5, rtol=1e-4)


@pytest.fixture
def named(tmp_path, monkeypatch):
    """The architecture of the golden models as `tiny-hf` of open_clip, without weights."""
    config = loading.get_clip_config(f"local-dir:{write_transformers_folder(tmp_path / 'named', 'clip_gelu')[0]}")
    for name in ("_MODEL_CONFIG_PATHS", "_MODEL_CONFIGS"):
        monkeypatch.setattr(open_clip.factory, name, getattr(open_clip.factory, name).copy())
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "tiny-hf.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "configs")
    return "tiny-hf"


@pytest.mark.parametrize("name", NAMES)
def test_folders_give_the_embeddings_of_transformers(tmp_path, name):
    folder, arrays = write_transformers_folder(tmp_path / "clip", name)
    clip = load_clip(f"local-dir:{folder}", None)
    assert clip.activation == ACTIVATION[name]
    assert clip.tokenizer(["a cat"]).shape == (1, 12)
    check_embeddings(clip, name, arrays)
    tokens, grid = clip.tokens(torch.rand(1, 3, 16, 40))
    assert (tuple(tokens.shape), grid) == ((1, 11, 16), (2, 5))


@pytest.mark.parametrize("name", NAMES)
def test_installed_transformers_computes_the_golden_embeddings(tmp_path, name):
    pytest.importorskip("transformers")
    model, _ = build_transformers_model(name, tmp_path / name)
    arrays = compute_with_transformers(name, model, make_image(name))
    check_embeddings(load_clip(f"local-dir:{tmp_path / name}", None), name, arrays)


@pytest.mark.parametrize("form", ["model.safetensors", "pytorch_model.bin", "wrapped.pth"])
@pytest.mark.parametrize("name", NAMES)
def test_files_give_the_embeddings_of_transformers(tmp_path, named, name, form, caplog):
    config, weights, arrays = read_golden(name)
    weights["text_model.embeddings.position_ids"] = torch.arange(12)[None]  # of older versions
    path = tmp_path / form
    if form.endswith("safetensors"):
        save_file(weights, path)
    elif form.endswith("bin"):
        torch.save(weights, path)
    else:
        torch.save({"model": {f"_orig_mod.model.{key}": value.half() for key, value in weights.items()}}, path)
    if form != "wrapped.pth":  # the config beside it has the activation
        (tmp_path / "config.json").write_text(json.dumps(config))
        clip = load_clip(named, str(path))
        assert clip.activation == ACTIVATION[name]
        check_embeddings(clip, name, arrays)
        assert "activation" not in caplog.text
    else:
        assert load_clip(named, str(path)).activation == "QuickGELU"
        assert "wrapped.pth does not say its activation: QuickGELU is used" in caplog.text


def test_normalization_is_that_of_the_preprocessor(tmp_path):
    folder, _ = write_transformers_folder(tmp_path / "clip", "clip_gelu")
    record = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.25]}
    (folder / "preprocessor_config.json").write_text(json.dumps(record))
    clip = load_clip(f"local-dir:{folder}", None)
    assert clip.own_std.flatten().tolist() == [0.5, 0.5, 0.25] and clip.needs_renormalization


def test_repositories_of_the_hub_are_converted_too(tmp_path, monkeypatch):
    folder, arrays = write_transformers_folder(tmp_path / "clip", "clip_quick_gelu")
    for name in ("config.json", "model.safetensors"):
        content = (folder / name).read_bytes()
        add_to_hub_cache(
            tmp_path / "hub", "someone/clip", name, lambda path, content=content: path.write_bytes(content)
        )
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    check_embeddings(load_clip("hf-hub:someone/clip", None), "clip_quick_gelu", arrays)


def test_folders_with_both_forms_are_read_as_open_clips(tmp_path):
    folder, arrays = write_transformers_folder(tmp_path / "clip", "clip_quick_gelu")
    config = loading.get_clip_config(f"local-dir:{folder}")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    check_embeddings(load_clip(f"local-dir:{folder}", None), "clip_quick_gelu", arrays)  # no weights of open_clip's
    own = open_clip.CLIP(**config)
    save_file(
        {key: value.contiguous() for key, value in own.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    clip = load_clip(f"local-dir:{folder}", None)
    torch.testing.assert_close(clip.model.visual.proj, own.visual.proj)


@pytest.mark.parametrize("config, message", [
    (dict(architectures=["SiglipModel"], model_type="siglip"), r"is of transformers \(SiglipModel\), which is no CLIP"),
    (dict(architectures=["ViTModel"], model_type="vit"), r"is of transformers \(ViTModel\), which is no CLIP"),
    (dict(architectures=["CLIPVisionModel"], model_type="clip"), r"\(CLIPVisionModel\), which lacks a tower"),
    (dict(model_type="clip", vision_config=dict(hidden_act="relu")), r"with hidden_act quick_gelu, relu"),
])  # fmt: skip
def test_other_models_are_named_with_the_remedy(tmp_path, config, message):
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file({"x": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=message + r".*python -m proxyclip weights fetch ViT-B-16"):
        load_clip(f"local-dir:{tmp_path}", None)


@pytest.mark.parametrize("form", ["file", "wrapped", "transformers"])
def test_no_line_on_random_weights_where_a_file_is_loaded(tmp_path, named, form, caplog, capfd):
    _, weights, _ = read_golden("clip_gelu")
    own = open_clip.create_model(named, load_weights=False).state_dict()
    assert "initialized randomly" in caplog.text  # open_clip's own line, which is true there
    caplog.clear()
    content = {
        "file": own,
        "wrapped": {"state_dict": {f"module.{k}": v for k, v in own.items()}},
        "transformers": weights,
    }
    torch.save(content[form], tmp_path / "openai.pt")
    load_clip(named, str(tmp_path / "openai.pt"))
    assert "randomly" not in caplog.text + "".join(capfd.readouterr())
    logging.getLogger().warning("No pretrained weights loaded for model 'x'")
    assert "No pretrained weights" in caplog.text  # the filter is gone


def test_files_of_another_architecture_name_theirs(tmp_path, named):
    shapes = {
        "visual.conv1.weight": (768, 3, 32, 32),
        "visual.positional_embedding": (50, 768),
        "visual.proj": (768, 512),
    }
    torch.save({name: torch.zeros(shape) for name, shape in shapes.items()}, tmp_path / "own.pt")
    with pytest.raises(WeightsError, match=r"does not fit CLIP: .* It has the sizes of ViT-B-32: --clip ViT-B-32,"):
        load_clip(named, str(tmp_path / "own.pt"))
    torch.save({name: torch.zeros(3, 3) for name in shapes}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"another architecture\?$"):
        load_clip(named, str(tmp_path / "other.pt"))
