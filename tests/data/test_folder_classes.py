"""Class files of a folder of one's own, as the data set and the model read them."""

import pytest

from proxyclip.data.benchmarks import FolderDataset
from proxyclip.data.class_lists.notes import log_note
from proxyclip.data.vocabulary import read_vocabulary


@pytest.fixture
def folder(tmp_path):
    log_note.cache_clear()
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "classes", "note"),
    [
        ("__ignore__\n_background_\nlake\nmill\n", ("_background_", "lake", "mill"), "'__ignore__' is left out"),
        ("# label:color_rgb:parts:actions\nground:0,0,0::\nmill:1,2,3::\n", ("ground", "mill"), "CVAT"),
        ("1\tlake\n2\tmill\n", ("lake", "mill"), "reduce_zero_label=True"),
        ("Lake\nlake\n", ("Lake", "lake"), "one text for CLIP"),
        ("lake, pond\nmill\n", ("lake, pond", "mill"), "1 name has a comma"),
    ],
)
def test_data_set_and_model_read_one_list_and_note_it_once(folder, caplog, text, classes, note):
    (folder / "classes.txt").write_bytes(text.encode("utf-16"))
    dataset = FolderDataset(data_root=str(folder), lazy_init=True)
    assert dataset.metainfo["classes"] == classes
    assert read_vocabulary(folder / "classes.txt").names == classes
    assert sum(note in message for message in caplog.messages) == 1


def test_names_instead_of_a_file(folder):
    dataset = FolderDataset(data_root=str(folder), classes=["__ignore__", "lake", "mill"], lazy_init=True)
    assert dataset.metainfo["classes"] == ("lake", "mill")
    for missing in ("x" * 300, "a\0b", "none.txt"):
        with pytest.raises(FileNotFoundError, match="There is no file of classes"):
            FolderDataset(data_root=str(folder), classes=missing, lazy_init=True)


def test_uncertain_lists_are_refused(folder):
    for text, message in (
        ("0: lake\n2: mill", "line 2 of"),
        ("lake\n__ignore__", "line 2 of"),
        ("- lake\nmill", "line 1 of"),
    ):
        (folder / "classes.txt").write_text(text)
        with pytest.raises(ValueError, match=message):
            FolderDataset(data_root=str(folder), lazy_init=True)
