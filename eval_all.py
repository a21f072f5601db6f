#!/usr/bin/env python
"""Evaluate many configs and methods, each in a process of its own, and show one table.

Without --configs: the tiny world, and each configs/cfg_*.py whose data are on disk. A cell (config and method) that
has a record of the same config, weights, vocabulary and code is not run again. A failure does not stop the rest.
The exit code is 1 if a cell failed, or if a config that was asked for by name has no data.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
TINY, OWN = "configs/cfg_tinyworld.py", "configs/cfg_folder.py"


@dataclass
class Cell:
    """One config with one method, and what became of it: done, kept, would run, no data or failed."""

    config: str
    method: str | None
    state: str = ""
    note: str = ""
    run: dict[str, Any] | None = None


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line. Nothing heavy is imported for it."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False, formatter_class=form)
    add = parser.add_argument
    add("--configs", nargs="+", metavar="CONFIG", help="config files (default: see above)")
    add("--methods", nargs="+", metavar="NAME", default=[None], help="files of configs/method (default: the config's)")
    add("--gpus", type=int, metavar="N", help="processes a cell, through dist_test.sh (default: one, without it)")
    add(
        "--work-dir", "--workdir", default="work_dirs", help="for results.xlsx, records and logs (default: %(default)s)"
    )
    add("--data-root", metavar="DIR", help="folder with the data sets (default: the variable DATA_ROOT, or ./data)")
    add("--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override every config")
    add("--limit", type=int, metavar="N", help="evaluate the first N images of each only")
    add("--scoring", choices=("correct", "published"), default="correct", help="as in eval.py")
    add("--no-check", dest="check", action="store_false", help="evaluate even if the data look wrong")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes CUDA where there is one")
    add("--workers", type=int, metavar="N", help="processes that load images (default: the config's)")
    add("--dry-run", action="store_true", help="say what would run, and run nothing")
    add("--force", action="store_true", help="run also what has a record")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run what is missing, print the table, and return the exit code."""
    args = parse(argv)
    cells = [Cell(config, method) for config in args.configs or default_configs() for method in args.methods]
    for number, cell in enumerate(cells, start=1):
        print(f"[{number}/{len(cells)}] {cell.config} {cell.method or ''}".rstrip(), flush=True)
        try:
            settle(cell, args)
        except Exception as error:
            from proxyclip.reporting import message

            cell.state, cell.note = "failed", message(error)
        print(f"    {cell.state}{': ' if cell.note else ''}{cell.note}", flush=True)
    show(cells)
    wrong = {"failed", "no data"} if args.configs else {"failed"}
    return int(any(cell.state in wrong for cell in cells))


def default_configs() -> list[str]:
    """The tiny world first, then the published configs by name."""
    found = sorted(f"configs/{f.name}" for f in (ROOT / "configs").glob("cfg_*.py"))
    return [TINY, *(name for name in found if name not in (TINY, OWN))]


def settle(cell: Cell, args: argparse.Namespace) -> None:
    """Bring one cell to its end: keep its record, or run it, or say why not."""
    from proxyclip import configs, evaluation, results

    names = ("work_dir", "data_root", "limit", "device", "workers", "scoring", "check")
    same = {name: getattr(args, name) for name in names}
    options = configs.Options(config=cell.config, method=cell.method, cfg_options=tuple(args.cfg_options), **same)
    cfg = configs.load(options)
    missing = configs.missing_data(cfg)
    if missing:
        cell.state, cell.note = "no data", configs.how_to_get(cfg, missing)
        return
    identity = configs.run_identity(cfg, "cpu" if args.device == "cpu" else evaluation.pick_device(args.device))
    cell.run = None if args.force else find_record(results, args.work_dir, identity)
    if cell.run is not None:
        cell.state = "kept"
    elif args.dry_run:
        cell.state, cell.note = "would run", " ".join(command(cell, args))
    else:
        code = subprocess.run(command(cell, args)).returncode
        cell.run = find_record(results, args.work_dir, identity) if code == 0 else None
        cell.state, cell.note = ("done", "") if code == 0 else ("failed", f"exit code {code}, see above")


def find_record(results, work_dir: str, identity: str) -> dict[str, Any] | None:
    """The record of that identity in a work dir."""
    return next((run for run in results.records(Path(work_dir)) if run["identity"] == identity), None)


def command(cell: Cell, args: argparse.Namespace) -> list[str]:
    """The command line that evaluates one cell."""
    words = ["--work-dir", args.work_dir, "--device", args.device]
    words += [] if args.scoring == "correct" else ["--scoring", args.scoring]
    words += [] if args.check else ["--no-check"]
    for option in ("data_root", "limit", "workers"):
        if getattr(args, option) is not None:
            words += [f"--{option.replace('_', '-')}", str(getattr(args, option))]
    if cell.method is not None:
        words += ["--method", cell.method]
    if args.cfg_options:
        words += ["--cfg-options", *args.cfg_options]
    if args.gpus is None:
        return [sys.executable, str(ROOT / "eval.py"), "--config", cell.config, *words]
    return ["env", f"PYTHON={sys.executable}", "bash", str(ROOT / "dist_test.sh"), cell.config, str(args.gpus), *words]


def show(cells: list[Cell]) -> None:
    """Print one line a cell."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table("config", "method", "state", "mIoU", "aAcc", "mAcc", "images", "record", box=SIMPLE_HEAD)
    for cell in cells:
        run = cell.run or {}
        numbers = [run.get("metrics", {}).get(key) for key in ("mIoU", "aAcc", "mAcc")]
        shown = ["-" if n is None else f"{n:.2f}" for n in numbers]
        images = str(run.get("dataset", {}).get("images", "-")) + (" (partial)" if run.get("partial") else "")
        method = cell.method or run.get("method") or "-"
        name = cell.config.removeprefix("configs/").removesuffix(".py")
        table.add_row(name, method, cell.state, *shown, images, run.get("identity", "-"))
    Console(width=None if sys.stdout.isatty() else 120, highlight=False).print(table)


if __name__ == "__main__":
    sys.exit(main())
