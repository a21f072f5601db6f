"""Files that are no weights of PyTorch are named, with the remedy, wherever weights are read."""

import gzip
import io
import json
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from helpers.hub_models import write_random_vit
from helpers.reference import tensors, write_clip
from safetensors.torch import save_file

from proxyclip.cli.weights import main
from proxyclip.models.clip.dense import load_clip
from proxyclip.models.vfm import build_vfm
from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.file_forms import describe_foreign_file
from proxyclip.models.weights.reading import read_state_dict

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 346378731\n"


def make_zip(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return buffer.getvalue()


def make_tar(name):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = 3
        archive.addfile(member, io.BytesIO(b"abc"))
    return buffer.getvalue()


def make_npz():
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(2))
    return buffer.getvalue()


FORMS = {
    "pointer.pth": (LFS, r"git-lfs pointer to a file of 346 378 731 bytes.*git lfs pull"),
    "pointer.safetensors": (LFS.replace(b"346378731", b"12"), r"git-lfs pointer.*hf download"),
    "login.bin": (b"\n<!DOCTYPE html><html><head>sign in", r"a web page.*/resolve/ in place of /blob/"),
    "denied.pt": (b'<?xml version="1.0"?><Error><Code>AccessDenied', "a web page"),
    "empty.pth": (b"", r"it is empty\): get it again"),
    "config.pth": (b'{"architectures": ["ViTModel"]}', r"a JSON file.*beside it"),
    "arrays.npz": (make_npz(), r"an archive of NumPy arrays \(\.npz\).*PyTorch file is needed"),
    "array.npy": (b"\x93NUMPY\x01\x00v\x00{'descr'", r"a NumPy array"),
    "weights.zip": (make_zip("dino/model.pth", "LICENSE"), r"a zip archive of dino/model\.pth, LICENSE.*unpack it"),
    "weights.tar": (make_tar("sam.pth"), r"a tar archive of sam\.pth.*unpack it"),
    "weights.tar.gz": (gzip.compress(make_tar("sam.pth")), r"compressed \(gzip\).*tar -xf"),
    "model.onnx": (b"\x08\x07\x12\x07pytorch\x1a\x051.9.0", "a graph of ONNX"),
    "other.onnx": (b"\x0a\x04abcd", "a graph of ONNX"),
    "model.gguf": (b"GGUF\x03\x00\x00\x00", r"\(GGUF\)"),
    "renamed.bin": (b"GGUF\x03\x00\x00\x00", r"\(GGUF\)"),
    "flax_model.msgpack": (b"\x81\xa6params\x82\xa5layer", r"Flax \(msgpack\)"),
    "tf_model.h5": (b"\x89HDF\r\n\x1a\n\0\0", r"HDF5"),
    "saved_model.pb": (b"\x08\x01\x12\xa0", "a graph of TensorFlow"),
    "model.ckpt.index": (b"\x00\x00\x08", "index of a TensorFlow checkpoint"),
    "model.ckpt.data-00000-of-00001": (b"\x00\x00\x08", "part of a TensorFlow checkpoint"),
    "model.tflite": (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
    "model.ckpt": (b"\x00\x01" * 40 + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb", "a TensorFlow checkpoint"),
    "answer.bin": (b"Entry not found", r"an answer of a server \('entry not found'\)"),
    "answer.pth": (b"404: Not Found\n", r"an answer of a server \('404: not found'\)"),
    "photo.pth": (b"\x89PNG\r\n\x1a\n", "a picture"),
}


@pytest.mark.parametrize("name", FORMS)
def test_other_forms_are_named_with_a_remedy(tmp_path, name):
    content, message = FORMS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(
        WeightsError, match=rf"{name} cannot be read \(it is .*{message}".replace("(it is .*it is", "(it is")
    ) as error:
        read_state_dict(tmp_path / name)
    assert "damaged" not in str(error.value)


@pytest.mark.parametrize("name", ["pointer.pth", "arrays.npz", "model.onnx", "weights.tar.gz"])
def test_every_option_names_other_forms(small, tmp_path, name, capsys):
    path = tmp_path / name
    path.write_bytes(FORMS[name][0])
    for load in (
        lambda: load_clip("tiny-test", str(path)),
        lambda: build_vfm(dict(type="dino", checkpoint=str(path))),
        lambda: build_vfm(dict(type="sam", model="vit_tiny", checkpoint=str(path))),
    ):
        with pytest.raises(WeightsError, match=FORMS[name][1]):
            load()
    assert main(["verify", str(path)]) == 1
    assert "it is " in capsys.readouterr().out


@pytest.mark.parametrize("content, message", [(LFS, "git lfs pull"), (b"<html>", "a web page")])
def test_folders_name_other_forms(tmp_path, content, message):
    write_random_vit(tmp_path / "vit", "vit_tiny_patch16_224")
    (tmp_path / "vit" / "model.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        build_vfm(dict(type="dino", model=f"local-dir:{tmp_path / 'vit'}"))
    clip = write_clip(tmp_path / "clip")
    (clip / "open_clip_model.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        load_clip(f"local-dir:{clip}", None)


def test_weights_of_pytorch_are_read_whatever_their_name(tmp_path):
    state = tensors("dino_tiny")
    save_file(state, tmp_path / "renamed.pth")
    torch.save(state, tmp_path / "renamed.safetensors")
    torch.save(state, tmp_path / "lightning.ckpt")
    torch.save(state, tmp_path / "old.msgpack", _use_new_zipfile_serialization=False)
    for name in ("renamed.pth", "renamed.safetensors", "lightning.ckpt", "old.msgpack"):
        assert describe_foreign_file(tmp_path / name) is None
        assert set(read_state_dict(tmp_path / name)) == set(state)


def test_parts_without_the_others_and_folders_are_named(tmp_path):
    save_file({"x": torch.zeros(2)}, tmp_path / "model-00002-of-00003.safetensors")
    with pytest.raises(WeightsError, match=r"it is part 2 of 3: get all parts and model\.safetensors\.index\.json"):
        read_state_dict(tmp_path / "model-00002-of-00003.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}}))
    with pytest.raises(WeightsError, match="is no index of weights"):
        read_state_dict(tmp_path / "model.safetensors.index.json")
    save_file({"x": torch.zeros(2)}, tmp_path / "model-00001-of-00001.safetensors")
    assert list(read_state_dict(tmp_path / "model-00001-of-00001.safetensors")) == ["x"]
    with pytest.raises(WeightsError, match="is a folder, not a weights file"):
        read_state_dict(tmp_path)


def test_damaged_files_of_pytorch_stay_damaged(tmp_path):
    (tmp_path / "cut.safetensors").write_bytes(struct.pack("<Q", 900) + b'{"x": {"dtype"')
    with pytest.raises(WeightsError, match=r"cannot be read .*; get it again"):
        read_state_dict(tmp_path / "cut.safetensors")
