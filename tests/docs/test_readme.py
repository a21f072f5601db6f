"""README and docs: every command is run here as it stands, as far as one can go without weights and data."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from helpers import run_benchmark as benches
from helpers.run_command import call, commands, enter

from proxyclip.results.records import save_record
from proxyclip.tinyworld.scenes import draw_seeded_scene
from proxyclip.utils.paths import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")

SHORT = ("--limit", "1", "--workers", "0")
EVALUATED = (*SHORT, "--gallery", "0")  # which predicts again; the first command has one
DRAWN = ("--data-root", "drawn", "--workers", "0", "--cfg-options", "test_dataloader.dataset.count=2")
TRAINED = (
    *DRAWN, "train_dataloader.dataset.count=4", "train_dataloader.batch_size=2", "train_cfg.max_iters=2",
    "train_cfg.val_interval=2",
)  # fmt: skip
# What to expect of a command: its exit code, words in its output, and arguments that only shorten it.
EXPECTED = {
    "python eval.py": (0, "mIoU", SHORT),
    "python demo.py": (0, "demo_out/tinyworld_21_seg.png", ()),
    'python demo.py photo.jpg --classes "horse; grass, lawn; sky"': (
        1,
        "hf download timm/vit_base_patch16_clip_224",
        (),
    ),
    'python demo.py photo.jpg --classes "boat; sky; sand" --tiny --attention 60,40': (0, "photo_attention.png", ()),
    'python demo.py photo.jpg --classes "horse; sky" --background "grass, trees" --clip local-dir:CLIP_FOLDER --vfm '
    "dino,local-dir:DINO_FOLDER": (0, "photo_seg.png", ("--config", "configs/cfg_tinyworld.py")),  # small windows
    "python demo.py --web --tiny": (0, "http://127.0.0.1", ("--port", "0")),
    "python -m proxyclip weights list": (0, "ViT-bigG-14", ()),
    "python eval.py --config configs/cfg_voc21.py --data-root /datasets": (1, "VOCtrainval_11-May-2012.tar", ()),
    "bash dist_test.sh configs/cfg_voc21.py 4 --data-root /datasets": (1, "VOCtrainval_11-May-2012.tar", ()),
    "python eval_all.py --data-root /datasets": (0, "no data", (*SHORT, "--dry-run")),
    "python datasets/prepare_voc.py /downloads/VOCdevkit/VOC2012 -o /datasets/VOCdevkit/VOC2012": (
        2,
        "VOCtrainval_11-May-2012.tar",
        (),
    ),
    "python datasets/check.py --config configs/cfg_voc21.py --data-root /datasets": (1, "does not exist", ()),
    "python eval.py --config configs/cfg_folder.py --data-root my_data": (1, "hf download timm/vit_base_patch", ()),
    "python eval.py --limit 20 --show-dir work_dirs/pictures --cfg-options model.prob_thd=0.1 "
    "model.attention.beta=1.0": (0, "pictures", EVALUATED),
    "python eval.py --method naclip --vfm tiny-mae": (0, "naclip, tiny", EVALUATED),
    "python eval.py --config configs/cfg_voc21.py --method naclip --vfm dinov2 --clip ViT-L-14 --data-root /datasets": (
        1,
        "VOCtrainval_11-May-2012.tar",
        (),
    ),
    "python eval_all.py --data-root /datasets --gpus 0,1,2,3": (0, "no data", (*SHORT, "--dry-run")),
    "python eval_all.py --data-root /datasets --compare --strict 0.5 --dry-run": (1, "reproduced: 0 of 9", ()),
    "python -m proxyclip report work_dirs": (0, "work_dirs/report.html", ()),
    "python train.py": (0, "mIoU", TRAINED),
    "python train.py configs/trained/maskclip_plus/tinyworld_deeplab.py": (0, "bfloat16 on cpu", ("--amp", *TRAINED)),
    "python train.py configs/trained/maskclip_plus/tinyworld_zero_shot.py": (0, "hIoU", TRAINED),
    "python eval.py --config configs/trained/maskclip_plus/tinyworld_teacher.py": (0, "maskclip_teacher", DRAWN),
    "bash dist_train.sh configs/trained/maskclip_plus/annofree/voc20_deeplabv2_r101.py 4 --data-root /datasets": (
        1,
        "VOCtrainval_11-May-2012.tar",
        (),
    ),
    "python train.py configs/trained/maskclip_plus/zero_shot/context60_segformer_b5.py --data-root /datasets "
    "--resume --amp": (1, "VOCtrainval_03-May-2010.tar", ()),
    "python train.py configs/trained/clip_rc/tinyworld_start.py": (0, "mIoU_unseen", TRAINED[:-2]),
    "python train.py configs/trained/clip_rc/tinyworld_inductive.py": (0, "hIoU", TRAINED),
    # half-way of two iterations is not that of the config; with it: test_clip_rc_training.py
    "python train.py configs/trained/clip_rc/tinyworld_transductive.py": (1, "clip_rc/tinyworld_inductive.py", ()),
    "python train.py configs/trained/clip_rc/voc20_transductive.py --load-from FILE --data-root /datasets": (
        1,
        "VOCtrainval_11-May-2012.tar",
        (),
    ),
    "python eval.py --config configs/trained/clip_rc/voc20_inductive.py --checkpoint FILE --data-root /datasets": (
        1,
        "checkpoint",
        (),
    ),
    "python -m proxyclip flops configs/trained/clip_rc/voc20_inductive.py --shape 512 512": (
        0,
        "36,941,568",
        (),
    ),
    "python eval_all.py --configs configs/cfg_tinyworld.py --methods all --vfms tiny tiny-mae clip": (
        0,
        "[10/10]",  # nine methods, naclip with and without a VFM
        (*SHORT, "--vfms", "tiny", "--cfg-options", "model.slide_stride=96"),
    ),
}
BY_MAKE = {"make eval", "make test"}  # what .ci/run does
# One start of Python for all, and what is no Python; the rest is called.
AS_PROGRAMS = ("python eval.py", "bash")
# Called once instead of four times; two processes are started below, by test_dist.py and by test_train.py.
ONE_CALLED = ("bash dist_test.sh configs/cfg_voc21.py 4", "bash dist_train.sh")
# In the docs: the start of a command, and what to expect of it. There is no data set but my_data.
IN_DOCS = {
    "python datasets/prepare_": (2, "/downloads/", ()),
    "python datasets/check.py --config configs/cfg_folder.py": (0, "fit to be scored", ()),
    "python datasets/check.py": (1, "does not exist", ()),
    "python eval.py --config configs/cfg_folder.py": (1, "hf download", ()),
    "python eval.py --config configs/": (1, "not on disk", ()),
    "python eval.py": (0, "mIoU", EVALUATED),
    "python eval_all.py --configs configs/cfg_tinyworld.py --compare": (0, "this toolkit", ()),
    "python eval_all.py --configs configs/cfg_tinyworld.py --strict": (1, "reproduced: 0 of 1", ()),
    "python eval_all.py --configs configs/cfg_tinyworld.py --methods proxy maskclip --slurm": (
        0,
        "sbatch work_dirs/array.sh",
        SHORT,
    ),
    "python -m proxyclip weights fetch ViT-B-16 dino": (1, "hf download timm/vit_base_patch16_clip_224", ()),
    "python -m proxyclip weights fetch ViT-B-16 --to": (1, "--clip local-dir:FOLDER", ()),
    "python -m proxyclip weights verify": (0, "tiny-clip", ()),
    "python -m proxyclip flops": (0, "GFLOPs", ()),
    "python train.py configs/trained/clip_rc/tinyworld_fully.py": (0, "hIoU", TRAINED),
    "python -m proxyclip tables work_dirs": (0, "work_dirs/results.xlsx", ()),
    "python eval_all.py --configs configs/cfg_tinyworld.py": (0, "cfg_tinyworld", SHORT),
    "python benchmarks/run.py": (0, "fall short", ("--small", "--rounds", "1", "--only", "loop")),
    "python benchmarks/gpu.py": (1, "no CUDA device", ()),
    "python benchmarks/training.py": (0, "images/s", ("--small", "--students", "tinyworld", "--only", "labels")),
    "bash dist_test.sh configs/cfg_tinyworld.py 2": (0, "2 processes", ("--limit", "2", *EVALUATED[2:])),
}
# extending.md has a test of its own
PAGES = [path for path in sorted((ROOT / "docs").glob("*.md")) if path.name != "extending.md"]
DOCS = {line for path in PAGES for line in commands(path.read_text(encoding="utf-8"))}


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder that looks like the repository and holds a photo and two model folders, as a user's would."""
    folder = tmp_path_factory.mktemp("desk")
    for path in ROOT.iterdir():
        if path.name not in {".git", ".venv", "work_dirs", "data", "demo_out"}:
            (folder / path.name).symlink_to(path)
    (folder / "CLIP_FOLDER").symlink_to(ROOT / "proxyclip/tinyworld/weights/clip")
    (folder / "DINO_FOLDER").symlink_to(ROOT / "proxyclip/tinyworld/weights/contrast")
    from PIL import Image

    one = draw_seeded_scene(3, 3)
    for name in ("photo.jpg", "my_data/images/a.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(one.image).save(folder / name)
    (folder / "my_data/masks").mkdir()
    Image.fromarray(one.mask).save(folder / "my_data/masks/a.png")
    save_record({"identity": "a" * 12, "config_name": "cfg_voc21", "metrics": {"mIoU": 50.0}}, folder / "work_dirs")
    (folder / "my_data/classes.txt").write_text((ROOT / "configs/cls_tinyworld.txt").read_text())
    return folder


def test_every_command_is_known():
    assert sorted(commands(TEXT)) == sorted([*EXPECTED, *BY_MAKE])


@pytest.mark.parametrize("command", EXPECTED)
def test_command(desk, command, monkeypatch, capfd):
    check(desk, command, *EXPECTED[command], monkeypatch, capfd)


@pytest.mark.parametrize("command", sorted(DOCS - EXPECTED.keys()))
def test_command_of_the_docs(desk, command, monkeypatch, capfd):
    expected = next(result for start, result in IN_DOCS.items() if command.startswith(start))
    check(desk, command, *expected, monkeypatch, capfd)


def check(desk, command, code, words, more, monkeypatch, capfd):
    if "--web" in command:
        got, said = serve(desk, command, more)
    elif command.startswith(ONE_CALLED):
        enter(monkeypatch, desk)
        got, processes = benches.distributed(desk / "stub", [*shlex.split(command), *more], desk)
        said = "".join(capfd.readouterr())
        assert processes == 4
    elif command.startswith("python benchmarks/"):
        enter(monkeypatch, desk)
        got = benches.call(monkeypatch, Path(shlex.split(command)[1]).stem, *shlex.split(command)[2:], *more)
        said = "".join(capfd.readouterr())
    elif command == AS_PROGRAMS[0] or command.startswith(AS_PROGRAMS[1:]):
        got, said = start(desk, command, more)
    else:
        enter(monkeypatch, desk)
        got = call(monkeypatch, command, *more)
        said = "".join(capfd.readouterr())
    assert got == code, said
    assert words in said
    assert "Traceback" not in said


def program(desk, command, more):
    """What `subprocess` is given for a command as a user of the folder `desk` says it."""
    python, *rest = shlex.split(command)
    environment = os.environ | {"PYTHON": sys.executable, "HF_HUB_OFFLINE": "1", "PWD": str(desk)}
    return dict(args=[sys.executable if python == "python" else python, *rest, *more], cwd=desk, env=environment)


def start(desk, command, more):
    done = subprocess.run(**program(desk, command, more), capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def serve(desk, command, more):
    """Start the page, load it as soon as it says where it is, and end it with Ctrl-C."""
    pytest.importorskip("gradio")
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with subprocess.Popen(**program(desk, command, more), **pipes) as page:
        said = ""
        for line in page.stdout:
            said += line
            address = re.search(r"http://127\.0\.0\.1:\d+", line)
            if address:
                with urllib.request.urlopen(address[0], timeout=60) as answer:
                    said += answer.read().decode()
                page.send_signal(signal.SIGINT)
        return page.wait(timeout=60), said


def test_files_the_readme_names_exist():
    for name in re.findall(
        r"`(?!__)((?:configs/|proxyclip/|datasets/)?[\w/]+\.(?:py|sh|txt|md))`|\]\(([\w/.]+)\)", TEXT
    ):
        path = next(filter(None, name))
        assert (ROOT / path).exists() or (ROOT / "configs" / path).exists(), path
