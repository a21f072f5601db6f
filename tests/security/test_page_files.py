"""What is sent to the page lies in a folder of its own, which is bounded and goes with the page."""

import multiprocessing
import os
import tempfile
from pathlib import Path

import pytest

from proxyclip.apis.web.refusals import RequestRefused
from proxyclip.apis.web.upload_folder import FOLDER_PREFIX, UploadFolder, open_upload_folder, remove_leftovers


def _fill(folder: Path, name: str, size: int, age: float = 0.0) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    for item in (path, path.parent):
        os.utime(item, (item.stat().st_mtime - age,) * 2)
    return path


@pytest.fixture
def parent(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_temporary_files_of_the_process_lie_in_the_folder_and_go_with_it(parent):
    with pytest.raises(KeyboardInterrupt), open_upload_folder() as folder:
        assert tempfile.gettempdir() == os.environ["GRADIO_TEMP_DIR"] == str(folder.path)
        with tempfile.NamedTemporaryFile(delete=False) as file:
            file.write(b"x")
        assert Path(file.name).parent == folder.path and folder.path.stat().st_mode & 0o777 == 0o700
        raise KeyboardInterrupt
    assert not list(parent.iterdir()) and tempfile.gettempdir() == str(parent)


def test_folder_has_a_size_beyond_which_no_upload_is_taken(tmp_path):
    folder = UploadFolder(tmp_path, max_bytes=9000)
    _fill(tmp_path, "a/a.png", 5000)
    folder.check_space(4000)
    _fill(tmp_path, "b/b.png", 1)
    with pytest.raises(RequestRefused, match="no space for another picture now: try again in 5 minutes") as error:
        folder.check_space(4000)
    assert error.value.status == 507
    assert folder.measure() == (2, 5001)


def test_full_folder_loses_its_old_files_for_a_new_one(tmp_path):
    folder = UploadFolder(tmp_path, max_bytes=9000)
    old, new = _fill(tmp_path, "a/a.png", 5000, age=600), _fill(tmp_path, "b/b.png", 1)
    folder.check_space(4000)
    assert not old.exists() and new.exists()


def test_uploads_that_nobody_looks_at_are_deleted(tmp_path):
    paths = [_fill(tmp_path, f"{age}/a.png", 9, age) for age in (0.0, 299.0, 301.0)]
    UploadFolder(tmp_path).sweep()
    assert [path.exists() for path in paths] == [True, True, False]


def _leave_folder(queue):
    os.setpgrp()
    with open_upload_folder() as folder:
        (folder.path / "left.png").write_bytes(b"x")
        queue.put(str(folder.path))
        queue.close()
        queue.join_thread()
        os._exit(9)  # as SIGKILL: nothing is cleaned up


def test_what_a_killed_page_left_is_deleted_at_the_next_start(parent):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=_leave_folder, args=(queue,))
    process.start()
    left = Path(queue.get(timeout=30))
    process.join()
    assert (left / "left.png").exists() and left.parent == parent
    with open_upload_folder() as folder:
        assert not left.exists()
        remove_leftovers(parent)
        assert folder.path.exists()  # of a process that runs


def test_only_folders_of_pages_are_deleted_at_a_start(parent, monkeypatch):
    monkeypatch.setattr("psutil.pid_exists", lambda number: False)
    (parent / "precious").mkdir()
    _fill(parent, "precious/a.png", 3)
    (parent / f"{FOLDER_PREFIX}77-link").symlink_to(parent / "precious")
    (parent / f"{FOLDER_PREFIX}file").write_text("x")
    (parent / f"{FOLDER_PREFIX}notes").mkdir()
    (parent / f"{FOLDER_PREFIX}78-left").mkdir()
    with open_upload_folder() as folder:  # in use, as its lock says, though no process of its number can be seen
        remove_leftovers(parent)
        names = {path.name for path in parent.iterdir()}
        assert names == {
            "precious",
            f"{FOLDER_PREFIX}77-link",
            f"{FOLDER_PREFIX}file",
            f"{FOLDER_PREFIX}notes",
            folder.path.name,
        }
    assert (parent / "precious/a.png").exists()


def test_another_users_folder_is_left_alone(parent, monkeypatch):
    monkeypatch.setattr("psutil.pid_exists", lambda number: False)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    (parent / f"{FOLDER_PREFIX}78-left").mkdir()
    remove_leftovers(parent)
    assert list(parent.iterdir())
