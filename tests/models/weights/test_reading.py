"""No code in a weights file is run: pickles of every form, TorchScript with code, in every place they are read."""

import os
import pickle

import huggingface_hub.constants as hub_constants
import pytest
import torch
from helpers.hub_models import add_to_hub_cache
from helpers.reference import tensors, write_clip, write_vit
from helpers.weights_archives import StatefulModule

from proxyclip.cli.weights import main
from proxyclip.engine.config.components import parse_clip_spec, parse_vfm_spec
from proxyclip.models.clip.dense import load_clip
from proxyclip.models.vfm import build_vfm
from proxyclip.models.vfm.dino import DINO
from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.reading import read_state_dict


class Evil:
    """A pickle that makes a folder when it is read carelessly."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def write_evil(form, path, marker):
    content = {"state_dict": Evil(marker)}
    if form in ("archive", "legacy"):
        torch.save(content, path, _use_new_zipfile_serialization=form == "archive")
    else:
        path.write_bytes(pickle.dumps(content, protocol=int(form[-1])))


pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol 4:UserWarning")
FORMS = ["archive", "legacy", "protocol 0", "protocol 4"]
CULPRIT = r"posix\.mkdir|nt\.mkdir"


@pytest.fixture
def marker(tmp_path):
    """A path that must not exist after the test."""
    place = tmp_path / "was-here"
    yield place
    assert not place.exists()


@pytest.mark.parametrize("form", FORMS)
def test_read_state_dict_and_verify_refuse_pickles_with_code(form, tmp_path, marker, capsys):
    path = tmp_path / "evil.pth"
    write_evil(form, path, marker)
    with pytest.raises(WeightsError, match=rf"evil\.pth cannot be read \(it is a pickle that asks for ({CULPRIT})"):
        read_state_dict(path)
    assert main(["verify", str(path)]) == 1
    output = capsys.readouterr().out
    assert "evil.pth" in output and "mkdir" in output


@pytest.mark.parametrize("form", FORMS)
def test_clip_and_vfm_options_refuse_pickles_with_code(form, small, tmp_path, marker):
    path = tmp_path / "evil.pth"
    write_evil(form, path, marker)
    for load in (
        lambda: load_clip(**parse_clip_spec(f"tiny-test,{path}", {})),
        lambda: build_vfm(parse_vfm_spec(f"dino,{path}")),
        lambda: build_vfm(parse_vfm_spec(f"sam,{path}")),
    ):
        with pytest.raises(WeightsError, match=CULPRIT):
            load()


@pytest.mark.parametrize("form", FORMS)
def test_local_folders_are_read_without_running_code(form, tmp_path, marker, capsys):
    """open_clip and timm read folders by themselves."""
    clip, vit = write_clip(tmp_path / "clip"), write_vit(tmp_path / "vit", "dino")
    for folder, old_name, name in (
        (clip, "open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
        (vit, "model.safetensors", "pytorch_model.bin"),
    ):
        (folder / old_name).unlink()
        write_evil(form, folder / name, marker)
        assert main(["verify", str(folder)]) == 1
    for load in (lambda: load_clip(f"local-dir:{clip}", None), lambda: DINO(f"local-dir:{vit}")):
        with pytest.raises(WeightsError, match="cannot be loaded") as error:
            load()
        assert "weights_only" not in str(error.value)  # PyTorch's advice to read it all the same


@pytest.mark.parametrize("form", FORMS)
def test_pickles_with_code_in_the_hub_cache_are_refused(form, small, tmp_path, marker, monkeypatch):
    for repository, name in (
        ("someone/tiny.openai", "open_clip_pytorch_model.bin"),
        ("timm/vit_small_patch16_224.dino", "pytorch_model.bin"),
    ):
        add_to_hub_cache(tmp_path, repository, name, lambda path: write_evil(form, path, marker))
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path))
    for load in (lambda: load_clip("tiny-test", "openai"), lambda: DINO("vit_small_patch16_224.dino")):
        with pytest.raises(WeightsError, match=r"a pickle that (asks for|wants)"):
            load()


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_torchscript_with_code_is_refused(small, tmp_path, marker):
    torch.jit.script(StatefulModule(tmp_path / "made")).save(str(tmp_path / "careless.pt"))
    torch.jit.load(str(tmp_path / "careless.pt"))
    assert (tmp_path / "made").exists()
    torch.jit.script(StatefulModule(marker)).save(str(tmp_path / "evil.pt"))
    for read in (lambda: read_state_dict(tmp_path / "evil.pt"), lambda: load_clip("tiny-test", f"{tmp_path}/evil.pt")):
        with pytest.raises(WeightsError, match=r"evil\.pt cannot be read .*has code that runs when it is read"):
            read()


def test_damaged_files_are_refused_with_a_reason(tmp_path):
    torch.save(tensors("dino_tiny"), tmp_path / "cut.pth")
    whole = (tmp_path / "cut.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "text.pth").write_bytes(b"\x01\x02 anything")
    for name, why in (("cut", "cut short"), ("empty", "empty"), ("text", "no checkpoint of tensors alone")):
        with pytest.raises(WeightsError, match=rf"{name}\.pth cannot be read \(it is {why}"):
            read_state_dict(tmp_path / f"{name}.pth")
