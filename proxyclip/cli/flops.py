"""Count parameters of a trained model, and FLOPs of its evaluation on one image with all classes.

No weights, no data and no GPU are needed.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from proxyclip.cli import run_cli
from proxyclip.engine.config.names import check_names
from proxyclip.engine.config.options import EvalOptions, declare_cfg_options
from proxyclip.utils.arguments import build_parser, declare_option, read_options

MERGED_PARTS = {"decode head, with recovery": ("decode head", "recovery")}  # one part in published_sizes.json


@dataclass(frozen=True)
class PartCost:
    """Parameters of a part of a model, and MACs of an evaluation of one image; None where only training has it."""

    name: str
    parameters: int
    trainable: int
    macs: int | None


@dataclass(frozen=True)
class ModelCost:
    """Parameters and MACs for one image of `shape` (h, w), evaluated in `windows` of the shape `window`."""

    model: str
    classes: int
    shape: tuple[int, int]
    windows: int
    window: tuple[int, int]
    parts: tuple[PartCost, ...]

    @property
    def total(self) -> PartCost:
        """Sum of all parts."""
        sums = (sum(getattr(part, key) or 0 for part in self.parts) for key in ("parameters", "trainable", "macs"))
        return PartCost("total", *sums)


def count_model_cost(model: Mapping[str, Any], shape: tuple[int, int] | None = None) -> ModelCost:
    """Count parameters and MACs of one image with all classes, in evaluation mode; parts are those of `model.sizes`.

    Args:
        model: config of a model that is trained; `mmseg.registry.MODELS` has to know it.
        shape: (h, w) of the image after the test pipeline has resized it; default the training crop.

    Raises:
        ValueError: another model, or a shape that the model cannot take.
    """
    from mmseg.registry import MODELS

    from proxyclip.engine.config.components import describe_method, resolve_model_type
    from proxyclip.models.trained.base import TrainedSegmentor
    from proxyclip.models.trained.flops import use_fake_tensors

    if not describe_method(model).needs_checkpoint:
        raise ValueError(
            f"{model['type']} is not trained: expected a config of CLIP-RC or MaskCLIP+ below configs/trained, other "
            "than that of a teacher"
        )
    segmentor: Any = MODELS.build(resolve_model_type(model))
    if not isinstance(segmentor, TrainedSegmentor):
        raise ValueError(f"Expected {type(segmentor).__name__} to be a TrainedSegmentor, which says its `sizes`")
    size = shape or (model.get("data_preprocessor") or {}).get("size")
    if size is None:
        raise ValueError("The config has no crop, model.data_preprocessor.size: say --shape HEIGHT WIDTH")
    h, w = size
    if h < 1 or w < 1:
        raise ValueError(f"Expected the shape of an image to be at least 1 x 1, but got {h} x {w}")
    trainable = {id(weight) for weight in segmentor.parameters() if weight.requires_grad}
    segmentor.eval().requires_grad_(False)
    with use_fake_tensors():
        window_count, window, model_parts = segmentor.sizes((h, w))
        parts = tuple(
            PartCost(
                name,
                sum(weight.numel() for weight in weights),
                sum(weight.numel() for weight in weights if id(weight) in trainable),
                macs and macs * window_count,
            )
            for name, weights, macs in model_parts
        )
    return ModelCost(type(segmentor).__name__, len(segmentor.vocabulary), (h, w), window_count, window, parts)


@dataclass(frozen=True)
class FlopsOptions:
    """Options of `flops`."""

    config: str = declare_option(
        flags=("config",), metavar="CONFIG", help="config file, such as configs/trained/clip_rc/voc20_inductive.py"
    )
    shape: tuple[int, ...] = declare_option(
        (),
        type=int,
        metavar="N",
        help="height and width of the image as the model gets it, or one number for both (default: the training crop)",
    )
    cfg_options: tuple[str, ...] = declare_cfg_options()
    json: bool = declare_option(False, help="the same for programs; MACs instead of FLOPs")


def main(argv: Sequence[str] | None = None, prog: str = "python -m proxyclip flops") -> int:
    """Print the counts, and return the exit code.

    Returns:
        0, 1 for a model that cannot be counted, 2 for a config that does not exist.
    """
    parser = build_parser(FlopsOptions, prog=prog, description=__doc__)
    options = read_options(FlopsOptions, parser.parse_args(argv))
    if len(options.shape) > 2:
        parser.error(f"expected --shape HEIGHT WIDTH, or one number for both, but got {list(options.shape)}")
    return run_cli(lambda: _run_flops(options), check=lambda: check_names(options))


def _run_flops(options: FlopsOptions) -> None:
    from proxyclip.engine.config.load import config_name, merge_config
    from proxyclip.engine.config.overrides import check_model_arguments
    from proxyclip.engine.config.registration import activate_scope, register_modules
    from proxyclip.engine.evaluation.console import silence_libraries

    silence_libraries()
    cfg = merge_config(EvalOptions(config=options.config, cfg_options=options.cfg_options))
    cfg.setdefault("default_scope", "mmseg")
    register_modules()
    activate_scope(cfg)
    check_model_arguments(cfg)
    cost = count_model_cost(cfg.model, (options.shape[0], options.shape[-1]) if options.shape else None)
    name = config_name(cfg)
    row = None if options.cfg_options else _find_published_row(name, cost.shape)
    if options.json:
        print(json.dumps(dict(config=name, **asdict(cost), total=asdict(cost.total), published=row), indent=1))
        return
    _print_model_cost(name, cost)
    if row is not None:
        _print_comparison(cost, row)


def _find_published_row(name: str, shape: tuple[int, int]) -> dict[str, Any] | None:
    """Return the published figures of this very model and shape, or None."""
    from proxyclip.models.trained.flops import PUBLISHED_SIZES_FILE

    rows = json.loads(PUBLISHED_SIZES_FILE.read_text(encoding="utf-8"))["rows"]
    return next((row for row in rows if name in row["configs"] and tuple(row["shape"]) == shape), None)


def _print_model_cost(name: str, cost: ModelCost) -> None:
    print(f"{name}: {cost.model}, {cost.classes} classes, one image of {_format_shape(cost.shape)}")
    _print_rich_table(
        ("part", "parameters", "trainable", "GMACs", "GFLOPs"),
        [
            (part.name, f"{part.parameters:,}", f"{part.trainable:,}", *(_format_giga(part.macs, n) for n in (1, 2)))
            for part in (*cost.parts, cost.total)
        ],
    )
    if cost.window != cost.shape:
        each = _format_giga((cost.total.macs or 0) // cost.windows)
        windows = f"{cost.windows} windows" if cost.windows > 1 else "1 window"
        print(f"The image is looked at in {windows} of {_format_shape(cost.window)}, {each} GMACs each.")
    print(
        "A MAC, a multiplication with its addition, is 2 FLOPs. Convolutions and matrix products are counted, those\n"
        "of attention among them; norms, activations, softmax and resizing are not.\n"
        "-: in training alone; an evaluation has the text features from the checkpoint."
    )


def _print_comparison(cost: ModelCost, row: dict[str, Any]) -> None:
    """Print own and published counts side by side, and the reasons of the differences."""
    costs = {part.name: part for part in cost.parts}
    rows: list[list[Any]] = []
    for name, published in row["parts"].items():
        own_parts = [costs[part] for part in MERGED_PARTS.get(name, (name,))]
        rows.append([name])
        for key in ("trainable", "macs"):
            rows[-1] += [sum(getattr(part, key) or 0 for part in own_parts), published[key]]
    rows.append(["total", *(sum(column) for column in list(zip(*rows, strict=True))[1:])])
    print(f"\nBeside {row['source']}:")
    _print_rich_table(
        ("part", "trainable", "published", "GMACs", "published"),
        [(name, f"{own:,}", f"{other:,}", *map(_format_giga, macs)) for name, own, other, *macs in rows],
    )
    for amount, reason in row["differences"]["trainable"]:
        print(f"{amount:+,} trainable: {reason}")
    for amount, reason in row["differences"]["macs"]:
        print(f"{amount / 1e9:+.3f} GMACs: {reason}")


def _format_shape(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))


def _format_giga(macs: int | None, times: int = 1) -> str:
    return "-" if macs is None else f"{times * macs / 1e9:.2f}"


def _print_rich_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from proxyclip.engine.evaluation.console import make_console

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    make_console().print(table)
