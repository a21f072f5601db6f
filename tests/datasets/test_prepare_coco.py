"""The scripts for COCO-Stuff164k, COCO-Stuff10k and COCO-Object, and the published name of the last one."""

import subprocess
import sys

import numpy as np
import pytest
from helpers.image_files import photo, pixels, save, write
from PIL import Image
from scipy.io import savemat

from proxyclip.utils.paths import ROOT

SCRIPT = ROOT / "datasets/cvt_coco_object.py"
UNUSED = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82)
THINGS = [value for value in range(90) if value not in UNUSED]
RAW = [*THINGS, *range(91, 182), 255]
BOTH = {  # script: suffix, what RAW becomes
    "prepare_coco_object": ("_instanceTrainIds.png", [*range(1, 81), *[0] * 92]),
    "prepare_coco_stuff164k": ("_labelTrainIds.png", [*range(171), 255]),
}


@pytest.fixture
def coco(tmp_path):
    """A val-only download of three images; every legal raw value occurs in each."""
    root = tmp_path / "coco"
    (root / "images/val2017").mkdir(parents=True)
    for name in ("000000000001", "000000000002", "000000000003"):
        save(root / "annotations/val2017" / f"{name}.png", [RAW])
        (root / "images/val2017" / f"{name}.jpg").write_bytes(b"image")
    (root / "annotations/val2017/000000000001_labelTrainIds.png").write_bytes(b"another converter's")
    (root / "annotations/val2017/000000000001_instanceTrainIds.png").write_bytes(b"half of ours")
    (root / "annotations/val2017/._000000000001.png").write_bytes(b"a Mac's")
    return root


def labels(folder, suffix="_instanceTrainIds.png"):
    return {p.name[:12]: np.array(Image.open(p)) for p in sorted(folder.glob(f"*{suffix}"))}


@pytest.mark.parametrize("name", BOTH)
def test_converts_maps_and_links_images(output, coco, tmp_path, name):
    suffix, expected = BOTH[name]
    out = tmp_path / "object"
    said = output(name, coco, "-o", out)
    found = labels(out / "annotations/val2017", suffix)
    assert list(found) == ["000000000001", "000000000002", "000000000003"]
    assert all(value.tolist() == [expected] for value in found.values())
    assert (out / "images").is_symlink()
    assert (out / "images/val2017/000000000001.jpg").read_bytes() == b"image"
    assert "val2017: 3 of 5000 expected (3 written, 0 kept, 0 failed)" in said
    assert "warning: val2017: found 3, but the whole split has 5000" in said
    assert not (out / "annotations/train2017").exists()


def test_published_script_name_works_in_place_and_with_processes(coco):
    done = subprocess.run([sys.executable, SCRIPT, coco, "--workers", "2"], capture_output=True, text=True, check=True)
    assert "(3 written" in done.stdout
    again = subprocess.run([sys.executable, SCRIPT, coco, "-o", coco], capture_output=True, text=True, check=True)
    assert "(0 written, 3 kept" in again.stdout
    assert not (coco / "images").is_symlink()
    helped = subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, text=True, check=True)
    assert "COCO-Object" in helped.stdout


@pytest.mark.parametrize("name", BOTH)
def test_bad_maps_are_reported_and_the_others_converted(run, coco, name):
    folder = coco / "annotations/val2017"
    save(folder / "000000000001.png", np.full((2, 3), 200))
    (folder / "000000000002.png").write_bytes(b"no picture")
    Image.new("RGB", (2, 2)).save(folder / "000000000004.png")
    save(folder / "000000000005.png", [[0, *UNUSED]])
    save(folder / "000000000006.png", [[0, 90, *range(182, 189)]])
    code, out, err = run(name, coco, "-o", coco.parent / "out")
    assert code == 1
    texts = {1: "has values [200]", 2: "cannot be read", 4: "expected one channel"}
    assert all(f"00000000000{number}.png: {text}" in err for number, text in texts.items())
    assert f"000000000005.png: has values {list(UNUSED)}" in err
    assert f"000000000006.png: has values {[90, *range(182, 189)]}" in err
    assert "1 of 5000 expected (1 written, 0 kept, 5 failed)" in out
    assert list(labels(coco.parent / "out/annotations/val2017", BOTH[name][0])) == ["000000000003"]


@pytest.mark.parametrize("maps", ["stuffthingmaps_trainval2017", "stuffthingmaps", "."])
@pytest.mark.parametrize("images", [".", "images"])
def test_layouts_of_the_archives_are_accepted(output, coco, maps, images):
    (coco / maps).mkdir(exist_ok=True)
    (coco / "annotations/val2017").rename(coco / maps / "val2017")
    (coco / "annotations/instances_val2017.json").write_text("{}")
    if images == ".":
        (coco / "val2017").mkdir(exist_ok=True)
        for path in (coco / "images/val2017").iterdir():
            path.rename(coco / "val2017" / path.name)
        (coco / "images/val2017").rmdir()
    said = output("prepare_coco_stuff164k", coco)
    assert "3 of 5000" in said
    assert len(labels(coco / "annotations/val2017", "_labelTrainIds.png")) == 3
    assert (coco / "images/val2017/000000000002.jpg").read_bytes() == b"image"
    assert not list((coco / maps).glob("val2017/*2_labelTrainIds.png"))


def test_images_in_two_folders_are_linked_each(run, coco, tmp_path):
    """val2017 in images, train2017 beside it: each is linked, and nothing is written into the source."""
    save(coco / "annotations/train2017/000000000009.png", [RAW])
    write(coco / "train2017/000000000009.jpg", "image")
    assert run("prepare_coco_object", coco, "-o", tmp_path / "out")[0] == 0
    assert [p.is_file() for p in (tmp_path / "out/images").glob("*/*.jpg")] == [True] * 4
    assert [path.name for path in (coco / "images").iterdir()] == ["val2017"]


@pytest.mark.parametrize("name", BOTH)
def test_labels_equal_the_published_ones_on_real_maps(run, samples, tmp_path, name):
    source, suffix = samples / "coco_stuff164k", BOTH[name][0]
    assert run(name, source, "-o", tmp_path)[0] == 0
    for split, count in (("val2017", 8), ("train2017", 13)):
        ours, theirs = (labels(place / "annotations" / split, suffix) for place in (tmp_path, source))
        assert len(ours) == count
        assert ours.keys() == theirs.keys()
        assert all((ours[name] == theirs[name]).all() for name in ours)


@pytest.fixture
def coco10k(tmp_path):
    """cocostuff-10k-v1.1 with two test images and a train image; every legal id occurs in each."""
    root = tmp_path / "download/cocostuff-10k-v1.1"
    (root / "annotations").mkdir(parents=True)
    for number in (1, 2, 3):
        name = f"COCO_train2014_00000000000{number}"
        values = [[0, *(value + 1 for value in RAW[:-1])]]
        savemat(root / f"annotations/{name}.mat", {"S": np.array(values, np.uint8), "names": "others"})
        save(root / f"images/{name}.jpg", photo(172, 1))
    write(root / "imageLists/test.txt", "COCO_train2014_000000000002\nCOCO_train2014_000000000001\n")
    write(root / "imageLists/train.txt", "COCO_train2014_000000000003\n")
    return root


@pytest.mark.parametrize("copy", [False, True])
def test_coco_stuff10k_converts_maps_and_takes_images(output, coco10k, tmp_path, copy):
    out = tmp_path / "out"
    said = output("prepare_coco_stuff10k", coco10k.parent, "-o", out, *["--copy"] * copy)
    assert "test2014: 2 of 1000 expected (2 written" in said
    assert "train2014: 1 of 9000 expected (1 written" in said
    made = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*"))
    numbered = [("test2014", 1), ("test2014", 2), ("train2014", 3)]
    stems = [f"{split}/COCO_train2014_00000000000{number}" for split, number in numbered]
    maps, images = ([f"{part}/{stem}" for stem in stems] for part in ("annotations", "images"))
    assert made == [f"{name}_labelTrainIds.png" for name in maps] + [f"{name}.jpg" for name in images]
    assert all(pixels(out / name) == [[*range(172)]] for name in made[:3])
    image, source = out / made[3], coco10k / "images/COCO_train2014_000000000001.jpg"
    assert image.read_bytes() == source.read_bytes()
    assert image.samefile(source) is not copy


def test_coco_stuff10k_writes_both_files_again_if_one_is_lost(run, coco10k):
    (coco10k / "imageLists").rename(coco10k / "imagesLists")  # as a manual prints it
    assert run("prepare_coco_stuff10k", coco10k, "--split", "test2014")[0] == 0
    (coco10k / "annotations/test2014/COCO_train2014_000000000001_labelTrainIds.png").unlink()
    assert "(1 written, 1 kept, 0 failed)" in run("prepare_coco_stuff10k", coco10k, "--split", "test2014")[1]
    assert "(2 written, 0 kept, 0 failed)" in run("prepare_coco_stuff10k", coco10k, "--split", "test2014", "--force")[1]
    assert not [path for path in coco10k.rglob("*") if path.name.startswith(".")]
    assert not (coco10k / "images/train2014").exists()


def test_coco_stuff10k_reports_bad_files(output, coco10k):
    savemat(coco10k / "annotations/COCO_train2014_000000000001.mat", {"S": np.array([[12, 91, 182]])})
    (coco10k / "images/COCO_train2014_000000000002.jpg").write_bytes(b"no picture")
    save(coco10k / "images/COCO_train2014_000000000003.jpg", photo(1, 172))
    err = output("prepare_coco_stuff10k", coco10k, code=1)
    assert "000000000001.mat: has values [12, 91] that COCO-Stuff10k v1.1 does not" in err
    assert "000000000002.jpg: cannot be read" in err
    assert "000000000003.jpg: has size (1, 172)" in err
    assert not [*coco10k.glob("annotations/test2014/*"), *coco10k.glob("images/test2014/*")]


def test_coco_stuff10k_equals_real_labels(run, samples, tmp_path):
    """The sample's raw 164k maps, written as the 10k archive has them, become the sample's 10k labels."""
    made = samples / "coco_stuff10k_style"
    names = [path.stem for path in sorted((made / "images/test2014").glob("*.jpg"))]
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images").symlink_to(made / "images/test2014", target_is_directory=True)
    for name in names:
        raw = np.array(Image.open(samples / f"coco_stuff164k/annotations/val2017/{name}.png")) + np.uint8(1)
        savemat(tmp_path / f"annotations/{name}.mat", {"S": raw})  # 255 has become 0
    write(tmp_path / "imageLists/test.txt", "\n".join(names))
    assert run("prepare_coco_stuff10k", tmp_path, "-o", tmp_path / "out")[0] == 0
    for name in names:
        file = f"annotations/test2014/{name}_labelTrainIds.png"
        assert (tmp_path / "out" / file).read_bytes() == (made / file).read_bytes()
    assert len(names) == 8
