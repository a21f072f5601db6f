"""Segmentor without weights and a tiny data set on disk, for tests of commands."""

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import BaseSegmentor
from mmseg.registry import MODELS

from proxyclip.cli.eval import main

CLASSES = ("dark", "middle", "bright")

CONFIG = """
custom_imports = dict(imports=['helpers.dummy_dataset'])
default_scope = 'mmseg'
data_root = '{{$DATA_ROOT:DEFAULT_ROOT}}'
model = dict(
    type='DummySegmentor', name_path='VOCABULARY', clip_type='none', model_type='dummy', vfm_model=dict(type='eyes'),
    attention=dict(type='proxy', beta=1.2), prob_thd=0.1, slide_crop=0, slide_stride=0, logit_scale=40,
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[0, 0, 0], std=[1, 1, 1], bgr_to_rgb=True))
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 24), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')]
test_dataloader = dict(
    batch_size=1, num_workers=0, persistent_workers=True, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='BaseSegDataset', data_root=data_root, img_suffix='.png', pipeline=test_pipeline, serialize_data=False,
        metainfo=dict(classes=CLASSES), data_prefix=dict(img_path='images', seg_map_path='labels')))
test_evaluator = dict(type='SegMetric', iou_metrics=['mIoU'])
test_cfg = dict(type='TestLoop')
"""


@MODELS.register_module(force=True)
class DummySegmentor(BaseSegmentor):
    """Label pixels by brightness; the arguments are those that tests of overrides need."""

    def __init__(
        self,
        name_path: str,
        clip_type: str,
        model_type: str,
        vfm_model=None,
        attention=None,
        prob_thd: float = 0.0,
        slide_crop: int = 336,
        slide_stride: int = 112,
        logit_scale: float = 40,
        fail: str | None = None,
        data_preprocessor=None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.vocabulary = SimpleNamespace(classes=Path(name_path).read_text().split())
        self.attention, self.fail = attention, fail
        if fail == "build":
            raise RuntimeError("the weights of 'dummy' are neither on disk nor to be had: HF_HUB_OFFLINE is set")

    def describe(self) -> dict:
        return {"attention": f"Dummy({self.attention})", "sha256": "0" * 64}

    def predict(self, inputs, data_samples=None):
        if any(Path(sample.img_path).name == os.environ.get("DUMMY_HOLD") for sample in data_samples):
            time.sleep(600)
        time.sleep(float(os.environ.get("DUMMY_SECONDS") or 0))
        if self.fail == "late" and "3.png" in data_samples[0].img_path:
            raise ZeroDivisionError("a fault in the code")
        for image, sample in zip(inputs, data_samples, strict=True):
            gray = image.mean(0, keepdim=True)[None]
            gray = torch.nn.functional.interpolate(gray, sample.ori_shape, mode="nearest")[0]
            sample.pred_sem_seg = PixelData(data=(gray / 86).long().clamp(0, 2))
        return data_samples

    def extract_feat(self, inputs): ...
    def encode_decode(self, inputs, batch_data_samples): ...
    def loss(self, inputs, data_samples): ...
    def _forward(self, inputs, data_samples=None): ...


def make_world(folder: Path, images: int = 7) -> Path:
    """Write images, labels, vocabulary and config into `folder`; return the path of the config."""
    draw = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / "data" / name).mkdir(parents=True)
    for i in range(images):
        h, w = 24 + i, 40 - i
        labels = np.kron(draw.integers(0, 3, (6, 10)), np.ones((8, 8), int))[:h, :w]
        image = (labels * 86 + 40 + draw.integers(-45, 45, labels.shape)).clip(0, 255)
        labels[0, :5] = 255
        cv2.imwrite(str(folder / "data" / "images" / f"{i}.png"), np.repeat(image[..., None], 3, 2).astype(np.uint8))
        cv2.imwrite(str(folder / "data" / "labels" / f"{i}.png"), labels.astype(np.uint8))
    (folder / "cls_dummy.txt").write_text("\n".join(CLASSES) + "\n")
    text = CONFIG.replace("DEFAULT_ROOT", str(folder / "data")).replace("CLASSES", repr(CLASSES))
    config = folder / "cfg_dummy.py"
    config.write_text(text.replace("VOCABULARY", str(folder / "cls_dummy.txt")))
    return config


def run_eval(argv: list[str], stderr: Path, variables: dict[str, str]) -> None:
    """Run eval.py as the target of a process, with environment variables and stderr in a file."""
    os.environ.update(variables)
    with stderr.open("w") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
        sys.exit(main(argv))


def evaluate(config: Path, work_dir: Path, *arguments: str) -> int:
    """Run eval.py in this process on the CPU; return its exit code."""
    return main(["--config", str(config), "--work-dir", str(work_dir), "--device", "cpu", *arguments])
