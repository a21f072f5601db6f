"""What a result record says about its origin: code, packages, files, machine. Standard library and torch only."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from proxyclip import compat
from proxyclip.paths import ROOT
from proxyclip.version import __version__

_PACKAGES = (
    "torch", "torchvision", "mmcv", "mmcv-lite", "mmengine", "mmsegmentation", "open_clip_torch", "timm",
    "segment-anything", "numpy", "opencv-python", "pillow", "openpyxl",
)  # fmt: skip

_LARGE = 1 << 24  # bytes
_VIEWS = ("results", "report", "grid", "api", "web", "demonstration.py")  # packages and files


def versions() -> dict[str, Any]:
    """Versions of Python, of this toolkit and of the packages that take part; absent ones are left out."""
    found: dict[str, Any] = {"python": platform.python_version(), "proxyclip": __version__}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    found["mmcv compiled ops"] = compat.has_compiled_ops()
    return found


def git_state() -> dict[str, Any]:
    """The commit of the checkout and whether tracked files differ from it; both None outside a checkout."""
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return {"commit": commit or None, "dirty": bool(changed) if changed is not None else None}


def code_sha256(trained: bool = False) -> str:
    """Hash of what can change a number: the package with the weights inside it, the prompts, the evaluation script.

    What shows numbers that are there, or starts evaluations, has no part in it.

    Args:
        trained: of a model from `proxyclip/trained`, which can change no other one's number and counts for these alone.
    """
    home = ROOT / "proxyclip"
    folders = (home, "*.py"), (home, "*.safetensors"), (ROOT / "prompts", "*.py")
    files = sorted(f for folder, kind in folders for f in folder.rglob(kind) if f.is_file())
    others = _VIEWS if trained else (*_VIEWS, "trained")
    files = [f for f in files if not f.is_relative_to(home) or f.relative_to(home).parts[0] not in others]
    files += [f for f in (ROOT / "eval.py",) if f.is_file()]
    return sha256("".join(f"{f.relative_to(ROOT).as_posix()} {file_sha256(f)}\n" for f in files))


def named_files(config: Any) -> dict[str, str]:
    """Hashes of the files a (part of a) config names anywhere inside: vocabularies and local weights.

    Names are looked for as the model does it: in the current folder, then in the repository. `local-dir:` and plain
    folders stand for the files right inside.
    """
    found: dict[str, str] = {}
    for text in _strings(config):
        name = text.removeprefix("local-dir:")
        if not name or len(name) > 1000 or "\n" in name:
            continue
        place = next((p for p in (Path(name).expanduser(), ROOT / name) if p.exists()), None)
        if place is None or name in (".", "..", "/"):
            continue
        if place.is_file():
            found[text] = file_sha256(place)
        elif "/" in name and not text.startswith("hf-hub:"):
            inside = sorted(f for f in place.iterdir() if f.is_file())
            found[text] = sha256("".join(f"{f.name} {file_sha256(f)}\n" for f in inside))
    return found


def device_name(device: str) -> str:
    """The name of the GPU in use, or of the processor."""
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="ignore").splitlines()
    except OSError:
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def peak_memory(device: str) -> int:
    """The most memory used so far, in bytes: allocated on the GPU, or resident for this process."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def sha256(value: Any) -> str:
    """Hash of a text, or of a JSON-able value in a canonical form."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Hash of a file's content; that of a large one is taken once, as long as its size and time stay."""
    about = path.stat()
    if about.st_size < _LARGE:
        return _file_sha256(path)
    return _known_sha256(path.resolve(), about.st_size, about.st_mtime_ns)


@cache
def _known_sha256(path: Path, size: int, changed: int) -> str:
    return _file_sha256(path)


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)


def _digest(file) -> str:  # Python 3.10
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _strings(part)
