"""Files of a data set that lie there under another ending or another form of their name."""

import unicodedata

import pytest

from proxyclip.data.files import layout
from proxyclip.data.files.errors import CorruptFile
from proxyclip.data.files.folder_index import FolderIndex
from proxyclip.data.files.image_files import check_image_bytes
from proxyclip.data.files.inspection import inspect_sample
from proxyclip.data.files.labels import LabelFormat
from proxyclip.data.files.layout import DatasetLayout, SampleFiles, find_samples


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def find(root, **options):
    pairs, problems = find_samples(DatasetLayout(root / "images", root / "masks", **options))
    return [pair.name for pair in pairs], [(problem.level, problem.kind) for problem in problems], problems


def form(name, normalization):
    return unicodedata.normalize(normalization, name)


@pytest.mark.parametrize("suffix", [".webp", ".bmp", ".tif", ".TIFF", ".jfif", ".jpe", ".Png", ".avif", ".JPeG"])
def test_images_of_any_readable_ending_are_listed(tmp_path, suffix):
    touch(tmp_path / f"images/p0{suffix}", tmp_path / "masks/p0.png")
    assert find(tmp_path)[:2] == (["p0"], [])


def test_other_forms_count_only_where_there_is_no_jpeg_or_png(tmp_path):
    touch(tmp_path / "images/a.jpg", tmp_path / "images/a.webp", tmp_path / "images/b.tif")
    touch(tmp_path / "masks/a.png", tmp_path / "masks/b.TIF")
    pairs, problems = find_samples(DatasetLayout(tmp_path / "images", tmp_path / "masks"))
    assert [pair.image.name for pair in pairs] == ["a.jpg", "b.tif"]
    assert problems == []
    touch(tmp_path / "images/b.bmp")
    assert find(tmp_path)[1] == [("error", "two images")]
    touch(tmp_path / "images/c.jpg")
    assert find(tmp_path, image_suffix=".webp", names=None)[0] == ["a"]  # an ending that is stated is exact


@pytest.mark.parametrize("name", ["café", "Zürich/Ärger", "が"])
@pytest.mark.parametrize(("of_image", "of_mask"), [("NFD", "NFC"), ("NFC", "NFD"), ("NFD", "NFD")])
def test_names_that_a_person_takes_for_one_are_a_pair(tmp_path, name, of_image, of_mask):
    folder = name.rpartition("/")[0]
    touch(tmp_path / f"images/{folder}/{form(name.rpartition('/')[2], of_image)}.jpg")
    touch(tmp_path / f"masks/{folder}/{form(name.rpartition('/')[2], of_mask)}.png")
    names, issues, _ = find(tmp_path)
    assert [form(other, "NFC") for other in names] == [form(name, "NFC")]
    assert issues == []


def test_a_list_and_images_of_too_many_bytes_are_refused(tmp_path, monkeypatch):
    touch(tmp_path / "images/a.jpg", tmp_path / "masks/a.png")
    (tmp_path / "list.txt").write_text("a\n" * 10)
    monkeypatch.setattr(layout, "MAX_LIST_BYTES", 19)
    names, issues, (problem,) = find(tmp_path, names=tmp_path / "list.txt")
    assert (names, issues) == ([], [("error", "bad list")]) and "has more than the 0.0 MB of a list" in str(problem)
    with (tmp_path / "images/a.jpg").open("wb") as file:
        file.truncate(2 * 10**9 + 1)  # of zeros that take no place
    with pytest.raises(CorruptFile, match=r"has 2.00 GB, but at most 2.00 GB are read"):
        check_image_bytes(tmp_path / "images/a.jpg")
    check_image_bytes(tmp_path / "images/a.jpg", max_megapixels=200)
    sample = SampleFiles("a", tmp_path / "images/a.jpg", tmp_path / "masks/a.png")
    assert "too many bytes" in [problem.kind for problem in inspect_sample(sample, LabelFormat(2)).problems]


def test_files_in_the_place_of_missing_ones_are_found_among_many(tmp_path):
    count = 3000
    index = FolderIndex()
    names = {f"p{i}_mask.json": f"p{i}_mask.json" for i in range(count)} | {"p1.v2_x.png": "p1.v2_x.png"}
    index._names[tmp_path] = names  # as a folder that was listed
    looks = [index.explain(tmp_path / f"p{i}", "img_suffix", (".png",)) for i in range(count)]
    assert all(looks) and "p7_mask.json lies there, polygons" in looks[7]
    assert index.explain(tmp_path / "p1.v2", "img_suffix", (".png",)).endswith("img_suffix=_x.png")
    assert index.explain(tmp_path / "p", "img_suffix", (".png",)) is None


def test_a_list_in_another_form_names_its_files(tmp_path):
    touch(tmp_path / f"images/{form('é', 'NFD')}.jpg", tmp_path / f"masks/{form('é', 'NFD')}.png")
    (tmp_path / "list.txt").write_text(form("é", "NFC") + "\n", encoding="utf-8")
    names, issues, _ = find(tmp_path, names=tmp_path / "list.txt")
    assert (len(names), issues) == (1, [])


@pytest.mark.parametrize(("mask", "remedy"), [
    ("p0_mask.png", "p0_mask.png lies there: set test_dataloader.dataset.seg_map_suffix=_mask.png"),
    ("p0-labels.TIF", "seg_map_suffix=-labels.tif"),
    ("p0.json", "p0.json lies there, polygons of a labeling tool"),
    ("p0.npy", "p0.npy lies there, an array of NumPy"),
    ("p0.heic", "cannot be read"),
])  # fmt: skip
def test_masks_under_another_ending_are_named(tmp_path, mask, remedy):
    touch(tmp_path / "images/p0.jpg", tmp_path / f"masks/{mask}")
    names, issues, problems = find(tmp_path)
    assert (names, issues) == ([], [("error", "missing label")])
    assert remedy in str(problems[0])


@pytest.mark.parametrize(("image", "remedy"), [
    ("p0_rgb.png", "p0_rgb.png lies there: set test_dataloader.dataset.img_suffix=_rgb.png"),
    ("p0.heic", "p0.heic lies there, which cannot be read: convert it"),
    ("p0.npy", "p0.npy lies there, an array of NumPy"),
])  # fmt: skip
def test_images_under_another_ending_are_named(tmp_path, image, remedy):
    touch(tmp_path / f"images/{image}", tmp_path / "masks/p0.png")
    _, _, problems = find(tmp_path)
    assert any(problem.kind == "missing image" and remedy in str(problem) for problem in problems)


def test_hidden_files_and_looping_links_are_no_samples(tmp_path):
    touch(tmp_path / "images/a.jpg", tmp_path / "masks/a.png")
    touch(tmp_path / "images/._a.jpg", tmp_path / "images/__MACOSX/b.jpg", tmp_path / "images/.ipynb_checkpoints/a.jpg")
    (tmp_path / "images/self").symlink_to(".")
    assert find(tmp_path)[:2] == (["a"], [])


def test_forms_that_cannot_be_read_are_noted(tmp_path):
    touch(tmp_path / "images/a.jpg", tmp_path / "masks/a.png", tmp_path / "images/b.HEIC")
    names, issues, problems = find(tmp_path)
    assert (names, issues) == (["a"], [("note", "unreadable form")])
    assert "1 of .heic" in str(problems[0])
