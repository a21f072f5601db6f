"""Error messages of the commands: cause and remedy; the traceback is in a log."""

import errno
import re
import traceback
from pathlib import Path

from mmengine.logging import MMLogger
from mmengine.registry import Registry

from proxyclip.engine.evaluation.loader import EMPTY_DATASET_MESSAGE, DataLoaderDied
from proxyclip.utils.mmcv_compat import explain_dependency_error
from proxyclip.utils.suggest import did_you_mean


def format_error(error: BaseException) -> str:
    """Format an error as one message: its cause, and the remedy where it is known."""
    cause: BaseException | None = error
    while cause is not None:
        if remedy := explain_dependency_error(cause):
            return remedy
        cause = cause.__cause__ or cause.__context__
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    worker = re.search(r"Original Traceback.*\n(\S.*)$", text.strip(), flags=re.DOTALL)
    if worker:
        text = worker.group(1).splitlines()[-1]
    if text == "need at least one array to concatenate":  # of mmengine, for an empty data set
        return EMPTY_DATASET_MESSAGE
    if re.search(r"gloo.*(closed by peer|reset by peer)|remote process exited", text, flags=re.DOTALL):
        return "another process of this run ended early; its own message says why."
    if isinstance(error, DataLoaderDied) or "DataLoader worker (pid" in text:
        return (
            "a process that loads images was killed, mostly for lack of memory: run again with fewer --workers, or "
            "--workers 0."
        )
    if getattr(error, "errno", None) == errno.ENOSPC:
        return f"{text}: the disk is full. Make room, or choose another --work-dir."
    unknown = re.match(r"(\S+) is not in the \w+::([\w ]+) registry", text)
    if unknown:
        name, registry_name = unknown.groups()
        return f"There is no {registry_name} named {name!r}{_suggest_registered(name, registry_name)}"
    if isinstance(error, (OSError, ValueError, TypeError, RuntimeError, ImportError)) and text:
        return text
    frames = traceback.extract_tb(error.__traceback__)
    location = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text or 'no text'}{location}"


def log_failure(error: BaseException, folder: Path) -> Path | None:
    """Append the traceback to the log of the run, else to `<folder>/errors.log`.

    Returns:
        The file, or None if it cannot be written.
    """
    log_file = MMLogger.get_current_instance().log_file if MMLogger.check_instance_created("mmengine") else None
    path = Path(log_file) if log_file else folder / "errors.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(traceback.format_exception(error)))
    except OSError:
        return None
    return path


def _suggest_registered(name: str, registry_name: str) -> str:
    """Suggest the names of a registry that are spelled like `name`."""
    import mmseg.registry as registries

    for registry in vars(registries).values():
        if isinstance(registry, Registry) and registry.name == registry_name:
            names = {*registry.module_dict, *(registry.parent.module_dict if registry.parent else {})}
            suggestion = did_you_mean(name, names)
            return f": {suggestion}" if suggestion else ""
    return ""
