"""Cache files: whose are believed, their modes, and what is removed when."""

import os
import stat
import time

import pytest

from proxyclip.utils import user_cache
from proxyclip.utils.file_limits import FileTooLarge
from proxyclip.utils.user_cache import (
    UntrustedFile,
    find_cache_entries,
    iter_cache_entries,
    prune_cache,
    read_own_file,
    write_cache_entry,
)

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no such owners here")
NAME = "0" * 40 + ".bin"
DAY = 24 * 3600


def make_entry(folder, number, size=1, days=0.0):
    """Write an entry that was last used days ago."""
    path = folder / f"{number:040x}.bin"
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - days * DAY,) * 2)
    return path


def contents(kind, folder, limit=100):
    return [content for _, content in iter_cache_entries(kind, NAME, limit, folder)]


def belong_to_another(path, monkeypatch):
    """Make a file another user's: truly as root, else by taking this user for another one."""
    user = os.geteuid()
    if user == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(user_cache, "get_user_id", lambda: user + 1)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o644), (0o077, 0o600), (0o000, 0o644)])
def test_entries_can_be_read_but_not_written_by_others_less_the_umask(umask, mode, tmp_path):
    old = os.umask(umask)
    try:
        write_cache_entry("text", NAME, b"abc", tmp_path / "cache")
    finally:
        os.umask(old)
    (path,) = (tmp_path / "cache").rglob("*.bin")
    assert path == find_cache_entries("text", NAME, tmp_path / "cache")[0]
    assert path.parent.name == f"text-u{os.geteuid()}" and stat.S_IMODE(path.stat().st_mode) == mode
    assert contents("text", tmp_path / "cache") == [b"abc"]


def test_own_entries_come_before_those_of_root(tmp_path, monkeypatch):
    monkeypatch.setattr(user_cache, "get_user_id", lambda: 7)
    places = find_cache_entries("text", NAME, tmp_path)
    assert [path.parent.name for path in places] == ["text-u7", "text-u0"]
    monkeypatch.setattr(user_cache, "get_user_id", lambda: 0)
    assert [path.parent.name for path in find_cache_entries("text", NAME, tmp_path)] == ["text-u0"]
    monkeypatch.setattr(user_cache, "get_user_id", lambda: None)
    assert [path.parent.name for path in find_cache_entries("text", NAME, tmp_path)] == ["text"]


def test_a_file_of_another_user_is_not_believed(tmp_path, monkeypatch):
    path = make_entry(tmp_path, 0)
    assert read_own_file(path, 10) == b"\0"
    belong_to_another(path, monkeypatch)
    with pytest.raises(UntrustedFile, match="Expected a file of this user or root"):
        read_own_file(path, 10)


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o777])
def test_a_file_that_others_can_write_is_not_believed(mode, tmp_path):
    path = make_entry(tmp_path, 0)
    path.chmod(mode)
    with pytest.raises(UntrustedFile, match=f"has the mode {mode:o}: chmod go-w"):
        read_own_file(path, 10)


def test_only_plain_files_of_a_bounded_size_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises((UntrustedFile, IsADirectoryError)):
            read_own_file(path, 10)
    path = make_entry(tmp_path, 1, size=11)
    with pytest.raises(FileTooLarge):
        read_own_file(path, 10)
    place = find_cache_entries("text", NAME, tmp_path)[0]
    place.parent.mkdir()
    path.rename(place)
    (error,) = contents("text", tmp_path, limit=10)
    assert isinstance(error, OSError) and contents("text", tmp_path, limit=11) == [bytes(11)]


def test_nothing_is_written_or_removed_through_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    victim = make_entry(tmp_path / "elsewhere", 1, days=1000)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f"text-u{os.geteuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UntrustedFile, match="is a link or somebody else's"):
        write_cache_entry("text", NAME, b"", tmp_path / "cache")
    assert list((tmp_path / "elsewhere").iterdir()) == [victim]


def test_what_was_not_used_for_long_is_removed(tmp_path):
    old, young, kept = (make_entry(tmp_path, i, days=days) for i, days in enumerate((91, 89, 200)))
    mine = tmp_path / "notes.txt"
    mine.write_text("of the user")
    left = tmp_path / f".{old.name}.1-2-3.tmp"
    left.touch()
    for path in (mine, left):
        os.utime(path, (0, 0))
    prune_cache(tmp_path, keep=kept)
    assert set(tmp_path.iterdir()) == {young, kept, mine} and not old.exists()


def test_beyond_the_limits_the_least_recently_used_go_first(tmp_path):
    paths = [make_entry(tmp_path, i, size=10, days=i) for i in range(6)]
    prune_cache(tmp_path, max_bytes=45)
    assert sorted(tmp_path.iterdir()) == paths[:4]
    prune_cache(tmp_path, max_files=2)
    assert sorted(tmp_path.iterdir()) == paths[:2]


def test_files_of_other_users_are_left_alone(tmp_path, monkeypatch):
    path = make_entry(tmp_path, 0, days=1000)
    belong_to_another(path, monkeypatch)
    prune_cache(tmp_path)
    assert path.exists()


def test_use_is_remembered_and_writing_prunes(tmp_path):
    write_cache_entry("text", NAME, b"", tmp_path)
    folder = find_cache_entries("text", NAME, tmp_path)[0].parent
    used, unused = (make_entry(folder, i, days=100) for i in (1, 2))
    earlier = tmp_path / f"text-{'a' * 40}.pt"  # of an earlier version of the toolkit
    others = tmp_path / "text-book.pt"
    for path in (earlier, others):
        path.touch()
        os.utime(path, (0, 0))
    read_own_file(used, 10)
    for _ in range(50):
        write_cache_entry("text", NAME, b"", tmp_path)
    assert used.exists() and not unused.exists() and not earlier.exists() and others.exists()
