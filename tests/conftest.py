"""Set-up of all tests: few threads, no network, no shared caches, and the marks that skip."""

import gc
import os
from pathlib import Path

# One thread in each process of `make test`; set outright, since a worker inherits what this file set in its parent.
WORKER = "PYTEST_XDIST_WORKER" in os.environ
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    if WORKER:
        os.environ[_name] = "1"
    else:
        os.environ.setdefault(_name, "2")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_CACHE"] = str(Path(__file__).parents[1] / ".pytest_cache" / "no-hub")  # not the user's own

import pytest  # noqa: E402

import proxyclip  # noqa: E402, F401  before mmseg: it puts up the stand-in for mmcv's compiled ops

ROOT = Path(__file__).resolve().parents[1]


def pytest_addoption(parser):
    """Add the number of random damages that the tests of tests/security/ make of each kind of file."""
    parser.addoption("--damages", type=int, default=15, help="random damages of each kind of file (default: 15)")


@pytest.fixture
def damage_count(request) -> int:
    """Random damages to make of each kind of file; `--damages 200` asks for more than a usual run makes."""
    return request.config.getoption("--damages")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Text features and the like are cached in a folder of this test run, by child processes too."""
    os.environ["PROXYCLIP_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of sample data: PROXYCLIP_SAMPLES, or shared/samples beside the repository; skips without it."""
    folder = Path(os.environ.get("PROXYCLIP_SAMPLES") or ROOT.parent / "shared" / "samples")
    if not folder.is_dir():
        pytest.skip(f"no sample data at {folder}; PROXYCLIP_SAMPLES names their folder")
    return folder


@pytest.fixture
def own_environment(monkeypatch):
    """Variables that an evaluation in this process reads or sets are put back after the test."""
    for name in ("CUDA_VISIBLE_DEVICES", "DATA_ROOT", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.delenv("DATA_ROOT")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def pytest_collection_finish():
    """Exempt all that is imported from garbage collection, which each data set of MMEngine asks for: 1 s each."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items):
    """Skip tests marked `gpu` where torch finds none."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked:
        import torch

        if not torch.cuda.is_available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
