"""benchmarks/run.py runs from end to end with tiny towers; no test looks at the values of its figures."""

import multiprocessing
from contextlib import contextmanager, nullcontext
from functools import partial
from types import SimpleNamespace

import pytest
from helpers import run_benchmark

FIGURES = {
    "overhead": ["forwards alone, fp32", "46 names, 375x500, bf16", "847 classes, 512x683, bf16"],
    "precision": ["fp32 / bf16", "worst of 2 photographs"],
    "text": ["text, one name at a time", "text, largest difference", "from the cache"],
    "memory": ["ADE20K-847, 512x683", "COCO-Object, 480x640"],
    "loop": ["evaluation / predict"],
    "scale": ["2 processes / 1 process"],
    "approximations": ["tiny world, exact", "approximate: vfm=image", "approximate: stride=96"],
}

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_environment")]


@contextmanager
def one_pool(monkeypatch, script):
    """Use one process for all parts of the script that start one, since each imports everything."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        context = SimpleNamespace(Pool=lambda processes: nullcontext(pool))
        monkeypatch.setattr(script, "multiprocessing", SimpleNamespace(get_context=lambda kind: context))
        yield


@pytest.mark.parametrize("part", FIGURES)
def test_run_prints_figures_of_part(part, tmp_path, monkeypatch, capfd):
    from PIL import Image

    for name in ("a.jpg", "b.png"):
        Image.effect_noise((60, 40), 40).convert("RGB").save(tmp_path / name)
    script = run_benchmark.load_script(monkeypatch, "run")
    started = []
    sample = script.sample

    def launch(argv, check, cwd, env, capture_output):
        code, processes = run_benchmark.call_distributed(tmp_path / "stub", argv, cwd, **env)
        assert code == 0
        started.append(processes)

    monkeypatch.setattr(script, "subprocess", SimpleNamespace(run=launch))
    monkeypatch.setattr(script, "CROP", 112)
    monkeypatch.setattr(script, "INPUT", (112, 160))
    monkeypatch.setattr(script, "EvalOptions", partial(script.EvalOptions, gallery=0))
    monkeypatch.setattr(script, "sample", lambda size: sample((size[0] // 4, size[1] // 4)))
    monkeypatch.setenv("PROXYCLIP_CACHE", str(tmp_path / "cache"))
    arguments = ("--small", "--rounds", "1", "--photos", str(tmp_path), "--only", part)
    with one_pool(monkeypatch, script) if part == "memory" else nullcontext():
        assert run_benchmark.call_script(monkeypatch, "run", *arguments) == 0
    table = capfd.readouterr().out
    for figure in FIGURES[part]:
        assert figure in table
    assert "threads, torch" in table and started == ([1, 2] if part == "scale" else [])
