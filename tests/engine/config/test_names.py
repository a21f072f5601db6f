"""Mistyped names are answered before anything heavy is imported."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from proxyclip.engine.config.names import ConfigNotFound, check_names
from proxyclip.utils.paths import ROOT

MISTYPED = {
    "eval.py --config configs/cfg_voc22.py": "cfg_voc21.py",
    "eval.py --method proxi": "proxy",
    "eval.py --checkpoint nothing.pth": "nothing.pth",
    "eval.py --vfm dinoo": "dino",
    "eval.py --clip ViT-B-61": "ViT-B-16",
    "eval_all.py --methods maskclipp": "maskclip",
    "train.py configs/trained/nothing.py": "configs/",
    "train.py --load-from nothing.pth": "nothing.pth",
    "datasets/check.py --config configs/cfg_cityscapes.py": "cfg_city_scapes.py",
    "demo.py --refine pamrr": "pamr",
    "demo.py nothing.jpg --classes a": "There is no picture nothing.jpg",
    "demo.py https://example.org/a.jpg": "save the picture first",
    "demo.py --classes nothing.txt photo.jpg": "nothing",
    "-m proxyclip flops configs/nothing.py": "configs/",
    "-m proxyclip parity proxi": "proxy",
    "-m proxyclip weights fetch dinoo": "dino",
}
WATCH = """
import atexit, runpy, sys
HEAVY = {"torch", "mmengine", "mmseg", "open_clip", "timm"}
atexit.register(lambda: print(*sorted(HEAVY & sys.modules.keys())))
sys.argv = sys.argv[1:]
if sys.argv[0] == "-m":
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
else:
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("command", list(MISTYPED))
def test_mistyped_names_are_answered_before_torch(command):
    run = subprocess.run([sys.executable, "-c", WATCH, *command.split()], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode in (1, 2), run.stderr
    assert run.stderr.startswith("error: "), run.stderr
    assert MISTYPED[command] in run.stderr
    assert run.stdout == "\n"
    assert run.stderr.count("\n") <= 2


def test_right_names_pass():
    check_names(SimpleNamespace(config="configs/cfg_voc21.py", method="naclip", refine=("pamr", "none")))
    check_names(SimpleNamespace(configs=("configs/sclip", "configs/cfg_voc20.py"), methods=("all", None)))
    check_names(SimpleNamespace(method="configs/method/proxy.py", checkpoint=None))


def test_names_of_any_length_and_sign_are_answered():
    for name in ("x" * 300, "a\0b", "", "~nobody/cfg.py"):
        with pytest.raises(ConfigNotFound):
            check_names(SimpleNamespace(config=name or "?"))
