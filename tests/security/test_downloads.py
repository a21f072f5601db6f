"""A data set that was downloaded writes nothing outside of its folder, and one bad file of it stops nothing."""

import json

import numpy as np
import pytest
from helpers.image_files import photo, save, write
from pycocotools import mask as rle
from scipy.io import savemat


@pytest.fixture
def context(tmp_path):
    """VOC2010 with a JSON of one val image, 40 x 30; a function that writes it with this mask and file name."""
    root = tmp_path / "VOC2010"
    save(root / "JPEGImages/2008_000001.jpg", photo(40, 30))

    def make(segmentation, name="2008_000001.jpg"):
        images = [{"image_id": 1, "file_name": name, "height": 30, "width": 40, "phase": "val"}]
        annotations = [{"image_id": 1, "category_id": 2, "segmentation": segmentation}]
        write(root / "trainval_merged.json", json.dumps({"images": images, "annos_segmentation": annotations}))
        return root

    return make


@pytest.mark.parametrize("name", ["../../stolen", "/tmp/stolen", "..\\stolen", "C:/stolen", "a/../../stolen", "a\0b"])
def test_list_with_a_name_that_leads_out_is_refused(output, tmp_path, name):
    source = tmp_path / "SRC/cocostuff"
    save(tmp_path / "stolen.jpg", photo(4, 3))
    for folder in ("images", "annotations"):
        (source / folder).mkdir(parents=True)
    write(source / "imageLists/test.txt", f"{name}\n")
    before = sorted(tmp_path.rglob("*"))
    error = output("prepare_coco_stuff10k", source, "-o", tmp_path / "out", code=1)
    assert f"{source}/imageLists/test.txt: has the name" in error
    assert "leads out of its folder" in error
    assert sorted(tmp_path.rglob("*")) == before


def test_json_with_a_name_that_leads_out_is_refused(output, context, tmp_path):
    error = output("prepare_context", context([[0, 0, 9, 0, 9, 9]], "a\nb.jpg"), "-o", tmp_path / "out", code=1)
    assert "leads out of its folder" in error


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [30, 40], "counts": [3, 4]},  # pycocotools leaves the other pixels unset
        {"size": [30, 40], "counts": [3, 4_000_000_000]},
        {"size": [30, 40], "counts": [3, -5, 1202]},
        {"size": [10**6, 10**6], "counts": "PP1"},  # pycocotools ends the process
        {"size": [30, 40], "counts": "\x7f" * 1000},
        {"size": [30, 40], "counts": "o" * 1000},
        {"size": [30, 40], "counts": "P"},
        {"size": [30, 40], "counts": None},
        [[0, 0, 1e8, 1e8, 5, 1e8]],  # pycocotools takes memory by the length of the outline
        [[0, 0, float("inf"), 1, 2, float("nan")]],
        [[0, 0, 5, 5, 5, 1] * 200_000],
        [[0, 0, 5, 5]],
        [[]],
        [],
        [[0, 0, "1", 5, 5, 1]],
        7,
    ],
)
def test_mask_that_cannot_be_drawn_is_one_failed_file(run, context, tmp_path, segmentation):
    code, out, error = run("prepare_context", context(segmentation), "-o", tmp_path / "out")
    assert code == 1
    assert "2008_000001.jpg: cannot be converted (ValueError" in error
    assert "(0 written, 0 kept, 1 failed)" in out


def test_masks_are_those_of_pycocotools(script):
    decode_mask = script("_masks").decode_mask
    generator = np.random.default_rng(0)
    for share in (0.01, 0.5, 0.99, 0, 1):
        mask = generator.random((37, 29)) < share
        encoded = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
        text = {"size": encoded["size"], "counts": encoded["counts"].decode()}
        assert np.array_equal(decode_mask(text, 37, 29), mask)
    blocks = np.kron(generator.random((10, 8)) < 0.5, np.ones((90, 75), bool))  # long runs: several characters a number
    encoded = rle.encode(np.asfortranarray(blocks.astype(np.uint8)))
    text = {"size": encoded["size"], "counts": encoded["counts"].decode()}
    assert np.array_equal(decode_mask(text, 900, 600), blocks)


def test_json_that_nests_too_deep_is_an_error(output, context, tmp_path):
    root = context([])
    (root / "trainval_merged.json").write_text("[" * 200_000)
    error = output("prepare_context", root, "-o", tmp_path / "out", code=1)
    assert "is not PASCAL Context's trainval_merged.json" in error


def test_list_of_gigabytes_is_refused_unread(output, tmp_path):
    (tmp_path / "annotations").mkdir()
    write(tmp_path / "imageLists/test.txt", "")
    with (tmp_path / "imageLists/test.txt").open("wb") as file:
        file.truncate(10**12)
    assert "has more than 50,000,000 bytes" in output("prepare_coco_stuff10k", tmp_path, code=1)


def make_matlab_bomb(path, rows):
    """A compressed .mat file of a few kilobytes whose map has `rows` x 1000 zeros."""
    savemat(path, {"S": np.zeros((rows, 1000), np.uint8)}, do_compression=True)


def test_matlab_file_that_unpacks_to_more_than_a_picture_is_refused_unread(script, tmp_path, monkeypatch):
    maps = script("_maps")
    monkeypatch.setattr(maps, "MAX_PIXELS", 1000)
    make_matlab_bomb(tmp_path / "a.mat", 2)
    monkeypatch.setattr("scipy.io.loadmat", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(maps.Bad, match="expected an H x W map of numbers named S"):
        maps.matlab(tmp_path / "a.mat", "S", 182)


@pytest.mark.parametrize("value", [{"a": 1}, np.array([["text"]]), np.array([[{}]], object)])
def test_matlab_file_of_no_numbers_is_refused(script, tmp_path, value):
    savemat(tmp_path / "a.mat", {"S": value})
    maps = script("_maps")
    with pytest.raises(maps.Bad, match="expected an H x W map of numbers"):
        maps.matlab(tmp_path / "a.mat", "S", 182)


def test_links_out_of_a_download_are_said(run, tmp_path):
    """They are followed, since large data lie on other disks; what is written through one is said as well."""
    other = tmp_path / "other/frankfurt"
    save(other / "a_gtFine_labelIds.png", np.full((3, 4), 7))
    source = tmp_path / "cityscapes"
    (source / "gtFine/val").mkdir(parents=True)
    (source / "gtFine/val/frankfurt").symlink_to(other, target_is_directory=True)
    code, _, notes = run("prepare_cityscapes", source, "--split", "val")
    assert code == 0
    assert f"note: links in {source}/gtFine/val lead out of it and are followed, such as to {other}" in notes
    assert f"gtFine/val/frankfurt is a link: its files are written in {other}" in notes
