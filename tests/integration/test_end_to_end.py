"""The whole way, config to record: the tiny world shows the method, and published configs run on real files."""

from __future__ import annotations

import json
import math

import pytest
from helpers import run_benchmark as benches

from proxyclip.cli.eval import main
from proxyclip.data.templates import sub_imagenet_template
from proxyclip.models.segmentors.proxyclip import ProxyCLIPSegmentation

SCENES = ("--limit", "12", "--gallery", "0")


def run(work_dir, *words):
    """Metrics and record of one evaluation by eval.py's own main."""
    assert main(["--work-dir", str(work_dir), "--workers", "0", "--device", "cpu", *words]) == 0
    (record,) = sorted((work_dir / "records").glob("*.json"), key=lambda p: p.stat().st_mtime)[-1:]
    return json.loads(record.read_text())


@pytest.fixture(scope="module")
def methods(tmp_path_factory):
    return {m: run(tmp_path_factory.mktemp(m), *SCENES, "--method", m) for m in ("vanilla", "maskclip", "proxy")}


def test_the_tiny_world_shows_the_method(methods):
    """Plain CLIP is far below both; how MaskCLIP and ProxyCLIP lie to each other is reported, not asserted."""
    miou = {m: r["metrics"]["mIoU"] for m, r in methods.items()}
    assert miou["proxy"] > 50
    assert miou["proxy"] > miou["vanilla"] + 25
    assert miou["maskclip"] > miou["vanilla"] + 15


def test_a_second_run_gives_the_same_number(tmp_path):
    once, again = (run(tmp_path / name, "--limit", "3", "--gallery", "0") for name in ("once", "again"))
    assert again["metrics"] == once["metrics"]
    assert again["metrics_sha256"] == once["metrics_sha256"]
    assert again["identity"] == once["identity"]


def test_the_record_says_what_can_change_the_number(methods):
    record = methods["proxy"]
    arguments = record["arguments"]
    assert arguments["attention"].startswith("Proxy(beta=")
    assert len(arguments["clip_sha256"]) == len(arguments["vfm_sha256"]) == 64
    assert arguments["dtype"] == "torch.float32"
    assert record["partial"]
    assert len(record["per_class"]) == 19


@pytest.fixture(scope="module")
def tiny_models(tmp_path_factory):
    """CLIP ViT-B/16 and DINO ViT-B/8 with few and narrow layers of random weights: the published windows fit them."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        benches.write_models(patch, folder)
    return (
        f"model.model_type=local-dir:{folder / 'clip'}",
        "model.clip_type=None",
        f"model.vfm_model.model=local-dir:{folder / 'dino'}",
        "model.precision=fp32",
        "model.slide_stride=336",
    )


@pytest.mark.parametrize(
    "config, folder",
    [
        ("voc21", "voc2012"),
        ("voc20", "voc2012"),
        ("ade20k", "ade20k"),
        ("coco_stuff164k", "coco_stuff164k"),
        ("coco_object", "coco_stuff164k"),
        ("ade847", "ade20k847"),
    ],
)
def test_published_configs_run_on_real_files(samples, tiny_models, tmp_path, monkeypatch, config, folder):
    """As they stand but for the data root, tiny models, and fewer templates and windows, which saves minutes."""
    monkeypatch.setattr(ProxyCLIPSegmentation, "templates", sub_imagenet_template)
    words = [f"test_dataloader.dataset.data_root={samples / folder}", *tiny_models]
    once = ("--limit", "1", "--gallery", "0")
    record = run(tmp_path, "--config", f"configs/cfg_{config}.py", *once, "--cfg-options", *words)
    assert record["dataset"]["images"] == 1
    assert math.isfinite(record["metrics"]["mIoU"])
    assert (tmp_path / "results.xlsx").is_file()
