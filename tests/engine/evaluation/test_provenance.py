"""Code hash of a record: only files of the package that can change a result count."""

import shutil
from pathlib import Path

import pytest

from proxyclip.engine.evaluation.provenance import PACKAGE_DIR, hash_code

NEUTRAL = (
    "__init__.py", "apis/segmenter.py", "cli/eval.py", "data/check.py", "data/files/inspection.py",
    "engine/config/load.py", "engine/evaluation/console.py", "engine/evaluation/record.py", "engine/training/loop.py",
    "models/trained/published_sizes.json", "models/weights/catalogue.json", "models/weights/fetch.py",
    "results/tables.py", "tinyworld/train.py", "utils/formats.py", "utils/io.py", "visualization/figure.py",
)  # fmt: skip
COUNTED = (
    "data/benchmarks.py", "data/transforms.py", "data/files/images.py", "engine/evaluation/loader.py",
    "engine/evaluation/loop.py", "engine/evaluation/metrics.py", "engine/evaluation/resume.py",
    "models/attention/proxy.py", "models/segmentors/proxyclip.py", "models/sliding/windows.py",
    "models/weights/reading.py", "tinyworld/scenes.py", "utils/distributed.py",
)  # fmt: skip
COUNTED_FOR_TRAINED = ("models/trained/base.py", "models/trained/clip_rc/model.py")


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """Copy of the real package, which a test may edit."""
    ignored = shutil.ignore_patterns("__pycache__", "assets", "*.j2")
    return shutil.copytree(PACKAGE_DIR, tmp_path_factory.mktemp("code") / "proxyclip", ignore=ignored)


@pytest.mark.parametrize("name", [*NEUTRAL, *COUNTED, *COUNTED_FOR_TRAINED])
def test_code_hash_follows_comments_only_where_they_stand_in_code_of_results(package, name):
    before = [hash_code(trained, package) for trained in (False, True)]
    path = package / name
    content = path.read_bytes()
    path.write_bytes(content + b"# a comment\n")
    changed = [hash_code(trained, package) != old for trained, old in zip((False, True), before, strict=True)]
    path.write_bytes(content)
    assert changed == [name in COUNTED, name not in NEUTRAL]


def test_code_hash_follows_weights_and_names_of_files(package):
    before = hash_code(package=package)
    (weights, *_) = sorted((package / "tinyworld").rglob("*.safetensors"))
    for path in (weights, package / "models/attention/proxy.py"):
        other = path.with_stem("other")
        path.rename(other)
        assert hash_code(package=package) != before
        other.rename(path)
    assert hash_code(package=package) == before == hash_code()
