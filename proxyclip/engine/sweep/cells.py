"""Cells of a sweep: configs x methods x VFMs x CLIPs, and the state of each."""

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from proxyclip.engine.config.components import IncompatibleComponents, component_names, describe_method
from proxyclip.engine.config.load import complete_config, config_name, explain_missing_data, load_config, merge_config
from proxyclip.engine.config.names import list_methods
from proxyclip.engine.config.options import TINYWORLD_CONFIG, EvalOptions, SweepOptions
from proxyclip.engine.config.protocols import list_folder_configs, list_protocol_configs
from proxyclip.engine.errors import format_error
from proxyclip.engine.evaluation.evaluate import resolve_device_type
from proxyclip.engine.evaluation.identity import number_changing_overrides, run_identity
from proxyclip.models.registry import is_plugin_file
from proxyclip.results.published import PublishedResult, match_published_result
from proxyclip.results.records import load_record
from proxyclip.utils.arguments import to_command
from proxyclip.utils.paths import ROOT

# Options of eval.py for a cell, in the order of its command line.
FORWARDED_OPTIONS = (
    "work_dir", "device", "scoring", "check", "skip_bad", "data_root", "limit", "workers", "method", "vfm", "clip",
    "cfg_options"
)  # fmt: skip


@dataclass(eq=False)
class Cell:
    """One config, method, VFM and CLIP; None is the config's own.

    Attributes:
        names: method, VFM and CLIP as a table shows them.
        state: "" before it is resolved; then refused, no data, failed, kept, would run or waiting; then running; then
            done, failed or interrupted, or not run where others were interrupted.
        twin: an earlier cell of the same identity, whose run serves both.
        target: published result of its config.
    """

    config: str
    method: str | None = None
    vfm: str | None = None
    clip: str | None = None
    number: int = 0
    names: tuple[str, str, str] = ("-", "-", "-")
    state: str = ""
    note: str = ""
    identity: str = ""
    run: dict[str, Any] | None = None
    seconds: float = 0.0
    progress: Path | None = None
    twin: "Cell | None" = None
    target: PublishedResult | None = None

    @property
    def is_pending(self) -> bool:
        """True if the cell waits for a run of its own."""
        return self.state == "waiting" and self.twin is None

    @property
    def label(self) -> str:
        """Config and arguments that select the cell."""
        parts = (self.config, self.method, self.vfm and f"--vfm {self.vfm}", self.clip and f"--clip {self.clip}")
        return " ".join(filter(None, parts))

    @property
    def short_config(self) -> str:
        """Name of the config as tables show it."""
        name = self.config.removeprefix("configs/").removesuffix(".py")
        return Path(name).name if Path(name).is_absolute() else name


def default_configs() -> list[str]:
    """List the default configs: the tiny world first, then the published ones by name."""
    names = sorted(f"configs/{f.name}" for f in (ROOT / "configs").glob("cfg_*.py"))
    return [TINYWORLD_CONFIG, *(name for name in names if name not in (TINYWORLD_CONFIG, "configs/cfg_folder.py"))]


def select_configs(options: SweepOptions) -> list[str]:
    """List the configs of the options: those of --configs, then of --protocol, each once."""
    named = [path for name in options.configs for path in list_folder_configs(name)]
    published = [path for name in options.protocol for path in list_protocol_configs(name)]
    return list(dict.fromkeys([*named, *published] or default_configs()))


def make_cells(options: SweepOptions) -> list[Cell]:
    """Make all cells in the order they run."""
    methods = [method for name in options.methods for method in (list_methods() if name == "all" else [name])]
    cells = [
        Cell(config, method, vfm, clip)
        for config in select_configs(options)
        for method in dict.fromkeys(methods)
        for clip in dict.fromkeys(options.clips)
        for vfm in _select_vfms(config, method, options)
    ]
    for number, cell in enumerate(cells, start=1):
        cell.number = number
    return cells


def _select_vfms(config: str, method: str | None, options: SweepOptions) -> list[str | None]:
    """Select the VFMs of --vfms that a method can use; [None] if it uses none."""
    if options.vfms == (None,):
        return [None]
    try:
        cfg = merge_config(EvalOptions(config=config, method=method, cfg_options=options.cfg_options))
        guided = describe_method(cfg.model).guided
    except Exception:
        return [None]  # resolving the cell will report the error
    if guided is False:
        return [None]
    return list(dict.fromkeys(options.vfms if guided else ["none", *options.vfms]))


def resolve_cells(cells: Sequence[Cell], options: SweepOptions, on_update: Callable[[Cell], None]) -> None:
    """Resolve the state of each cell. Nothing is run; no error leaves this function."""
    first: dict[str, Cell] = {}
    for cell in cells:
        try:
            _resolve_cell(cell, options)
        except Exception as error:
            cell.state = "refused" if isinstance(error, IncompatibleComponents) else "failed"
            cell.note = format_error(error)
        if cell.state in ("waiting", "would run"):
            twin = first.setdefault(cell.identity, cell)
            if twin is not cell:
                cell.twin = twin
                cell.note = f"the same as [{twin.number}]"
        on_update(cell)


def _resolve_cell(cell: Cell, options: SweepOptions) -> None:
    eval_options = options.evaluation(cell.config, cell.method, cell.vfm, cell.clip)
    cell.names = (cell.method or "-", cell.vfm or "-", cell.clip or "-")
    cfg = merge_config(eval_options)
    method = describe_method(cfg.model)
    cell.names = component_names(cfg.model, method.name, cell.vfm, cell.clip)
    complete_config(cfg, eval_options, method)
    cell.target = find_cell_target(cfg, eval_options, method.name)
    missing = explain_missing_data(cfg.test_dataloader.dataset)
    if missing is not None:
        cell.state = "no data"
        cell.note = missing
        return
    elsewhere = options.dry_run or options.slurm is not None  # maybe on a machine that has CUDA
    device = "cuda" if options.device == "cuda" and elsewhere else resolve_device_type(options.device)
    cell.identity = run_identity(cfg, method, device)
    cell.run = None if options.force else find_kept_record(cell, options)
    if cell.run is not None:
        cell.state = "kept"
    elif options.dry_run:
        cell.state = "would run"
        cell.note = shlex.join(build_eval_command(cell, options))
    else:
        cell.state = "waiting"


def refresh_identity(cell: Cell, options: SweepOptions) -> None:
    """Compute the identity of a cell again, with the weights that its run has downloaded."""
    cfg, method = load_config(options.evaluation(cell.config, cell.method, cell.vfm, cell.clip))
    cell.identity = run_identity(cfg, method, resolve_device_type(options.device))


def find_cell_target(cfg: Config, options: EvalOptions, method: str | None) -> PublishedResult | None:
    """Find the published result for a run of `cfg`.

    None for a part of the images, or a config or method of the user.
    """
    shipped = Path(cfg.filename).resolve().is_relative_to(ROOT / "configs")
    if not shipped or options.limit is not None or options.scoring != "correct" or is_plugin_file(options.method or ""):
        return None
    return match_published_result(config_name(cfg), cfg.model.to_dict(), method, number_changing_overrides(options))


def find_kept_record(cell: Cell, options: SweepOptions, warn: bool = True) -> dict[str, Any] | None:
    """Find a record of the cell; one that lacks images counts with --skip-bad, one of changed code never.

    Args:
        warn: print a line if there is one that cannot be believed.
    """
    run = load_record(Path(options.work_dir), cell.identity, warn)
    if run is None or run.get("changed_code") or (run.get("left_out") and not options.skip_bad):
        return None
    return run


def build_eval_command(cell: Cell, options: SweepOptions) -> list[str]:
    """Build the command line that evaluates one cell."""
    arguments = build_eval_arguments(cell, options)
    processes = options.processes_per_cell
    if processes is None:
        return [sys.executable, str(ROOT / "eval.py"), "--config", cell.config, *arguments]
    script = ["bash", str(ROOT / "dist_test.sh"), cell.config, str(processes)]
    return ["env", f"PYTHON={sys.executable}", *script, *arguments]


def build_eval_arguments(cell: Cell, options: SweepOptions) -> list[str]:
    """Build the arguments of eval.py for one cell, less the config."""
    eval_options = options.evaluation(cell.config, cell.method, cell.vfm, cell.clip)
    return to_command(eval_options, FORWARDED_OPTIONS, always=("work_dir", "device"))
