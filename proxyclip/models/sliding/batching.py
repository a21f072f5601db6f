"""Windows of one or several images through one forward, in groups that memory has room for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from proxyclip.utils.system import read_free_memory

logger = logging.getLogger(__name__)
MAX_AUTO_WINDOWS = 64  # windows `auto` never goes beyond
FREE_MEMORY_SHARE = 0.7  # of a GPU's free memory that `auto` plans with
# On a CPU groups save calls, not arithmetic: they pay for small windows only (`benchmarks/run.py`).
CPU_GROUP_PIXELS = 336 * 336
MAX_WINDOW_BYTES = 3 * 2**30  # bytes that the hungriest window may take: SAM ViT-B in float32 took 2.5 GiB
# What the CPU allocator and the libraries below torch say, all of them as RuntimeError.
OUT_OF_MEMORY_MESSAGES = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "could not create a memory",
    "bad_alloc",
)


class WindowBatcher:
    """Run a function over windows in groups of at most `size`, halved for good where memory turns out short.

    Args:
        size: windows in one group; "auto" goes by the free memory and by what the first window took.

    Raises:
        ValueError: neither "auto" nor a positive number.
    """

    def __init__(self, size: int | str = "auto") -> None:
        if size != "auto" and not (isinstance(size, int) and size > 0):
            raise ValueError(f'Expected window_batch to be "auto" or a positive number, but got {size!r}')
        self.size: int | None = None if isinstance(size, str) else size

    def run(self, function: Callable[..., Tensor], *images: Sequence[Tensor]) -> list[Tensor]:
        """`function` of the windows of every image; windows of one shape share a group, whatever image they are of.

        Args:
            function: (n, ...), ... -> (n, ...), window by window.
            images: for each argument of `function` one tensor (n_i, ...) an image.

        Returns:
            One tensor (n_i, ...) an image.

        Raises:
            MemoryError: one window alone is too much; the message has the remedies.
        """
        out: list[Any] = [None] * len(images[0])
        for indices in _group_by_shape(images):
            joint = [torch.cat([argument[i] for i in indices]) for argument in images]
            outputs = torch.cat(list(self._parts(function, joint)))
            counts = [len(images[0][i]) for i in indices]
            for i, part in zip(indices, outputs.split(counts), strict=True):
                out[i] = part
        return out

    def _parts(self, function: Callable[..., Tensor], tensors: list[Tensor]) -> Iterator[Tensor]:
        first = 0
        total = len(tensors[0])
        while first < total:
            count = self._count(total - first, tensors[0])
            part = self._try(function, [t[first : first + count] for t in tensors])
            if part is not None:
                first += count
                yield part

    def _count(self, left: int, tiles: Tensor) -> int:
        """Windows of the next group: groups as even as can be; on CUDA the very first window alone, to measure it."""
        if self.size is None and tiles.device.type == "cuda":
            return 1
        size = self.size or max(
            1,
            min(
                CPU_GROUP_PIXELS // max(tiles[0, 0].numel(), 1),
                read_free_memory() // MAX_WINDOW_BYTES,
                MAX_AUTO_WINDOWS,
            ),
        )
        return -(-left // -(-left // size))

    def _try(self, function: Callable[..., Tensor], tensors: list[Tensor]) -> Tensor | None:
        """Return the function's result, or None after the size was halved; nothing of a failed call stays in memory."""
        device = tensors[0].device
        count = len(tensors[0])
        measured = self.size is None and device.type == "cuda"
        try:
            if measured:
                torch.cuda.reset_peak_memory_stats(device)
                before = torch.cuda.memory_allocated(device)
            part = function(*tensors)
            if measured:
                self.size = count_windows_that_fit(device, torch.cuda.max_memory_allocated(device) - before)
            return part
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            message = str(error).splitlines()[0]
        if count == 1:
            raise MemoryError(
                f"One window of {tuple(tensors[0].shape[2:])} pixels is too much for the memory of {device} "
                f"({message}): choose a smaller model.slide_crop, VFM or CLIP, or model.precision=bf16"
            )
        self.size = count // 2
        logger.warning("Memory is short at %d windows at once: going on with %d", count, self.size)
        if device.type == "cuda":
            torch.cuda.empty_cache()
        return None


def count_windows_that_fit(device: torch.device, each: int) -> int:
    """Count the windows of `each` bytes that fit into the free memory of a CUDA device, at least one."""
    free, _ = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return max(1, min(int(FREE_MEMORY_SHARE * free / max(each, 1)), MAX_AUTO_WINDOWS))


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if an error reports that memory is short, on CUDA or on the CPU."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        w in str(error).lower() for w in OUT_OF_MEMORY_MESSAGES
    )


def _group_by_shape(images: Sequence[Sequence[Tensor]]) -> list[list[int]]:
    """Group the indices of the images whose windows have one shape and type, in every argument."""
    groups: dict[tuple, list[int]] = {}
    for i, tensors in enumerate(zip(*images, strict=True)):
        groups.setdefault(tuple((t.shape[1:], t.dtype) for t in tensors), []).append(i)
    return list(groups.values())
