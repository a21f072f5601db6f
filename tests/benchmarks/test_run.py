"""The benchmarks run from end to end with tiny towers: what they measure then is of no use, and no test looks at it."""

from __future__ import annotations

import multiprocessing
from contextlib import contextmanager, nullcontext
from functools import partial
from types import SimpleNamespace

import pytest
from helpers import run_benchmark as benches

FIGURES = {
    "overhead": ["forwards alone, fp32", "46 names, 375x500, bf16", "847 classes, 512x683, bf16"],
    "precision": ["fp32 / bf16", "worst of 2 photographs"],
    "text": ["text, one name at a time", "text, largest difference", "from the cache"],
    "memory": ["ADE20K-847, 512x683", "COCO-Object, 480x640"],
    "loop": ["evaluation / predict"],
    "scale": ["2 processes / 1 process"],
    "approximations": ["tiny world, exact", "approximate: vfm=image", "approximate: stride=96"],
}

pytestmark = pytest.mark.usefixtures("own_environment")


@contextmanager
def one_pool(monkeypatch, script):
    """One process of its own for all that the script would start one for, each of which imports everything."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        context = SimpleNamespace(Pool=lambda processes: nullcontext(pool))
        monkeypatch.setattr(script, "multiprocessing", SimpleNamespace(get_context=lambda kind: context))
        yield


@pytest.mark.parametrize("part", FIGURES)
def test_every_part_gives_its_figures(part, tmp_path, monkeypatch, capfd):
    """In this process, with small images and label maps, no galleries, and one process where there should be two."""
    from PIL import Image

    for name in ("a.jpg", "b.png"):
        Image.effect_noise((60, 40), 40).convert("RGB").save(tmp_path / name)
    script, started = benches.module(monkeypatch, "run"), []
    sample = script.sample

    def launch(words, check, cwd, env, capture_output):
        code, processes = benches.distributed(tmp_path / "stub", words, cwd, **env)
        assert code == 0
        started.append(processes)

    monkeypatch.setattr(script, "subprocess", SimpleNamespace(run=launch))
    monkeypatch.setattr(script, "CROP", 112)
    monkeypatch.setattr(script, "INPUT", (112, 160))
    monkeypatch.setattr(script, "EvalOptions", partial(script.EvalOptions, gallery=0))
    monkeypatch.setattr(script, "sample", lambda size: sample((size[0] // 4, size[1] // 4)))
    monkeypatch.setenv("PROXYCLIP_CACHE", str(tmp_path / "cache"))
    words = ("--small", "--rounds", "1", "--photos", str(tmp_path), "--only", part)
    with one_pool(monkeypatch, script) if part == "memory" else nullcontext():
        assert benches.call(monkeypatch, "run", *words) == 0
    table = capfd.readouterr().out
    for figure in FIGURES[part]:
        assert figure in table
    assert "threads, torch" in table and started == ([1, 2] if part == "scale" else [])
