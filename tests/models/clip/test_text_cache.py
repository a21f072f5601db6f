"""The cache of text features: keyed, whole or computed again, never an error."""

import multiprocessing

import pytest
import torch
from safetensors.torch import load

from proxyclip.models.clip import text_cache
from proxyclip.models.clip.text_cache import load_or_compute_features, pack_features, unpack_features


def test_feature_cache_is_keyed_by_its_parts(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return torch.full((2, 3), float(len(calls)))

    first = load_or_compute_features(["w", ["a"]], compute, tmp_path)
    assert torch.equal(load_or_compute_features(["w", ["a"]], compute, tmp_path), first)
    assert len(calls) == 1
    assert not torch.equal(load_or_compute_features(["w", ["b"]], compute, tmp_path), first)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2 and not list(tmp_path.rglob(".*"))


def test_packed_features_are_a_safetensors_file_of_one_key():
    features = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).T  # not contiguous
    data = pack_features(features, "k")
    assert torch.equal(load(data)["features"], features) and torch.equal(unpack_features(data, "k", 4), features)
    with pytest.raises(ValueError, match="other texts"):
        unpack_features(data, "l")
    with pytest.raises(ValueError, match="expected 3 features"):
        unpack_features(data, "k", 3)
    with pytest.raises(ValueError, match="header is too long"):
        unpack_features(b"\xff" * 8 + data[8:], "k")


@pytest.mark.parametrize("damage", [b"garbage", None, "other"])
def test_damaged_feature_cache_is_computed_again(tmp_path, damage, caplog):
    want = load_or_compute_features(["k"], lambda: torch.arange(4.0)[:, None], tmp_path)
    (file,) = tmp_path.rglob("*.safetensors")
    if damage == "other":  # whole, but of other texts
        load_or_compute_features(["l"], lambda: torch.ones(4, 1), tmp_path)
        (other,) = set(tmp_path.rglob("*.safetensors")) - {file}
        file.write_bytes(other.read_bytes())
    else:
        file.write_bytes(damage or file.read_bytes()[:-1])
    assert torch.equal(load_or_compute_features(["k"], lambda: torch.arange(4.0)[:, None], tmp_path, rows=4), want)
    assert f"{file} is damaged" in caplog.text
    assert torch.equal(load_or_compute_features(["k"], lambda: torch.zeros(4), tmp_path), want)  # and was mended


def test_unwritable_and_too_large_entries_are_no_error(tmp_path, caplog, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert load_or_compute_features(["k"], lambda: torch.ones(2), blocked / "sub").sum() == 2
    assert "not cached" in caplog.text
    monkeypatch.setattr(text_cache, "MAX_FEATURE_BYTES", 10)
    assert load_or_compute_features(["k"], lambda: torch.ones(2), tmp_path / "cache").sum() == 2
    assert not (tmp_path / "cache").exists()


def _write(folder, number):
    for _ in range(20):
        load_or_compute_features([number % 2], lambda: torch.full((50, 64), float(number % 2)), folder)


def test_feature_cache_survives_concurrent_writers(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_write, args=(tmp_path, n)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
        assert worker.exitcode == 0
    for n in (0, 1):
        assert load_or_compute_features([n], lambda: torch.empty(0), tmp_path).unique().tolist() == [float(n)]
