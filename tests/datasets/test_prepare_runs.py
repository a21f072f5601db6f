"""The prepare_*.py scripts while they run: killed, interrupted, over processes, on disks that refuse."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers.image_files import photo, save, write
from scipy.io import savemat

from proxyclip.utils.paths import ROOT

pytestmark = pytest.mark.slow

COUNT = 400


def blobs(width, height, values):
    """A map of large patches of these values."""
    small = np.random.default_rng(1).choice(values, (height // 20 + 1, width // 20 + 1))
    return np.kron(small, np.ones((20, 20), int))[:height, :width]


def many_coco(root):
    """COCO-Stuff164k: one raw map under many names."""
    save(root / "raw.png", blobs(400, 300, [0, 5, 100, 181, 255]))
    for number in range(COUNT):
        link(root / "raw.png", root / f"annotations/val2017/{number:012}.png")
    write(root / "images/val2017/000000000000.jpg", "image")


def many_coco10k(root):
    """COCO-Stuff10k: one image and one map under many names."""
    save(root / "image.jpg", photo(400, 300))
    savemat(root / "map.mat", {"S": blobs(400, 300, [0, 1, 182]).astype(np.uint8)})
    names = [f"COCO_train2014_{number:012}" for number in range(COUNT)]
    for name in names:
        link(root / "map.mat", root / f"annotations/{name}.mat")
        link(root / "image.jpg", root / f"images/{name}.jpg")
    write(root / "imageLists/test.txt", "\n".join(names))


def link(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(source, target)


MANY = {  # script: what makes its source, how names of its outputs end
    "prepare_coco_stuff164k": (many_coco, "_labelTrainIds.png"),
    "prepare_coco_stuff10k": (many_coco10k, "_labelTrainIds.png"),
}


def finished(name, *words, **options):
    command = [sys.executable, ROOT / f"datasets/{name}.py", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **options)
    return done.returncode, done.stdout, done.stderr


def files(folder):
    """Relative name -> bytes of all files below a folder, hidden ones too."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stopped_half_way(name, source, out, stop):
    """Start a script, stop it when some files are there, and return (process, stdout, stderr).

    It is held while files are counted, or it might be finished by then on a busy machine; if so, it is tried again.
    """
    for _ in range(5):
        shutil.rmtree(out, ignore_errors=True)
        command = [sys.executable, ROOT / f"datasets/{name}.py", source, "-o", out, "--workers", "2"]
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process = subprocess.Popen(command, start_new_session=True, **pipes)
        while process.poll() is None:
            time.sleep(0.01)
            os.killpg(process.pid, signal.SIGSTOP)
            if len(list(out.rglob(f"*{MANY[name][1]}"))) >= 10:
                stop(process)
                os.killpg(process.pid, signal.SIGCONT)
                break
            os.killpg(process.pid, signal.SIGCONT)
        said = process.communicate(timeout=20)  # all that write to its pipes are gone
        if process.returncode:
            return process, *said
    raise AssertionError("always finished before it could be stopped")


@pytest.fixture(scope="module")
def undisturbed(request, tmp_path_factory):
    """(script, its source, the files of an undisturbed run by one process)."""
    folder = tmp_path_factory.mktemp(request.param)
    MANY[request.param][0](folder / "source")
    code, _, err = finished(request.param, folder / "source", "-o", folder / "out", "--workers", "1")
    assert (code, err) == (0, "")
    return request.param, folder / "source", files(folder / "out")


STOPS = {
    "kill -9 of all": lambda process: os.killpg(process.pid, signal.SIGKILL),
    "kill -9 of the parent": lambda process: process.kill(),
    "Ctrl-C": lambda process: os.killpg(process.pid, signal.SIGINT),
}


@pytest.mark.parametrize(
    ("undisturbed", "stop"),
    [(name, stop) for name in MANY for stop in STOPS if stop == "kill -9 of all" or name == "prepare_coco_stuff164k"],
    indirect=["undisturbed"],
)
def test_stopped_run_is_completed_by_the_next(undisturbed, tmp_path, stop):
    """The same bytes as without, nothing left over; no worker outlives its parent."""
    name, source, expected = undisturbed
    process, _, err = stopped_half_way(name, source, tmp_path, STOPS[stop])
    if stop == "Ctrl-C":
        assert process.returncode == 130
        assert err == "interrupted; to go on, run the same command again: finished files are kept\n"
    else:
        assert process.returncode == -signal.SIGKILL
    found = {key: value for key, value in files(tmp_path).items() if not key.endswith(".part")}
    assert 0 < len(found) < len(expected)
    assert found.items() <= expected.items()  # what has its name is whole
    one = tmp_path / max(found)
    one.with_name(f".{one.name}.{process.pid}.part").write_bytes(b"half")
    code, out, err = finished(name, source, "-o", tmp_path, "--workers", "2")
    assert (code, err) == (0, "")
    kept = int(out.partition(" written, ")[2].partition(" kept")[0])
    assert 0 < kept < COUNT
    assert files(tmp_path) == expected


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_start_by_any_method(run, tmp_path, method):
    """Pythons differ in their default; a worker gets all it needs with the job."""
    name, source = "prepare_context", tmp_path / "source"
    mask = {"image_id": 3, "category_id": 2, "segmentation": {"size": [2, 2], "counts": [1, 3]}}
    content = {"images": [], "annos_segmentation": [mask]}
    for number in range(5):
        save(source / f"JPEGImages/{number}.jpg", photo(2, 2))
        image = {"image_id": number, "file_name": f"{number}.jpg", "height": 2, "width": 2, "phase": "val"}
        content["images"].append(image)
    write(source / "trainval_merged.json", json.dumps(content))
    write(tmp_path / "set/sitecustomize.py", f"import multiprocessing as m; m.set_start_method({method!r}, force=True)")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "set")}
    code, out, err = finished(name, source, "-o", tmp_path / "two", "--workers", "2", env=environment)
    assert (code, err) == (0, "")
    assert "(5 written" in out
    assert run(name, source, "-o", tmp_path / "one")[0] == 0
    assert files(tmp_path / "two") == files(tmp_path / "one")


@pytest.fixture
def coco(tmp_path):
    """Two raw maps and two images of COCO-Stuff164k."""
    root = tmp_path / "coco"
    for number in (1, 2):
        save(root / f"annotations/val2017/00000000000{number}.png", np.arange(400).reshape(20, 20) % 11)
        write(root / f"images/val2017/00000000000{number}.jpg", "image")
    return root


def test_leftovers_of_dead_runs_are_removed(run, coco):
    """What a living process writes stays, and so does what is not ours."""
    folder = coco / "annotations/val2017"
    dead, zombie = subprocess.Popen(["true"]), subprocess.Popen(["true"])
    dead.wait()
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    ours = "000000000001_labelTrainIds.png"
    keep = [f".{ours}.{pid}.part" for pid in (os.getppid(), 1)]
    keep += [".download.part", f".other.png.{dead.pid}.part", "x.part"]
    gone = [f".{ours}.{pid}.part" for pid in (dead.pid, zombie.pid, os.getpid())]
    for name in [*keep, *gone, f".{ours}.part"]:
        (folder / name).write_bytes(b"half")
    assert run("prepare_coco_stuff164k", coco)[0] == 0
    zombie.wait()
    assert sorted(path.name for path in folder.glob("*.part")) == sorted(keep)


@pytest.mark.parametrize("damage", ["empty", "half", "without its end", "another picture's head"])
def test_unfinished_outputs_are_written_again(run, coco, damage):
    run("prepare_coco_stuff164k", coco)
    made = coco / "annotations/val2017/000000000001_labelTrainIds.png"
    good = made.read_bytes()
    text = {"empty": b"", "half": good[: len(good) // 2], "without its end": good[:-12]}
    made.write_bytes(text.get(damage, b"GIF89a" + good))
    assert "(1 written, 1 kept, 0 failed)" in run("prepare_coco_stuff164k", coco)[1]
    assert made.read_bytes() == good


@pytest.mark.parametrize("lost", ["images_detectron2", "annotations_detectron2"])
def test_two_outputs_of_a_source_are_written_together(run, tmp_path, lost):
    save(tmp_path / "images/ADE/validation/scene/ADE_val_00000001.jpg", photo(30, 20))
    save(tmp_path / "images/ADE/validation/scene/ADE_val_00000001_seg.png", photo(30, 20))
    run("prepare_ade847", tmp_path)
    whole = files(tmp_path)
    half = next((tmp_path / lost).rglob("*.*"))
    half.write_bytes(half.read_bytes()[:-30])
    assert "(1 written, 0 kept, 0 failed)" in run("prepare_ade847", tmp_path)[1]
    assert files(tmp_path) == whole
    assert "(0 written, 1 kept, 0 failed)" in run("prepare_ade847", tmp_path)[1]


def test_force_writes_everything_again(run, coco):
    run("prepare_coco_stuff164k", coco)
    made = coco / "annotations/val2017/000000000001_labelTrainIds.png"
    good = made.read_bytes()
    save(made, [[1]])  # whole, but wrong
    assert "(0 written, 2 kept, 0 failed)" in run("prepare_coco_stuff164k", coco)[1]
    assert "(2 written, 0 kept, 0 failed)" in run("prepare_coco_stuff164k", coco, "--force")[1]
    assert made.read_bytes() == good


def test_split_option_selects_existing_splits(output, coco, script, capsys):
    """What is there is done; what is asked for must be there."""
    err = output("prepare_coco_stuff164k", coco, "--split", "train2017", code=2)
    assert "there is no train2017" in err
    (coco / "annotations/val2017").rename(coco / "annotations/train2017")
    out = output("prepare_coco_stuff164k", coco)
    assert "train2017: 2 of 118287 expected" in out
    for words in (["--split", "val"], ["--workers", "0"]):
        with pytest.raises(SystemExit) as stop:
            script("prepare_coco_stuff164k").main([str(coco), *words])
        assert stop.value.code == 2


def test_dangling_link_is_replaced(run, coco, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "images").symlink_to(tmp_path / "gone")
    assert run("prepare_coco_stuff164k", coco, "-o", out)[0] == 0
    assert (out / "images/val2017/000000000001.jpg").is_file()
    assert "there already" not in run("prepare_coco_stuff164k", coco, "-o", out)[1]


def test_existing_images_are_kept(run, coco, tmp_path):
    write(tmp_path / "out/images/val2017/mine.jpg", "mine")
    _, said, _ = run("prepare_coco_stuff164k", coco, "-o", tmp_path / "out")
    assert f"{tmp_path / 'out/images'} is there already" in said
    assert [path.name for path in (tmp_path / "out/images/val2017").iterdir()] == ["mine.jpg"]


def test_interrupted_copy_is_completed(run, coco, tmp_path):
    """The size tells; linked folders are followed, as everywhere."""
    (coco / "images/val2017").rename(tmp_path / "elsewhere")
    (coco / "images/val2017").symlink_to(tmp_path / "elsewhere")
    write(tmp_path / "out/images/val2017/000000000001.jpg", "ima")
    (tmp_path / "out/images/val2017/.000000000002.jpg.part").write_text("im")
    assert run("prepare_coco_stuff164k", coco, "-o", tmp_path / "out", "--copy")[0] == 0
    assert files(tmp_path / "out/images/val2017") == {f"00000000000{n}.jpg": b"image" for n in (1, 2)}


def test_failing_symlink_suggests_copy(run, output, script, coco, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(script("_files").Path, "symlink_to", refuse)
    err = output("prepare_coco_stuff164k", coco, "-o", tmp_path / "out", code=1)
    assert "cannot link to" in err
    assert "try --copy" in err
    assert run("prepare_coco_stuff164k", coco, "-o", tmp_path / "out", "--copy")[0] == 0


def test_failing_hard_link_becomes_a_copy(script, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(18, "Invalid cross-device link")))
    write(tmp_path / "a", "text")
    script("_files").write({tmp_path / "b": tmp_path / "a"})
    assert files(tmp_path) == {"a": b"text", "b": b"text"}
    assert not (tmp_path / "a").samefile(tmp_path / "b")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_full_disk_leaves_no_half_file(coco, tmp_path, workers):
    """No file may grow beyond 1 KiB here: one line that names the file, and nothing half-written."""
    noise = np.random.default_rng(0).integers(0, 11, (60, 60))
    for number in (1, 2):
        save(coco / f"annotations/val2017/00000000000{number}.png", noise)
    words = [coco, "-o", tmp_path / "out", "--workers", workers]
    small = ["bash", "-c", 'ulimit -f 1; exec "$@"', "-", sys.executable, ROOT / "datasets/prepare_coco_stuff164k.py"]
    done = subprocess.run([*small, *words], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "_labelTrainIds.png: cannot be written (File too large)" in done.stderr
    assert not [path for path in (tmp_path / "out/annotations").rglob("*") if path.is_file()]
    assert finished("prepare_coco_stuff164k", *words)[0] == 0


def test_unwritable_destination_is_reported(output, coco, tmp_path):
    write(tmp_path / "file", "")
    err = output("prepare_coco_stuff164k", coco, "-o", tmp_path / "file/out", code=1)
    assert err.count("\n") == 1
    assert str(tmp_path / "file/out") in err
    blocked = tmp_path / "out/annotations/val2017/000000000001_labelTrainIds.png"
    blocked.mkdir(parents=True)
    err = output("prepare_coco_stuff164k", coco, "-o", tmp_path / "out", code=1)
    assert f"{blocked}: cannot be written (Is a directory)" in err
    assert not list(blocked.parent.glob(".*"))


def test_killed_worker_is_reported(script, tmp_path):
    """As the kernel does when memory is short."""
    args = script("_common").make_parser("", ["val"]).parse_args([str(tmp_path), "--workers", "2"])
    args.out = tmp_path
    jobs = [script("_jobs").Job(name, os._exit, (9,)) for name in "ab"]
    with pytest.raises(script("_files").Failure, match="fewer --workers"):
        script("_jobs").run("val", jobs, args)
