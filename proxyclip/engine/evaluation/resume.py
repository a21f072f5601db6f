"""Per-image counts of an unfinished evaluation, saved on disk for resuming.

Counts are integers for each image, so any number of processes may have made them, in any order, and the sum is the
same. They are stored under a token of the image's files: counts of a file that has changed since are not loaded. A
file of counts is written whole or not at all.
"""

import contextlib
import shutil
import sys
import time
import uuid
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from proxyclip.engine.evaluation.metrics import PairCounts
from proxyclip.utils.io import replace_file

MAX_SAVE_INTERVAL = 30.0  # between two files at most, however slow the images are


class Journal:
    """Counts of one evaluation, in memory and on disk.

    Args:
        folder: of the files; evaluations that differ in more than their data have different ones.
        tokens: of the images of the data set, in its order.
        classes: their number.
        every: images between two files.
    """

    def __init__(self, folder: Path, tokens: Sequence[str], classes: int, every: int = 50) -> None:
        self.folder = folder
        self.tokens = tokens
        self.classes = classes
        self.every = every
        self.counts: dict[int, PairCounts] = {}  # of this process
        self._unsaved: list[int] = []
        self._name = uuid.uuid4().hex[:8]
        self._number = 0
        self._warned = False
        self._saved = time.monotonic()

    def load(self) -> dict[int, PairCounts]:
        """Load the counts of earlier evaluations, by the index of the image.

        A file that cannot be read is named on stderr; its images are evaluated again.
        """
        index = {token: i for i, token in enumerate(self.tokens)}
        loaded: dict[int, PairCounts] = {}
        for path in sorted(self.folder.glob("*.npz")):
            try:
                saved = self._read(path)
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                print(f"warning: {path} cannot be used ({error}); its images are evaluated again", file=sys.stderr)
                continue
            loaded.update({index[token]: counts for token, counts in saved.items() if token in index})
        return loaded

    def add(self, counts: dict[int, PairCounts]) -> None:
        """Add the counts of a batch, and save when it is time."""
        self.counts.update(counts)
        self._unsaved += counts
        if len(self._unsaved) >= self.every or time.monotonic() - self._saved > MAX_SAVE_INTERVAL:
            self.save()

    def save(self) -> bool:
        """Write the unsaved counts; print one message and return False on failure."""
        self._saved = time.monotonic()
        if not self._unsaved:
            return True
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(self.folder / f"{self._name}-{self._number:06d}.npz", self._write)
        except OSError as error:
            if not self._warned:
                print(
                    f"warning: counts cannot be saved in {self.folder} ({error}); going on with them in memory",
                    file=sys.stderr,
                )
            self._warned = True
            return False
        self._number += 1
        self._unsaved = []
        self._warned = False
        return True

    def remove(self) -> None:
        """Delete the files, once the evaluation has its record."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.parent.rmdir()  # if it was the last one

    def _write(self, path: Path) -> None:
        unsaved = [self.counts[index] for index in self._unsaved]
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                classes=np.array(self.classes),
                token=np.array([self.tokens[index] for index in self._unsaved]),
                length=np.array([len(pairs) for pairs, _ in unsaved], np.int64),
                pairs=np.concatenate([pairs for pairs, _ in unsaved]).astype(np.int64),
                counts=np.concatenate([counts for _, counts in unsaved]).astype(np.int64),
            )

    def _read(self, path: Path) -> dict[str, PairCounts]:
        with np.load(path, allow_pickle=False) as file:
            data = {key: file[key] for key in ("classes", "token", "length", "pairs", "counts")}
        if data["classes"] != self.classes:
            raise ValueError(f"it is of {data['classes']} classes, not {self.classes}")
        ends = np.cumsum(data["length"])[:-1]
        parts = zip(np.split(data["pairs"], ends), np.split(data["counts"], ends), strict=True)
        return dict(zip(data["token"].tolist(), parts, strict=True))
