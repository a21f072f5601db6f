"""A training of a model of a few weights: its config, its model with faults on demand, and its files."""

import os
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

from helpers.dummy_trained import DummyTrained
from proxyclip.cli.train import main
from proxyclip.models.trained.nonfinite import check_finite_losses
from proxyclip.models.trained.state_dict import load_checkpoint_file

CONFIG = """
default_scope = 'mmseg'
model = dict(
    type='Learner', checkpoint=None, dropout=0.3,
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[127, 127, 127], std=[60, 60, 60], bgr_to_rgb=True, size=(24, 24)))
train_pipeline = [
    dict(type='LoadImageFromFile'), dict(type='MyLoadAnnotations'), dict(type='RandomCrop', crop_size=(24, 24)),
    dict(type='RandomFlip', prob=0.5), dict(type='PhotoMetricDistortion'), dict(type='PackSegInputs')]
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='MyLoadAnnotations'), dict(type='PackSegInputs')]
scenes = dict(
    type='TinyWorldDataset', data_root='DATA', count=3, seed=5, serialize_data=False,
    ann_file='ImageSets/Segmentation/val.txt',
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'))
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=True, sampler=dict(type='SeededSampler'),
    dataset=dict(scenes, pipeline=train_pipeline))
test_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(scenes, pipeline=test_pipeline))
val_dataloader = test_dataloader
val_evaluator = test_evaluator = dict(type='SegMetric', iou_metrics=['mIoU'])
val_cfg, test_cfg = dict(type='ValLoop'), dict(type='TestLoop')
train_cfg = dict(type='SeededTrainLoop', max_iters=8, val_interval=5)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9))
param_scheduler = [dict(type='WarmupPolyLR', power=0.9, warmup=3)]
default_hooks = dict(logger=dict(type='LoggerHook', interval=4), checkpoint=dict(type='CheckpointHook', interval=2))
"""


def sleep_in_fault(name: str, seconds: float, end_file: str = "") -> None:
    """Sleep, after a file of this name in the current folder tells others that the fault has come.

    Args:
        end_file: ends the sleep where it is there.
    """
    Path(name).touch()
    end = time.monotonic() + seconds
    while time.monotonic() < end and not (end_file and Path(end_file).exists()):
        time.sleep(0.01)


@MODELS.register_module(force=True)
class Learner(DummyTrained):
    """A 1x1 convolution that learns; iteration `at`, from 1, has a fault.

    Faults: "hold" (sleeps for ever), "slow" (until there is a file `told`), "stop" (is interrupted), "loss",
    "gradient" (not finite);
    whatever `at` is, "start" sleeps before the first iteration, and "predict" in each prediction.
    """

    def __init__(self, dropout: float = 0.0, fault: str = "", at: int = 0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.dropout = dropout
        self.fault = fault
        self.at = at
        self.calls = 0

    def init_weights(self) -> None:
        self.calls = 0
        if self.fault == "start":
            sleep_in_fault("start", 600)

    def predict(self, inputs, data_samples):
        if self.fault == "predict":
            sleep_in_fault("predict", 600)
        return super().predict(inputs, data_samples)

    def loss(self, inputs, data_samples):
        self.calls += 1
        if "LEARNER_DUMP" in os.environ:
            file = Path(os.environ["LEARNER_DUMP"]) / f"{os.environ.get('RANK', 'one')}_{self.calls}.pt"
            torch.save(self.state_dict(), file)
        labels = torch.stack([sample.gt_sem_seg.data[0] for sample in data_samples]).long()
        scores = self.conv(F.dropout(inputs, self.dropout))
        loss = F.cross_entropy(scores.float(), labels, ignore_index=255, reduction="sum") / labels.numel()
        fault = self.fault if self.calls == self.at else ""
        if fault == "hold":
            sleep_in_fault("hold", 600)
        if fault == "slow":
            sleep_in_fault("slow", 30, "told")
        if fault == "stop":
            raise KeyboardInterrupt
        if fault == "loss":
            loss = loss * float("nan")
        if fault == "gradient":
            loss = loss + (loss - loss.detach()).sqrt()
        return {"loss_ce": loss, "bits": torch.tensor(8.0 * scores.element_size())}

    def parse_losses(self, losses):
        check_finite_losses(losses)
        return super().parse_losses(losses)


def train_learner(out: str, *arguments: str, config: str = "cfg_learner") -> int:
    """Run train.py in this process, and return its exit code."""
    return main([f"{config}.py", "--work-dir", out, "--device", "cpu", *arguments])


def learner_folder(out: str) -> Path:
    """Folder of the checkpoints of a work dir."""
    return Path(out) / "train" / "cfg_learner"


def weights_of(file: Path) -> list:
    """Weights of a checkpoint as numbers."""
    return [value.tolist() for value in load_checkpoint_file(file)["state_dict"].values()]
