"""Groups of windows: results independent of groups, and smaller groups when memory is short."""

import pytest
import torch
from torch import Tensor

from proxyclip.models.sliding.batching import MAX_AUTO_WINDOWS, MAX_WINDOW_BYTES, WindowBatcher
from proxyclip.utils.system import read_free_memory


class Memory:
    """A function of at most `limit` windows at once."""

    def __init__(self, limit: int = 99, error: Exception | None = None) -> None:
        self.limit, self.counts = limit, []
        self.error = error or RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    def __call__(self, tiles: Tensor, *others: Tensor) -> Tensor:
        self.counts.append(len(tiles))
        if len(tiles) > self.limit:
            raise self.error
        return tiles.sum((1, 2, 3)) + sum(other.flatten(1).sum(1) for other in others)


def tiles(*counts: int, side: int = 4) -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    return [torch.rand(n, 3, side, side, generator=random) for n in counts]


@pytest.mark.parametrize(("size", "groups"), [(1, [1] * 9), (4, [3, 3, 3]), (5, [5, 4]), (8, [5, 4]), (50, [9])])
def test_windows_of_several_images_share_even_groups(size, groups):
    images, function = tiles(2, 6, 1), Memory()
    out = WindowBatcher(size).run(function, images)
    assert function.counts == groups
    for image, sums in zip(images, out, strict=True):
        torch.testing.assert_close(sums, image.sum((1, 2, 3)))


def test_images_of_several_sizes_keep_their_order():
    images = [*tiles(2, side=4), *tiles(3, side=6), *tiles(1, side=4)]
    function = Memory()
    out = WindowBatcher(9).run(function, images)
    assert sorted(function.counts) == [3, 3]
    for image, sums in zip(images, out, strict=True):
        torch.testing.assert_close(sums, image.sum((1, 2, 3)))


def test_several_arguments_are_grouped_together():
    images, guides = tiles(2, 3), [torch.ones(2, 5), torch.ones(3, 5) * 2]
    out = WindowBatcher(4).run(Memory(), images, guides)
    torch.testing.assert_close(out[1], images[1].sum((1, 2, 3)) + 10)


@pytest.mark.parametrize("error", [None, torch.OutOfMemoryError("CUDA out of memory."), MemoryError("std::bad_alloc")])
def test_short_memory_halves_the_groups(error, caplog):
    images, function, batches = tiles(8), Memory(3, error), WindowBatcher(8)
    (out,) = batches.run(function, images)
    torch.testing.assert_close(out, images[0].sum((1, 2, 3)))
    assert function.counts == [8, 4, 2, 2, 2, 2]  # nothing done is done again
    assert "going on with 2" in caplog.text
    batches.run(function, images)
    assert function.counts[6:] == [2, 2, 2, 2]


def test_too_large_window_is_reported_with_remedies():
    with pytest.raises(MemoryError, match=r"\(4, 4\) pixels .*can't allocate memory.* model.slide_crop"):
        WindowBatcher(4).run(Memory(0), tiles(4))


def test_other_errors_are_raised():
    function = Memory(0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        WindowBatcher(4).run(function, tiles(4))
    assert function.counts == [4]


def test_auto_on_a_cpu_groups_small_windows_that_fit_into_memory(monkeypatch):
    def groups(side: int, free: int) -> list[int]:
        monkeypatch.setattr("proxyclip.models.sliding.batching.read_free_memory", lambda: free)
        function = Memory()
        WindowBatcher("auto").run(function, [torch.zeros(1, 3, side, side).expand(12, -1, -1, -1)])
        return function.counts

    assert groups(336, 2**40) == [1] * 12
    assert groups(96, 2**40) == [12]
    assert groups(96, 5 * MAX_WINDOW_BYTES) == [4, 4, 4]
    assert groups(96, 0) == [1] * 12  # unknown


def test_free_memory_is_positive():
    assert 0 < read_free_memory() < 2**50


@pytest.mark.parametrize("size", [0, -1, 2.5, "many", None])
def test_bad_sizes_are_refused(size):
    with pytest.raises(ValueError, match="window_batch"):
        WindowBatcher(size)


@pytest.mark.gpu
def test_auto_on_cuda_measures_the_first_window():
    batches, images = WindowBatcher(), [x.cuda() for x in tiles(5, side=64)]
    function = Memory()
    batches.run(function, images)
    assert function.counts[0] == 1
    assert 1 < batches.size <= MAX_AUTO_WINDOWS
