"""The demo's options of classes, background and threshold."""

import subprocess
import sys

import pytest

from proxyclip.cli.demo import DemoOptions, build_demo_segmenter, check_class_options, parse_demo_options
from proxyclip.utils.paths import ROOT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--background", "45%"), "not percent, write 0.45"),
        (("--background", "45"), "not percent, write 0.45"),
        (("--background", "wall, 0.4"), "0.4 as threshold"),
        (("--threshold", "45"), "not percent, write 0.45"),
        (("--classes", "Mill; mill"), "one text for CLIP"),
        (("--classes", "0: lake; 2: mill"), "class 2 of the text has 2"),
        (("--classes", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_demo_refuses_classes_and_numbers_before_anything_is_loaded(arguments, message, capsys):
    options = parse_demo_options(["--tiny", "--classes", "lake; mill", *arguments])
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        check_class_options(options)
    for wrong in ("45%", "x"):
        with pytest.raises(SystemExit):
            parse_demo_options(["--threshold", wrong])
    assert "not percent, write 0.45" in capsys.readouterr().err
    assert parse_demo_options(["--threshold", "0,4"]).threshold == 0.4


@pytest.mark.slow
def test_demo_takes_a_class_for_a_class_and_says_which_were_understood(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gravel").write_text("notes on gravel\n", encoding="utf-8")
    (tmp_path / "list.csv").write_text("id,name\n0,lake\n1,mill\n", encoding="utf-8")
    many = [f"lake of kind {i}" for i in range(40)]
    for classes, names, line in (
        ("gravel", ("gravel",), "1 class: gravel"),
        ("./gravel", ("notes on gravel",), "1 class: notes on gravel (of the file"),
        ("list.csv", ("lake", "mill"), "2 classes: lake | mill (of the file"),
        ("lake；mill，windmill", ("lake", "mill"), "2 classes: lake | mill, windmill"),
        ("; ".join(many), tuple(many), "40 classes"),
    ):
        assert build_demo_segmenter(DemoOptions(tiny=True, classes=classes)).classes == names
        output = capsys.readouterr().out
        assert line in output
        assert ("not the file; for that say ./gravel" in output) == (classes == "gravel")


@pytest.mark.slow
def test_demo_prints_each_note_once_as_a_plain_line(tmp_path):
    arguments = [sys.executable, str(ROOT / "demo.py"), "--tiny", "--classes", "水車, mill", "--out", str(tmp_path)]
    result = subprocess.run(arguments, capture_output=True, text=True, encoding="utf-8", cwd=tmp_path, check=True)
    assert "2 classes: 水車 | mill\n" in result.stdout
    lines = result.stderr.splitlines()
    assert sum(line.startswith("2 classes, for there is no ';': 水車 | mill") for line in lines) == 1
    assert sum(line.startswith("your classes: '水車' in a script that this CLIP") for line in lines) == 1
    assert "WARNING" not in result.stderr
