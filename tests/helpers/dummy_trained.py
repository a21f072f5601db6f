"""Trained model in miniature, with a config and checkpoints for its evaluation."""

from pathlib import Path
from types import SimpleNamespace

import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import BaseSegmentor
from mmseg.registry import MODELS

from proxyclip.models.trained.state_dict import load_checkpoint_file
from proxyclip.tinyworld import CLASSES

CONFIG = """
custom_imports = dict(imports=['helpers.dummy_trained'])
default_scope = 'mmseg'
model = dict(
    type='DummyTrained', checkpoint=None, student=dict(type='pixel', depth=1),
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[127, 127, 127], std=[60, 60, 60], bgr_to_rgb=True, size=(64, 64)))
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 32), keep_ratio=True),
    dict(type='MyLoadAnnotations'),
    dict(type='PackSegInputs')]
test_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='TinyWorldDataset', data_root='DATA', count=2, seed=5, ann_file='ImageSets/Segmentation/val.txt',
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'), pipeline=pipeline))
test_evaluator = dict(type='SegMetric', iou_metrics=['mIoU'])
test_cfg = dict(type='TestLoop')

# Unknown types: an evaluation must not build them.
train_dataloader = dict(batch_size=4, sampler=dict(type='NoSampler'), dataset=dict(type='NoDataset'))
train_cfg = dict(type='NoLoop', max_iters=10, val_interval=5)
optim_wrapper = dict(type='NoWrapper', optimizer=dict(type='NoOptimizer'))
param_scheduler = [dict(type='NoScheduler', power=0.9)]
val_dataloader = dict(batch_size=1, dataset=dict(type='NoDataset'))
val_cfg = dict(type='NoLoop')
val_evaluator = dict(type='NoMetric')
default_hooks = dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval='never'))
model_wrapper_cfg = dict(type='NoDDP', find_unused_parameters=True)
sync_bn = 'no such batch norm'
load_from = 'no such file'
resume = True
"""


@MODELS.register_module(force=True)
class DummyTrained(BaseSegmentor):
    """A 1x1 convolution from the color of a pixel to its class."""

    trained = True
    guided = False
    templates = ("a {}.",)

    def __init__(self, checkpoint=None, precision="fp32", student=None, data_preprocessor=None) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.checkpoint = checkpoint
        self.precision = precision
        self.iteration = None
        self.vocabulary = SimpleNamespace(classes=[(name,) for name in CLASSES])
        self.conv = torch.nn.Conv2d(3, len(CLASSES), 1)

    def init_weights(self):
        raise AssertionError("an evaluation prepares the model; only training calls this")

    def prepare(self, device: torch.device) -> None:
        saved = load_checkpoint_file(self.checkpoint)
        self.load_state_dict(saved["state_dict"])
        self.iteration = saved["meta"]["iter"]

    def describe(self) -> dict:
        return {"student": "Pixel()"}

    def predict(self, inputs, data_samples=None):
        for logits, sample in zip(self.conv(inputs), data_samples, strict=True):
            logits = torch.nn.functional.interpolate(logits[None], sample.ori_shape, mode="bilinear")[0]
            sample.pred_sem_seg = PixelData(data=logits.argmax(0, keepdim=True))
        return data_samples

    def extract_feat(self, inputs): ...
    def encode_decode(self, inputs, batch_data_samples): ...
    def loss(self, inputs, data_samples): ...
    def _forward(self, inputs, data_samples=None): ...


def save(path: Path, seed: int = 0, iteration: int = 10) -> Path:
    """Save random weights like a checkpoint of train.py."""
    torch.manual_seed(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"meta": {"iter": iteration}, "state_dict": DummyTrained().state_dict()}, path)
    return path


def make_config(folder: Path) -> Path:
    """Write a config of the model on two drawn scenes below `folder`."""
    path = folder / "cfg_dummy_trained.py"
    path.write_text(CONFIG.replace("DATA", str(folder / "data")))
    return path
