"""Files of a segmentation: what they hold, that they are whole, and what is said where they cannot be written."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from proxyclip.apis.export import convert_to_coco, make_mask_image, save_segmentation
from proxyclip.visualization.palette import class_colors

NAMES = ("sky", "grass, lawn", "馬", "boat")
KINDS = {"picture": "_seg.png", "overlay": "_overlay.png", "mask": "_mask.png", "json": ".json"}


def label_map() -> np.ndarray:
    labels = np.zeros((40, 70), np.int32)
    labels[10:30, 5:20], labels[0, 69], labels[35:, :] = 1, 2, 2
    return labels


def stand_in(**changed) -> SimpleNamespace:
    labels, colors = label_map(), class_colors(len(NAMES))
    whole = dict(
        name="photo",
        names=NAMES,
        areas={"sky": 70.0, "馬": 30.0},
        picture=lambda: Image.new("RGB", (90, 40), "red"),
        overlay=lambda: Image.new("RGB", (70, 40), "blue"),
        mask=lambda: make_mask_image(labels, colors),
        to_coco=lambda: convert_to_coco(labels, NAMES, "photo"),
    )
    return SimpleNamespace(**whole | changed)


def test_coco_reads_the_same_masks(tmp_path, capsys):
    labels = label_map()
    (tmp_path / "a.json").write_text(json.dumps(convert_to_coco(labels, NAMES, "a.jpg")), encoding="utf-8")
    coco = COCO(tmp_path / "a.json")
    coco.info()
    assert [(one["id"], one["name"]) for one in coco.loadCats(coco.getCatIds())] == [*enumerate(NAMES, 1)]
    assert coco.loadImgs([1]) == [dict(id=1, file_name="a.jpg", width=70, height=40)]
    found = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert [one["category_id"] for one in found] == [1, 2, 3]  # no boat
    for one in found:
        mask = labels == one["category_id"] - 1
        assert np.array_equal(coco.annToMask(one), mask)
        assert one["area"] == mask.sum() and one["iscrowd"] == 1
        assert one["percent"] == pytest.approx(100 * mask.mean(), abs=1e-4)
    assert found[1]["bbox"] == [5, 10, 15, 20]
    assert found[2]["bbox"] == [0, 0, 70, 40]
    assert "a.jpg" in capsys.readouterr().out


def test_coco_of_pixels_without_a_class():
    labels = np.array([[-1, 0, 255]])
    (one,) = convert_to_coco(labels, NAMES, "a")["annotations"]
    assert (one["area"], one["category_id"], one["bbox"]) == (1, 1, [1, 0, 1, 1])
    assert convert_to_coco(np.full((1, 1), -1), NAMES, "a")["annotations"] == []


@pytest.mark.parametrize("classes, mode", [(1, "P"), (256, "P"), (257, "I;16"), (847, "I;16")])
def test_a_mask_keeps_labels_and_colors(tmp_path, classes, mode):
    labels = np.arange(6 * 9, dtype=np.int32).reshape(6, 9) % classes
    labels[-1, -1] = classes - 1
    colors = class_colors(classes)
    make_mask_image(labels, colors).save(tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as mask:
        assert mask.mode == mode
        assert np.array_equal(np.asarray(mask), labels)
        if mode == "P":
            assert np.array_equal(np.asarray(mask.convert("RGB")), colors[labels])


@pytest.mark.parametrize("label", [-1, 4])
def test_a_mask_of_no_class_is_refused(label):
    with pytest.raises(ValueError, match=f"labels from 0 to 3.*{label}"):
        make_mask_image(np.array([[0, label]]), class_colors(4))


def test_a_folder_holds_all_kinds(tmp_path):
    place = tmp_path / "new" / "folder"
    written = save_segmentation(stand_in(), place)
    assert written == {kind: place / f"photo{end}" for kind, end in KINDS.items()}
    assert sorted(place.iterdir()) == sorted(written.values())  # and no temporary file
    assert Image.open(written["picture"]).size == (90, 40)
    assert Image.open(written["overlay"]).getpixel((0, 0)) == (0, 0, 255)
    assert np.array_equal(np.asarray(Image.open(written["mask"])), label_map())
    content = json.loads(written["json"].read_text(encoding="utf-8"))
    assert content["names"] == list(NAMES) and content["areas"] == {"sky": 70.0, "馬": 30.0}
    assert len(content["annotations"]) == 3


@pytest.mark.parametrize("ending, form", [(".png", "PNG"), (".JPG", "JPEG"), (".jpeg", "JPEG"), (".webp", "WEBP")])
def test_a_picture_file_is_the_overlay(tmp_path, ending, form):
    path = tmp_path / "deep" / f"out{ending}"
    assert save_segmentation(stand_in(), str(path)) == {"overlay": path}
    with Image.open(path) as image:
        assert (image.format, image.size) == (form, (70, 40))
    assert [*path.parent.iterdir()] == [path]


def test_a_json_file(tmp_path):
    assert save_segmentation(stand_in(), tmp_path / "a.json") == {"json": tmp_path / "a.json"}
    assert COCO(tmp_path / "a.json").getCatIds() == [1, 2, 3, 4]


def test_folders_with_dots(tmp_path):
    with pytest.raises(ValueError, match=r"\.webp, \.json, but got .*run\.2; a folder whose name has a dot"):
        save_segmentation(stand_in(), tmp_path / "run.2")
    (tmp_path / "run.2").mkdir()
    assert save_segmentation(stand_in(), tmp_path / "run.2")["mask"] == tmp_path / "run.2" / "photo_mask.png"


def test_places_that_cannot_be_written_to(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(IsADirectoryError, match=r"a\.png is a folder"):
        save_segmentation(stand_in(), tmp_path / "a.png")
    (tmp_path / "photo.json").mkdir()
    with pytest.raises(IsADirectoryError, match=r"photo\.json is a folder"):
        save_segmentation(stand_in(), tmp_path)
    (tmp_path / "plain").write_text("a file")
    with pytest.raises(NotADirectoryError, match=r"Expected a folder, but .*plain is a file"):
        save_segmentation(stand_in(), tmp_path / "plain")
    with pytest.raises(OSError, match=r"out\.png cannot be written .*choose another folder"):
        save_segmentation(stand_in(), tmp_path / "plain" / "out.png")
    assert (tmp_path / "plain").read_text() == "a file"


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "out.webp"
    path.write_bytes(b"old")
    wide = stand_in(overlay=lambda: Image.new("RGB", (16384, 1)))  # one more pixel than WebP holds
    with pytest.raises(OSError, match=r"out\.webp cannot be written .*kind of file"):
        save_segmentation(wide, path)
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]
