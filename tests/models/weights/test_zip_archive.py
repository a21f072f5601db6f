"""Zip archives that lie about themselves are refused by their directory, before an entry is read."""

import struct
import zipfile

import pytest
import torch
from helpers.weights_archives import rewrite_archive

from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.reading import read_tensors
from proxyclip.models.weights.zip_archive import MAX_ENTRIES, ArchiveError, TensorArchive, list_zip_entries


@pytest.fixture
def archive(tmp_path):
    """An archive of torch.save with one tensor."""
    torch.save({"w": torch.arange(3.0)}, tmp_path / "p.pt")
    return tmp_path / "p.pt"


def compress(path, target, end):
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            method = zipfile.ZIP_DEFLATED if entry.filename.endswith(end) else zipfile.ZIP_STORED
            new.writestr(entry.filename, bytes(10**7) if method else old.read(entry), method)


def change_directory(path, name, offset, data):
    """Overwrite bytes of an entry's record in the directory, `offset` bytes from its beginning."""
    content = bytearray(path.read_bytes())
    start = content.rindex(name.encode()) - 46
    content[start + offset : start + offset + len(data)] = data
    path.write_bytes(content)


def add_duplicate(path, name):
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(name, b"x")


def plain_copy(path):
    return rewrite_archive(path, path.with_name("copy.pt"))


LIES = {
    "compressed tensors": lambda p: compress(plain_copy(p), p, "data/0"),
    "a compressed pickle": lambda p: compress(plain_copy(p), p, "data.pkl"),
    "two of one name": lambda p: add_duplicate(p, "p/data.pkl"),
    "two names that differ in case": lambda p: add_duplicate(p, "p/DATA.pkl"),
    "another folder": lambda p: add_duplicate(p, "q/data.pkl"),
    "no folder": lambda p: add_duplicate(p, "data.pkl"),
    "an absolute name": lambda p: add_duplicate(p, "/p/x"),
    "a name that leads out": lambda p: add_duplicate(p, "p/../x"),
    "a name with backslashes": lambda p: add_duplicate(p, "p/a\\b"),
    "bytes before": lambda p: p.write_bytes(b"PK\3\4" + p.read_bytes()),
    "bytes after": lambda p: p.write_bytes(p.read_bytes() + b"x"),
    "a comment": lambda p: p.write_bytes(p.read_bytes()[:-2] + b"\1\0x"),
    "an end that counts more": lambda p: p.write_bytes(p.read_bytes()[:-12] + b"\xff\x7f" + p.read_bytes()[-10:]),
    "a size of terabytes": lambda p: change_directory(p, "p/data/0", 20, struct.pack("<2I", 0xFFFFFFFF, 0xFFFFFFFF)),
    "a size of gigabytes": lambda p: change_directory(p, "p/data/0", 20, struct.pack("<2I", 2**31, 2**31)),
    "two sizes": lambda p: change_directory(p, "p/data/0", 24, struct.pack("<I", 2**31)),
    "bytes of another entry": lambda p: change_directory(p, "p/data/0", 42, struct.pack("<I", 0)),
    "encryption": lambda p: change_directory(p, "p/data/0", 8, b"\x01"),
    "another method": lambda p: change_directory(p, "p/data/0", 10, b"\x0e"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("lie", LIES)
def test_lies_of_the_directory_are_refused_before_an_entry_is_read(lie, archive, monkeypatch):
    assert torch.equal(read_tensors(archive)["w"], torch.arange(3.0))
    LIES[lie](archive)
    for name in ("read_bytes", "read_into"):
        monkeypatch.setattr(TensorArchive, name, lambda *_: pytest.fail("an entry was read"))
    with pytest.raises(WeightsError, match=r"p\.pt cannot be read"):
        read_tensors(archive)


def test_a_directory_of_too_many_entries_is_not_read(archive):
    data = archive.read_bytes()
    end64 = len(data) - 22 - 20 - 56
    head = data[:end64] + data[end64 : end64 + 24] + struct.pack("<2Q", MAX_ENTRIES + 1, MAX_ENTRIES + 1)
    archive.write_bytes(head + data[end64 + 40 : -14] + b"\xff\xff\xff\xff" + data[-10:])
    with pytest.raises(ArchiveError, match="declares 100001 entries"):
        list_zip_entries(archive)


def test_code_that_declares_gigabytes_is_refused(archive, monkeypatch):
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("p/constants.pkl", b"")
        for number in range(3):
            file.writestr(f"p/code/{number}.py", bytes(3 * 10**7), zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(TensorArchive, "read_bytes", lambda *_: pytest.fail("an entry was read"))
    with pytest.raises(WeightsError, match="compressed code declares about 90"):
        read_tensors(archive)


def test_an_entry_that_unpacks_to_more_than_declared_is_refused(archive):
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("p/code/a.py", bytes(10**6), zipfile.ZIP_DEFLATED)
    change_directory(archive, "p/code/a.py", 24, struct.pack("<I", 10))
    with TensorArchive(archive) as opened, pytest.raises(ArchiveError, match="another size than declared"):
        opened.read_bytes(opened.find_entry("code/a.py"), 100)
