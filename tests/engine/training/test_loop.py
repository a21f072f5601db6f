"""Draws of the training loop: they depend on the seed and their number alone."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from proxyclip.engine.training.loop import SeededDraws, SeededSampler, seed_dataloader_config


class Noise:
    """Data set of indexes, each with a random number of each generator."""

    metainfo = {"classes": ("a",)}  # noqa: RUF012

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return index, random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002


def draw_batches(rank=0, world=1, batch=4, start=0, workers=0, count=6, seed=7) -> list:
    sampler = SeededSampler(Noise(), seed=seed)
    sampler.rank = rank
    sampler.world = world
    sampler.start = start
    loader = DataLoader(
        SeededDraws(Noise()), sampler=sampler, batch_size=batch, num_workers=workers, collate_fn=list,
        persistent_workers=workers > 0,
    )  # fmt: skip
    batches = iter(loader)
    return [next(batches) for _ in range(count)]


def test_draws_depend_on_seed_and_number_alone():
    whole = draw_batches()
    samples = [sample for batch in whole for sample in batch]
    first, second = ([index for index, *_ in part] for part in (samples[:5], samples[5:10]))
    assert sorted(first) == sorted(second) == list(range(5)) and first != second
    assert len({sample[1] for sample in samples}) == len({sample[3] for sample in samples}) == 24
    assert draw_batches(workers=2) == whole
    assert draw_batches(start=8, count=4) == whole[2:]
    parts = [draw_batches(rank, world=2, batch=2) for rank in (0, 1)]
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == [sorted(batch) for batch in whole]
    assert draw_batches(seed=8) != whole


def test_seed_dataloader_config_replaces_the_infinite_sampler_alone():
    loader = dict(batch_size=1, sampler=dict(type="InfiniteSampler", shuffle=False), dataset=dict(type="X"))
    assert seed_dataloader_config(loader)["sampler"] == dict(type="SeededSampler", shuffle=False)
    with pytest.raises(ValueError, match="'SeededSampler', but got 'DefaultSampler'"):
        seed_dataloader_config({**loader, "sampler": dict(type="DefaultSampler")})
    with pytest.raises(ValueError, match="but got a batch_sampler"):
        seed_dataloader_config({**loader, "batch_sampler": dict(type="Any")})
