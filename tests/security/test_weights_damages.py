"""Promise: a damaged weights file is refused, or known by its hash; it never ends in another error."""

import pytest
import torch
from helpers.damages import iter_damages
from helpers.weights_archives import save_bytes, save_network
from safetensors.torch import save

from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.reading import read_tensors
from proxyclip.models.weights.verify import INVALID, describe_hash_mismatch, verify_weights_file
from proxyclip.utils.hashing import hash_file

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


def make_tensors():
    torch.manual_seed(0)
    return {f"blocks.{i}.{name}.weight": torch.randn(8, 16) for i in range(4) for name in ("attn", "mlp")}


def save_script(path):
    save_network(path)
    return path.read_bytes()


FORMS = {
    "safetensors": lambda path: save(make_tensors()),
    "archive": lambda path: save_bytes({"state_dict": make_tensors(), "epoch": 3}),
    "legacy": lambda path: save_bytes(make_tensors(), _use_new_zipfile_serialization=False),
    "torchscript": save_script,
}
CHECKED_FORMS = ("archive", "torchscript")  # every entry that is read has a checksum


def is_equal(actual, expected):
    return list(actual) == list(expected) and all(
        actual[name].dtype == value.dtype and torch.equal(actual[name], value) for name, value in expected.items()
    )


@pytest.mark.parametrize("form", FORMS)
def test_damages_are_refused_or_seen_in_the_hash(form, tmp_path, damage_count):
    path = tmp_path / "whole.pt"
    data = FORMS[form](path)
    path.write_bytes(data)
    expected, whole_hash = read_tensors(path), hash_file(path)
    damaged = tmp_path / "damaged.pt"
    refused = changed = 0
    for description, content in iter_damages(data, damage_count, seed=len(form)):
        damaged.write_bytes(content)
        try:
            tensors = read_tensors(damaged)
        except WeightsError as error:
            assert "damaged.pt" in str(error), description
            refused += 1
            continue
        if not is_equal(tensors, expected):
            changed += 1
            assert form not in CHECKED_FORMS, description
            assert hash_file(damaged) != whole_hash, description  # which is in the identity of a run
            assert describe_hash_mismatch(damaged, whole_hash), description
    assert refused, "no damage was seen"
    assert form in CHECKED_FORMS or damage_count < 100 or changed, "the case of a form without checksums did not occur"


def test_a_flipped_bit_of_a_form_without_checksums_is_seen_by_verify(tmp_path, monkeypatch):
    """A safetensors file has none: `weights verify` and the identity of a run tell by the file's hash."""
    path = tmp_path / "model.safetensors"
    data = bytearray(save(make_tensors()))
    path.write_bytes(data)
    known = hash_file(path)
    data[-1] ^= 1
    path.write_bytes(data)
    monkeypatch.setattr("proxyclip.models.weights.catalogue.list_known_hashes", lambda: {path.name: (known, "a test")})
    assert not is_equal(read_tensors(path), make_tensors())
    result = verify_weights_file(path)
    assert result.state == INVALID and "SHA-256" in result.note
