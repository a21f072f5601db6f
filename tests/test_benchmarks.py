"""The benchmarks run from end to end with tiny towers: what they measure then is of no use, and no test looks at it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FIGURES = {
    "overhead": ["forwards alone, fp32", "46 names, 375x500, bf16", "847 classes, 512x683, bf16"],
    "precision": ["fp32 / bf16", "worst of 2 photographs"],
    "text": ["text, one name at a time", "text, largest difference", "from the cache"],
    "memory": ["ADE20K-847, 512x683", "COCO-Object, 480x640"],
    "loop": ["evaluation / predict"],
    "scale": ["2 processes / 1 process"],
    "approximations": ["tiny world, exact", "approximate: vfm=image", "approximate: stride=96"],
}


def bench(*words: str, cache: Path) -> str:
    command = [sys.executable, "-W", "ignore", "benchmarks/run.py", "--small", "--rounds", "1", *words]
    environment = os.environ | {"PROXYCLIP_CACHE": str(cache)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("parts", [["overhead", "precision", "text", "memory"], ["loop", "scale", "approximations"]])
def test_every_part_gives_its_figures(parts, tmp_path):
    from PIL import Image

    for name in ("a.jpg", "b.png"):
        Image.effect_noise((60, 40), 40).convert("RGB").save(tmp_path / name)
    table = bench("--photos", str(tmp_path), "--only", *parts, cache=tmp_path / "cache")
    for part in parts:
        for figure in FIGURES[part]:
            assert figure in table
    assert "threads, torch" in table
