"""The COCO-Object converter: right labels, resumable, and honest about bad files."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from proxyclip.paths import ROOT

SCRIPT = ROOT / "datasets/cvt_coco_object.py"
UNUSED = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82)
THINGS = [value for value in range(90) if value not in UNUSED]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("cvt_coco_object", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def coco(tmp_path):
    """A val-only download of three images; every legal raw value occurs in each."""
    root = tmp_path / "coco"
    for part in ("annotations", "images"):
        (root / part / "val2017").mkdir(parents=True)
    raw = np.array([*THINGS, *range(91, 182), 255], np.uint8)[None]
    for name in ("000000000001", "000000000002", "000000000003"):
        Image.fromarray(raw).save(root / "annotations/val2017" / f"{name}.png")
        (root / "images/val2017" / f"{name}.jpg").write_bytes(b"image")
    (root / "annotations/val2017/000000000001_labelTrainIds.png").write_bytes(b"another converter's")
    return root


def labels(folder):
    return {p.name[:12]: np.array(Image.open(p)) for p in sorted(folder.glob("*_instanceTrainIds.png"))}


def test_table(script):
    assert len(THINGS) == 80
    assert [int(script.TABLE[value]) for value in THINGS] == list(range(1, 81))
    assert not script.TABLE[[*range(91, 182), 255]].any()
    assert (script.TABLE[[*UNUSED, 90, *range(182, 255)]] == script.ILLEGAL).all()


def test_converts_links_and_reports(script, coco, tmp_path, capsys):
    out = tmp_path / "object"
    assert script.main([str(coco), "-o", str(out), "--workers", "1"]) == 0
    found = labels(out / "annotations/val2017")
    assert len(found) == 3
    assert all(value.tolist() == [[*range(1, 81), *[0] * 92]] for value in found.values())
    assert (out / "images").is_symlink()
    assert (out / "images/val2017/000000000001.jpg").read_bytes() == b"image"
    assert "val2017: 3 of 5000 expected (3 written, 0 kept, 0 failed)" in capsys.readouterr().out
    assert not (out / "annotations/train2017").exists()


def test_in_place_and_with_processes(coco):
    done = subprocess.run([sys.executable, SCRIPT, coco, "--workers", "2"], capture_output=True, text=True, check=True)
    assert "(3 written" in done.stdout
    again = subprocess.run([sys.executable, SCRIPT, coco, "-o", coco], capture_output=True, text=True, check=True)
    assert "(0 written, 3 kept" in again.stdout
    assert not (coco / "images").is_symlink()


def test_finished_files_are_kept_and_half_ones_made_again(script, coco, capsys):
    script.main([str(coco), "--workers", "1"])
    folder = coco / "annotations/val2017"
    whole, half = (folder / f"00000000000{i}_instanceTrainIds.png" for i in (1, 2))
    before = whole.stat().st_mtime_ns
    half.write_bytes(half.read_bytes()[:-20])
    (folder / f".{half.name}.part").write_bytes(b"left by a killed run")
    assert script.main([str(coco), "--workers", "1"]) == 0
    assert "(1 written, 2 kept, 0 failed)" in capsys.readouterr().out
    assert whole.stat().st_mtime_ns == before
    assert len(labels(folder)) == 3
    assert not list(folder.glob(".*"))


def test_bad_raw_maps_are_named_and_the_others_converted(script, coco, capsys):
    folder = coco / "annotations/val2017"
    Image.fromarray(np.full((2, 3), 200, np.uint8)).save(folder / "000000000001.png")
    (folder / "000000000002.png").write_bytes(b"no picture")
    Image.new("RGB", (2, 2)).save(folder / "000000000004.png")
    assert script.main([str(coco), "--workers", "1"]) == 1
    said = capsys.readouterr()
    assert "000000000001.png: has values [200]" in said.err
    assert "000000000002.png: cannot be read" in said.err
    assert "000000000004.png: expected one channel" in said.err
    assert "1 of 5000 expected (1 written, 0 kept, 3 failed)" in said.out
    assert list(labels(folder)) == ["000000000003"]


def test_copying_and_missing_folders(script, coco, tmp_path, capsys):
    out = tmp_path / "object"
    script.main([str(coco), "-o", str(out), "--copy", "--workers", "1"])
    assert not (out / "images").is_symlink()
    assert (out / "images/val2017/000000000001.jpg").is_file()
    assert script.main([str(tmp_path / "nowhere")]) == 2
    assert "nowhere/annotations/val2017" in capsys.readouterr().err


def test_equals_the_published_table_on_real_masks(script, samples, tmp_path):
    source = samples / "coco_stuff164k"
    assert script.main([str(source), "-o", str(tmp_path), "--workers", "1"]) == 0
    for split, count in (("val2017", 8), ("train2017", 13)):
        ours, theirs = labels(tmp_path / "annotations" / split), labels(source / "annotations" / split)
        assert len(ours) == count
        assert ours.keys() == theirs.keys()
        assert all((ours[name] == theirs[name]).all() for name in ours)
