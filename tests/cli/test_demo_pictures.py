"""What demo.py says of its pictures: unused bits, further pages, dropped classes, sizes, other kinds of files."""

import numpy as np
import pytest
from helpers.color_tiff import encode_color_tiff
from helpers.image_bytes import encode
from PIL import Image

from proxyclip.cli.demo import main
from proxyclip.tinyworld.scenes import draw_seeded_scene

SCENE = draw_seeded_scene(21, 0).image[:96, :120]


def run(folder, *arguments):
    return main([*map(str, arguments), "--tiny", "--method", "maskclip", "--out", str(folder / "out")])


@pytest.mark.slow
def test_demo_prints_notes_on_pictures(tmp_path, capfd):
    gray = np.asarray(Image.fromarray(SCENE).convert("L"))
    (tmp_path / "dark.png").write_bytes(encode(gray.astype(np.uint16) * 16, "PNG"))
    (tmp_path / "pages.tif").write_bytes(encode_color_tiff(SCENE, SCENE[::-1].copy()))
    (tmp_path / "float.tif").write_bytes(encode_color_tiff(SCENE / 255))
    (tmp_path / "photo.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(90))
    files = [tmp_path / name for name in ("dark.png", "pages.tif", "float.tif", "photo.jpg")]
    assert run(tmp_path, *files, "--classes", "boat; sky; sand") == 1
    lines = capfd.readouterr().err.splitlines()
    for start, part in (
        ("note: ", "dark.png: has 16 bits"), ("note: ", "pages.tif: holds 2 pictures"),
        ("error: ", "float.tif: holds floating-point"), ("error: ", "photo.jpg: is a HEIC picture"),
    ):  # fmt: skip
        assert [line for line in lines if line.startswith(start) and part in line], part
    assert not any("ImageWarning" in line or "damaged" in line for line in lines)
    assert run(tmp_path, *files[:1], files[2], "--classes", "boat; sky; sand", "--stretch") == 0
    assert "note: " not in capfd.readouterr().err


@pytest.mark.slow
def test_demo_prints_dropped_classes_and_takes_large_pictures(tmp_path, capfd, monkeypatch):
    Image.fromarray(SCENE).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    classes = ["--classes", "boat; sky; sand; car; house", "--background", "grass"]
    assert run(tmp_path, tmp_path / "a.png", *classes) == 1
    assert "a.png: has 120 x 96 pixels" in capfd.readouterr().err
    arguments = [tmp_path / "a.png", *classes, "--max-megapixels", "0.02", "--refine", "regions:min_region=4000"]
    assert run(tmp_path, *arguments) == 0
    assert "refinement dropped " in capfd.readouterr().err
