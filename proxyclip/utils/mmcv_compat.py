"""MMSegmentation 1.2 on today's packages: a stub of mmcv's operators, error texts.

MMSegmentation imports `mmcv.ops` at import time, though nothing in this project uses an operator of it. Where mmcv
was built without them (`mmcv-lite`, or a source build without a compiler), a stub lets the import pass; using one of
its names raises. Where mmcv has its compiled operators, they are used as they are.

Only the standard library is imported here, so that `import proxyclip` stays cheap.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import re
import sys
import warnings
from pathlib import Path

_NEWEST_ACCEPTED_MMCV = "2.1.0"
_SILENCED = ("Fail to import ``MultiScaleDeformableAttention``", "``MultiScaleDeformableAttention`` has been moved to")


def prepare_mmseg_import() -> None:
    """Prepare the import of MMSegmentation; may be called any number of times."""
    folder = _mmcv_folder()
    if folder is None:
        return
    for start in _SILENCED:
        warnings.filterwarnings("ignore", message=re.escape(start))
    if not has_compiled_ops(folder):
        _insert_finder(_OpsFinder, "mmcv.ops")
    file = folder / "version.py"
    if file.is_file() and re.search(r"__version__\s*=\s*['\"]2\.2\.", file.read_text("utf-8")):
        _insert_finder(_MMSegFinder, "mmseg")


def has_compiled_ops(folder: Path | None = None) -> bool:
    """Return True if mmcv has the extension file of its compiled operators."""
    folder = folder or _mmcv_folder()
    return folder is not None and any(f.suffix in {".so", ".pyd"} for f in folder.glob("_ext*"))


def explain_dependency_error(error: BaseException) -> str | None:
    """Remedy for a known failure of the installed packages; None for any other error."""
    text = str(error)
    if "torchvision::nms does not exist" in text:
        return (
            "torch and torchvision do not fit together. Take both from the same index in one command: either both "
            "from the default one (pip install --force-reinstall torch torchvision), or both from the CPU index "
            "of pytorch.org (the same command with --index-url, see pytorch.org/get-started)."
        )
    if re.search(r"lib(GL|gthread|xcb|glib)[\w.-]*\.so.*cannot open shared object", text):
        return "OpenCV lacks system libraries: apt-get install libgl1 libglib2.0-0 libxcb1 (or your system's own)."
    return None


def _insert_finder(finder_type: type, module: str) -> None:
    if module not in sys.modules and not any(isinstance(finder, finder_type) for finder in sys.meta_path):
        sys.meta_path.insert(0, finder_type())


def _mmcv_folder() -> Path | None:
    module = sys.modules.get("mmcv")
    if module is not None:
        return Path(module.__file__).parent if module.__file__ else None
    spec = importlib.util.find_spec("mmcv")
    return Path(spec.origin).parent if spec is not None and spec.origin else None


class _MissingOp:
    """Base of the stub's classes, which can be imported and inherited, not used."""

    def __init__(self, *args, **kwargs) -> None:
        raise RuntimeError(
            f"mmcv.ops.{type(self).__name__} needs mmcv built with its compiled operators; the installed mmcv has none."
        )


class _OpsFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Import hook for `mmcv.ops`: a package of classes that cannot be used."""

    def find_spec(self, name, path=None, target=None):
        if name == "mmcv.ops":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return None  # the usual module

    def exec_module(self, module) -> None:
        def make_class(name: str) -> type:
            if name.startswith("__"):
                raise AttributeError(name)
            cls = type(name, (_MissingOp,), {"__module__": "mmcv.ops"})
            setattr(module, name, cls)
            return cls

        module.__doc__ = "Stub of mmcv's compiled operators, see proxyclip.utils.mmcv_compat."
        module.__getattr__ = make_class


class _MMSegFinder(importlib.abc.MetaPathFinder):
    """Import hook for one import of `mmseg`, which asks for mmcv 2.1.0 at most.

    Outside its operators mmcv 2.2.0 differs from 2.1.0 in the version only.
    """

    def find_spec(self, name, path=None, target=None):
        if name != "mmseg":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_with_older_version(module) -> None:
            import mmcv

            version = mmcv.__version__
            mmcv.__version__ = _NEWEST_ACCEPTED_MMCV
            try:
                execute(module)
            finally:
                mmcv.__version__ = version

        spec.loader.exec_module = execute_with_older_version  # type: ignore[method-assign]
        return spec
