"""README: every command in it is run here, as it stands, as far as a machine without weights and data can go."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from proxyclip.tinyworld import scenes

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.partition("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
SHORT = ("--limit", "2", "--workers", "0")
# What to expect of a command: its exit code, words in its output, and arguments that only shorten it.
EXPECTED = {
    "python eval.py": (0, "mIoU", SHORT),
    "python demo.py": (0, "demo_out/tinyworld_21_seg.png", ()),
    'python demo.py photo.jpg --classes "horse; grass; sky"': (1, "hf download timm/vit_base_patch16_clip_224", ()),
    'python demo.py photo.jpg --classes "horse; grass; sky" --clip local-dir:CLIP_FOLDER --vfm-model '
    "local-dir:DINO_FOLDER": (0, "photo_seg.png", ()),
    "python eval.py --config configs/cfg_voc21.py --data-root /datasets": (1, "VOCtrainval_11-May-2012.tar", ()),
    "bash dist_test.sh configs/cfg_voc21.py 4 --data-root /datasets": (1, "VOCtrainval_11-May-2012.tar", ()),
    "python eval_all.py --data-root /datasets": (0, "no data", (*SHORT, "--dry-run")),
    "python eval_all.py --configs configs/cfg_tinyworld.py --methods vanilla maskclip proxy": (0, "maskclip", SHORT),
    "python datasets/cvt_coco_object.py /datasets/coco_stuff164k -o /datasets/coco_object": (2, "coco_stuff164k", ()),
    "python eval.py --limit 20 --show-dir work_dirs/pictures --cfg-options model.prob_thd=0.1 "
    "model.attention.beta=1.0": (0, "pictures", SHORT),
}
BY_MAKE = {"make eval", "make test"}  # what .ci/run does


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder that looks like the repository and holds a photo and two model folders, as a user's would."""
    folder = tmp_path_factory.mktemp("desk")
    for path in ROOT.iterdir():
        if path.name not in {".git", ".venv", "work_dirs", "data", "demo_out"}:
            (folder / path.name).symlink_to(path)
    (folder / "CLIP_FOLDER").symlink_to(ROOT / "proxyclip/tinyworld/weights/clip")
    (folder / "DINO_FOLDER").symlink_to(ROOT / "proxyclip/tinyworld/weights/vfm")
    from PIL import Image

    Image.fromarray(scenes.scene(3, 3).image).save(folder / "photo.jpg")
    return folder


def test_every_command_is_known():
    assert sorted(COMMANDS) == sorted([*EXPECTED, *BY_MAKE])


@pytest.mark.parametrize("command", EXPECTED)
def test_command(desk, command):
    code, words, more = EXPECTED[command]
    python, *rest = shlex.split(command)
    start = [sys.executable] if python == "python" else [python]
    environment = os.environ | {"PYTHON": sys.executable, "HF_HUB_OFFLINE": "1", "PWD": str(desk)}
    done = subprocess.run([*start, *rest, *more], cwd=desk, env=environment, capture_output=True, text=True)
    output = done.stdout + done.stderr
    assert done.returncode == code, output
    assert words in output
    assert "Traceback" not in output


def test_files_the_readme_names_exist():
    for name in re.findall(
        r"`(?!__)((?:configs/|proxyclip/|datasets/)?[\w/]+\.(?:py|sh|txt|md))`|\]\(([\w/.]+)\)", TEXT
    ):
        path = next(filter(None, name))
        assert (ROOT / path).exists() or (ROOT / "configs" / path).exists(), path
