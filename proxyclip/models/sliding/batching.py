"""Groups of windows, of one or several images, that fit into memory."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from proxyclip.utils.system import read_free_memory

logger = logging.getLogger(__name__)
MAX_AUTO_WINDOWS = 64  # maximum of `auto`
FREE_MEMORY_SHARE = 0.7  # of a GPU's free memory that `auto` plans with
# On a CPU groups save calls, not arithmetic: they pay for small windows only (`benchmarks/run.py`).
CPU_GROUP_PIXELS = 336 * 336
MAX_WINDOW_BYTES = 3 * 2**30  # maximum memory of one window: SAM ViT-B in float32 took 2.5 GiB
# In RuntimeErrors of the CPU allocator and of the libraries below torch.
OUT_OF_MEMORY_MESSAGES = "can't allocate memory|not enough memory|out of memory|could not create a memory|bad_alloc"


class WindowBatcher:
    """Run a function over groups of windows.

    The group size is halved for good where memory turns out short.

    Args:
        size: windows in one group; "auto" depends on the free memory and on the use of the first window.

    Raises:
        ValueError: neither "auto" nor a positive number.
    """

    def __init__(self, size: int | str = "auto") -> None:
        if size != "auto" and not (isinstance(size, int) and size > 0):
            raise ValueError(f'Expected window_batch to be "auto" or a positive number, but got {size!r}')
        self.size: int | None = None if isinstance(size, str) else size

    def run(self, function: Callable[..., Tensor], *images: Sequence[Tensor]) -> list[Tensor]:
        """Apply `function` to the windows of every image: one tensor (n_i, ...) an image.

        Windows of one shape share a group, whatever image they are of.

        Args:
            function: (n, ...), ... -> (n, ...), window by window.
            images: for each argument of `function` one tensor (n_i, ...) an image.

        Raises:
            MemoryError: one window alone is too much; the message has the remedies.
        """
        out: list[Any] = [None] * len(images[0])
        groups: dict[tuple, list[int]] = {}
        for i, tensors in enumerate(zip(*images, strict=True)):
            groups.setdefault(tuple((t.shape[1:], t.dtype) for t in tensors), []).append(i)
        for indices in groups.values():
            joint = [torch.cat([argument[i] for i in indices]) for argument in images]
            outputs = torch.cat(list(self._run_groups(function, joint)))
            counts = [len(images[0][i]) for i in indices]
            for i, part in zip(indices, outputs.split(counts), strict=True):
                out[i] = part
        return out

    def _run_groups(self, function: Callable[..., Tensor], tensors: list[Tensor]) -> Iterator[Tensor]:
        while len(tensors[0]):
            count = self._count(tensors[0])
            part = self._try(function, [t[:count] for t in tensors])
            if part is not None:
                tensors = [t[count:] for t in tensors]
                yield part

    def _count(self, tiles: Tensor) -> int:
        """Size of the next group; on CUDA the very first window alone, to measure it."""
        if self.size is None and tiles.device.type == "cuda":
            return 1
        pixels = max(tiles[0, 0].numel(), 1)
        limits = (CPU_GROUP_PIXELS // pixels, read_free_memory() // MAX_WINDOW_BYTES, MAX_AUTO_WINDOWS)
        size = self.size or max(1, min(limits))
        groups = -(-len(tiles) // size)
        return -(-len(tiles) // groups)  # as even as can be

    def _try(self, function: Callable[..., Tensor], tensors: list[Tensor]) -> Tensor | None:
        """Result of the function, or None after the size was halved."""
        device = tensors[0].device
        count = len(tensors[0])
        measured = self.size is None and device.type == "cuda"
        try:
            if measured:
                torch.cuda.reset_peak_memory_stats(device)
                before = torch.cuda.memory_allocated(device)
            part = function(*tensors)
            if measured:
                used = torch.cuda.max_memory_allocated(device) - before
                reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
                free = torch.cuda.mem_get_info(device)[0] + reserved
                self.size = max(1, min(int(FREE_MEMORY_SHARE * free / max(used, 1)), MAX_AUTO_WINDOWS))
            return part
        except (RuntimeError, MemoryError) as error:
            known_type = isinstance(error, (torch.OutOfMemoryError, MemoryError))
            if not known_type and not re.search(OUT_OF_MEMORY_MESSAGES, str(error).lower()):
                raise
            message = str(error).splitlines()[0]  # the error itself would keep the memory of the failed call
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
