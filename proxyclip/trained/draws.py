"""Training that is the same however it is cut up: into processes, into loader processes, or by an interruption.

Each draw of a sample, and each iteration, has random numbers of its own, which depend on the seed and on its number.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS, LOOPS
from mmengine.runner import IterBasedTrainLoop
from mmengine.runner.base_loop import BaseLoop
from mmengine.runner.utils import calc_dynamic_intervals
from mmseg.registry import DATASETS
from torch.utils.data import DataLoader, Dataset

_DRAW, _ITERATION, _ORDER = range(3)  # what random numbers are for: equal numbers of two kinds have nothing in common


class Draw(NamedTuple):
    """One sample to load: its index in the data set, and what its random numbers come from."""

    sample: int
    seed: tuple[int, ...]


def seed_all(*key: int) -> None:
    """Seed the global generators of Python, NumPy and PyTorch from numbers, 0 or more."""
    first, second = (int(word) for word in np.random.SeedSequence(key).generate_state(2))
    random.seed(first)
    np.random.seed(first)  # noqa: NPY002  the generator that the pipelines draw from
    torch.manual_seed(first << 32 | second)


@DATA_SAMPLERS.register_module()
class SeededSampler:
    """Endless draws from a data set: its samples in a new order each epoch, dealt out to the processes in turn.

    With n samples, draw number d is that of place d % n in the order of epoch d // n, which depends on the seed and the
    epoch alone. A batch of b in each of p processes has the draws of one process with a batch of b * p.

    Args:
        dataset: anything with a length.
        shuffle: False: in the order of the data set.
        seed: of the orders and of the draws.

    Attributes:
        start: number of the first draw of all processes together.
    """

    def __init__(self, dataset: Any, shuffle: bool = True, seed: int | None = None) -> None:
        self.size, self.shuffle, self.seed, self.start = len(dataset), shuffle, seed or 0, 0
        self.rank, self.world = get_dist_info()

    def order(self, epoch: int) -> np.ndarray:
        """The samples of an epoch (n,), int64."""
        if not self.shuffle:
            return np.arange(self.size)
        return np.random.default_rng((self.seed, _ORDER, epoch)).permutation(self.size)

    def __iter__(self) -> Iterator[Draw]:
        known, order = -1, np.arange(0)
        for number in itertools.count(self.start + self.rank, self.world):
            epoch, place = divmod(number, self.size)
            if epoch != known:
                known, order = epoch, self.order(epoch)
            yield Draw(int(order[place]), (self.seed, _DRAW, number))

    def __len__(self) -> int:
        """Samples an epoch has; the draws never end."""
        return self.size


@DATASETS.register_module()
class SeededDraws(Dataset):
    """A data set that takes the draws of a SeededSampler. `dataset` is the config of any other one."""

    def __init__(self, dataset: Any) -> None:
        self.dataset: Any = DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset

    @property
    def metainfo(self) -> Any:
        """That of the data set itself."""
        return getattr(self.dataset, "metainfo", {})

    def full_init(self) -> None:
        """Load what the data set loads late."""
        if hasattr(self.dataset, "full_init"):
            self.dataset.full_init()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: Draw) -> Any:
        seed_all(*draw.seed)
        return self.dataset[draw.sample]


@LOOPS.register_module()
class SeededTrainLoop(IterBasedTrainLoop):
    """MMEngine's loop over iterations, with SeededSampler and SeededDraws around the config's plain data set.

    A resumed training begins with the draw it would have come to, instead of loading all batches before again. Before
    each iteration PyTorch's generators are seeded (dropout, stochastic depth), differently in each process.

    Args:
        runner, max_iters, val_begin, val_interval, dynamic_intervals: as in MMEngine's loop.
        dataloader: config of the loader; its sampler is SeededSampler, or InfiniteSampler, whose place it takes.

    Raises:
        ValueError: another sampler.
    """

    def __init__(
        self,
        runner: Any,
        dataloader: Any,
        max_iters: int,
        val_begin: int = 1,
        val_interval: int = 1000,
        dynamic_intervals: list[tuple[int, int]] | None = None,
    ) -> None:
        BaseLoop.__init__(self, runner, seeded(dataloader))  # IterBasedTrainLoop's own would start to load at once
        self._max_iters, self._max_epochs, self._epoch, self._iter = int(max_iters), 1, 0, 0
        self.val_begin, self.val_interval, self.stop_training = val_begin, val_interval, False
        self.dynamic_milestones, self.dynamic_intervals = calc_dynamic_intervals(val_interval, dynamic_intervals)
        runner.visualizer.dataset_meta = self.dataloader.dataset.metainfo

    def run(self) -> Any:
        """Train from the present iteration to the last."""
        runner, rank, batches = self.runner, get_dist_info()[0], self.batches()
        runner.call_hook("before_train")
        runner.call_hook("before_train_epoch")
        while self._iter < self._max_iters and not self.stop_training:
            runner.model.train()
            batch = next(batches)
            seed_all(runner.seed, _ITERATION, self._iter, rank)
            self.run_iter(batch)
            self._decide_current_val_interval()
            due = self._iter % self.val_interval == 0 or self._iter == self._max_iters
            if runner.val_loop is not None and self._iter >= self.val_begin and due:
                runner.val_loop.run()
        runner.call_hook("after_train_epoch")
        runner.call_hook("after_train")
        return runner.model

    def batches(self) -> Iterator[Any]:
        """The batches of this process from the present iteration on, without end."""
        loader: DataLoader = self.dataloader
        sampler: Any = loader.sampler
        sampler.seed = self.runner.seed  # a checkpoint may have brought its own
        sampler.start = self._iter * (loader.batch_size or 1) * sampler.world
        return iter(loader)


def seeded(dataloader: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a loader with SeededSampler, and SeededDraws around its data set.

    Raises:
        ValueError: it has another sampler, or a sampler of batches.
    """
    sampler = dict(dataloader["sampler"])
    kind = sampler.get("type")
    if kind not in ("SeededSampler", "InfiniteSampler") or "batch_sampler" in dataloader:
        found = "a batch_sampler" if "batch_sampler" in dataloader else f"{kind!r}"
        raise ValueError(
            f"SeededTrainLoop: expected train_dataloader.sampler to be of type 'SeededSampler', but got {found}"
        )
    dataset = dict(type="SeededDraws", dataset=dataloader["dataset"])
    return {**dataloader, "sampler": {**sampler, "type": "SeededSampler"}, "dataset": dataset}
