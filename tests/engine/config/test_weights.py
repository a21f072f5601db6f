"""Weights that a config names by a short name or a repository: hashed, and compared with what the hub recorded."""

import hashlib

import pytest
from huggingface_hub import constants

from proxyclip.engine.config.weights import check_required_weights, hash_required_weights
from proxyclip.models.weights import WeightsError

COMMIT = "c" * 40
MODEL = dict(model_type="hf-hub:own/tiny", vfm_model=dict(type="tiny"))


@pytest.fixture
def blob(tmp_path, monkeypatch):
    """The file of own/tiny's weights in a cache of the hub, under the name that its hash gives it."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    content = b"weights"
    repository = tmp_path / "models--own--tiny"
    path = repository / "blobs" / hashlib.sha256(content).hexdigest()
    link = repository / "snapshots" / COMMIT / "open_clip_model.safetensors"
    for file in (path, link, repository / "refs/main"):
        file.parent.mkdir(parents=True)
    path.write_bytes(content)
    link.symlink_to(path)
    (repository / "refs/main").write_text(COMMIT)
    return path


def test_weights_of_the_hub_are_hashed_by_content(blob):
    check_required_weights(MODEL)
    assert hash_required_weights(MODEL) == {"hf-hub:own/tiny open_clip_model.safetensors": blob.name}


def test_damaged_weights_of_the_hub_are_refused_with_the_remedy(blob):
    blob.write_bytes(b"weightz")
    with pytest.raises(
        WeightsError, match=r"The weights hf-hub:own/tiny are damaged: SHA-256 is .*, expected"
    ) as error:
        check_required_weights(MODEL)
    assert hash_required_weights(MODEL) == {
        "hf-hub:own/tiny open_clip_model.safetensors": hashlib.sha256(b"weightz").hexdigest()
    }
    assert str(blob) in str(error.value)
    assert "python -m proxyclip weights fetch hf-hub:own/tiny" in str(error.value)


def test_absent_weights_and_files_have_no_hash(blob):
    blob.unlink()
    assert hash_required_weights(MODEL) == {}
    assert hash_required_weights(dict(model_type="local-dir:proxyclip/tinyworld/weights/clip", vfm_model=None)) == {}


def test_damaged_config_beside_the_weights_is_refused_too(blob):
    content = b'{"model_cfg": {}}'
    header = f"blob {len(content)}\0".encode()
    config = blob.with_name(hashlib.sha1(header + content, usedforsecurity=False).hexdigest())
    config.write_bytes(content)
    link = blob.parents[1] / "snapshots" / COMMIT / "open_clip_config.json"
    link.symlink_to(config)
    check_required_weights(MODEL)
    assert set(hash_required_weights(MODEL)) == {f"hf-hub:own/tiny {path.name}" for path in link.parent.iterdir()}
    config.write_bytes(content[:9])
    with pytest.raises(WeightsError, match=r"are damaged: git's SHA-1 is (?s:.*)open_clip_config\.json"):
        check_required_weights(MODEL)
