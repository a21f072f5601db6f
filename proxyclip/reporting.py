"""What a person sees of an evaluation: a quiet console, tables, and errors in one message."""

from __future__ import annotations

import difflib
import errno
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.logging import MMLogger
from mmengine.registry import Registry
from mmengine.runner import Runner
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from proxyclip import choices
from proxyclip.compat import explain
from proxyclip.configs import config_name
from proxyclip.loop import ResumableLoop
from proxyclip.processes import first_process_first
from proxyclip.results import target_of
from proxyclip.results.columns import ZERO_SHOT, class_name
from proxyclip.samples import LoaderDied

_ROWS = 200  # classes the console shows
_PLAIN = (OSError, ValueError, TypeError, RuntimeError, ImportError)  # their text says enough without the class


class QuietRunner(Runner):
    """mmengine's Runner with its log in the file only, and model building by one process before the others."""

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """The usual logger; its console handler lets warnings and errors pass only."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                handler.setLevel(max(handler.level, logging.WARNING))
        return logger

    def build_test_loop(self, loop):
        """The loop that can be resumed, where the config has MMEngine's plain one."""
        if isinstance(loop, Mapping) and loop.get("type", "TestLoop") == "TestLoop":
            rest = {key: value for key, value in loop.items() if key != "type"}
            return ResumableLoop(self, self._test_dataloader, self._test_evaluator, **rest)
        return super().build_test_loop(loop)

    def build_model(self, model):
        """Build the model in process 0 first: it downloads weights and fills caches that the others then find."""
        with first_process_first():
            return super().build_model(choices.buildable(model) if isinstance(model, Mapping) else model)


def quiet() -> None:
    """Only warnings on the terminal from what mmengine does before a Runner has its log, and no log's own troubles."""
    logging.raiseExceptions = False  # on a full disk each line of the log would bring a traceback
    logging.getLogger().addFilter(_own_words)
    if not MMLogger.check_instance_created("mmengine"):
        MMLogger.get_instance("mmengine", log_level="WARNING")


def _own_words(record: logging.LogRecord) -> bool:
    """Whether a line is not open_clip's about missing weights, whose error says more."""
    return not record.getMessage().startswith("Failed to download weights")


def console(file=None) -> Console:
    """A console that does not fold tables to 80 columns where there is no terminal."""
    file = file or sys.stdout
    return Console(file=file, width=None if file.isatty() else 120, highlight=False)


def announce(cfg, method: choices.MethodInfo, precision: str, images: int, device: str, world: int) -> None:
    """Say in two lines what is about to be evaluated."""
    model, dataset = cfg.model, cfg.test_dataloader.dataset.type
    vfm = model.get("vfm_model")
    vfm = vfm.get("type") if isinstance(vfm, Mapping) else vfm
    parts = [model.get("model_type"), model.get("clip_type"), method.name, vfm]
    processes = "1 process" if world == 1 else f"{world} processes"
    print(
        f"{config_name(cfg)}: {model.type} ({', '.join(str(part) for part in parts if part)}) on {dataset}",
        flush=True,
    )
    print(f"{images} images, {precision} on {device}, {processes}", flush=True)


def summary(run: Mapping[str, Any], files: Mapping[str, Path | str]) -> None:
    """Print the table of classes, the three numbers, and where the files are."""
    out = console()
    if run.get("per_class"):
        table = Table("class", "IoU", "acc", box=SIMPLE_HEAD, pad_edge=False)
        for column in table.columns[1:]:
            column.justify = "right"
        for row in run["per_class"][:_ROWS]:
            table.add_row(escape(class_name(row)), _percent(row.get("iou")), _percent(row.get("acc")))
        if len(run["per_class"]) > _ROWS:
            table.add_row(f"... and {len(run['per_class']) - _ROWS} more: see results.xlsx", "", "")
        out.print(table)
    metrics = run["metrics"]
    part = f"  (first {run['dataset']['images']} images only)" if run["partial"] else ""
    if run.get("left_out"):
        part += f"  (without {len(run['left_out'])} image{'s' * (len(run['left_out']) > 1)} that cannot be read)"
    part += "".join(f"  (approximate: {name})" for name in run.get("approximations", []))
    print("  ".join(f"{key} {_percent(metrics[key])}" for key in ("mIoU", "aAcc", "mAcc") if key in metrics) + part)
    print("".join(f"{line}\n" for line in (*rules(run), *published(run))), end="")
    for name, path in files.items():
        print(f"{name}: {path}")


def rules(run: Mapping[str, Any]) -> list[str]:
    """Which classes the means are over, in words, and whether the scoring is the published one."""
    metrics, number = run["metrics"], run.get("classes_in") or {}
    said = []
    if "mIoU_gt" in metrics and "mIoU" in number:
        said.append(
            f"mIoU is over the {number['mIoU']} classes labelled or predicted (MMSegmentation's rule); over the "
            f"{number['mIoU_gt']} labelled ones (detectron2's) it is mIoU_gt {_percent(metrics['mIoU_gt'])}; "
            f"weighted by pixels, fwIoU {_percent(metrics['fwIoU'])}"
        )
    if "hIoU" in metrics:
        over = {name: f" ({n} class{'es' * (n != 1)})" for name, n in number.items() if name in ZERO_SHOT}
        parts = [f"{key} {_percent(metrics[key])}{over.get(key, '')}" for key in ZERO_SHOT if key in metrics]
        said.append(f"{', '.join(parts)}, the harmonic mean of both")
    if run.get("scoring") == "published":
        said.append("--scoring published: where labels have 16 bits, unlabelled pixels count and class 255 does not")
    return said


def published(run: Mapping[str, Any]) -> list[str]:
    """The published number of this very evaluation, and how far from it one is; nothing where there is none."""
    target = target_of(run)
    if target is None or "mIoU" not in run["metrics"]:
        return []
    apart, about = run["metrics"]["mIoU"] - target.value, "" if target.exact else "; its protocol differs"
    return [f"published mIoU {target.value:.2f}, difference {apart:+.2f} ({target.source}{about})"]


def message(error: BaseException) -> str:
    """One message for a person: the cause in its own words, and the remedy where it is known."""
    for cause in _chain(error):
        hint = explain(cause)
        if hint:
            return hint
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    worker = re.search(r"Original Traceback.*\n(\S.*)$", text.strip(), flags=re.DOTALL)
    if worker:
        text = worker.group(1).splitlines()[-1]
    if text == "need at least one array to concatenate":  # mmengine's words for an empty data set
        return "The data set is empty: no image has the config's img_suffix in the folder of its data_prefix."
    if re.search(r"gloo.*(closed by peer|reset by peer)|remote process exited", text, flags=re.DOTALL):
        return "another process of this run ended early; its own message says why."
    if isinstance(error, LoaderDied) or "DataLoader worker (pid" in text:
        return (
            "a process that loads images was killed, mostly for lack of memory: run again with fewer --workers, or "
            "--workers 0."
        )
    if getattr(error, "errno", None) == errno.ENOSPC:
        return f"{text}: the disk is full. Make room, or choose another --work-dir."
    unknown = re.match(r"(\S+) is not in the \w+::([\w ]+) registry", text)
    if unknown:
        return f"There is no {unknown.group(2)} named {unknown.group(1)!r}{_close(*unknown.groups())}"
    if isinstance(error, _PLAIN) and text:
        return text
    places = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(places[-1].filename).name}, line {places[-1].lineno})" if places else ""
    return f"{type(error).__name__}: {text or 'no text'}{where}"


def speaks() -> bool:
    """Whether this process is to print an error. Process 0 is; another one only when it is not stopped meanwhile.

    All processes of a run mostly fail alike, and the launcher stops the rest as soon as one has ended.
    """
    rank = next((os.environ[n] for n in ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK") if n in os.environ), "0")
    if rank != "0":
        time.sleep(3)
    return True


def log_failure(error: BaseException, folder: Path) -> Path | None:
    """Append the traceback to the log file of the run, or to `<folder>/errors.log` before there is one."""
    known = MMLogger.get_current_instance().log_file if MMLogger.check_instance_created("mmengine") else None
    path = Path(known) if known else folder / "errors.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(traceback.format_exception(error)))
    except OSError:
        return None
    return path


def _chain(error: BaseException | None):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _close(name: str, kind: str) -> str:
    import mmseg.registry as registries

    for registry in vars(registries).values():
        if isinstance(registry, Registry) and registry.name == kind:
            known = {*registry.module_dict, *(registry.parent.module_dict if registry.parent else {})}
            guess = difflib.get_close_matches(name, known, n=3)
            return f": did you mean {' or '.join(guess)}?" if guess else ""
    return ""


def _percent(value: Any) -> str:
    return "-" if value is None or value != value else f"{float(value):.2f}"
