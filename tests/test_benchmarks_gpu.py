"""benchmarks/gpu.py runs where there is no GPU, with tiny models, and says so where it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks/gpu.py"


def call(folder: Path, *words: str) -> subprocess.CompletedProcess:
    """The script without a GPU and without a compiler, from another folder."""
    env = os.environ | dict(CUDA_VISIBLE_DEVICES="", TORCHDYNAMO_DISABLE="1")
    return subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, env=env, cwd=folder)


def test_every_figure_is_in_the_table(tmp_path):
    tiny = ["--device", "cpu", "--small", "--seconds", "0.05", "--shapes", "voc21", "--precisions", "fp32"]
    done = call(tmp_path, *tiny, "--json", "figures.json")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "figures.json").read_text())
    rows = {row["figure"]: row for row in record["rows"]}
    assert len(rows) == len(record["rows"])  # no figure stands twice
    for part in (
        "images/s, batch 1",
        "images/s, best batch",
        "peak memory",
        "predict / bare forwards",
        "time in bare forwards",
        "time outside",
        "TFLOP/s (of peak), predict",
        "host waits in 2 windows",
        "SDPA math",
        "compile default",
        "compile max-autotune-no-cudagraphs",
    ):
        (figure, *_) = [figure for figure in rows if figure.startswith(f"voc21 fp32: {part}")]
        assert figure[:45] in done.stdout
    assert rows["voc21 fp32: predict / bare forwards, batch 1"]["value"] > 0
    assert rows["voc21 fp32: images/s, batch 1"]["good"] is None  # tiny models have no goals
    assert "verdict" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("CPU, torch ")


@pytest.mark.parametrize(
    ("words", "said"),
    [((), "torch finds no CUDA device"), (("--device", "cpu"), "precision='fp16' needs a CUDA device")],
)
def test_one_line_says_what_is_missing(tmp_path, words, said):
    done = call(tmp_path, *words)
    assert done.returncode != 0 and not done.stdout
    assert said in done.stderr and len(done.stderr.splitlines()) == 1


def test_what_does_not_run_is_a_row(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    import gpu

    def broken():
        raise RuntimeError("No available kernel\nand more")

    setting = gpu.Setting(tmp_path, torch.device("cpu"), 0.0, True)
    row = gpu.tried(setting, "SDPA", 1, lambda: None, broken)
    assert (row.measured, row.value, row.verdict) == ("fails: No available kernel", None, "")


def test_peaks_are_of_the_very_card(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    import gpu

    for name, share in (("NVIDIA H200", "25.3 %"), ("NVIDIA H200 NVL", "-"), ("NVIDIA H200 MIG 1g.18gb", "-")):
        monkeypatch.setattr(gpu, "named", lambda device, name=name: name)
        assert gpu.of_peak(250, None, "bf16") == f"250 ({share})"
        assert gpu.of_peak(250, None, "fp32") == "250 (-)"


def test_waits_are_counted_each_time(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    import gpu

    modes: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)

    def waiting():
        for _ in range(3):
            warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
        warnings.warn("Synchronization debug mode is a prototype feature", stacklevel=1)

    assert gpu.waits(waiting) == 3
    assert modes == ["warn", "default"]
