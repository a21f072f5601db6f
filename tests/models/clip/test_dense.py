"""Loading CLIP by every door, the right activation, and features at any size."""

from __future__ import annotations

import json
import logging

import huggingface_hub.constants
import open_clip
import pytest
import torch
from helpers.reference import model_config, tensors, write_clip
from open_clip import pretrained as tags
from safetensors.torch import save_file

from proxyclip.models.attention.vanilla import Vanilla
from proxyclip.models.clip.dense import load_clip
from proxyclip.models.weights import WeightsError, fingerprint_module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("models") / "clip")


@pytest.fixture
def named(tmp_path, monkeypatch):
    """A built-in open_clip architecture `tiny-test` (plain GELU in its config) with three pretrained tags."""
    config = model_config()
    del config["quick_gelu"]
    (tmp_path / "tiny-test.json").write_text(json.dumps(config))
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIG_PATHS", list(open_clip.factory._MODEL_CONFIG_PATHS))
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", dict(open_clip.factory._MODEL_CONFIGS))
    open_clip.add_model_config(tmp_path)
    records = {
        "openai": {"hf_hub": "someone/tiny.openai/", "quick_gelu": True},
        "laion2b": {"hf_hub": "someone/tiny.laion/", "quick_gelu": False},
        "nowhere": {"hf_hub": "someone/tiny.absent/", "quick_gelu": False},
    }
    monkeypatch.setitem(tags._PRETRAINED, "tiny-test", records)
    return "tiny-test"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub cache on disk, in its own layout, that holds two of the tags; no network."""
    root = tmp_path / "hub"
    for name in ("tiny.openai", "tiny.laion"):
        repository = root / f"models--someone--{name}"
        snapshot = repository / "snapshots" / ("0" * 40)
        snapshot.mkdir(parents=True)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text("0" * 40)
        save_file(tensors("clip_tiny"), snapshot / "open_clip_model.safetensors")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(root))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("spelling", ["tiny-test", "tiny/test"])
@pytest.mark.parametrize("tag, activation", [("openai", "QuickGELU"), ("laion2b", "GELU")])
def test_tags_get_the_activation_they_were_trained_with(named, hub, spelling, tag, activation, recwarn):
    clip = load_clip(spelling, tag)
    assert clip.activation == activation
    assert clip.model.transformer.resblocks[0].mlp.gelu.__class__.__name__ == activation
    assert not [w for w in recwarn if "QuickGELU mismatch" in str(w.message)]
    torch.testing.assert_close(clip.model.visual.proj, tensors("clip_tiny")["visual.proj"])


@pytest.mark.parametrize("name", ["ViT-B-16", "ViT-B-32", "ViT-L-14", "ViT-L-14-336"])
def test_openai_tags_are_quick_gelu_in_open_clip(name):
    """What `load_clip` relies on: open_clip's own record of a tag says how it was trained."""
    assert tags.get_pretrained_cfg(name, "openai")["quick_gelu"]


def test_missing_weights_say_what_where_and_how(named, hub):
    with pytest.raises(WeightsError) as error:
        load_clip(named, "nowhere")
    for part in ("'nowhere'", "https://huggingface.co/someone/tiny.absent", "hf download", "local-dir:FOLDER"):
        assert part in str(error.value)


def test_wrong_names(named):
    with pytest.raises(ValueError, match=r"'ViT-B-61'; close are .*ViT-B-16\b"):
        load_clip("ViT-B-61", "openai")
    with pytest.raises(ValueError, match=r"'hf-hub:<repository>' or 'local-dir:<folder>', but got 'hub:x'"):
        load_clip("hub:x", None)
    with pytest.raises(ValueError, match=r"openai, laion2b, nowhere.*'opnai'"):
        load_clip(named, "opnai")
    with pytest.raises(WeightsError, match="needs weights"):
        load_clip(named, None)
    with pytest.raises(FileNotFoundError, match="nowhere/at/all"):
        load_clip("local-dir:nowhere/at/all", None)


@pytest.mark.parametrize(
    "file, activation",
    [
        ("ViT-B-16.openai.pt", "QuickGELU"),
        ("metaclip_b16.safetensors", "QuickGELU"),
        ("dfn2b.pt", "QuickGELU"),
        ("laion2b.safetensors", "GELU"),
        ("dfn-but-laion2b.safetensors", "GELU"),
    ],
)
def test_weights_files(named, tmp_path, file, activation):
    path = tmp_path / file
    save_file(tensors("clip_tiny"), path) if file.endswith("safetensors") else torch.save(tensors("clip_tiny"), path)
    clip = load_clip(named, str(path))
    assert clip.activation == activation
    torch.testing.assert_close(clip.model.text_projection, tensors("clip_tiny")["text_projection"])


class Holder(torch.nn.Module):
    """Tensors under dotted names, so that a TorchScript archive has OpenAI's keys."""

    def forward(self, x):
        return x


def scripted(state):
    root = Holder()
    for name, value in state.items():
        module, *path = root, *name.split(".")
        for part in path[:-1]:
            if part not in module._modules:
                module.add_module(part, Holder())
            module = module._modules[part]
        module.register_buffer(path[-1], value)
    return torch.jit.script(root)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
def test_openai_archive(named, tmp_path):
    """OpenAI's own .pt is a TorchScript archive in half precision with three extra scalars."""
    state = {k: v.half() for k, v in tensors("clip_tiny").items()}
    state |= {k: torch.tensor(7) for k in ("input_resolution", "context_length", "vocab_size")}
    path = tmp_path / "ViT-tiny.pt"
    scripted(state).save(str(path))
    clip = load_clip(named, str(path))
    assert clip.activation == "QuickGELU"
    assert clip.model.visual.proj.dtype == torch.float32
    torch.testing.assert_close(clip.model.visual.proj, tensors("clip_tiny")["visual.proj"])


def test_files_that_are_no_weights(named, tmp_path):
    path = tmp_path / "page.pt"
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(WeightsError, match=r"page\.pt cannot be read.*get it again"):
        load_clip(named, str(path))
    path = tmp_path / "cut.safetensors"
    save_file(tensors("clip_tiny"), path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=r"cut\.safetensors cannot be read"):
        load_clip(named, str(path))
    torch.save({k: v for k, v in tensors("clip_tiny").items() if "resblocks.2" not in k}, tmp_path / "short.pt")
    with pytest.raises(WeightsError, match=r"short\.pt does not fit CLIP: 12 missing tensors \(first: "):
        load_clip(named, str(tmp_path / "short.pt"))


class Evil:
    """A pickle that makes a folder when it is read carelessly."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        import os

        return os.mkdir, (self.trace,)


def test_pickles_that_run_code_are_refused(named, tmp_path):
    trace = tmp_path / "was-here"
    torch.save({"state_dict": Evil(str(trace))}, tmp_path / "evil.pt")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_clip(named, str(tmp_path / "evil.pt"))
    assert not trace.exists()
    torch.load(tmp_path / "evil.pt", weights_only=False)
    assert trace.exists()  # so the file was one that runs code


def test_folder_without_weights_is_an_error(tmp_path, folder):
    (tmp_path / "open_clip_config.json").write_text((folder / "open_clip_config.json").read_text())
    with pytest.raises(WeightsError, match=r"open_clip_model\.safetensors"):
        load_clip(f"local-dir:{tmp_path}", None)
    with pytest.raises(ValueError, match="clip_type=None"):
        load_clip(f"local-dir:{folder}", "openai")


def test_a_hub_models_tower_is_checked_before_its_weights_are_fetched(tmp_path, monkeypatch):
    config = {"model_cfg": open_clip.get_model_config("ViT-B-16-SigLIP")}
    snapshot = tmp_path / "models--someone--siglip" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    (snapshot / "open_clip_config.json").write_text(json.dumps(config))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(TypeError, match=r"'hf-hub:someone/siglip': SigLIP has no class token"):
        load_clip("hf-hub:someone/siglip", None)
    with pytest.raises(WeightsError, match="cannot be loaded"):
        load_clip("hf-hub:someone/nothing", None)


def test_text_tower_equals_open_clips_own(folder):
    clip = load_clip(f"local-dir:{folder}", None)
    tokens = clip.tokenizer(["a photo of a cat", "x", "a much longer text about several things " * 3])
    with torch.no_grad():
        torch.testing.assert_close(clip.encode_text(tokens), clip.model.encode_text(tokens))
        short = tokens[:2, : int(tokens[:2].ne(0).sum(1).max())]
        assert short.shape[1] < 10
        torch.testing.assert_close(clip.encode_text(short), clip.model.encode_text(tokens[:2]), atol=1e-6, rtol=1e-6)


def test_image_tower_equals_open_clips_own_at_its_size(folder):
    clip = load_clip(f"local-dir:{folder}", None)
    clip.model.visual.output_tokens = True
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        tokens = clip.model.visual(x)[1] @ clip.model.visual.proj
        torch.testing.assert_close(clip.encode_dense(x, Vanilla()).flatten(2).mT, tokens, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [(64, 96), (80, 32), (16, 16), (100, 50)])
def test_any_size(folder, size):
    clip = load_clip(f"local-dir:{folder}", None)
    with torch.no_grad():
        features = clip.encode_dense(torch.randn(1, 3, *size), Vanilla())
    assert features.shape == (1, 64, size[0] // 16, size[1] // 16)
    assert features.isfinite().all()


def test_frozen_and_fingerprinted(folder):
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
        assert len(list(tmp_path.iterdir())) == 1
        with caplog.at_level(logging.WARNING):
            assert torch.equal(clip.embed(["cat", "dog"], ("a {}", "the {}")), first)
        clip.embed(["cat", "dog"], ("a {}",))
        clip.model.ln_final.bias += 1
        assert not torch.equal(clip.embed(["cat", "dog"], ("a {}", "the {}")), first)
    assert len(list(tmp_path.iterdir())) == 3
