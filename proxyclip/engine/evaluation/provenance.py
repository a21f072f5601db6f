"""Origin of a result record: code, packages, files, machine."""

import platform
import subprocess
import sys
from contextlib import suppress
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from proxyclip.engine.config.components import MethodInfo
from proxyclip.engine.config.own_code import iter_texts
from proxyclip.engine.config.weights import hash_required_weights
from proxyclip.utils.hashing import hash_file, hash_files
from proxyclip.utils.mmcv_compat import has_compiled_ops
from proxyclip.utils.paths import ROOT
from proxyclip.utils.version import __version__

_PACKAGES = (
    "torch", "torchvision", "mmcv", "mmcv-lite", "mmengine", "mmsegmentation", "open_clip_torch", "timm",
    "segment-anything", "numpy", "opencv-python", "pillow", "openpyxl"
)  # fmt: skip

# Files of the package that can change a result, by path; `*` crosses folders, and the last pattern that fits decides.
# Code that draws, prints, downloads, tabulates or parses a command line is not among them.
CODE_PATTERNS = (
    "models/*", "data/*", "tinyworld/*", "utils/distributed.py",
    "engine/evaluation/loop.py", "engine/evaluation/loader.py",
    "engine/evaluation/resume.py", "engine/evaluation/metrics.py",
    "!models/weights/catalogue.*", "!models/weights/fetch.py", "!models/weights/verify.py",
    "!models/weights/requirements.py", "!models/names.py",
    "!models/trained/*flops.py", "!models/trained/published_sizes.json",
    "!data/check.py", "!data/label_lookup.py", "!data/files/label_counts.py", "!data/files/inspection.py",
    "!data/files/image_search.py", "!tinyworld/train.py", "!tinyworld/crops.py"
)  # fmt: skip
PACKAGE_DIR = ROOT / "proxyclip"


def collect_versions() -> dict[str, Any]:
    """Collect versions of Python, of this toolkit and of the packages it uses."""
    versions: dict[str, Any] = {"python": platform.python_version(), "proxyclip": __version__}
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    versions["mmcv compiled ops"] = has_compiled_ops()
    return versions


def read_git_state() -> dict[str, Any]:
    """Read commit and `dirty`, if tracked files differ; None outside a checkout."""
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {"commit": commit or None, "dirty": bool(changes) if changes is not None else None}


def hash_code(uses_trained_code: bool = False, package: Path | None = None) -> str:
    """Hash paths and contents of the code that can change a result (`CODE_PATTERNS`).

    Args:
        uses_trained_code: include the code of trained models.
        package: folder of the package; this one by default.
    """
    package = package or PACKAGE_DIR
    patterns = CODE_PATTERNS if uses_trained_code else (*CODE_PATTERNS, "!models/trained/*")
    paths = [path for path in package.rglob("*") if path.suffix in (".py", ".safetensors", ".json")]
    files: dict[str, Path] = {}
    for name, path in sorted((path.relative_to(package).as_posix(), path) for path in paths):
        fitting = [pattern for pattern in patterns if fnmatchcase(name, pattern.removeprefix("!"))]
        if fitting and not fitting[-1].startswith("!"):
            files[name] = path
    return hash_files(files)


def hash_named_files(config: Any) -> dict[str, str]:
    """Hash the files that a config names anywhere inside: vocabularies, weights.

    Names are looked for as the model does it: in the current folder, then in the repository. `local-dir:` and plain
    folders stand for the files right inside.
    """
    hashes: dict[str, str] = {}
    for text in iter_texts(config):
        name = text.removeprefix("local-dir:")
        if not name or len(name) > 1000 or "\n" in name:
            continue
        path = next((path for path in (Path(name).expanduser(), ROOT / name) if path.exists()), None)
        if path is None or name in (".", "..", "/"):
            continue
        if path.is_file():
            hashes[text] = hash_file(path)
        elif "/" in name and not text.startswith("hf-hub:"):
            hashes[text] = hash_files({file.name: file for file in sorted(path.iterdir()) if file.is_file()})
    return hashes


def hash_model_files(model: Any, method: MethodInfo) -> dict[str, str]:
    """Hash the files that the model of a config names, and the weights that it names without a path."""
    return hash_named_files(model) | (hash_required_weights(model) if method.names_weights else {})


def measure_peak_memory(device: str) -> int:
    """Measure the peak memory in bytes: allocated on the GPU, or resident."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _git(*arguments: str) -> str | None:
    try:
        result = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
