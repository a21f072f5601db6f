"""Cached text features and label counts are this user's or root's, whole, or computed again; never an error."""

import os

import numpy as np
import pytest
import torch
from helpers.damages import iter_damages
from helpers.image_files import save
from safetensors.torch import load

from proxyclip.data.files.layout import SampleFiles
from proxyclip.data.label_lookup import look_up_labels
from proxyclip.engine.evaluation.record import hash_text_features
from proxyclip.models.clip.text_cache import load_or_compute_features, pack_features
from proxyclip.utils import user_cache
from proxyclip.utils.hashing import hash_value

FEATURES = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))


def load_features(folder):
    return load_or_compute_features(["key"], FEATURES.clone, folder, rows=5)


def belong_to_another(path, monkeypatch):
    """Make a file another user's: truly as root, else by taking this user for another one of the same folder."""
    user = os.geteuid()
    if user == 0:
        os.chown(path, 12345, -1)
        return
    monkeypatch.setattr(user_cache, "find_cache_entries", lambda *_: [path])
    monkeypatch.setattr(user_cache, "get_user_id", lambda: user + 1)


def test_damaged_text_features_are_computed_again(tmp_path, damage_count):
    load_features(tmp_path)
    (path,) = tmp_path.rglob("*.safetensors")
    for description, damaged in iter_damages(path.read_bytes(), damage_count, seed=2):
        path.write_bytes(damaged)
        assert torch.equal(load_features(tmp_path), FEATURES), description
    assert torch.equal(load_features(tmp_path), FEATURES)


def test_damaged_label_counts_are_counted_again(tmp_path, damage_count):
    save(tmp_path / "masks/0.png", np.arange(6).reshape(2, 3))
    pairs = [SampleFiles("0", tmp_path / "0.jpg", tmp_path / "masks/0.png")]
    counts = look_up_labels(pairs, folder=tmp_path / "cache")
    (path,) = (tmp_path / "cache").rglob("*.json")
    for description, damaged in iter_damages(path.read_bytes(), damage_count, seed=3):
        path.write_bytes(damaged)
        assert look_up_labels(pairs, folder=tmp_path / "cache") == counts, description


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no such owners here")
def test_text_features_of_another_user_are_not_believed(tmp_path, monkeypatch, caplog):
    load_features(tmp_path)
    (path,) = tmp_path.rglob("*.safetensors")
    key = hash_value([2, "key"])
    path.write_bytes(pack_features(FEATURES.flip(0), key))  # swapped, with a hash that fits
    assert torch.equal(load_features(tmp_path), FEATURES.flip(0))  # by this user, who may do anything
    path.chmod(0o666)
    assert torch.equal(load_features(tmp_path), FEATURES) and "has the mode 666" in caplog.text
    assert torch.equal(load(path.read_bytes())["features"], FEATURES)  # and was mended
    assert path.stat().st_mode & 0o022 == 0
    path.write_bytes(pack_features(FEATURES.flip(0), key))
    belong_to_another(path, monkeypatch)
    assert torch.equal(load_features(tmp_path), FEATURES) and "Expected a file of this user or root" in caplog.text


def test_features_in_use_are_told_apart_by_the_record():
    class Model(torch.nn.Module):
        def __init__(self, text):
            super().__init__()
            self.register_buffer("text", text, persistent=False)

    hashes = [hash_text_features(Model(text)) for text in (FEATURES, FEATURES.clone(), FEATURES.flip(0))]
    assert hashes[0] == hashes[1] != hashes[2] and len(hashes[0]) == 64
    assert hash_text_features(Model(FEATURES.T.contiguous())) not in hashes
    assert hash_text_features(Model(None)) is hash_text_features(object()) is None
