"""From config to record: the tiny world shows the method, published configs run on real files."""

import math

import pytest
from helpers import run_benchmark

from proxyclip.cli.eval import main
from proxyclip.data.templates import sub_imagenet_template
from proxyclip.models.segmentors.proxyclip import ProxyCLIPSegmentation
from proxyclip.results.records import load_records

SCENES = ("--limit", "12", "--gallery", "0")


def run(work_dir, *arguments):
    """Run one evaluation by eval.py's main; return its record."""
    assert main(["--work-dir", str(work_dir), "--workers", "0", "--device", "cpu", *arguments]) == 0
    return load_records(work_dir)[0]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    methods = ("vanilla", "maskclip", "proxy")
    return {name: run(tmp_path_factory.mktemp(name), *SCENES, "--method", name) for name in methods}


@pytest.mark.slow
def test_proxyclip_and_maskclip_are_far_above_clip_on_the_tiny_world(records):
    miou = {name: record["metrics"]["mIoU"] for name, record in records.items()}
    assert miou["proxy"] > 50 and miou["proxy"] > miou["vanilla"] + 25
    assert miou["maskclip"] > miou["vanilla"] + 15


@pytest.mark.slow
def test_second_run_has_the_same_metrics_and_identity(tmp_path):
    once, again = (run(tmp_path / name, "--limit", "3", "--gallery", "0") for name in ("once", "again"))
    for key in ("metrics", "metrics_sha256", "identity"):
        assert again[key] == once[key]


@pytest.mark.slow
def test_record_has_the_settings_that_change_metrics(records):
    arguments = records["proxy"]["arguments"]
    assert arguments["attention"].startswith("Proxy(beta=")
    assert len(arguments["clip_sha256"]) == len(arguments["vfm_sha256"]) == 64
    assert arguments["dtype"] == "torch.float32"
    assert records["proxy"]["partial"] and len(records["proxy"]["per_class"]) == 19


@pytest.fixture(scope="module")
def tiny_models(tmp_path_factory):
    """Options for CLIP ViT-B/16 and DINO ViT-B/8 with few and narrow layers of random weights."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        run_benchmark.write_models(patch, folder)
    models = (f"model.model_type=local-dir:{folder / 'clip'}", f"model.vfm_model.model=local-dir:{folder / 'dino'}")
    return (*models, "model.clip_type=None", "model.precision=fp32", "model.slide_stride=336")


@pytest.mark.slow
@pytest.mark.parametrize(
    "config, folder",
    [
        ("voc21", "voc2012"), ("voc20", "voc2012"), ("ade20k", "ade20k"), ("ade847", "ade20k847"),
        ("coco_stuff164k", "coco_stuff164k"), ("coco_object", "coco_stuff164k"),
    ],
)  # fmt: skip
def test_published_configs_run_on_real_files(samples, tiny_models, tmp_path, monkeypatch, config, folder):
    """Unchanged but for the data root, tiny models, and fewer templates and windows."""
    monkeypatch.setattr(ProxyCLIPSegmentation, "templates", sub_imagenet_template)
    options = [f"test_dataloader.dataset.data_root={samples / folder}", *tiny_models]
    record = run(tmp_path, "--config", f"configs/cfg_{config}.py", "--limit", "1", "--cfg-options", *options)
    assert record["dataset"]["images"] == 1 and math.isfinite(record["metrics"]["mIoU"])
    assert (tmp_path / "results.xlsx").is_file()
