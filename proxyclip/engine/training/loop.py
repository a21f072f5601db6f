"""Deterministic sampling and seeding for resumable, distributed training.

Each draw of a sample, and each iteration, has random numbers of its own, which depend on the seed and on its number:
a training is the same in any number of processes and loader processes, and after any interruption.
"""

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

from proxyclip.engine.evaluation.loader_processes import LoaderProcessSetup
from proxyclip.engine.training.stop_signals import StopSignals, make_interruption

# Purposes of random numbers: streams of different purposes are independent.
_DRAW = 0
_ITERATION = 1
_ORDER = 2


class SeededIndex(NamedTuple):
    """Sample to load: its index in the data set, and the seed of its random numbers."""

    sample: int
    seed: tuple[int, ...]


def seed_all(*key: int) -> None:
    """Seed the global generators of Python, NumPy and PyTorch from numbers, 0 or more."""
    first, second = (int(number) for number in np.random.SeedSequence(key).generate_state(2))
    random.seed(first)
    np.random.seed(first)  # noqa: NPY002  the generator that the pipelines draw from
    torch.manual_seed(first << 32 | second)


@DATA_SAMPLERS.register_module()
class SeededSampler:
    """Endless draws from a data set, shuffled anew each epoch; the processes get them in turn.

    With n samples, draw number d is that of position d % n in the order of epoch d // n, which depends on the seed and
    the epoch alone. A batch of b in each of p processes has the draws of one process with a batch of b * p.

    Args:
        dataset: anything with a length.
        shuffle: False: in the order of the data set.
        seed: of the orders and of the draws.

    Attributes:
        start: number of the first draw of all processes together.
    """

    def __init__(self, dataset: Any, shuffle: bool = True, seed: int | None = None) -> None:
        self.size = len(dataset)
        self.shuffle = shuffle
        self.seed = seed or 0
        self.start = 0
        self.rank, self.world = get_dist_info()

    def order(self, epoch: int) -> np.ndarray:
        """Compute the order of the samples in an epoch, (n,) int64."""
        if not self.shuffle:
            return np.arange(self.size)
        return np.random.default_rng((self.seed, _ORDER, epoch)).permutation(self.size)

    def __iter__(self) -> Iterator[SeededIndex]:
        current_epoch = -1
        order = np.arange(0)
        for draw_index in itertools.count(self.start + self.rank, self.world):
            epoch, position = divmod(draw_index, self.size)
            if epoch != current_epoch:
                current_epoch = epoch
                order = self.order(epoch)
            yield SeededIndex(int(order[position]), (self.seed, _DRAW, draw_index))

    def __len__(self) -> int:
        """Count the samples of an epoch; the draws never end."""
        return self.size


@DATASETS.register_module()
class SeededDraws(Dataset):
    """Data set that takes the draws of a SeededSampler.

    Args:
        dataset: the wrapped data set, or its config.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset: Any = DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset

    @property
    def metainfo(self) -> Any:
        """Metainfo of the wrapped data set."""
        return getattr(self.dataset, "metainfo", {})

    def full_init(self) -> None:
        """Initialize a wrapped data set that is lazy."""
        if hasattr(self.dataset, "full_init"):
            self.dataset.full_init()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: SeededIndex) -> Any:
        seed_all(*draw.seed)
        return self.dataset[draw.sample]


@LOOPS.register_module()
class SeededTrainLoop(IterBasedTrainLoop):
    """Iteration loop with SeededSampler and SeededDraws around the config's data set.

    A resumed training begins with its next draw, instead of loading all batches before again. Before each iteration
    PyTorch's generators are seeded (dropout, stochastic depth), differently in each process. A signal stops it between
    two iterations, and at once during a validation.

    Args:
        runner, max_iters, val_begin, val_interval, dynamic_intervals: as in MMEngine's loop.
        dataloader: config of the loader; its sampler is SeededSampler, or InfiniteSampler, whose place it takes.

    Attributes:
        signals: what stops it; None: nothing is kept until an iteration is finished.
        is_whole: weights, optimizer and schedule are those after `iter` iterations, of which one at least was of now.

    Raises:
        ValueError: another sampler.
    """

    signals: StopSignals | None = None
    is_whole = False

    def __init__(
        self,
        runner: Any,
        dataloader: Any,
        max_iters: int,
        val_begin: int = 1,
        val_interval: int = 1000,
        dynamic_intervals: list[tuple[int, int]] | None = None,
    ) -> None:
        # IterBasedTrainLoop's own would start to load at once
        BaseLoop.__init__(self, runner, seed_dataloader_config(dataloader))
        self._max_iters = int(max_iters)
        self._max_epochs = 1
        self._epoch = 0
        self._iter = 0
        self.val_begin = val_begin
        self.val_interval = val_interval
        self.stop_training = False
        self.dynamic_milestones, self.dynamic_intervals = calc_dynamic_intervals(val_interval, dynamic_intervals)
        runner.visualizer.dataset_meta = self.dataloader.dataset.metainfo

    def run(self) -> Any:
        """Train from the present iteration to the last."""
        runner = self.runner
        signals = self.signals or StopSignals()
        batches = self.batches()
        runner.call_hook("before_train")
        runner.call_hook("before_train_epoch")
        with signals.kept(signals.world > 1):  # a process that waits for its batch must not leave the others alone
            while self._iter < self._max_iters and not self.stop_training:
                self._run_one(batches, signals)
                self._decide_current_val_interval()
                due = self._iter % self.val_interval == 0 or self._iter == self._max_iters
                if runner.val_loop is not None and self._iter >= self.val_begin and due:
                    with signals.kept(False):
                        runner.val_loop.run()
        runner.call_hook("after_train_epoch")
        runner.call_hook("after_train")
        return runner.model

    def _run_one(self, batches: Iterator[Any], signals: StopSignals) -> None:
        """Run one iteration to its end, and stop there if a signal came."""
        runner = self.runner
        runner.model.train()
        try:
            batch = next(batches)
        except RuntimeError as error:  # a process that loads may have died of the signal that is meant for this one
            number = signals.find_stop() if "DataLoader worker" in str(error) else None
            if number is None:
                raise
            raise make_interruption(number) from error
        with signals.kept():
            self.is_whole = False
            seed_all(runner.seed, _ITERATION, self._iter, get_dist_info()[0])
            self.run_iter(batch)
            wrapper = runner.optim_wrapper
            if getattr(wrapper, "_accumulative_counts", 1) == 1 or wrapper.should_update():
                # else gradients wait for the next iteration, which no checkpoint has
                self.is_whole = True
                signals.raise_kept()

    def batches(self) -> Iterator[Any]:
        """Iterate over the batches of this process from the present iteration on, without end."""
        loader: DataLoader = self.dataloader
        sampler: Any = loader.sampler
        sampler.seed = self.runner.seed  # a checkpoint may have brought its own
        sampler.start = self._iter * (loader.batch_size or 1) * sampler.world
        for outliving in filter(None, (loader, getattr(self.runner.val_loop, "dataloader", None))):
            if not isinstance(outliving.worker_init_fn, LoaderProcessSetup):
                outliving.worker_init_fn = LoaderProcessSetup(outliving.worker_init_fn)
        return iter(loader)


def seed_dataloader_config(dataloader: Mapping[str, Any]) -> dict[str, Any]:
    """Put SeededSampler and SeededDraws into the config of a loader.

    Raises:
        ValueError: it has another sampler, or a sampler of batches.
    """
    sampler = dict(dataloader["sampler"])
    actual = "a batch_sampler" if "batch_sampler" in dataloader else repr(sampler.get("type"))
    if actual not in ("'SeededSampler'", "'InfiniteSampler'"):
        raise ValueError(
            f"SeededTrainLoop: expected train_dataloader.sampler to be of type 'SeededSampler', but got {actual}"
        )
    dataset = dict(type="SeededDraws", dataset=dataloader["dataset"])
    return {**dataloader, "sampler": {**sampler, "type": "SeededSampler"}, "dataset": dataset}
