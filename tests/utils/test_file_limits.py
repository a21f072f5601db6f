"""Reading of whole files up to a size."""

import io
import zipfile
from pathlib import Path

import pytest

from proxyclip.utils.file_limits import (
    FileTooLarge,
    check_file_size,
    check_unpacked_size,
    read_limited_bytes,
    read_limited_text,
)


def test_file_within_the_limit_is_read(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("größe", encoding="utf-8")
    check_file_size(path, 7, "a list")
    assert read_limited_bytes(path, 7, "a list") == "größe".encode()
    assert read_limited_text(path, 7, "a list") == "größe"


def test_larger_file_is_refused_with_both_sizes_before_it_is_read(tmp_path):
    path = tmp_path / "list.txt"
    with path.open("wb") as file:
        file.truncate(5 * 10**12)
    with pytest.raises(FileTooLarge, match=r"Expected a list of at most 2\.0 MB, but .*list\.txt has 5000\.00 GB"):
        read_limited_bytes(path, 2 * 10**6, "a list")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a device that never ends")
def test_device_without_end_is_refused():
    with pytest.raises(FileTooLarge, match="has more"):
        read_limited_bytes(Path("/dev/zero"), 1000, "a list")


def test_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_limited_text(tmp_path / "none.txt", 10, "a list")


def test_archive_that_unpacks_to_more_is_refused(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(3 * 10**6))
    assert len(file.getvalue()) < 10_000
    check_unpacked_size(file, 3 * 10**6, "a list")
    with pytest.raises(FileTooLarge, match=r"Expected a list of at most 2\.0 MB, but it unpacks to 3\.0 MB"):
        check_unpacked_size(file, 2 * 10**6, "a list")
