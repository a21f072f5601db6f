"""Per-image counts of an unfinished evaluation, saved on disk for resuming.

Counts are integers for each image, so any number of processes may have made them, in any order, and the sum is the
same. They are stored under a token of the image's files: counts of a file that has changed since are not loaded. A
file of counts is written whole or not at all, with a hash of its arrays, and read with all of it checked.
"""

import contextlib
import io
import shutil
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from proxyclip.engine.evaluation.metrics import PairCounts
from proxyclip.engine.evaluation.unused_counts import PARTS_FILE, explain_unused_counts, save_identity_parts
from proxyclip.utils.file_limits import check_unpacked_size, read_limited_bytes
from proxyclip.utils.hashing import hash_chunks
from proxyclip.utils.io import replace_file

MAX_SAVE_INTERVAL = 30.0  # between two files at most, however slow the images are
DAMAGED_SUFFIX = ".damaged"  # of a file of counts that was read once, and is not read again
_ARRAYS = ("classes", "token", "length", "pairs", "counts")
_MAX_FILE_BYTES = 1 << 30
_MAX_ARRAY_BYTES = 1 << 32  # of all arrays of a file
_MAX_PIXELS = 1 << 40  # of an image


class Journal:
    """Counts of one evaluation, in memory and on disk.

    Args:
        folder: of the files; evaluations that differ in more than their data have different ones.
        tokens: of the images of the data set, in its order.
        classes: their number.
        every: images between two files.
        parts: of the identity that the folder is named by, which are saved beside the counts.
    """

    def __init__(
        self,
        folder: Path,
        tokens: Sequence[str],
        classes: int,
        every: int = 50,
        parts: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.tokens = tokens
        self.classes = classes
        self.every = every
        self.parts = parts
        self.counts: dict[int, PairCounts] = {}  # of this process
        self._unsaved: list[int] = []
        self._name = uuid.uuid4().hex[:8]
        self._number = 0
        self._warned = False
        self._saved = time.monotonic()

    def load(self) -> dict[int, PairCounts]:
        """Load the counts of earlier evaluations, by the index of the image.

        A damaged file is named on stderr, its images are counted again, and it is renamed so that it is named once.
        """
        index = {token: i for i, token in enumerate(self.tokens)}
        loaded: dict[int, PairCounts] = {}
        for path in sorted(self.folder.glob("*.npz")):
            try:
                data = self._read_bytes(path)
                saved = parse_counts(data, self.classes) if data is not None else {}
            except DamagedCounts as damage:
                print(f"warning: {_describe_damage(path, damage)}", file=sys.stderr, flush=True)
                with contextlib.suppress(OSError):
                    path.rename(path.with_name(f"{path.name}{DAMAGED_SUFFIX}"))
                continue
            loaded.update({index[token]: counts for token, counts in saved.items() if token in index})
        return loaded

    def explain_unused(self) -> str | None:
        """Explain, in one line, why the counts of an earlier run of the same config are not used; None without any."""
        return explain_unused_counts(self.folder, self.parts, self.tokens) if self.parts is not None else None

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
            if self.parts is not None and not (self.folder / PARTS_FILE).is_file():
                save_identity_parts(self.folder, self.parts)
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
        arrays = {
            "classes": np.array(self.classes, np.int64),
            "token": np.array([self.tokens[index] for index in self._unsaved]),
            "length": np.array([len(pairs) for pairs, _ in unsaved], np.int64),
            "pairs": np.concatenate([pairs for pairs, _ in unsaved]).astype(np.int64),
            "counts": np.concatenate([counts for _, counts in unsaved]).astype(np.int64),
        }
        with path.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, sha256=np.array(hash_count_arrays(arrays)), **arrays)

    @staticmethod
    def _read_bytes(path: Path) -> bytes | None:
        """Read a file; None, after a line on stderr, if it may be whole but cannot be read now."""
        if path.is_symlink() or path.exists():
            if not path.is_file():
                raise DamagedCounts("it is no plain file")
            try:
                return read_limited_bytes(path, _MAX_FILE_BYTES, "a file of counts")
            except ValueError as error:
                raise DamagedCounts(str(error)) from error
            except (OSError, MemoryError) as error:
                reason = getattr(error, "strerror", None) or error
                print(f"warning: {path} cannot be read ({reason}); its images are counted again", file=sys.stderr)
        return None  # or another evaluation has just deleted it


class DamagedCounts(ValueError):
    """A file of counts that is not as it was written; the attribute `images` is their number, None if unknown."""

    def __init__(self, reason: str, images: int | None = None) -> None:
        super().__init__(reason)
        self.images = images


def parse_counts(data: bytes, classes: int) -> dict[str, PairCounts]:
    """Parse a file of counts, by the tokens of the images, with all of it checked.

    Raises:
        DamagedCounts: whatever is wrong with it.
    """
    images: int | None = None
    try:
        check_unpacked_size(io.BytesIO(data), _MAX_ARRAY_BYTES, "counts")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            token = file["token"]
            images = len(token)
            arrays = {"token": token} | {name: file[name] for name in _ARRAYS if name != "token"}
            if str(file["sha256"]) != hash_count_arrays(arrays):
                raise ValueError("its content does not fit its hash")
        _check_arrays(arrays, classes)
        ends = np.cumsum(arrays["length"])[:-1]
        parts = zip(np.split(arrays["pairs"], ends), np.split(arrays["counts"], ends), strict=True)
        return dict(zip(token.tolist(), parts, strict=True))
    except Exception as error:  # zlib.error, struct.error, MemoryError: of damaged bytes anything comes
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DamagedCounts(reason, images) from error


def _check_arrays(arrays: Mapping[str, np.ndarray], classes: int) -> None:
    """Check types, lengths and ranges of the arrays of a file.

    Raises:
        ValueError: they are no counts, or of another number of classes.
    """
    numbers = [arrays[name] for name in ("length", "pairs", "counts")]
    token, (length, pairs, counts) = arrays["token"], numbers
    if any(array.dtype != np.int64 or array.ndim != 1 for array in numbers) or token.dtype.kind != "U":
        raise ValueError("expected vectors of int64 and of texts")
    if arrays["classes"].shape != () or arrays["classes"].dtype.kind not in "iu":
        raise ValueError("expected a number of classes")
    if arrays["classes"] != classes:
        raise ValueError(f"it is of {arrays['classes']} classes, not {classes}")
    if token.ndim != 1 or len(set(token.tolist())) != len(token) or len(length) != len(token):
        raise ValueError("expected one length for each of different images")
    if (length < 0).any() or not int(length.sum()) == len(pairs) == len(counts):
        raise ValueError("expected as many pairs and counts as the lengths say")
    if ((pairs < 0) | (pairs >= (classes + 1) * classes)).any():  # label `classes` is that of `scoring='published'`
        raise ValueError("expected pairs of classes")
    if ((counts < 1) | (counts > _MAX_PIXELS)).any():
        raise ValueError("expected counts of pixels")
    starts = np.zeros(len(pairs), bool)
    firsts = np.cumsum(length) - length
    starts[firsts[length > 0]] = True
    if not (starts[1:] | (np.diff(pairs) > 0)).all():
        raise ValueError("expected the pairs of an image in order, each once")


def hash_count_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Hash names, types, shapes and bytes of arrays."""
    chunks: list[bytes] = []
    for name in _ARRAYS:
        array = np.ascontiguousarray(arrays[name])
        chunks += [f"{name} {array.dtype.str} {arrays[name].shape}\n".encode(), array.tobytes()]
    return hash_chunks(chunks)


def _describe_damage(path: Path, damage: DamagedCounts) -> str:
    if damage.images is None:
        return f"the file of counts {path} is damaged ({damage}): its images are counted again"
    plural = "image" if damage.images == 1 else "images"
    return f"the counts of {damage.images} {plural} in {path} are damaged ({damage}) and counted again"
