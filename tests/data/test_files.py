"""Files on disk: names found or missed, pictures whole or not, labels legal or not; each odd file has its reaction."""

from pathlib import Path

import mmcv
import numpy as np
import pytest
from helpers import bad_inputs
from PIL import Image

from proxyclip.data.files.inspection import inspect_sample, inspect_samples, sum_label_counts
from proxyclip.data.files.labels import LabelFormat
from proxyclip.data.files.layout import DatasetLayout, SampleFiles, count_unlisted_images, find_samples
from proxyclip.data.transforms import LoadImageFromFile, MyLoadAnnotations


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def layout(folder: Path, listed: str | bytes | None = None, **changes) -> DatasetLayout:
    for part in ("images", "labels"):
        (folder / part).mkdir(exist_ok=True)
    if listed is not None:
        (folder / "val.txt").write_bytes(listed if isinstance(listed, bytes) else listed.encode())
    names = None if listed is None else folder / "val.txt"
    return DatasetLayout(folder / "images", folder / "labels", names, **changes)


def found(where: DatasetLayout):
    pairs, problems = find_samples(where)
    return [pair.name for pair in pairs], [(problem.kind, Path(problem.file).name) for problem in problems]


def test_find_samples_lists_a_folder_recursively(tmp_path):
    touch(tmp_path, "images/b.JPG", "images/a.jpeg", "images/deep/c.png", "images/notes.txt", "images/.hidden.jpg")
    touch(tmp_path, "labels/a.png", "labels/b.tif", "labels/deep/c.PNG")
    pairs, problems = find_samples(layout(tmp_path))
    assert not problems
    files = [(pair.name, pair.image.name, pair.label.name) for pair in pairs]
    assert files == [("a", "a.jpeg", "a.png"), ("b", "b.JPG", "b.tif"), ("deep/c", "c.png", "c.PNG")]


def test_find_samples_takes_long_suffixes_exactly(tmp_path):
    touch(tmp_path, "images/x/a_leftImg8bit.png", "images/x/b_leftImg8bit.jpg", "images/x/c.png")
    touch(tmp_path, "labels/x/a_gtFine_labelTrainIds.png", "labels/x/a_gtFine_labelIds.png")
    suffixes = dict(image_suffix="_leftImg8bit.png", label_suffix="_gtFine_labelTrainIds.png")
    assert found(layout(tmp_path, **suffixes)) == (["x/a"], [])


@pytest.mark.parametrize("lines", [
    "a\nd/b\n", "a\r\nd/b\r\n", "a\n\nd/b\n\n", b"\xef\xbb\xbfa\nd/b", "a.jpg\nd/b.jpg\n", " a \nd\\b\n",
], ids=["plain", "CRLF", "blank lines", "BOM", "extensions", "blanks and backslashes"])  # fmt: skip
def test_find_samples_reads_lists_of_any_form(tmp_path, lines):
    touch(tmp_path, "images/a.jpg", "images/d/b.jpg", "images/more.jpg", "labels/a.png", "labels/d/b.png")
    where = layout(tmp_path, lines)
    assert found(where) == (["a", "d/b"], [])
    assert count_unlisted_images(where, find_samples(where)[0]) == 1


def test_find_samples_accepts_blanks_in_names_but_no_columns(tmp_path):
    touch(tmp_path, "images/a b.jpg", "labels/a b.png", "images/c.jpg", "labels/c.png")
    names, problems = found(layout(tmp_path, "a b\nc 1\n"))
    assert (names, problems) == (["a b"], [("bad list", "val.txt")])
    assert "line 2 has 'c 1': more than a name" in str(find_samples(layout(tmp_path, "a b\nc 1\n"))[1][0])


def test_find_samples_reports_every_missing_file(tmp_path):
    touch(tmp_path, "images/a.jpg", "images/b.jpg", "images/known.jpg", "labels/a.png", "labels/d.png")
    everything = layout(tmp_path, without_labels=frozenset({"known"}))
    assert found(everything)[1] == [("missing label", "b.png"), ("left out", "known.jpg"), ("missing image", "d.png")]
    listed = layout(tmp_path, "a\nd\na\ne\n", without_labels=frozenset({"known"}))
    assert found(listed)[1] == [("missing image", "d.jpg"), ("listed twice", "val.txt"), ("missing image", "e.jpg")]


def test_find_samples_reports_two_images_of_a_name(tmp_path):
    touch(tmp_path, "images/a.jpg", "images/a.png", "labels/a.png")
    assert found(layout(tmp_path)) == (["a"], [("two images", "a.jpg")])
    assert found(layout(tmp_path, "a\n")) == (["a"], [])  # a list with .jpg says which


def test_find_samples_reports_missing_and_empty_folders(tmp_path):
    (tmp_path / "labels").mkdir()
    missing = DatasetLayout(tmp_path / "images", tmp_path / "labels", tmp_path / "val.txt")
    assert found(missing)[1] == [("missing place", "val.txt"), ("missing place", "images")]
    assert found(layout(tmp_path))[1] == [("no image", "images")]
    assert found(layout(tmp_path, b"\xff\xfe\x00"))[1] == [("bad list", "val.txt")]


def test_find_samples_accepts_images_without_labels(tmp_path):
    touch(tmp_path, "images/a.jpg")
    assert find_samples(DatasetLayout(tmp_path / "images", None)) == ([SampleFiles("a", tmp_path / "images/a.jpg")], [])
    (tmp_path / "images/a.jpg").unlink()
    assert found(DatasetLayout(tmp_path / "images", None)) == ([], [("no image", "images")])


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory) -> Path:
    return bad_inputs.make(tmp_path_factory.mktemp("bad"))


def react(folder: Path) -> None:
    """Every file of a `bad_inputs` folder gets its reaction: in the loader, and in the check."""
    legal = LabelFormat(bad_inputs.CLASSES, bad_inputs.IGNORE)
    images = {path.name: path for path in (folder / "images").iterdir()}
    masks = {path.name: path for path in (folder / "masks").iterdir()}
    assert images.keys() == bad_inputs.IMAGES.keys()
    assert masks.keys() == bad_inputs.MASKS.keys()
    for name, path in images.items():
        words = bad_inputs.IMAGES[name]
        problems = inspect_sample(SampleFiles(name, path), legal).problems
        if words is None:
            assert not problems, name
            image = LoadImageFromFile().transform({"img_path": str(path)})["img"]
            assert image.shape == (*inspect_sample(SampleFiles(name, path), legal).size, 3), name
            assert image.dtype == np.uint8
        else:
            assert [problem.kind for problem in problems] == ["damaged image"], name
            assert words in problems[0].text
            with pytest.raises(OSError, match=name.replace(".", r"\.")):
                LoadImageFromFile().transform({"img_path": str(path)})
    for name, path in masks.items():
        kind = bad_inputs.MASKS[name]
        problems = inspect_sample(SampleFiles(name, images["ok.jpg"], path), legal).problems
        assert [problem.kind for problem in problems] == ([kind] if kind else []), name
        sample = dict(seg_map_path=str(path), num_classes=legal.classes, ignore_index=legal.ignore)
        if kind in (None, "all ignored", "sizes differ"):
            MyLoadAnnotations().transform(sample)
        else:
            with pytest.raises((ValueError, OSError), match=name.replace(".", r"\.")):
                MyLoadAnnotations().transform(sample)


def test_loader_and_inspection_agree_on_bad_inputs(stand_ins):
    react(stand_ins)


def test_loader_and_inspection_agree_on_real_bad_inputs(samples):
    react(samples / "bad_inputs")


def test_loader_gives_the_pixels_of_mmcv(stand_ins):
    """What is whole is read as ever, but for the EXIF tag."""
    for name in bad_inputs.PLAIN:
        path = stand_ins / "images" / name
        expected = mmcv.imread(str(path), flag="color_ignore_orientation")
        if expected is not None:
            assert (LoadImageFromFile().transform({"img_path": str(path)})["img"] == expected).all(), name


def test_loader_falls_back_to_pillow(stand_ins, monkeypatch):
    path = str(stand_ins / "images/gif_named.jpg")
    monkeypatch.setattr(mmcv, "imfrombytes", lambda *args, **kwargs: None)
    image = LoadImageFromFile().transform({"img_path": path})["img"]
    with Image.open(path) as file:
        assert (image[..., ::-1] == np.array(file.convert("RGB"))).all()


def test_loaders_replace_mmseg_registrations():
    from mmengine.registry import DefaultScope
    from mmseg.registry import TRANSFORMS

    with DefaultScope.overwrite_default_scope("mmseg"):
        loader = TRANSFORMS.build(dict(type="LoadImageFromFile"))
        assert (type(loader), loader.color_type) == (LoadImageFromFile, "color_ignore_orientation")
        assert type(TRANSFORMS.build(dict(type="LoadAnnotations", reduce_zero_label=True))) is MyLoadAnnotations
        with pytest.raises(ValueError, match="ignore_empty"):
            TRANSFORMS.build(dict(type="LoadImageFromFile", ignore_empty=True))


def save(folder: Path, size=(40, 30), turn: int = 1, label=(40, 30), values=1) -> SampleFiles:
    tags = Image.Exif()
    tags[274] = turn
    Image.new("RGB", size).save(folder / "a.jpg", exif=tags)
    Image.new("L", label, values).save(folder / "a.png")
    return SampleFiles("a", folder / "a.jpg", folder / "a.png")


@pytest.mark.parametrize(("turn", "label", "kind", "level"), [
    (1, (40, 30), None, None), (3, (40, 30), "EXIF orientation", "note"), (6, (40, 30), "EXIF orientation", "note"),
    (6, (30, 40), "turned label map", "error"), (1, (30, 40), "sizes differ", "error"),
    (3, (30, 40), "sizes differ", "error"), (1, (40, 29), "sizes differ", "error"),
])  # fmt: skip
def test_inspect_sample_compares_sizes_without_exif_orientation(tmp_path, turn, label, kind, level):
    problems = inspect_sample(save(tmp_path, turn=turn, label=label), LabelFormat(2)).problems
    assert [(problem.kind, problem.level) for problem in problems] == ([(kind, level)] if kind else [])


def test_inspect_sample_reports_files_it_cannot_open(tmp_path):
    (tmp_path / "a.jpg").symlink_to(tmp_path / "nowhere")
    problems = inspect_sample(SampleFiles("a", tmp_path / "a.jpg", tmp_path), LabelFormat(2)).problems
    assert [problem.kind for problem in problems] == ["unreadable file"] * 2


def test_inspect_samples_gives_the_same_with_threads(tmp_path):
    pair = save(tmp_path)
    pairs = [SampleFiles(str(i), pair.image, pair.label) for i in range(20)]
    assert list(inspect_samples(pairs, LabelFormat(2), workers=2)) == list(inspect_samples(pairs, LabelFormat(2)))
    counts = sum_label_counts(pairs, inspect_samples(pairs, LabelFormat(2)))
    assert counts.files == 20
    assert {value: (n.pixels, n.files) for value, n in counts.values.items()} == {1: (20 * 1200, 20)}
