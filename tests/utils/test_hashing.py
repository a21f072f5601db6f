"""Hashes of large files."""

import hashlib

from proxyclip.utils import hashing
from proxyclip.utils.hashing import hash_file


def test_hash_file_reads_a_large_file_once(tmp_path, monkeypatch):
    monkeypatch.setattr("proxyclip.utils.hashing._MIN_CACHED_BYTES", 4)
    file, read = tmp_path / "weights", []
    read_file_hash = hashing.read_file_hash
    for target in ("proxyclip.models.weights.verify.read_file_hash", "proxyclip.utils.hashing.read_file_hash"):
        monkeypatch.setattr(target, lambda path: read.append(path) or read_file_hash(path))
    file.write_bytes(b"123456")
    first = hash_file(file)
    assert hash_file(file) == first == hashlib.sha256(b"123456").hexdigest() and len(read) == 1
    file.write_bytes(b"1234567")
    assert hash_file(file) == hashlib.sha256(b"1234567").hexdigest() and len(read) == 2
    file.write_bytes(b"12")
    assert hash_file(file) == hash_file(file) and len(read) == 4
