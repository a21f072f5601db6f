"""Batches reach the reader whatever the size of the shared memory."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from proxyclip.engine.evaluation import loader as loader_module
from proxyclip.engine.evaluation.loader import BatchLoader, PipeDataLoader, collate_to_bytes, use_pipes
from proxyclip.utils.paths import ROOT


class Squares(Dataset):
    """Samples k -> k * k in a tensor of a megabyte."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return {"x": torch.full((1000, 131), index * index), "index": index}


def read(loader):
    return [(int(batch["x"][0, 0, 0]), batch["x"].shape[0]) for batch in loader]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_through_pipes_are_those_of_pytorch(workers):
    plain = DataLoader(Squares(), batch_size=2, num_workers=workers, drop_last=True)
    assert read(use_pipes(plain)) == read(plain) == [(0, 2), (4, 2)]
    sampled = DataLoader(Squares(), batch_sampler=[[3], [1, 2]], num_workers=workers)
    assert read(use_pipes(sampled)) == [(9, 1), (1, 2)]


def test_a_second_epoch_of_kept_processes():
    loader = use_pipes(DataLoader(Squares(), batch_size=5, num_workers=1, persistent_workers=True))
    assert read(loader) == read(loader) == [(0, 5)]


def test_collation_to_bytes_allocates_no_shared_memory(monkeypatch):
    """PyTorch's collation does so where it sees a process that loads."""
    monkeypatch.setattr(torch.utils.data._utils.worker, "_worker_info", object())
    monkeypatch.setattr(torch.UntypedStorage, "_new_shared", None)
    assert isinstance(collate_to_bytes(default_collate, [torch.zeros(3), torch.ones(3)]), bytes)
    assert torch.utils.data.get_worker_info() is not None


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(38, "Function not implemented")])
def test_without_semaphores_this_process_loads(monkeypatch, capsys, error):
    def fail():
        raise error

    monkeypatch.setattr(loader_module.multiprocessing, "Queue", fail)
    loader = PipeDataLoader(Squares(), default_collate, num_workers=2, batch_size=1, timeout=5)
    assert [value for value, _ in read(loader)] == [0, 1, 4, 9, 16]
    note = capsys.readouterr().err
    assert note.count("\n") == 1
    assert f"({error.strerror}): this process loads them" in note and "--shm-size" in note and "--workers 0" in note


class Damaged(Squares):
    """Squares whose third sample cannot be read."""

    def __getitem__(self, index):
        if index == 2:
            raise OSError("2.png is damaged")
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_samples_come_through_pipes_too(workers):
    source = DataLoader(Damaged(), batch_size=2, num_workers=workers, collate_fn=default_collate)
    batches = list(BatchLoader(source, [[0, 1], [2, 3]], skip_bad=True))
    assert [indices for indices, _, _ in batches] == [[0, 1], [3]]
    assert [sample.reason for _, _, unreadable in batches for sample in unreadable] == ["2.png is damaged"]


SCRIPT = """
import torch
from torch.utils.data import DataLoader
from proxyclip.engine.evaluation.loader import use_pipes
data = [torch.full((500_000,), k) for k in range(4)]
print([int(batch[0, 0]) for batch in use_pipes(DataLoader(data, num_workers=2))])
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", ["64k", "4k"])
def test_a_small_shared_memory_hangs_nothing(size):
    """A container gives 64 MB to /dev/shm; PyTorch's own loader waits for ever where that is too little."""
    mount = f"mount -t tmpfs -o size={size} tmpfs /dev/shm"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    command = f"{mount} && exec {sys.executable} -c '{SCRIPT}'"
    run = subprocess.run(["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert run.stdout == "[0, 1, 2, 3]\n", run.stderr
    assert ("cannot be started" in run.stderr) == (size == "4k")
    assert "Traceback" not in run.stderr
    assert Path("/dev/shm").is_dir()
