"""Data sets on disk: names and colours, real samples through the configs, and errors that help."""

import shutil

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg import datasets
from mmseg.registry import DATASETS, METRICS
from PIL import Image

from proxyclip.data import benchmarks
from proxyclip.data.splits import resolve_unseen_ids
from proxyclip.engine.config.registration import register_modules
from proxyclip.tinyworld.scenes import CLASSES, OBJECTS, draw_seeded_scene
from proxyclip.utils.paths import ROOT


@pytest.fixture(autouse=True)
def _scope():
    register_modules()
    with DefaultScope.overwrite_default_scope("mmseg"):
        yield


COUNTS = {
    "PascalVOCDataset": 21, "PascalVOC20Dataset": 20, "PascalContext60Dataset": 60, "PascalContext59Dataset": 59,
    "PascalContext459Dataset": 459, "ADE20KDataset": 150, "ADE20K847Dataset": 847, "CityscapesDataset": 19,
    "COCOStuffDataset": 171, "COCOStuff10kDataset": 171, "COCOObjectDataset": 81, "TinyWorldDataset": 19,
}  # fmt: skip


@pytest.mark.parametrize("kind, count", COUNTS.items())
def test_dataset_class_is_registered_with_names_and_colors(kind, count):
    assert len(names(kind)) == len(set(names(kind))) == count
    assert np.array(DATASETS.get(kind).METAINFO["palette"]).shape == (count, 3)


def names(kind, module=benchmarks):
    return tuple(getattr(module, kind).METAINFO["classes"])


def test_class_lists_agree_with_each_other():
    assert names("PascalVOC20Dataset") == names("PascalVOCDataset", datasets)[1:]
    assert names("PascalContext60Dataset") == names("PascalContextDataset", datasets)
    assert names("PascalContext59Dataset") == names("PascalContext60Dataset")[1:]
    assert names("PascalContext59Dataset") == names("PascalContextDataset59", datasets)
    assert names("COCOObjectDataset") == ("background", *names("COCOStuffDataset", datasets)[:80])
    assert set(names("PascalContext59Dataset")) <= set(names("PascalContext459Dataset"))
    wide = names("PascalContext459Dataset")
    full = names("ADE20K847Dataset")
    assert (wide[0], wide[255], wide[430]) == ("accordion", "monkey", "unknown")
    assert (full[0], full[1], full[255][:4]) == ("wall", "building, edifice", "pier")


@pytest.mark.parametrize("kind", [benchmarks.PascalContext459Dataset, benchmarks.ADE20K847Dataset])
def test_generated_palettes_have_distinct_colors(kind):
    colours = {tuple(colour) for colour in kind.METAINFO["palette"]}
    assert len(colours) == len(kind.METAINFO["classes"])
    assert (0, 0, 0) not in colours


TRAINING = dict(img_path="images_detectron2/training", seg_map_path="annotations_detectron2/training")
OWN = dict(data_prefix=dict(img_path="images", seg_map_path="annotations"), classes=("ground", "thing"))
# config, folder of samples, their number, what differs from the real data set
SAMPLES = [
    ("voc21", "voc2012", 4, {}), ("voc20", "voc2012", 4, {}), ("ade20k", "ade20k", 3, {}),
    ("ade847", "ade20k847", 1, {}), ("ade847", "ade20k847", 2, dict(data_prefix=TRAINING)),
    ("coco_stuff164k", "coco_stuff164k", 8, {}), ("coco_stuff10k", "coco_stuff10k_style", 8, {}),
    ("coco_object", "coco_stuff164k", 8, {}), ("folder", "mmseg_tests", 1, OWN),
]  # fmt: skip


@pytest.mark.parametrize("name, folder, count, changes", SAMPLES)
def test_predicting_the_ground_truth_of_real_samples_gives_100(samples, name, folder, count, changes, tmp_path):
    if name == "folder":  # one of its pictures has no mask
        (tmp_path / "list.txt").write_text("color.jpg\n")
        changes = {**changes, "ann_file": str(tmp_path / "list.txt")}
    cfg = Config.fromfile(ROOT / "configs" / f"cfg_{name}.py")
    dataset = DATASETS.build({**cfg.test_dataloader.dataset, "data_root": str(samples / folder), **changes})
    metric = METRICS.build(cfg.test_evaluator)
    metric.dataset_meta = dataset.metainfo
    for one in (dataset[i] for i in range(len(dataset))):
        sample, classes = one["data_samples"], len(dataset.metainfo["classes"])
        label = sample.gt_sem_seg.data
        assert tuple(label.shape[-2:]) == sample.ori_shape
        assert min(one["inputs"].shape[1:]) == cfg.test_pipeline[1].scale[1]
        sample.pred_sem_seg = PixelData(data=torch.where(label < classes, label, 0))
        metric.process({}, [sample.to_dict()])
    assert len(dataset) == len(metric.results) == count
    found = metric.compute_metrics(metric.results)
    assert found == pytest.approx(dict.fromkeys(("mIoU", "mIoU_gt", "mAcc", "aAcc", "fwIoU"), 100))
    if "data_prefix" in changes and name == "ade847":
        assert metric.confusion[256:].sum() > 1000  # labels that 8 bits would have folded


QUICK = dict(serialize_data=False)  # which collects garbage, a third of a second


def make(folder, names=("a", "b"), size=(8, 6), kind="PascalVOCDataset", **changes):
    """A data set in VOC's layout, and the function that builds it."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", size, (200, 10, 10)).save(folder / "images" / f"{name}.jpg")
        Image.new("L", size, 3).save(folder / "labels" / f"{name}.png")
    (folder / "val.txt").write_text("".join(f"{name}\n" for name in names))

    def build(**more):
        pipeline = Config.fromfile(ROOT / "configs/base_config.py").test_pipeline
        prefix = dict(img_path="images", seg_map_path="labels")
        options = dict(type=kind, data_root=str(folder), ann_file="val.txt", data_prefix=prefix, pipeline=pipeline)
        return DATASETS.build({**options, **QUICK, **changes, **more})

    return build


def test_a_subset_of_classes_ignores_the_others(tmp_path):
    dataset = make(tmp_path)(metainfo=dict(classes=("background", "cat")))
    assert dataset[0]["data_samples"].gt_sem_seg.data.unique().tolist() == [255]
    assert make(tmp_path)(metainfo=dict(classes=("background", "bird")))[0]["data_samples"].gt_sem_seg.data.max() == 1


@pytest.mark.parametrize(("part", "words"), [
    ("", "the data folder"),
    ("val.txt", "the list of images"),
    ("images", "the folder of images"),
    ("labels", "the folder of labels"),
    ("images/b.jpg", "images/b.jpg: does not exist, but line 2 of val.txt names it"),
    ("labels/b.png", "labels/b.png: does not exist, but there is the image b.jpg"),
])  # fmt: skip
def test_missing_files_are_reported_with_source_and_option(tmp_path, part, words):
    build = make(tmp_path / "set")
    gone = tmp_path / "set" / part
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    with pytest.raises(FileNotFoundError, match=f"PascalVOCDataset: .*{words}.*VOCtrainval.*--data-root"):
        build()


def test_empty_folders_and_repeated_names_are_refused(tmp_path):
    build = make(tmp_path)
    (tmp_path / "val.txt").write_text("a\na\n")
    with pytest.raises(ValueError, match=r"val.txt: has the name a twice \(again in line 2\)"):
        build()
    for folder in ("images", "labels"):
        for file in (tmp_path / folder).iterdir():
            file.unlink()
    with pytest.raises(FileNotFoundError, match=r"images: has no image .*\.jpg or \.jpeg or \.png"):
        build(ann_file="")


def test_context_dataset_may_list_its_image_without_labels(tmp_path):
    build = make(tmp_path, ("a", "2010_001606"), kind="PascalContext60Dataset")
    assert len(build()) == 2
    (tmp_path / "labels/2010_001606.png").unlink()
    assert len(build()) == 1


def test_exif_orientation_is_ignored_for_image_and_labels(tmp_path):
    """An EXIF tag turns no label map, so it must not turn the image."""
    build = make(tmp_path, size=(80, 40))
    tag = Image.Exif()
    tag[274] = 6
    Image.new("RGB", (80, 40)).save(tmp_path / "images/a.jpg", exif=tag)
    sample = build()[0]["data_samples"]
    assert sample.ori_shape == (40, 80) == tuple(sample.gt_sem_seg.data.shape[-2:])


def test_tinyworld_dataset_draws_missing_scenes(tmp_path):
    cfg = Config.fromfile(ROOT / "configs/cfg_tinyworld.py").test_dataloader.dataset
    dataset = DATASETS.build({**cfg, "data_root": str(tmp_path / "tinyworld"), "count": 3})
    assert len(dataset) == 3
    assert dataset[2]["data_samples"].gt_sem_seg.data.max() < 19


def test_split_expected_images_and_label_format_of_a_dataset(tmp_path):
    assert (make(tmp_path)().split, make(tmp_path)().expected_images) == ("val", 1449)
    info = make(tmp_path)().get_data_info(0)
    assert (info["num_classes"], info["ignore_index"]) == (21, 255)
    dataset = make(tmp_path, kind="COCOObjectDataset", ann_file="", seg_map_suffix=".png")()
    assert (dataset.split, dataset.expected_images) == ("images", None)


# values that files of the data set may not have, though another one of them may, and the value for ignored pixels
FOREIGN = {
    "PascalContext60Dataset": 255, "PascalContext59Dataset": 255, "PascalContext459Dataset": 459, "ADE20KDataset": 255,
    "ADE20K847Dataset": 847, "COCOStuff10kDataset": 255, "COCOObjectDataset": 255,
}  # fmt: skip
MARKED = {
    "PascalVOCDataset": 255, "PascalVOC20Dataset": 255, "PascalContext459Dataset": 65535, "ADE20K847Dataset": 65535,
    "CityscapesDataset": 255, "COCOStuffDataset": 255,
}  # fmt: skip


def one_label(folder, kind, value):
    build = make(folder, ("a",), kind=kind, ann_file="", seg_map_suffix=".png", img_suffix=".jpg")
    Image.fromarray(np.full((6, 8), value, np.uint16)).save(folder / "labels/a.png")
    return build


@pytest.mark.parametrize("kind", FOREIGN)
def test_marks_of_other_data_sets_are_refused(tmp_path, kind):
    """255 where it marks nothing means a wrong file, mostly one that is reduced already."""
    build = one_label(tmp_path, kind, FOREIGN[kind])
    with pytest.raises(ValueError, match=rf"a\.png: 48 pixels have {FOREIGN[kind]}"):
        build()[0]
    by_hand = build(ignore_index=FOREIGN[kind])[0]["data_samples"].gt_sem_seg.data
    assert by_hand.unique().tolist() == [FOREIGN[kind]]


@pytest.mark.parametrize("kind", MARKED)
def test_marks_of_the_data_set_become_the_ignore_value(tmp_path, kind):
    assert one_label(tmp_path, kind, MARKED[kind])()[0]["data_samples"].gt_sem_seg.data.unique() == MARKED[kind]


def test_reduced_labels_are_reported(tmp_path):
    dataset = make(tmp_path, kind="ADE20KDataset")()
    Image.fromarray(np.array([[0, 149, 255]], np.uint8)).save(tmp_path / "labels/a.png")
    with pytest.raises(ValueError, match="reduced already; reduce_zero_label is True"):
        dataset[0]


def folder_set(folder, **changes):
    """A folder of one's own: pictures of several kinds, 16-bit masks, a class file with synonyms."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name in ("one.JPG", "two.jpeg", "three.png"):
        Image.new("RGB", (8, 6), (9, 200, 9)).save(folder / "images" / name)
        labels = np.full((6, 8), 1, np.uint16)
        labels[0], labels[1] = 0, 255
        Image.fromarray(labels).save(folder / "masks" / f"{name.partition('.')[0]}.png")
    (folder / "classes.txt").write_text("ground; floor\nthing\n")
    cfg = Config.fromfile(ROOT / "configs/cfg_folder.py").test_dataloader.dataset
    return DATASETS.build({**cfg, "data_root": str(folder), **QUICK, **changes})


def test_folder_dataset_reads_classes_and_mixed_file_types(tmp_path):
    dataset = folder_set(tmp_path)
    assert dataset.metainfo["classes"] == ("ground", "thing")
    assert len({tuple(colour) for colour in dataset.metainfo["palette"]}) == 2
    assert [info["img_path"][len(str(tmp_path)) :] for info in map(dataset.get_data_info, range(3))] == [
        "/images/one.JPG", "/images/three.png", "/images/two.jpeg",
    ]  # fmt: skip
    for sample in dataset:
        assert sample["data_samples"].gt_sem_seg.data.unique().tolist() == [0, 1, 255]
    reduced = folder_set(tmp_path, reduce_zero_label=True)[0]["data_samples"].gt_sem_seg.data
    assert reduced.unique().tolist() == [0, 255]
    assert folder_set(tmp_path, classes=("a", "b")).metainfo["classes"] == ("a", "b")
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"no file .*classes.txt: expected one class a line"):
        DATASETS.build(dict(type="FolderDataset", data_root=str(tmp_path)))


# class ids after zero-label reduction
UNSEEN = {
    "PascalVOC20Dataset": (15, 16, 17, 18, 19),
    "PascalVOCDataset": (16, 17, 18, 19, 20),
    "COCOStuffDataset": (19, 23, 28, 29, 36, 51, 76, 88, 94, 112, 133, 136, 137, 157, 160),
    "PascalContext60Dataset": (1, 7, 8, 15, 20, 25, 32, 34, 49, 55),
    "PascalContext59Dataset": (0, 6, 7, 14, 19, 24, 31, 33, 48, 54),
}


@pytest.mark.parametrize("kind", UNSEEN)
def test_zero_shot_adds_the_usual_unseen_classes(tmp_path, kind):
    build = make(tmp_path, ("a",), kind=kind, ann_file="", seg_map_suffix=".png", img_suffix=".jpg")
    dataset = build(zero_shot=True)
    assert dataset.metainfo["unseen"] == dataset.get_data_info(0)["unseen"] == UNSEEN[kind]
    plain = build()
    assert "unseen" not in plain.metainfo and "unseen" not in plain.get_data_info(0)
    assert {**plain.metainfo, "unseen": UNSEEN[kind]} == dataset.metainfo


def test_custom_unseen_classes_are_resolved(tmp_path):
    build = make(tmp_path, ("a",), kind="CityscapesDataset", ann_file="", seg_map_suffix=".png", img_suffix=".jpg")
    with pytest.raises(ValueError, match=r"CityscapesDataset has no usual .*metainfo=dict\(unseen=\[\.\.\.\]\)"):
        build(zero_shot=True)
    for zero_shot in (False, True):
        assert build(zero_shot=zero_shot, metainfo=dict(unseen=["car", 2, "bus"])).metainfo["unseen"] == (2, 13, 15)
    own = make(tmp_path)(zero_shot=True, metainfo=dict(unseen=np.array([3, 1])))
    assert own.metainfo["unseen"] == (1, 3) and len(own.metainfo["classes"]) == 21
    assert "unseen" not in make(tmp_path)(metainfo=dict(unseen=None)).metainfo
    folder = folder_set(tmp_path / "mine", metainfo=dict(unseen=("thing",)))
    assert folder.metainfo["unseen"] == (1,) and folder.metainfo["classes"] == ("ground", "thing")
    other = dict(type="FolderDataset", data_root=str(tmp_path / "mine"), metainfo=dict(classes=("a", "b")), **QUICK)
    assert DATASETS.build(other).metainfo["classes"] == ("a", "b")


def test_unseen_ids_follow_chosen_classes(tmp_path):
    chosen = dict(classes=("cow", "sheep", "cat"), unseen=["sheep"])
    assert make(tmp_path)(metainfo=chosen).metainfo["unseen"] == (1,)
    with pytest.raises(ValueError, match="'pottedplant' is none of the 3 classes"):
        make(tmp_path)(zero_shot=True, metainfo=dict(classes=chosen["classes"]))


@pytest.mark.parametrize(("unseen", "words"), [
    ([21], r"0\.\.20, or names, but got 21"),
    ([-1], "but got -1"),
    ([True], "but got True"),
    ([1.0], r"but got 1\.0"),
    ([], "between 1 and 20 unseen classes of 21, but got 0"),
    (range(21), "between 1 and 20 unseen classes of 21, but got 21"),
    (["sheep", 17], "sheep is there more than once"),
    (["potted plant"], "'potted plant' is none of the 21 classes: did you mean pottedplant"),
    (7, "a list of class names or ids, but got 7"),
])  # fmt: skip
def test_resolve_unseen_ids_refuses_invalid_splits(unseen, words):
    with pytest.raises(ValueError, match=rf"{words}.*metainfo=dict\(unseen="):
        resolve_unseen_ids(unseen, benchmarks.PascalVOCDataset.METAINFO["classes"])


def test_tinyworld_unseen_classes_occur_in_its_scenes():
    scenes = [draw_seeded_scene(2, i).mask for i in range(40)]
    kind, classes = benchmarks.TinyWorldDataset, list(CLASSES)
    unseen = [classes.index(name) for name in kind.unseen_classes]
    assert sorted(unseen) == [1, 3, 10, 11, 14]
    assert [name in OBJECTS for name in kind.unseen_classes] == [True] * 4 + [False]
    shown = np.array([[(mask == k).sum() for k in unseen] for mask in scenes])
    assert ((shown > 100).sum(0) >= 4).all()  # in a tenth of the scenes and more


TRAIN = [
    dict(type="LoadImageFromFile"),
    dict(type="MyLoadAnnotations"),
    dict(type="RandomCrop", crop_size=(4, 4), cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs"),
]


def test_tinyworld_dataset_serves_as_training_set(tmp_path):
    prefix = dict(img_path="JPEGImages", seg_map_path="SegmentationClass")
    split = "ImageSets/Segmentation/val.txt"
    common = dict(type="TinyWorldDataset", ann_file=split, data_prefix=prefix, count=3, **QUICK)
    train = DATASETS.build(
        {**common, "data_root": str(tmp_path / "train"), "seed": 7, "test_mode": False, "zero_shot": True}
        | {"pipeline": TRAIN}
    )
    test = DATASETS.build({**common, "data_root": str(tmp_path / "test"), "seed": 2})
    assert train.metainfo["unseen"] == (1, 3, 10, 11, 14) and not train.test_mode and len(train) == 3
    images = [Image.open(dataset.get_data_info(0)["img_path"]) for dataset in (train, test)]
    assert [image.tobytes() == draw_seeded_scene(7, 0).image.tobytes() for image in images] == [True, False]
    samples = [train[i] for i in range(3)]
    assert {tuple(one["inputs"].shape) for one in samples} == {(3, 4, 4)}
    assert max(one["data_samples"].gt_sem_seg.data.max() for one in samples) < 19


@pytest.mark.parametrize("kind", UNSEEN)
def test_training_set_reads_labels_and_refuses_damaged_images(tmp_path, kind):
    """An image that cannot be read is an error there too, where MMEngine would take another one."""
    build = make(tmp_path, kind=kind, ann_file="", seg_map_suffix=".png", img_suffix=".jpg")
    dataset = build(test_mode=False, zero_shot=True, pipeline=TRAIN)
    expected = 3 - dataset.reduce_zero_label
    for one in (dataset[0], dataset[1]):
        assert one["data_samples"].gt_sem_seg.data.unique().tolist() == [expected]
        assert tuple(one["inputs"].shape) == (3, 4, 4)
    image = tmp_path / "images/b.jpg"
    for content in (image.read_bytes()[:200], b"", b"<html>"):
        image.write_bytes(content)
        with pytest.raises(OSError, match=r"images/b\.jpg"):
            dataset[1]
