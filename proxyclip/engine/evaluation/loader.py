"""Data loader over given batches that can skip unreadable samples."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch.utils.data import DataLoader, Dataset

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
        loader: DataLoader = DataLoader(
            SkipUnreadable(source.dataset) if self.skip_bad else source.dataset,
            batch_sampler=self.batches,
            num_workers=source.num_workers if self.batches else 0,
            collate_fn=partial(collate_readable, source.collate_fn),
            pin_memory=source.pin_memory,
            worker_init_fn=source.worker_init_fn,
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
