"""Count parameters of a trained model, and FLOPs of its evaluation on one image with all classes.

No weights, no data and no GPU are needed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

FILE = Path(__file__).resolve().parents[2] / "published_sizes.json"
BAD_CONFIG, FAILED = 2, 1
TOGETHER = {"decode head, with recovery": ("decode head", "recovery")}  # parts that are one in published_sizes.json


def main(argv: list[str] | None = None) -> int:
    """The command line; returns 0, 1 for what cannot be counted, 2 for a config that does not exist."""
    parser = argparse.ArgumentParser("python -m proxyclip.trained.flops", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("config", metavar="CONFIG", help="config file, such as configs/trained/clip_rc/voc20_inductive.py")
    add(
        "--shape",
        type=int,
        nargs="+",
        metavar="N",
        help="height and width of the image as the model gets it, or one number for both (default: the training crop)",
    )
    add("--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override the config")
    add("--json", action="store_true", help="the same for programs; MACs instead of FLOPs")
    args = parser.parse_args(argv)
    if len(args.shape or ()) > 2:
        parser.error(f"expected --shape HEIGHT WIDTH, or one number for both, but got {args.shape}")
    from ... import configs, reporting

    reporting.quiet()
    try:
        _run(args)
    except Exception as error:
        print(f"error: {reporting.message(error)}", file=sys.stderr)
        return BAD_CONFIG if isinstance(error, configs.ConfigNotFound) else FAILED
    return 0


def _run(args: argparse.Namespace) -> None:
    from ... import configs, overrides
    from ...options import Options
    from . import count

    cfg = configs.merged(Options(config=args.config, cfg_options=tuple(args.cfg_options)))
    cfg.setdefault("default_scope", "mmseg")
    configs.register()
    configs.use_scope(cfg)
    overrides.check_model_arguments(cfg)
    found = count(cfg.model, (args.shape[0], args.shape[-1]) if args.shape else None)
    name = configs.config_name(cfg)
    row = None if args.cfg_options else _published(name, found.shape)
    if args.json:
        print(json.dumps(dict(config=name, **asdict(found), total=asdict(found.total), published=row), indent=1))
        return
    _say(name, found)
    if row is not None:
        _compare(found, row)


def _published(name: str, shape: tuple[int, int]) -> dict[str, Any] | None:
    """The published figures of this very model and shape, if there are any."""
    rows = json.loads(FILE.read_text(encoding="utf-8"))["rows"]
    return next((row for row in rows if name in row["configs"] and tuple(row["shape"]) == shape), None)


def _say(name: str, found: Any) -> None:
    print(f"{name}: {found.model}, {found.classes} classes, one image of {_by(found.shape)}")
    _print(
        ("part", "parameters", "trainable", "GMACs", "GFLOPs"),
        [
            (part.name, f"{part.parameters:,}", f"{part.trainable:,}", _giga(part.macs), _giga(part.macs, 2))
            for part in (*found.parts, found.total)
        ],
    )
    if found.window != found.shape:
        each = _giga(found.total.macs // found.windows)
        several = f"{found.windows} windows" if found.windows > 1 else "1 window"
        print(f"The image is looked at in {several} of {_by(found.window)}, {each} GMACs each.")
    print(
        "A MAC, a multiplication with its addition, is 2 FLOPs. Convolutions and matrix products are counted, those\n"
        "of attention among them; norms, activations, softmax and resizing are not.\n"
        "-: in training alone; an evaluation has the text features from the checkpoint."
    )


def _compare(found: Any, row: dict[str, Any]) -> None:
    """Beside what was published, part by part, and what the differences are."""
    own = {part.name: part for part in found.parts}
    lines = []
    for name, other in row["parts"].items():
        mine = [own[part] for part in TOGETHER.get(name, (name,))]
        lines.append([name, *_both(mine, other, "trainable"), *_both(mine, other, "macs")])
    sums = [sum(line[column] for line in lines) for column in range(1, 5)]
    print(f"\nBeside {row['source']}:")
    _print(
        ("part", "trainable", "published", "GMACs", "published"),
        [(name, f"{t:,}", f"{pt:,}", _giga(m), _giga(pm)) for name, t, pt, m, pm in (*lines, ["total", *sums])],
    )
    for amount, why in row["differences"]["trainable"]:
        print(f"{amount:+,} trainable: {why}")
    for amount, why in row["differences"]["macs"]:
        print(f"{amount / 1e9:+.3f} GMACs: {why}")


def _both(mine: Iterable[Any], other: dict[str, int], key: str) -> tuple[int, int]:
    return sum(getattr(part, key) or 0 for part in mine), other[key]


def _by(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))


def _giga(macs: int | None, times: int = 1) -> str:
    return "-" if macs is None else f"{times * macs / 1e9:.2f}"


def _print(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    from ...reporting import console

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console().print(table)


if __name__ == "__main__":
    sys.exit(main())
