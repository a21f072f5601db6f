"""Code hash of a record: only files that can change a result count."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxyclip.engine.evaluation.provenance import hash_code

FILES = (
    "__init__.py", "cli/eval.py", "apis/segmenter.py", "engine/config/load.py",
    "engine/evaluation/console.py", "engine/evaluation/loader.py", "engine/evaluation/loop.py",
    "engine/evaluation/metrics.py", "engine/evaluation/resume.py", "engine/training/loop.py",
    "models/attention/proxy.py", "models/sliding/windows.py", "models/trained/base.py",
    "models/trained/clip_rc/model.py", "models/trained/clip_rc/flops.py", "models/trained/flops.py",
    "models/trained/published_sizes.json", "models/weights/catalogue.json", "models/weights/catalogue.py",
    "models/weights/fetch.py", "models/weights/reading.py", "models/weights/verify.py",
    "data/check.py", "data/classes.json", "data/files/images.py", "data/files/inspection.py", "data/transforms.py",
    "results/tables.py", "tinyworld/README.md", "tinyworld/crops.py", "tinyworld/scenes.py", "tinyworld/train.py",
    "tinyworld/weights/clip/open_clip_model.safetensors", "utils/distributed.py", "utils/io.py",
    "visualization/figure.py",
)  # fmt: skip
FOR_ALL = {
    "engine/evaluation/loader.py", "engine/evaluation/loop.py", "engine/evaluation/metrics.py",
    "engine/evaluation/resume.py", "models/attention/proxy.py", "models/sliding/windows.py",
    "models/weights/reading.py", "data/classes.json", "data/files/images.py", "data/transforms.py",
    "tinyworld/scenes.py", "tinyworld/weights/clip/open_clip_model.safetensors", "utils/distributed.py",
}  # fmt: skip
FOR_TRAINED = FOR_ALL | {"models/trained/base.py", "models/trained/clip_rc/model.py"}


@pytest.fixture
def package(tmp_path) -> Path:
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("value = 1\n")
    return tmp_path


@pytest.mark.parametrize(("uses_trained_code", "expected"), [(False, FOR_ALL), (True, FOR_TRAINED)])
def test_code_hash_follows_files_that_can_change_a_result(package, uses_trained_code, expected):
    before = hash_code(uses_trained_code, package)
    changing = set()
    for name in FILES:
        path = package / name
        path.write_text("value = 1  # with a comment\n")
        if hash_code(uses_trained_code, package) != before:
            changing.add(name)
        path.write_text("value = 1\n")
    assert changing == expected
    assert hash_code(uses_trained_code, package) == before


def test_code_hash_follows_names_of_files(package):
    before = hash_code(package=package)
    (package / "models/attention/proxy.py").rename(package / "models/attention/other.py")
    assert hash_code(package=package) != before
