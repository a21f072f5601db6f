#!/usr/bin/env python
"""Evaluate a grid of configs, methods, VFMs and CLIPs, each cell in a process of its own, and show one table.

Without --configs: the tiny world, and each configs/cfg_*.py whose data are on disk. A method that uses no VFM runs
once, one that needs one runs with each of --vfms, one that can do both without and with; what does not go together is
refused, which is no failure. A cell that has a record of the same config, weights, vocabulary and code is not run
again. A failure does not stop the rest. The exit code is 1 if a cell failed, or if a config that was asked for by name
has no data.
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
    """One config, method, VFM and CLIP, and what became of it: done, kept, would run, refused, no data or failed.

    None is the config's own; `named` has method, VFM and CLIP as a table shows them.
    """

    config: str
    method: str | None = None
    vfm: str | None = None
    clip: str | None = None
    named: tuple[str, str, str] = ("-", "-", "-")
    state: str = ""
    note: str = ""
    run: dict[str, Any] | None = None


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line. Nothing heavy is imported for it."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False, formatter_class=form)
    add = parser.add_argument
    add("--configs", nargs="+", metavar="CONFIG", help="config files (default: see above; the rest as in eval.py)")
    add("--methods", nargs="+", metavar="NAME", default=[None], help="as --method; or all (default: the config's)")
    add("--vfms", nargs="+", metavar="NAME", default=[None], help="as --vfm (default: the config's)")
    add("--clips", nargs="+", metavar="NAME", default=[None], help="as --clip (default: the config's)")
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
    add("--markdown", action="store_true", help="print the table in Markdown")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run what is missing, print the table, and return the exit code."""
    args = parse(argv)
    from proxyclip import reporting

    reporting.quiet()
    cells = grid(args)
    for number, cell in enumerate(cells, start=1):
        words = (cell.config, cell.method, cell.vfm and f"--vfm {cell.vfm}", cell.clip and f"--clip {cell.clip}")
        print(f"[{number}/{len(cells)}] {' '.join(filter(None, words))}", flush=True)
        try:
            settle(cell, args)
        except Exception as error:
            from proxyclip.choices import Unfit

            cell.state = "refused" if isinstance(error, Unfit) else "failed"
            cell.note = reporting.message(error)
        print(f"    {cell.state}{': ' if cell.note else ''}{cell.note}", flush=True)
    show(cells, args.markdown)
    wrong = {"failed", "no data"} if args.configs else {"failed"}
    return int(any(cell.state in wrong for cell in cells))


def default_configs() -> list[str]:
    """The tiny world first, then the published configs by name."""
    found = sorted(f"configs/{f.name}" for f in (ROOT / "configs").glob("cfg_*.py"))
    return [TINY, *(name for name in found if name not in (TINY, OWN))]


def grid(args: argparse.Namespace) -> list[Cell]:
    """All cells in the order they run; a method without VFM has one, whatever VFMs there are."""
    from proxyclip import configs

    methods = [one for name in args.methods for one in (configs.methods() if name == "all" else [name])]
    return [
        Cell(config, method, vfm, clip)
        for config in args.configs or default_configs()
        for method in dict.fromkeys(methods)
        for clip in dict.fromkeys(args.clips)
        for vfm in vfms(config, method, args)
    ]


def vfms(config: str, method: str | None, args: argparse.Namespace) -> list[str | None]:
    """Those of --vfms that make sense with a method."""
    if args.vfms == [None]:
        return [None]
    from proxyclip import choices, configs

    options = configs.Options(config=config, method=method, cfg_options=tuple(args.cfg_options))
    try:
        guided = choices.guided(configs.merged(options).model)
    except Exception:
        return [None]  # settling the cell will say what is wrong
    if guided is False:
        return [None]
    return list(dict.fromkeys(args.vfms if guided else ["none", *args.vfms]))


def settle(cell: Cell, args: argparse.Namespace) -> None:
    """Bring one cell to its end: keep its record, or run it, or say why not."""
    from proxyclip import choices, configs, evaluation, results

    names = ("work_dir", "data_root", "limit", "device", "workers", "scoring", "check")
    same = {name: getattr(args, name) for name in names}
    same |= {name: getattr(cell, name) for name in ("config", "method", "vfm", "clip")}
    options = configs.Options(cfg_options=tuple(args.cfg_options), **same)
    cell.named = (cell.method or "-", cell.vfm or "-", cell.clip or "-")
    cell.named = choices.named(configs.merged(options).model, cell.method, cell.vfm, cell.clip)
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
        if code == 0 and cell.run is None:
            cell.note = "its record has another identity: code, config or weights changed while it ran"


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
    for option in ("method", "vfm", "clip"):
        if getattr(cell, option) is not None:
            words += [f"--{option}", getattr(cell, option)]
    if args.cfg_options:
        words += ["--cfg-options", *args.cfg_options]
    if args.gpus is None:
        return [sys.executable, str(ROOT / "eval.py"), "--config", cell.config, *words]
    return ["env", f"PYTHON={sys.executable}", "bash", str(ROOT / "dist_test.sh"), cell.config, str(args.gpus), *words]


def show(cells: list[Cell], markdown: bool = False) -> None:
    """Print one line a cell."""
    from rich.box import MARKDOWN, SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    titles = ("config", "method", "VFM", "CLIP", "state", "mIoU", "aAcc", "mAcc", "images", "record")
    table = Table(*titles, box=MARKDOWN if markdown else SIMPLE_HEAD)
    for cell in cells:
        run = cell.run or {}
        numbers = [run.get("metrics", {}).get(key) for key in ("mIoU", "aAcc", "mAcc")]
        shown = ["-" if n is None else f"{n:.2f}" for n in numbers]
        images = str(run.get("dataset", {}).get("images", "-")) + (" (partial)" if run.get("partial") else "")
        name = cell.config.removeprefix("configs/").removesuffix(".py")
        table.add_row(name, *map(escape, cell.named), cell.state, *shown, images, run.get("identity", "-"))
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)


if __name__ == "__main__":
    sys.exit(main())
