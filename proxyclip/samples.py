"""The samples of a test set, batch by batch: chosen ones, past those that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader, Dataset


class LoaderDied(RuntimeError):
    """A process that loads samples has ended before its work."""


@dataclass(frozen=True)
class Unreadable:
    """A sample that could not be loaded, and why."""

    index: int
    why: str


class Guarded(Dataset):
    """A data set whose bad samples come as `Unreadable` instead of an error. Everything else is the data set's own."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        try:
            return self.dataset[index]
        except Exception as error:
            return Unreadable(index, " ".join(str(error).split()) or type(error).__name__)


class Collate:
    """The collate function of a loader, past unreadable samples: (batch of the others or None, unreadable ones)."""

    def __init__(self, inner: Callable) -> None:
        self.inner = inner

    def __call__(self, samples: Sequence[Any]) -> tuple[Any, list[Unreadable]]:
        bad = [sample for sample in samples if isinstance(sample, Unreadable)]
        good = [sample for sample in samples if not isinstance(sample, Unreadable)]
        return (self.inner(good) if good else None), bad


class Samples:
    """Iterates over batches of chosen samples: (indices, batch or None, unreadable ones), indices without the last.

    Args:
        loader: has the data set and all settings; its own order is not taken.
        chosen: indices of the samples of each batch.
        skip_bad: hand over unreadable samples as such; otherwise their error is raised.

    Raises:
        LoaderDied: while iterating; a process that loads samples was killed.
    """

    def __init__(self, loader: DataLoader, chosen: Sequence[list[int]], skip_bad: bool) -> None:
        self.loader, self.chosen, self.skip_bad = loader, chosen, skip_bad
        self.at_fault = False  # an error now is one of the data

    def __iter__(self) -> Iterator[tuple[list[int], Any, list[Unreadable]]]:
        given = self.loader
        loader: DataLoader = DataLoader(
            Guarded(given.dataset) if self.skip_bad else given.dataset,
            batch_sampler=self.chosen,
            num_workers=given.num_workers if self.chosen else 0,
            collate_fn=Collate(given.collate_fn),
            pin_memory=given.pin_memory,
            worker_init_fn=given.worker_init_fn,
        )
        batches = iter(loader)
        for indices in self.chosen:
            self.at_fault = True
            try:
                batch, bad = next(batches)
            except (ConnectionError, EOFError) as error:  # while it handed a batch over
                raise LoaderDied("A process that loads samples has died") from error
            except RuntimeError as error:
                if "DataLoader worker (pid" in str(error):
                    raise LoaderDied(str(error)) from error
                raise
            self.at_fault = False
            gone = {one.index for one in bad}
            yield [index for index in indices if index not in gone], batch, bad
