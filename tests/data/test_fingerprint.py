"""What tells data sets and their files apart."""

import os
from pathlib import Path

from proxyclip.data.fingerprint import fingerprint_dataset, hash_samples, list_image_names


class Files:
    """A data set of files."""

    def __init__(self, home: Path, *names: str) -> None:
        self.files = [home / "images" / name for name in names]
        self.data_prefix = {"img_path": str(home / "images")}

    def __len__(self) -> int:
        return len(self.files)

    def get_data_info(self, index: int) -> dict:
        return {"img_path": str(self.files[index])}


def test_fingerprints_depend_on_names_sizes_and_mtimes(tmp_path):
    """Two files of one name and size in other folders are two images."""
    data = Files(tmp_path, "a/1.png", "b/1.png")
    for file in data.files:
        file.parent.mkdir(parents=True)
        file.write_bytes(b"xy")
    first, one = fingerprint_dataset(data), hash_samples(data)
    assert first["images"] == 2 and len(set(one)) == 2 and list_image_names(data) == ["a/1.png", "b/1.png"]
    data.files[1].write_bytes(b"xyz")
    second, other = fingerprint_dataset(data), hash_samples(data)
    assert first["list_sha256"] == second["list_sha256"] and first["files_sha256"] != second["files_sha256"]
    assert one[0] == other[0] and one[1] != other[1]
    os.utime(data.files[0], ns=(0, 0))  # made anew with the same size
    assert (
        fingerprint_dataset(data) == second and hash_samples(data)[0] != other[0] and hash_samples(data)[1] == other[1]
    )
    data.files[1].unlink()
    assert fingerprint_dataset(data)["files_sha256"] != second["files_sha256"]


def test_hash_samples_distinguishes_a_repeated_image(tmp_path):
    data = Files(tmp_path, "a/1.png", "a/1.png")
    assert len(set(hash_samples(data))) == 2
    data.data_prefix = {}
    assert list_image_names(data) == ["a/1.png"] * 2


def test_fingerprint_of_a_data_set_without_files():
    assert fingerprint_dataset([1, 2, 3]) == {"images": 3}
