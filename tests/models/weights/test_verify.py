"""Verification of weights files by hash, length and form."""

import subprocess

import torch
from helpers.hub_models import cache_weights
from safetensors.torch import save_file

from proxyclip.cli.weights import main
from proxyclip.models.weights.catalogue import find_weights_entry, get_weights_folder
from proxyclip.models.weights.verify import verify_local_weights, verify_weights_file


def test_verify_local_weights_reports_changed_and_cut_files(caches, capsys):
    tensors = {"x": torch.arange(100.0)}
    get_weights_folder().mkdir(parents=True)
    save_file(tensors, get_weights_folder() / "mine.safetensors")
    content = (get_weights_folder() / "mine.safetensors").read_bytes()
    cache_weights(caches, find_weights_entry("dino-s8"), content)
    assert main(["verify"]) == 0
    assert "unknown hash" in capsys.readouterr().out
    blob = cache_weights(caches, find_weights_entry("dino-s16"), content).resolve()
    blob.write_bytes(content[:-10])
    (get_weights_folder() / "sam_vit_b_01ec64.pth").write_bytes(b"PK short")
    assert main(["verify"]) == 1
    results = {result.name: result for result in verify_local_weights() if "tiny" not in result.name}
    states = {name: result.state for name, result in results.items()}
    unknown = {"mine.safetensors": "unknown hash"}
    assert states == unknown | {"dino-s8": "ok", "dino-s16": "wrong", "sam-b": "wrong"}
    assert results["dino-s8"].note == "as in the hub's record of the file"
    for part in ("SHA-256 is ", "expected ", "cannot be read", "weights fetch dino-s16"):
        assert part in results["dino-s16"].note
    for part in ("8 of 375042383 bytes", "it is cut short", "weights fetch sam-b"):
        assert part in results["sam-b"].note


def test_verify_exit_code_of_names_files_and_folders(caches, tmp_path, capsys):
    assert main(["verify", "dino", "tiny"]) == 0
    assert "not here" in capsys.readouterr().out
    assert main(["verify", "dino-s17"]) == 2
    assert main(["verify", str(tmp_path / "none.pth")]) == 1
    (tmp_path / "folder").mkdir()
    assert main(["verify", str(tmp_path / "folder")]) == 1
    torch.save({"x": torch.zeros(1)}, tmp_path / "ViT-B-16.pt")
    assert main(["verify", str(tmp_path / "ViT-B-16.pt")]) == 1  # a file of that name has a known hash
    (tmp_path / "ViT-B-16.pt").rename(tmp_path / "other.pt")
    assert main(["verify", str(tmp_path / "other.pt")]) == 0


def test_small_hub_files_are_verified_by_the_hash_of_git(tmp_path):
    content = b"weights"
    name = subprocess.run(["git", "hash-object", "--stdin"], input=content, capture_output=True, check=True).stdout
    blob = tmp_path / "blobs" / name.decode().strip()
    blob.parent.mkdir()
    blob.write_bytes(content)
    note = verify_weights_file(blob).note
    assert "SHA-1" not in note
    blob.write_bytes(content + b"!")
    assert "git's SHA-1 is " in verify_weights_file(blob).note
