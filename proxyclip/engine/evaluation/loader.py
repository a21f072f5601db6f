"""Data loaders: batches through pipes, and given batches without unreadable samples."""

import multiprocessing
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch.utils.data import DataLoader, Dataset
from torch.utils.data._utils import worker
from torch.utils.data._utils.pin_memory import pin_memory

from proxyclip.engine.evaluation.loader_processes import LoaderProcessSetup

EMPTY_DATASET_MESSAGE = "The data set is empty: no image has the config's img_suffix in the folder of its data_prefix."


class DataLoaderDied(RuntimeError):
    """Early end of a process that loads samples."""


@dataclass(frozen=True)
class UnreadableSample:
    """Index of a sample that could not be loaded, and the reason."""

    index: int
    reason: str


class SkipUnreadable(Dataset):
    """Data set that returns `UnreadableSample` for a bad sample instead of raising."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        try:
            return self.dataset[index]
        except Exception as error:
            return UnreadableSample(index, " ".join(str(error).split()) or type(error).__name__)


def collate_readable(inner: Callable, samples: Sequence[Any]) -> tuple[Any, list[UnreadableSample]]:
    """Collate the readable samples: (their batch or None, unreadable ones)."""
    unreadable = [sample for sample in samples if isinstance(sample, UnreadableSample)]
    readable = [sample for sample in samples if not isinstance(sample, UnreadableSample)]
    return (inner(readable) if readable else None), unreadable


def collate_to_bytes(inner: Callable, samples: Sequence[Any]) -> bytes:
    """Collate samples and serialize the batch, tensors included.

    PyTorch's own collation allocates shared memory where it sees that it runs in a process that loads.
    """
    info = worker._worker_info
    worker._worker_info = None
    try:
        return pickle.dumps(inner(samples), pickle.HIGHEST_PROTOCOL)
    finally:
        worker._worker_info = info


class PipeDataLoader(DataLoader):
    """DataLoader whose processes hand over batches through pipes.

    PyTorch hands over tensors in shared memory. Where that is too small, as the 64 MB of a Docker container, a process
    that loads fails to hand over its batch without an error that the reader sees, and the reader waits for ever. Where
    processes cannot be started at all, this one loads.
    """

    def __init__(self, dataset: Any, collate_fn: Callable, num_workers: int = 0, **settings: Any) -> None:
        self.unpacked_collate_fn = collate_fn
        packed = partial(collate_to_bytes, collate_fn) if num_workers else collate_fn
        super().__init__(dataset, collate_fn=packed, num_workers=num_workers, **settings)

    def __iter__(self) -> Any:
        if self.num_workers:
            self._load_here_without_semaphores()
        for data in super().__iter__():
            batch = pickle.loads(data) if self.num_workers else data
            yield pin_memory(batch) if self.num_workers and self.pin_memory else batch

    def _load_here_without_semaphores(self) -> None:
        """Use no processes where their queues cannot be made: those need shared memory too."""
        try:
            queues: list[Any] = [multiprocessing.Queue() for _ in range(self.num_workers + 2)]
        except OSError as error:
            reason = error.strerror or error
            print(
                f"note: processes that load images cannot be started ({reason}): this process loads them. In a "
                "container docker run --shm-size=1g helps; --workers 0 says it",
                file=sys.stderr,
                flush=True,
            )
            self.num_workers = self.timeout = 0
            self.collate_fn = self.unpacked_collate_fn
        else:
            del queues


def use_pipes(loader: DataLoader) -> PipeDataLoader:
    """Return a loader like `loader` that hands over batches through pipes."""
    names = ("num_workers", "pin_memory", "worker_init_fn", "prefetch_factor", "persistent_workers", "timeout")
    settings: dict[str, Any] = {
        name: getattr(loader, name) for name in (*names, "multiprocessing_context", "generator")
    }
    if loader.batch_size is None:
        settings["batch_sampler"] = loader.batch_sampler
    else:
        settings |= {name: getattr(loader, name) for name in ("batch_size", "sampler", "drop_last")}
    return PipeDataLoader(loader.dataset, loader.collate_fn, **settings)


class BatchLoader:
    """Loader of chosen batches.

    Yields (indices of the readable samples, their batch or None, unreadable samples).

    Args:
        loader: with the data set and all settings; its own order is not used.
        batches: indices of the samples of each batch.
        skip_bad: yield unreadable samples as such; otherwise their error is raised.

    Raises:
        DataLoaderDied: while iterating; a process that loads samples was killed.
    """

    def __init__(self, loader: DataLoader, batches: Sequence[list[int]], skip_bad: bool) -> None:
        self.loader = loader
        self.batches = batches
        self.skip_bad = skip_bad
        self.failed_on_data = False  # True while an error is one of the data

    def __iter__(self) -> Iterator[tuple[list[int], Any, list[UnreadableSample]]]:
        source = self.loader
        loader: DataLoader = PipeDataLoader(
            SkipUnreadable(source.dataset) if self.skip_bad else source.dataset,
            batch_sampler=self.batches,
            num_workers=source.num_workers if self.batches else 0,
            collate_fn=partial(collate_readable, source.collate_fn),
            pin_memory=source.pin_memory,
            worker_init_fn=LoaderProcessSetup(source.worker_init_fn),
        )
        iterator = iter(loader)
        for indices in self.batches:
            self.failed_on_data = True
            try:
                batch, unreadable = next(iterator)
            except (ConnectionError, EOFError) as error:  # during the transfer of a batch
                raise DataLoaderDied("A process that loads samples has died") from error
            except RuntimeError as error:
                if "DataLoader worker (pid" in str(error):
                    raise DataLoaderDied(str(error)) from error
                raise
            self.failed_on_data = False
            skipped = {sample.index for sample in unreadable}
            yield [index for index in indices if index not in skipped], batch, unreadable
