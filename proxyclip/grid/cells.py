"""The grid of eval_all.py: configs x methods x VFMs x CLIPs, and what is to be done for each cell."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from proxyclip import choices, configs, evaluation, identities, plugins, reporting, results
from proxyclip.configs import Options
from proxyclip.paths import ROOT
from proxyclip.results import published

TINY, OWN = "configs/cfg_tinyworld.py", "configs/cfg_folder.py"
PASSED = ("data_root", "limit", "workers")  # options with a value that eval.py gets as they are
SHARED = ("work_dir", "data_root", "limit", "device", "workers", "scoring", "check", "skip_bad")


@dataclass(eq=False)
class Cell:
    """One config, method, VFM and CLIP; None is the config's own.

    `state` is "" before it is settled; then refused, no data, failed, kept, would run or waiting; then running; then
    done, failed or interrupted, or not run where others were interrupted. `named` has method, VFM and CLIP as a table
    shows them.
    """

    config: str
    method: str | None = None
    vfm: str | None = None
    clip: str | None = None
    number: int = 0
    named: tuple[str, str, str] = ("-", "-", "-")
    state: str = ""
    note: str = ""
    identity: str = ""
    run: dict[str, Any] | None = None
    seconds: float = 0.0
    progress: Path | None = None
    twin: Cell | None = None
    target: published.Target | None = None  # that its config has

    @property
    def words(self) -> str:
        """The cell as it was asked for."""
        parts = (self.config, self.method, self.vfm and f"--vfm {self.vfm}", self.clip and f"--clip {self.clip}")
        return " ".join(filter(None, parts))

    @property
    def short(self) -> str:
        """The config's name as tables show it."""
        name = self.config.removeprefix("configs/").removesuffix(".py")
        return Path(name).name if Path(name).is_absolute() else name


def default_configs() -> list[str]:
    """The tiny world first, then the published configs by name."""
    found = sorted(f"configs/{f.name}" for f in (ROOT / "configs").glob("cfg_*.py"))
    return [TINY, *(name for name in found if name not in (TINY, OWN))]


def make(args: argparse.Namespace) -> list[Cell]:
    """All cells in the order they run; a method without VFM has one, whatever VFMs there are."""
    methods = [one for name in args.methods for one in (configs.methods() if name == "all" else [name])]
    found = [
        Cell(config, method, vfm, clip)
        for config in dict.fromkeys(args.configs or default_configs())
        for method in dict.fromkeys(methods)
        for clip in dict.fromkeys(args.clips)
        for vfm in vfms(config, method, args)
    ]
    for number, cell in enumerate(found, start=1):
        cell.number = number
    return found


def vfms(config: str, method: str | None, args: argparse.Namespace) -> list[str | None]:
    """Those of --vfms that make sense with a method."""
    if args.vfms == [None]:
        return [None]
    options = Options(config=config, method=method, cfg_options=tuple(args.cfg_options))
    try:
        guided = choices.describe_method(configs.merged(options).model).guided
    except Exception:
        return [None]  # settling the cell will say what is wrong
    if guided is False:
        return [None]
    return list(dict.fromkeys(args.vfms if guided else ["none", *args.vfms]))


def settle(found: Sequence[Cell], args: argparse.Namespace, tell: Callable[[Cell], None]) -> None:
    """Find out of each cell what is to be done for it. Nothing is run; no error leaves this function."""
    first: dict[str, Cell] = {}
    for cell in found:
        try:
            _settle(cell, args)
        except Exception as error:
            cell.state = "refused" if isinstance(error, choices.Unfit) else "failed"
            cell.note = reporting.message(error)
        if cell.state in ("waiting", "would run"):
            cell.twin = first.setdefault(cell.identity, cell)
            if cell.twin is cell:
                cell.twin = None
            else:
                cell.note = f"the same as [{cell.twin.number}]"
        tell(cell)


def _settle(cell: Cell, args: argparse.Namespace) -> None:
    same = {name: getattr(args, name) for name in SHARED}
    same |= {name: getattr(cell, name) for name in ("config", "method", "vfm", "clip")}
    options = Options(cfg_options=tuple(args.cfg_options), **same)
    cell.named = (cell.method or "-", cell.vfm or "-", cell.clip or "-")
    model = configs.merged(options).model
    method = choices.describe_method(model).name
    cell.named = choices.component_names(model, method, cell.vfm, cell.clip)
    cfg = configs.load(options)
    cell.target = expected(cfg, options, method)
    missing = configs.missing_data(cfg)
    if missing:
        cell.state, cell.note = "no data", configs.how_to_get(cfg, missing)
        return
    cell.identity = identities.of_run(cfg, _device(args))
    cell.run = None if args.force else kept(cell, args)
    if cell.run is not None:
        cell.state = "kept"
    elif args.dry_run:
        cell.state, cell.note = "would run", shlex.join(command(cell, args))
    else:
        cell.state = "waiting"


def expected(cfg: Config, options: Options, method: str | None) -> published.Target | None:
    """The published result for a run of `cfg`; None for a part of the images, or for configs and methods of one's own.

    Args:
        method: what a table calls it.
    """
    shipped = Path(cfg.filename).resolve().is_relative_to(ROOT / "configs")
    if (
        not shipped
        or options.limit is not None
        or options.scoring != "correct"
        or plugins.is_file(options.method or "")
    ):
        return None
    return published.target(configs.config_name(cfg), cfg.model.to_dict(), method, identities.changes(options))


def kept(cell: Cell, args: argparse.Namespace) -> dict[str, Any] | None:
    """The record that makes a run of the cell needless; one that lacks images does if they may be left out."""
    run = results.find(Path(args.work_dir), cell.identity)
    return None if run is not None and run.get("left_out") and not args.skip_bad else run


def command(cell: Cell, args: argparse.Namespace) -> list[str]:
    """The command line that evaluates one cell."""
    processes = per_cell(args)
    if processes is None:
        return [sys.executable, str(ROOT / "eval.py"), "--config", cell.config, *arguments(cell, args)]
    script = ["bash", str(ROOT / "dist_test.sh"), cell.config, str(processes)]
    return ["env", f"PYTHON={sys.executable}", *script, *arguments(cell, args)]


def arguments(cell: Cell, args: argparse.Namespace) -> list[str]:
    """The arguments of eval.py for one cell, less the config."""
    words = ["--work-dir", args.work_dir, "--device", args.device]
    words += [] if args.scoring == "correct" else ["--scoring", args.scoring]
    words += [] if args.check else ["--no-check"]
    words += ["--skip-bad"] if args.skip_bad else []
    for option in PASSED:
        if getattr(args, option) is not None:
            words += [f"--{option.replace('_', '-')}", str(getattr(args, option))]
    for option in ("method", "vfm", "clip"):
        if getattr(cell, option) is not None:
            words += [f"--{option}", getattr(cell, option)]
    return [*words, "--cfg-options", *args.cfg_options] if args.cfg_options else words


def per_cell(args: argparse.Namespace) -> int | None:
    """Processes a cell, through dist_test.sh; None for one without it."""
    if isinstance(args.gpus, list):
        return args.gpus_per_job if args.gpus_per_job > 1 else None
    return args.gpus


def _device(args: argparse.Namespace) -> str:
    """Where the cells run, which may be another machine if nothing is run by this process."""
    if args.device == "cuda" and (args.dry_run or args.slurm is not None):
        return "cuda"
    return "cpu" if args.device == "cpu" else evaluation.pick_device(args.device)
