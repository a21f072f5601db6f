"""Exports of a segmentation: content of the files, and paths that are refused."""

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
    labels[10:30, 5:20] = 1
    labels[0, 69] = 2
    labels[35:, :] = 2
    return labels


def stand_in(**changed) -> SimpleNamespace:
    labels = label_map()
    segmentation = SimpleNamespace(
        name="photo",
        names=NAMES,
        areas={"sky": 70.0, "馬": 30.0},
        dropped=(),
        picture=lambda: Image.new("RGB", (90, 40), "red"),
        overlay=lambda: Image.new("RGB", (70, 40), "blue"),
        mask=lambda: make_mask_image(labels, class_colors(len(NAMES))),
        to_coco=lambda: convert_to_coco(labels, NAMES, "photo"),
    )
    vars(segmentation).update(changed)
    return segmentation


def test_convert_to_coco_is_read_by_pycocotools(tmp_path, capsys):
    labels = label_map()
    (tmp_path / "a.json").write_text(json.dumps(convert_to_coco(labels, NAMES, "a.jpg")), encoding="utf-8")
    coco = COCO(tmp_path / "a.json")
    coco.info()
    assert [(category["id"], category["name"]) for category in coco.loadCats(coco.getCatIds())] == [
        *enumerate(NAMES, 1)
    ]
    assert coco.loadImgs([1]) == [dict(id=1, file_name="a.jpg", width=70, height=40)]
    annotations = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert [annotation["category_id"] for annotation in annotations] == [1, 2, 3]  # no boat
    for annotation in annotations:
        mask = labels == annotation["category_id"] - 1
        assert np.array_equal(coco.annToMask(annotation), mask)
        assert annotation["area"] == mask.sum() and annotation["iscrowd"] == 1
        assert annotation["percent"] == pytest.approx(100 * mask.mean(), abs=1e-4)
    assert annotations[1]["bbox"] == [5, 10, 15, 20]
    assert annotations[2]["bbox"] == [0, 0, 70, 40]
    assert "a.jpg" in capsys.readouterr().out


def test_convert_to_coco_leaves_out_pixels_without_a_class():
    (annotation,) = convert_to_coco(np.array([[-1, 0, 255]]), NAMES, "a")["annotations"]
    assert (annotation["area"], annotation["category_id"], annotation["bbox"]) == (1, 1, [1, 0, 1, 1])
    assert convert_to_coco(np.full((1, 1), -1), NAMES, "a")["annotations"] == []


@pytest.mark.parametrize("classes, mode", [(1, "P"), (256, "P"), (257, "I;16"), (847, "I;16")])
def test_make_mask_image_keeps_labels_and_colors(tmp_path, classes, mode):
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
def test_make_mask_image_refuses_other_labels(label):
    with pytest.raises(ValueError, match=f"labels from 0 to 3.*{label}"):
        make_mask_image(np.array([[0, label]]), class_colors(4))


def test_save_to_a_folder_writes_all_files(tmp_path):
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


@pytest.mark.parametrize(
    "suffix, image_format", [(".png", "PNG"), (".JPG", "JPEG"), (".jpeg", "JPEG"), (".webp", "WEBP")]
)
def test_save_to_an_image_file_writes_the_overlay(tmp_path, suffix, image_format):
    path = tmp_path / "deep" / f"out{suffix}"
    assert save_segmentation(stand_in(), str(path)) == {"overlay": path}
    with Image.open(path) as image:
        assert (image.format, image.size) == (image_format, (70, 40))
    assert [*path.parent.iterdir()] == [path]


def test_save_to_a_json_file(tmp_path):
    assert save_segmentation(stand_in(), tmp_path / "a.json") == {"json": tmp_path / "a.json"}
    assert COCO(tmp_path / "a.json").getCatIds() == [1, 2, 3, 4]


def test_save_to_folders_with_dots(tmp_path):
    with pytest.raises(ValueError, match=r"\.webp, \.json, but got .*run\.2; a folder whose name has a dot"):
        save_segmentation(stand_in(), tmp_path / "run.2")
    (tmp_path / "run.2").mkdir()
    assert save_segmentation(stand_in(), tmp_path / "run.2")["mask"] == tmp_path / "run.2" / "photo_mask.png"


def test_save_refuses_other_paths(tmp_path):
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


def test_save_keeps_the_old_file_after_an_error(tmp_path):
    path = tmp_path / "out.webp"
    path.write_bytes(b"old")
    wide = stand_in(overlay=lambda: Image.new("RGB", (16384, 1)))  # one more pixel than WebP holds
    with pytest.raises(OSError, match=r"out\.webp cannot be written .*kind of file"):
        save_segmentation(wide, path)
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]
