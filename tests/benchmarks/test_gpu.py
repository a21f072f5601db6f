"""benchmarks/gpu.py runs where there is no GPU, with tiny models; without them one line has the reason."""

import dataclasses
import json
import warnings

import pytest
import torch
from helpers import run_benchmark


@pytest.fixture
def gpu(monkeypatch):
    """The script as a module."""
    return run_benchmark.load_script(monkeypatch, "gpu")


@pytest.fixture
def without_gpu(gpu, monkeypatch, own_environment):
    """The script without a GPU and without a compiler, on small images of two windows each."""
    load_case = gpu.case

    def load_small_case(name):
        case = load_case(name)
        options = case.options | dict(slide_crop=112, slide_stride=48)
        return dataclasses.replace(case, inputs=(112, 160), labels=(93, 125), options=options)

    monkeypatch.setattr(gpu, "case", load_small_case)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")
    return monkeypatch


@pytest.mark.slow
def test_gpu_prints_every_figure(tmp_path, without_gpu, capfd):
    tiny = ["--device", "cpu", "--small", "--seconds", "0.01", "--shapes", "voc21", "--precisions", "fp32"]
    assert run_benchmark.call_script(without_gpu, "gpu", *tiny, "--json", str(tmp_path / "figures.json")) == 0
    output = capfd.readouterr().out
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
        assert figure[:45] in output
    assert rows["voc21 fp32: predict / bare forwards, batch 1"]["value"] > 0
    assert rows["voc21 fp32: images/s, batch 1"]["good"] is None  # tiny models have no goals
    assert "verdict" in output
    assert output.splitlines()[-1].startswith("CPU, torch ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((), "torch finds no CUDA device"), (("--device", "cpu"), "precision='fp16' needs a CUDA device")],
)
def test_gpu_refuses_in_one_line(without_gpu, capfd, arguments, message):
    assert run_benchmark.call_script(without_gpu, "gpu", *arguments) != 0
    output = capfd.readouterr()
    assert not output.out
    assert message in output.err
    assert len(output.err.splitlines()) == 1


def test_tried_makes_a_row_of_a_failure(gpu, tmp_path):
    def broken():
        raise RuntimeError("No available kernel\nand more")

    setting = gpu.Setting(tmp_path, torch.device("cpu"), 0.0, True)
    row = gpu.tried(setting, "SDPA", 1, lambda: None, broken)
    assert (row.measured, row.value, row.verdict) == ("fails: No available kernel", None, "")


def test_of_peak_knows_cards_by_their_full_name(gpu, monkeypatch):
    for name, share in (("NVIDIA H200", "25.3 %"), ("NVIDIA H200 NVL", "-"), ("NVIDIA H200 MIG 1g.18gb", "-")):
        monkeypatch.setattr(gpu, "named", lambda device, name=name: name)
        assert gpu.of_peak(250, None, "bf16") == f"250 ({share})"
        assert gpu.of_peak(250, None, "fp32") == "250 (-)"


def test_waits_counts_each_synchronization(gpu, monkeypatch):
    modes: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)

    def waiting():
        for _ in range(3):
            warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
        warnings.warn("Synchronization debug mode is a prototype feature", stacklevel=1)

    assert gpu.waits(waiting) == 3
    assert modes == ["warn", "default"]
