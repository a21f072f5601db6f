"""benchmarks/gpu.py runs where there is no GPU, with tiny models, and says so where it cannot."""

from __future__ import annotations

import dataclasses
import json
import warnings

import pytest
import torch
from helpers import run_benchmark as benches

from proxyclip.utils.paths import ROOT

SCRIPT = ROOT / "benchmarks/gpu.py"


@pytest.fixture
def alone(monkeypatch, own_environment):
    """The script without a GPU and without a compiler, on small images of two windows each."""
    gpu = benches.module(monkeypatch, "gpu")
    case, small = gpu.case, dict(slide_crop=112, slide_stride=48)

    def smaller(name):
        one = case(name)
        return dataclasses.replace(one, inputs=(112, 160), labels=(93, 125), options=one.options | small)

    monkeypatch.setattr(gpu, "case", smaller)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")
    return monkeypatch


def test_every_figure_is_in_the_table(tmp_path, alone, capfd):
    tiny = ["--device", "cpu", "--small", "--seconds", "0.01", "--shapes", "voc21", "--precisions", "fp32"]
    assert benches.call(alone, "gpu", *tiny, "--json", str(tmp_path / "figures.json")) == 0
    said = capfd.readouterr().out
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
        assert figure[:45] in said
    assert rows["voc21 fp32: predict / bare forwards, batch 1"]["value"] > 0
    assert rows["voc21 fp32: images/s, batch 1"]["good"] is None  # tiny models have no goals
    assert "verdict" in said
    assert said.splitlines()[-1].startswith("CPU, torch ")


@pytest.mark.parametrize(
    ("words", "said"),
    [((), "torch finds no CUDA device"), (("--device", "cpu"), "precision='fp16' needs a CUDA device")],
)
def test_one_line_says_what_is_missing(alone, capfd, words, said):
    assert benches.call(alone, "gpu", *words) != 0
    found = capfd.readouterr()
    assert not found.out and said in found.err and len(found.err.splitlines()) == 1


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
