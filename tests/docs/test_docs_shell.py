"""Lines of the docs' `sh` blocks, which install: each is run as far as one can without network and changes outside."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest
from helpers.run_command import call, enter
from PIL import Image

from proxyclip.tinyworld.scenes import draw_seeded_scene
from proxyclip.utils.paths import ROOT

BLOCKS = [
    block
    for page in sorted((ROOT / "docs").glob("*.md"))
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.S)
]
LINES = {part.strip() for block in BLOCKS for line in block.splitlines() for part in line.partition("#")[0].split("&&")}
PIP = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--disable-pip-version-check", "-q"]
# What cannot be: it fetches, or needs an address.
NOT_HERE = ("apt-get install", "pip wheel", ".venv/bin/pip install torch torchvision --index-url INDEX")
BUILT_IN = ("source ", "export ")


def words(line):
    """The program and arguments that stand for a line, and the exit code and words to expect."""
    program, *rest = shlex.split(line)
    if program == "make":
        return ["make", "-n", *rest], 0, ""
    if program.endswith("pip"):
        return [*PIP, *rest[1:]], 0, ""  # all of it is here already
    if rest[:2] == ["-m", "venv"]:
        return [sys.executable, *rest, "--without-pip"], 0, ""
    if rest[:3] == ["-m", "proxyclip", "weights"]:
        return [sys.executable, *rest], 1, "on a machine with internet access"
    return [sys.executable, *rest], 0, ""


def test_there_are_such_lines():
    assert len(LINES) > 8
    assert all(any(line.startswith(start) for line in LINES) for start in (*NOT_HERE, *BUILT_IN))


@pytest.mark.parametrize("line", sorted(line for line in LINES if line and not line.startswith((*NOT_HERE, *BUILT_IN))))
def test_line(line, tmp_path, monkeypatch):
    for path in ROOT.iterdir():
        if path.name not in {".git", ".venv", "work_dirs", "data", "demo_out", "weights"}:
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "weights").mkdir()
    for name, folder in (("clip", "clip"), ("dino", "contrast")):
        (tmp_path / "weights" / name).symlink_to(ROOT / "proxyclip/tinyworld/weights" / folder)
    Image.fromarray(draw_seeded_scene(3, 3).image).save(tmp_path / "photo.jpg")
    command, code, expected = words(line)
    if line.startswith("python demo.py"):
        enter(monkeypatch, tmp_path)
        got, said = call(monkeypatch, line), ""
    else:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        got, said = done.returncode, done.stdout + done.stderr
    assert got == code, said
    assert expected in said
