"""Models of open_clip and timm filled by this package equal those that the libraries fill themselves."""

import open_clip
import pytest
import timm
import torch
from helpers.hub_models import add_to_hub_cache
from helpers.reference import write_clip, write_vit
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from proxyclip.models.clip.loading import load_open_clip
from proxyclip.models.clip.open_clip_form import fill_open_clip_model
from proxyclip.models.vfm._timm_folders import create_timm_model
from proxyclip.models.weights.reading import read_tensors


def assert_same_state(actual, expected):
    ours, theirs = actual.state_dict(), expected.state_dict()
    assert list(ours) == list(theirs)
    assert all(ours[n].dtype == theirs[n].dtype and torch.equal(ours[n], theirs[n]) for n in theirs)


def save_form(form, folder):
    """Rewrite the weights of an open_clip folder in another form that open_clip reads."""
    path = folder / "open_clip_model.safetensors"
    state = load_file(path)
    if form == "wrapped":
        path.unlink()
        content = {"epoch": 1, "state_dict": {f"module.{name}": value for name, value in state.items()}}
        torch.save(content, folder / "open_clip_pytorch_model.bin")
    elif form == "half":
        save_file({name: value.half() for name, value in state.items()}, path)
    elif form == "another resolution":
        table = state["visual.positional_embedding"]
        save_file(state | {"visual.positional_embedding": torch.cat([table, table[1:], table[1:], table[1:]])}, path)
    elif form == "a scale of one dimension":
        save_file(state | {"logit_scale": state["logit_scale"].reshape(1)}, path)


@pytest.mark.parametrize("form", ["whole", "wrapped", "half", "another resolution", "a scale of one dimension"])
def test_a_folder_is_filled_as_open_clip_does(form, tmp_path):
    folder = write_clip(tmp_path / "clip")
    save_form(form, folder)
    expected = open_clip.create_model(f"local-dir:{folder}", require_pretrained=True)
    model, _ = load_open_clip(f"local-dir:{folder}", None)
    assert_same_state(model, expected)
    assert model.visual.preprocess_cfg == expected.visual.preprocess_cfg


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_an_archive_of_openai_fills_the_same_model(tmp_path):
    """Their archives are traced, in half precision, with three scalars beside the tensors."""
    folder = write_clip(tmp_path / "clip")
    expected = open_clip.create_model(f"local-dir:{folder}")
    archive = open_clip.create_model(f"local-dir:{folder}").half()
    for name, value in (("input_resolution", 64), ("context_length", 77), ("vocab_size", 400)):
        archive.__dict__.pop(name, None)
        archive.register_buffer(name, torch.tensor(value))
    archive.forward = lambda image: image + archive.visual.proj.sum()
    torch.jit.trace(archive, torch.ones(1)).save(str(tmp_path / "openai.pt"))
    reference = torch.jit.load(str(tmp_path / "openai.pt")).state_dict()
    tensors = read_tensors(tmp_path / "openai.pt")
    assert {"input_resolution", "context_length", "vocab_size"} < set(tensors) and list(tensors) == list(reference)
    assert all(torch.equal(tensors[name], value) for name, value in reference.items())
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    fill_open_clip_model(model, tensors, tmp_path / "openai.pt")
    assert_same_state(model, expected.half().float())


@pytest.mark.parametrize("form", ["whole", "wrapped"])
def test_a_folder_is_filled_as_timm_does(form, tmp_path):
    folder = write_vit(tmp_path / "vit", "dino")
    if form == "wrapped":
        state = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        torch.save({"model": {f"module.{n}": v for n, v in state.items()}}, folder / "pytorch_model.bin")
    options = dict(num_classes=0, dynamic_img_size=True)
    expected = timm.create_model(f"local-dir:{folder}", pretrained=True, **options)
    model = create_timm_model(f"local-dir:{folder}", options)
    assert_same_state(model, expected)
    assert "state_dict" not in model.pretrained_cfg
    assert model.pretrained_cfg["first_conv"] == expected.pretrained_cfg["first_conv"]


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_a_repository_in_the_cache_is_filled_as_timm_does(file, tmp_path, monkeypatch):
    folder = write_vit(tmp_path / "vit", "dino")
    state = load_file(folder / "model.safetensors")
    save = save_file if file.endswith("safetensors") else torch.save
    add_to_hub_cache(tmp_path / "hub", "someone/vit", file, lambda path: save(state, path))
    config = (folder / "config.json").read_bytes()
    add_to_hub_cache(tmp_path / "hub", "someone/vit", "config.json", lambda path: path.write_bytes(config))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    expected = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0)
    assert_same_state(create_timm_model("hf-hub:someone/vit", dict(num_classes=0)), expected)
