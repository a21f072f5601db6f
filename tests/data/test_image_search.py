"""Pictures named by paths, folders and patterns: each once, and nothing left out without a note."""

import pytest

from proxyclip.data.files.image_search import expand_pattern, is_result_file, search_images


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return list(paths)


def test_folders_and_patterns_list_each_image_once(tmp_path):
    images = touch(tmp_path / "a/1.jpg", tmp_path / "a/2.PNG", tmp_path / "a/b/3.webp")
    touch(tmp_path / "a/notes.txt")
    assert search_images([str(tmp_path / "a")]).files == images[:2]
    assert search_images([str(tmp_path / "a/1.jpg"), str(tmp_path / "**/*")]).files == images
    odd = touch(tmp_path / "odd[1].png")[0]
    assert search_images([str(odd)]).files == [odd]
    for empty in (tmp_path / "a/b/none", tmp_path / "*.gif"):
        (tmp_path / "a/b/none").mkdir(exist_ok=True)
        with pytest.raises(FileNotFoundError, match=r"expected files that end in \.jpg"):
            search_images([str(empty)])
    missing = tmp_path / "missing.jpg"
    assert search_images([str(missing)]).files == [missing]


@pytest.mark.parametrize("pattern", ["**/*.png", "p/**/*.png", "p/**", "**/p/*.png", "**/x/**/*.png"])
def test_links_that_loop_are_followed_once(tmp_path, monkeypatch, pattern):
    image = touch(tmp_path / "p/x/photo.png", tmp_path / "p/photo.png")
    (tmp_path / "p/self").symlink_to(".")
    (tmp_path / "p/x/up").symlink_to("..")
    (tmp_path / "p/x/other").symlink_to(tmp_path / "p")
    monkeypatch.chdir(tmp_path)
    names = [path.resolve() for path in search_images([pattern]).files]
    assert len(names) == len(set(names)) and set(names) <= set(image)
    assert tmp_path / "p/x/photo.png" in names or pattern == "**/p/*.png"


def test_linked_folders_are_searched(tmp_path):
    touch(tmp_path / "disk/photos/1.jpg")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/linked").symlink_to(tmp_path / "disk")
    assert expand_pattern(str(tmp_path / "mine/**/*.jpg")) == [tmp_path / "mine/linked/photos/1.jpg"]


def test_hidden_files_are_left_out(tmp_path):
    image = touch(tmp_path / "photo.png")
    touch(tmp_path / "._photo.png", tmp_path / "__MACOSX/._photo.png", tmp_path / "__MACOSX/photo.png")
    touch(tmp_path / ".thumbs/photo.png", tmp_path / "@eaDir/photo.png/small.jpg")
    for argument in (tmp_path, tmp_path / "**/*", tmp_path / "*"):
        assert search_images([str(argument)]).files == image


def test_own_pictures_with_the_names_of_results_are_pictures(tmp_path):
    own = touch(tmp_path / "car_seg.png", tmp_path / "dog_mask.png", tmp_path / "a_overlay.png")
    search = search_images([str(tmp_path)])
    assert (search.files, search.notes) == (sorted(own), [])


def test_results_of_an_earlier_run_are_left_out_with_a_note(tmp_path):
    photo = touch(tmp_path / "cat.jpg")
    results = touch(*(tmp_path / f"cat{end}" for end in ("_seg.png", "_overlay.png", "_mask.png", "_attention.png")))
    assert not any(map(is_result_file, results))
    touch(tmp_path / "cat.json")
    assert all(map(is_result_file, results))
    search = search_images([str(tmp_path)])
    assert search.files == photo
    assert "4 results of an earlier run are left out" in search.notes[0]
    with pytest.raises(FileNotFoundError, match="results of an earlier run"):
        search_images([str(tmp_path / "*.png")])


def test_pictures_that_cannot_be_read_are_named(tmp_path):
    touch(tmp_path / "a.heic", tmp_path / "b.HEIC", tmp_path / "c.nef")
    with pytest.raises(FileNotFoundError, match=r"cannot be read are left out \(2 of \.heic, 1 of \.nef\): convert"):
        search_images([str(tmp_path)])
    image = touch(tmp_path / "d.jfif", tmp_path / "e.jpe")
    search = search_images([str(tmp_path)])
    assert search.files == image
    assert "2 of .heic" in search.notes[0]


@pytest.mark.parametrize("address", ["https://example.org/a.jpg", "s3://bucket/a.png", "data:image/png;base64,iVBO"])
def test_addresses_are_refused(address):
    with pytest.raises(ValueError, match="save the picture first"):
        search_images([address])
