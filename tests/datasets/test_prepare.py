"""The prepare_*.py scripts: the official layout in, the pixels the evaluator needs out, traps named."""

import json
import shutil

import numpy as np
import pytest
from helpers.image_bytes import encode_gray_png
from helpers.image_files import photo, pixels, save, write
from PIL import Image
from pycocotools import mask as rle
from scipy.io import savemat

from proxyclip.utils.paths import ROOT

SCRIPTS = sorted(path.stem for path in (ROOT / "datasets").glob("prepare_*.py"))


@pytest.fixture
def voc(tmp_path):
    """VOCdevkit/VOC2012 with two val images and a train image; palette masks."""
    root = tmp_path / "download/VOCdevkit/VOC2012"
    for name in ("2007_000001", "2007_000002", "2008_000003"):
        save(root / f"JPEGImages/{name}.jpg", photo(22, 1))
        mask = Image.fromarray(np.array([[*range(21), 255]], np.uint8)).convert("P")
        mask.putpalette([level // 3 for level in range(768)])
        (root / "SegmentationClass").mkdir(exist_ok=True)
        mask.save(root / f"SegmentationClass/{name}.png")
    write(root / "ImageSets/Segmentation/val.txt", "2007_000001\n2007_000002\n")
    write(root / "ImageSets/Segmentation/train.txt", "2008_000003\n\n")
    return root


@pytest.mark.parametrize("up", [0, 1, 2])
def test_voc_source_may_be_a_parent_folder(output, voc, up):
    source = [voc, *voc.parents][up]
    (voc / "SegmentationClassAug").mkdir()
    out = output("prepare_voc", source)
    assert "val: 2 of 1449 expected (2 good, 0 failed)" in out
    assert "warning: val: found 2, but the whole split has 1449" in out
    assert "train: 1 of 1464 expected (1 good" in out
    root = voc.parents[1]
    assert out.endswith(f"check it: python datasets/check.py --config configs/cfg_voc21.py --data-root {root}\n")


def test_output_folder_that_no_config_reads_is_reported(run, voc, tmp_path):
    out = run("prepare_voc", voc, "-o", tmp_path / "elsewhere")[1]
    assert f"cfg_voc21.py looks for it in DIR/VOCdevkit/VOC2012, DIR being --data-root: move or link {tmp_path}" in out
    assert out.endswith("configs/cfg_voc21.py --data-root DIR\n")


def test_voc_links_its_folders(run, voc, tmp_path):
    out = tmp_path / "data/VOCdevkit/VOC2012"
    assert run("prepare_voc", voc, "-o", out, "--split", "val")[0] == 0
    links = sorted(path.name for path in out.iterdir() if path.is_symlink())
    assert links == ["ImageSets", "JPEGImages", "SegmentationClass"]
    assert (out / "SegmentationClass/2007_000001.png").is_file()
    assert run("prepare_voc", voc, "-o", out)[0] == 0


def test_voc_reports_bad_files(run, voc):
    save(voc / "SegmentationClass/2007_000001.png", photo(22, 1))  # colours
    save(voc / "SegmentationClass/2007_000002.png", [[21] * 22])
    half = voc / "JPEGImages/2008_000003.jpg"
    half.write_bytes(half.read_bytes()[:-40])
    code, out, err = run("prepare_voc", voc)
    assert code == 1
    assert "2007_000001.png: expected one channel of 8 bits, but got mode RGB" in err
    assert "2007_000002.png: has values [21] that a VOC mask does not" in err
    assert "2008_000003.jpg: cannot be read" in err
    assert "val: 0 of 1449 expected (0 good, 2 failed)" in out
    assert "check it" not in out
    half.unlink()
    assert "2008_000003.jpg: cannot be read" in run("prepare_voc", voc, "--split", "train")[2]
    save(half, photo(21, 1))
    assert "2008_000003.jpg: has size (21, 1), but 2008_000003.png has (22, 1)" in run("prepare_voc", voc)[2]


def test_voc_refuses_augmented_masks(output, voc):
    (voc / "SegmentationClass").rename(voc / "SegmentationClassAug")
    err = output("prepare_voc", voc, code=2)
    assert "SegmentationClassAug is another set of files" in err


def test_voc_accepts_real_samples(run, samples):
    assert "val: 4 of 1449 expected (4 good, 0 failed)" in run("prepare_voc", samples / "voc2012")[1]


def rectangle(top, bottom, left, right, kind):
    """A segmentation of a 30 x 40 image as the JSON may have it."""
    mask = np.zeros((30, 40), np.uint8)
    mask[top:bottom, left:right] = 1
    if kind == "polygon":
        return [[left, top, right, top, right, bottom, left, bottom]]
    if kind == "rle":
        packed = rle.encode(np.asfortranarray(mask))
        return {"size": [30, 40], "counts": packed["counts"].decode()}
    flat = mask.T.ravel()
    edges = [0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]
    runs = np.diff(edges).tolist()
    return {"size": [30, 40], "counts": [0, *runs] if flat[0] else runs}


@pytest.fixture
def context(tmp_path):
    """VOCdevkit/VOC2010 with its JSON: two val images, one train image, one of another phase."""
    root = tmp_path / "download/VOCdevkit/VOC2010"
    images = []
    for number, phase in ((2, "val"), (1, "val"), (3, "train"), (4, "test")):
        save(root / f"JPEGImages/2008_00000{number}.jpg", photo(40, 30))
        entry = {"image_id": number, "file_name": f"2008_00000{number}.jpg", "height": 30, "width": 40, "phase": phase}
        images.append(entry)
    annotations = [
        (1, 2, rectangle(0, 30, 0, 20, "rle")),  # aeroplane
        (1, 458, rectangle(10, 20, 15, 25, "counts")),  # wood: over the aeroplane
        (2, 9, rectangle(0, 30, 0, 40, "counts")),
        (1, 5, rectangle(0, 5, 0, 40, "rle")),  # not one of the 59: background over the aeroplane
        (3, 415, rectangle(5, 25, 10, 30, "polygon")),
        (9, 415, rectangle(5, 25, 10, 30, "polygon")),  # of no image
    ]
    keys = ("image_id", "category_id", "segmentation")
    content = {"images": images, "annos_segmentation": [dict(zip(keys, row, strict=True)) for row in annotations]}
    write(root / "trainval_merged.json", json.dumps(content))
    return root


def test_context_paints_annotations_in_order(output, context, tmp_path):
    out = tmp_path / "out"
    said = output("prepare_context", context.parents[1], "-o", out)
    assert "val: 2 of 5104 expected (2 written, 0 kept, 0 failed)" in said
    assert "train: 1 of 4996 expected" in said
    expected = np.zeros((30, 40), int)
    expected[:, :20] = 1
    expected[10:20, 15:25] = 59
    expected[:5] = 0
    assert pixels(out / "SegmentationClassContext/2008_000001.png") == expected.tolist()
    assert pixels(out / "SegmentationClassContext/2008_000002.png") == [[2] * 40] * 30
    polygon = np.array(pixels(out / "SegmentationClassContext/2008_000003.png"))
    assert (polygon[6:24, 11:29] == 51).all()  # 415 is the 51st of the 59 ids
    polygon[4:26, 9:31] = 0
    assert not polygon.any()
    lists = out / "ImageSets/SegmentationContext"
    assert (lists / "val.txt").read_text() == "2008_000001\n2008_000002\n"
    assert (lists / "train.txt").read_text() == "2008_000003\n"
    assert (out / "JPEGImages").is_symlink()
    assert not (context / "SegmentationClassContext").exists()


def test_context_ids_are_those_of_the_459_classes(script):
    """The 59 ids in ascending order; the names prove it: each is PC459's at that 1-based place."""
    names = json.loads((ROOT / "proxyclip/data/classes.json").read_text())["context459"]
    from mmseg.datasets import PascalContextDataset59

    ids = script("prepare_context").IDS
    assert list(ids) == sorted(ids)
    ours = [names[number - 1].replace(" ", "") for number in ids]
    assert ours == [name.replace(" ", "") for name in PascalContextDataset59.METAINFO["classes"]]


def test_context_reads_another_json_and_one_split(run, output, context, tmp_path):
    content = json.loads((context / "trainval_merged.json").read_text())
    for image in content["images"]:
        image["id"] = image.pop("image_id")
    write(tmp_path / "copy.json", json.dumps(content))
    (context / "trainval_merged.json").unlink()
    err = output("prepare_context", context, code=2)
    assert f"expected {context}/trainval_merged.json" in err
    assert run("prepare_context", context, "--json", tmp_path / "copy.json", "--split", "val")[0] == 0
    assert pixels(context / "SegmentationClassContext/2008_000002.png")[0][0] == 2
    assert not (context / "ImageSets/SegmentationContext/train.txt").exists()
    assert not (context / "SegmentationClassContext/2008_000003.png").exists()


def test_context_reports_images_that_are_missing_or_differ(output, context):
    (context / "JPEGImages/2008_000001.jpg").unlink()
    save(context / "JPEGImages/2008_000003.jpg", photo(30, 40))
    err = output("prepare_context", context, code=1)
    assert "2008_000001.jpg: cannot be read" in err
    assert "2008_000003.jpg: has size (30, 40)" in err
    assert (context / "ImageSets/SegmentationContext/val.txt").read_text() == "2008_000002\n"


@pytest.mark.parametrize("segmentation", [{"size": [3, 4], "counts": [0, 12]}, {"size": [30, 40]}, "x", [[1, 2]]])
def test_context_reports_broken_masks(run, context, segmentation):
    content = json.loads((context / "trainval_merged.json").read_text())
    content["annos_segmentation"][0]["segmentation"] = segmentation
    write(context / "trainval_merged.json", json.dumps(content))
    code, out, err = run("prepare_context", context, "--split", "val")
    assert code == 1
    assert "2008_000001.jpg: cannot be converted" in err
    assert "(1 written, 0 kept, 1 failed)" in out


@pytest.mark.parametrize(("text", "words"), [
    ('{"images": [', "Expecting value"),
    ('{"images": []}', "'annos_segmentation' is missing"),
    ('{"images": [{"image_id": 1}], "annos_segmentation": []}', "'file_name' is missing"),
    ("[1]", "trainval_merged.json"),
])  # fmt: skip
def test_context_reports_broken_json(output, context, text, words):
    write(context / "trainval_merged.json", text)
    err = output("prepare_context", context, code=1)
    assert "is not PASCAL Context's trainval_merged.json" in err
    assert words in err


@pytest.fixture
def context459(tmp_path):
    """VOCdevkit/VOC2010 with trainval/*.mat; the val list names 2010_001606, of which there is a .mat."""
    root = tmp_path / "download/VOCdevkit/VOC2010"
    (root / "JPEGImages").mkdir(parents=True)
    (root / "trainval").mkdir()
    kinds = {"2008_000002": np.uint16, "2008_000001": np.float64, "2010_001606": np.uint16, "2009_000003": np.int32}
    for name, kind in kinds.items():
        savemat(root / f"trainval/{name}.mat", {"LabelMap": np.array([[1, 256, 257], [431, 459, 0]], kind)})
    write(root / "ImageSets/Main/val.txt", "2008_000002\n2008_000001\n2010_001606\n")
    write(root / "ImageSets/Main/train.txt", "2009_000003\n")
    return root


def test_context459_writes_16_bit_labels_and_the_list(run, output, context459, tmp_path):
    out = tmp_path / "out"
    said = output("prepare_context459", context459.parent, "-o", out)
    folder = out / "annotations_detectron2/pc459_val"
    assert sorted(path.name for path in folder.iterdir()) == ["2008_000001.tif", "2008_000002.tif"]
    for path in folder.iterdir():
        assert Image.open(path).mode == "I;16"
        assert pixels(path) == [[0, 255, 256], [430, 458, 65535]]
    assert (out / "ImageSets/SegmentationContext/val.txt").read_text() == "2008_000001\n2008_000002\n"
    assert "val.txt is written" in said
    assert (out / "JPEGImages").is_symlink()
    assert "is written" not in run("prepare_context459", context459, "-o", out)[1]


def test_context459_train_and_the_other_scripts_list(output, context459):
    write(context459 / "ImageSets/SegmentationContext/val.txt", "2010_001606\n")
    (context459 / "trainval").rename(context459.parent / "mats")
    out = output("prepare_context459", context459, "--mat", context459.parent / "mats", "--split", "val", "train")
    assert "train: 1 (1 written" in out
    folder = context459 / "annotations_detectron2"
    names = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*"))
    assert names == ["pc459_train/2009_000003.tif", "pc459_val/2010_001606.tif"]
    assert (context459 / "ImageSets/SegmentationContext/val.txt").read_text() == "2010_001606\n"


def test_context459_reports_missing_and_bad_maps(run, context459):
    mats = context459 / "trainval"
    maps = {"a": np.array([[460]]), "b": np.array([[1.5, np.nan]]), "d": np.array([[-1]]), "e": "text"}
    bad = {"c": {"Other": np.array([[1]])}} | {name: {"LabelMap": value} for name, value in maps.items()}
    for name, content in bad.items():
        savemat(mats / f"{name}.mat", content)
    write(mats / "f.mat", "no mat")
    write(context459 / "ImageSets/Main/val.txt", "\n".join([*bad, "f", "g", "2008_000001"]))
    code, out, err = run("prepare_context459", context459)
    assert code == 1 and "a.mat: LabelMap has values [460], expected whole numbers from 0 to 459" in err
    texts = {
        "b": "LabelMap has values [1.5, nan]", "c": "expected an H x W map of numbers named LabelMap",
        "d": "LabelMap has values [-1]", "e": "expected an H x W map", "f": "cannot be read", "g": "cannot be read",
    }  # fmt: skip
    assert all(f"{name}.mat: {text}" in err for name, text in texts.items())
    assert "1 of 5104 expected (1 written, 0 kept, 7 failed)" in out
    assert (context459 / "ImageSets/SegmentationContext/val.txt").read_text() == "2008_000001\n"


@pytest.fixture
def ade(tmp_path):
    """ADEChallengeData2016, validation only."""
    root = tmp_path / "download/ADEChallengeData2016"
    for number in (1, 2):
        save(root / f"images/validation/ADE_val_0000000{number}.jpg", photo(151, 2))
        save(root / f"annotations/validation/ADE_val_0000000{number}.png", [[*range(151)]] * 2)
    return root


def test_ade20k_copies_its_folders(output, ade, tmp_path):
    out = tmp_path / "out"
    said = output("prepare_ade20k", ade.parent, "-o", out, "--copy")
    assert "validation: 2 of 2000 expected (2 good, 0 failed)" in said
    assert not (out / "images").is_symlink()
    assert pixels(out / "annotations/validation/ADE_val_00000002.png") == [[*range(151)]] * 2


def test_ade20k_reports_bad_files(output, ade):
    save(ade / "annotations/validation/ADE_val_00000001.png", [[151] * 151] * 2)
    (ade / "annotations/validation/ADE_val_00000002.png").rename(ade / "annotations/validation/ADE_val_00000003.png")
    err = output("prepare_ade20k", ade, code=1)
    assert "ADE_val_00000001.png: has values [151] that a map of the 150 classes does not" in err
    assert "ADE_val_00000002.png: cannot be read" in err
    assert "ADE_val_00000003.jpg: cannot be read" in err


def test_maps_that_pillow_scales_or_of_several_pages_are_refused(output, ade):
    frames = [Image.new("L", (151, 2), value) for value in (1, 2)]
    first = ade / "annotations/validation/ADE_val_00000001.png"
    frames[0].save(first, save_all=True, append_images=frames[1:])
    first.with_name("ADE_val_00000002.png").write_bytes(encode_gray_png(np.full((2, 151), 3), 4))
    err = output("prepare_ade20k", ade, code=1)
    assert "ADE_val_00000001.png: expected one map, but it has 2 pages" in err
    assert "ADE_val_00000002.png: expected gray values of 8 bits, but they have 4" in err


def test_linked_and_hidden_folders_count_once(script, tmp_path):
    files = script("_files")
    for name in ("a/1.png", "__MACOSX/2.png", ".trash/3.png", "a/._1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a/up").symlink_to("..")
    (tmp_path / "b").symlink_to("a")
    assert [path.name for path in files.walk(tmp_path, ".png")] == ["1.png"]


def test_ade20k_accepts_real_samples(output, samples):
    out = output("prepare_ade20k", samples / "ade20k")
    assert "validation: 3 of 2000 expected (3 good" in out
    assert "training: 1 of 20210 expected" in out


@pytest.fixture
def full(tmp_path):
    """ADE20K_2021_17_01: a validation image of 600 x 1025, one of 30 x 20, and a training image."""
    root = tmp_path / "download/ADE20K_2021_17_01"
    for place, width, height in (
        ("validation/urban/street/ADE_val_00000002", 1025, 600),
        ("validation/home/ADE_val_00000001", 30, 20),
        ("training/home/ADE_train_00000007", 30, 20),
    ):
        save(root / f"images/ADE/{place}.jpg", photo(width, height))
        mask = np.zeros((height, width, 3), int)
        mask[:, : width // 2] = [2978 // 256 * 10 + 3, 2978 % 256, 77]  # class 0; the last digit of red is an instance
        mask[: height // 2, : width // 2] = [0, 57, 0]  # class 29
        save(root / f"images/ADE/{place}_seg.png", mask)
        write(root / f"images/ADE/{place}/instance_000.png", "left alone")
    return root


def test_ade847_writes_small_images_and_16_bit_labels(output, full, tmp_path):
    out = tmp_path / "out"
    said = output("prepare_ade847", full.parent, "-o", out)
    assert "validation: 2 of 2000 expected (2 written, 0 kept, 0 failed)" in said
    assert (out / "validation.txt").read_text() == "ADE_val_00000001\nADE_val_00000002\n"
    small = np.full((20, 30), 65535)
    small[:, :15] = 0
    small[:10, :15] = 29
    folders = [out / f"{kind}_detectron2/validation" for kind in ("images", "annotations")]
    assert pixels(folders[1] / "ADE_val_00000001.tif") == small.tolist()
    assert Image.open(folders[0] / "ADE_val_00000001.jpg").size == (30, 20)
    large = np.array(Image.open(folders[1] / "ADE_val_00000002.tif"))
    image = Image.open(folders[0] / "ADE_val_00000002.jpg")
    assert large.shape == (512, 875) == image.size[::-1]  # 1025 * 512 / 600 = 874.67
    assert large.dtype == np.uint16
    assert large[255, 436] == 29
    assert large[256, 436] == 0
    assert large[0, 437] == large[511, 437] == 65535
    assert not (out / "images_detectron2/training").exists()
    default = Image.open(full / "images/ADE/validation/home/ADE_val_00000001.jpg")
    default.save(tmp_path / "default.jpg")  # Pillow's quality, and nothing enlarged
    assert (folders[0] / "ADE_val_00000001.jpg").read_bytes() == (tmp_path / "default.jpg").read_bytes()


def test_ade847_reports_bad_files(run, output, full):
    home = full / "images/ADE/validation/home"
    save(home / "ADE_val_00000001_seg.png", [[0]])
    save(home / "ADE_val_00000003.jpg", photo(3, 3))
    save(home / "ADE_val_00000004.jpg", photo(3, 3))
    save(home / "ADE_val_00000004_seg.png", photo(4, 3))
    err = output("prepare_ade847", full, code=1)
    assert "ADE_val_00000001_seg.png: expected red, green and blue" in err
    assert "ADE_val_00000003_seg.png: cannot be read" in err
    assert "ADE_val_00000004.jpg: has size (3, 3), but ADE_val_00000004_seg.png has (4, 3)" in err
    assert (full / "validation.txt").read_text() == "ADE_val_00000002\n"
    assert run("prepare_ade847", full, "--split", "training")[0] == 0
    assert (full / "training.txt").read_text() == "ADE_train_00000007\n"


def test_ade847_refuses_two_sources_of_a_name(output, full):
    save(full / "images/ADE/validation/other/ADE_val_00000001.jpg", photo(3, 3))
    err = output("prepare_ade847", full, code=1)
    assert "ADE_val_00000001.jpg: more than one source" in err


@pytest.mark.parametrize("folder", ["images", "images/ADE"])  # the second: as the release of 2016 lies
def test_ade20k_and_ade847_refuse_the_source_of_the_other(output, ade, full, tmp_path, folder):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "images").symlink_to(full / folder, target_is_directory=True)
    for script_name, source, other in (("prepare_ade20k", mixed, "ade847"), ("prepare_ade847", ade, "ade20k")):
        err = output(script_name, source, code=2)
        assert f"prepare_{other}.py" in err


def test_ade847_equals_the_published_files(output, samples, tmp_path):
    """The sample's JPEG was written with quality 95; size, pixels and labels follow from the original."""
    source = tmp_path / "ADE20K_2021_17_01/images/ADE/training/scene"
    shutil.copytree(samples / "ade20k847/original", source)
    output("prepare_ade847", tmp_path, "--split", "training", "--quality", "95")
    root = tmp_path / "ADE20K_2021_17_01"
    for part, suffix in (("images", "jpg"), ("annotations", "tif")):
        name = f"{part}_detectron2/training/ADE_train_00016869.{suffix}"
        assert (root / name).read_bytes() == (samples / "ade20k847" / name).read_bytes()


@pytest.fixture
def cityscapes(tmp_path):
    root = tmp_path / "download/cityscapes"
    for split, city in (("val", "lindau"), ("val", "munster"), ("train", "aachen"), ("test", "berlin")):
        stem = f"{split}/{city}/{city}_000000_000019"
        save(root / f"gtFine/{stem}_gtFine_labelIds.png", [[*range(34), 255]])
        write(root / f"gtFine/{stem}_gtFine_polygons.json", "{}")
        save(root / f"leftImg8bit/{stem}_leftImg8bit.png", photo(35, 1))
    return root


def test_cityscapes_writes_train_ids(output, cityscapes):
    out = output("prepare_cityscapes", cityscapes.parent)
    assert "val: 2 of 500 expected (2 written" in out
    assert "train: 1 of 2975 expected (1 written" in out
    expected = [255] * 35
    for label, value in enumerate([7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]):
        expected[value] = label
    made = sorted((cityscapes / "gtFine").rglob("*_gtFine_labelTrainIds.png"))
    assert [path.parent.name for path in made] == ["aachen", "lindau", "munster"]
    assert all(pixels(path) == [expected] for path in made)


def test_cityscapes_reports_missing_images_and_bad_labels(output, cityscapes, tmp_path):
    (cityscapes / "leftImg8bit").rename(tmp_path / "away")
    save(cityscapes / "gtFine/val/lindau/lindau_000000_000019_gtFine_labelIds.png", [[0, 34, 90]])
    out = tmp_path / "out"
    err = output("prepare_cityscapes", cityscapes, "-o", out, "--split", "val", code=1)
    assert "lindau_000000_000019_gtFine_labelIds.png: has values [34, 90] that a labelIds file does not" in err
    assert f"note: there is no {cityscapes}/leftImg8bit" in err
    assert [path.parent.name for path in out.rglob("*.png")] == ["munster"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_missing_source_is_reported(run, name, tmp_path):
    code, out, err = run(name, tmp_path / "nowhere")
    assert (code, out) == (2, "")
    assert err.startswith("error: expected ")
    assert str(tmp_path / "nowhere") in err
    assert any(archive in err for archive in (".zip", ".tar", ".gz", "ADE20K_2021_17_01"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_is_the_docstring(script, name, capsys):
    with pytest.raises(SystemExit) as stop:
        script(name).main(["--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert script(name).__doc__ in said
    assert f"python datasets/{name}.py" in said
    assert all(word in said for word in ("--out-dir", "--workers", "--force", "--split", "--copy"))
