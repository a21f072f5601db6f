"""Speed and memory of the toolkit on a GPU: `python benchmarks/gpu.py`.

Random weights of the real architectures (CLIP ViT-B/16, DINO ViT-B/8), random images that lie on the device already, in
the sizes, windows and vocabularies of the data sets' configs. `predict` is timed against timm's and open_clip's own
forwards of the same windows in the same groups, medians taken in turns. One table, with the goals; its lines go to
stderr as they are made, and with `--json` to a file, so that a run which is stopped early leaves what it has.
"""

from __future__ import annotations

from _root import ROOT  # isort: skip
import argparse
import dataclasses
import gc
import json
import math
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from _real import Row, bare, build, medians, sample, seconds, write_models
from mmcv.image import rescale_size
from mmengine.config import Config
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from proxyclip.models.precision import PRECISIONS, pick_dtype
from proxyclip.utils.text_table import TextTable

# Config, and the size (h, w) that most of the data set's images have.
SHAPES = {
    "voc21": ("cfg_voc21.py", (375, 500)),
    "ade20k": ("cfg_ade20k.py", (512, 683)),
    "cityscapes": ("cfg_city_scapes.py", (1024, 2048)),
}
BATCHES = (1, 2, 4, 8, 16, 32, 64)
GAIN = 1.03  # what doubling the batch must bring, or it is not doubled again
GOALS = {"voc21": 250.0}  # images/s at the best batch
RATIO = 1.15  # of predict, at most, to the time of the bare forwards, at the best batch
PEAKS = {"H200": 989.0, "H100": 989.0, "A100": 312.0}  # dense TFLOP/s in half precision
OTHERS = ("MIG", "NVL", "H100 PCIe")  # in the names of those that have another peak
BACKENDS = ("FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION", "MATH")
MODES = ("default", "max-autotune-no-cudagraphs")


@dataclasses.dataclass(frozen=True)
class Setting:
    """Settings of all measurements: the models' folder, the device, seconds a measurement, and tiny models."""

    folder: Path
    device: torch.device
    min_seconds: float
    small: bool

    def judge(self, row: Row, goal: str, good: bool) -> Row:
        """The row with its goal, where goals apply: real models on a GPU."""
        real = self.device.type == "cuda" and not self.small
        return dataclasses.replace(row, goal=goal, good=good) if real else row

    def wait(self, function: Callable[[], Any]) -> Any:
        """The function's result, once the device is done."""
        result = function()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return result

    def times(self, *functions: Callable[[], Any]) -> list[float]:
        """Median seconds of each function, warmed up and in turns, until the slowest has had `min_seconds`."""
        waiting = [partial(self.wait, function) for function in functions]
        for function in waiting:
            function()
        slowest = max(seconds(function) for function in waiting)
        return medians(waiting, min(max(math.ceil(self.min_seconds / slowest), 3), 500))


@dataclasses.dataclass(frozen=True)
class Case:
    """A data set's usual image: its size for the model and for the labels (h, w), and the model's options."""

    name: str
    inputs: tuple[int, int]
    labels: tuple[int, int]
    options: dict[str, Any]


def case(name: str) -> Case:
    """One of SHAPES, by its config."""
    file, labels = SHAPES[name]
    cfg = Config.fromfile(ROOT / "configs" / file)
    scale = next(step["scale"] for step in cfg.test_pipeline if step["type"] == "Resize")
    width, height = rescale_size(labels[::-1], tuple(scale))
    chosen = {key: cfg.model[key] for key in ("slide_crop", "slide_stride", "prob_thd", "beta", "gamma", "attention")}
    return Case(name, (height, width), labels, dict(chosen, names=cfg.model.name_path))


def load(setting: Setting, case: Case, precision: str, **options: Any) -> Any:
    """The segmentor on the device, with random text features: encoding text is no part of what is timed."""
    model: Any = build(setting.folder, precision=precision, **case.options, **options).to(setting.device)
    width, device = model.clip.model.visual.proj.shape[1], setting.device
    model.clip.embed = lambda names, templates: F.normalize(torch.randn(len(names), width, device=device), dim=1)
    model.prepare(device)
    return model


def work(setting: Setting, case: Case, model: Any, batch: int) -> Callable[[], Any]:
    """predict() of `batch` images."""
    images = list(torch.randn(batch, 3, *case.inputs, device=setting.device))
    samples = [sample(case.labels) for _ in images]
    return partial(model.predict, images, samples)


def sweep(setting: Setting, case: Case, model: Any) -> dict[int, float]:
    """Images a second by batch, until more images at once bring nothing, or memory is short."""
    rates: dict[int, float] = {}
    for batch in BATCHES[:2] if setting.small else BATCHES:
        before = max(rates.values(), default=0.0)
        try:
            rates[batch] = batch / setting.times(work(setting, case, model, batch))[0]
        except (torch.OutOfMemoryError, MemoryError):
            if not rates:
                raise
            break
        if rates[batch] < GAIN * before:
            break
    return rates


def groups(model: Any, function: Callable[[], Any]) -> list[torch.Size]:
    """Shapes of the groups of windows that a call puts through the towers."""
    seen: list[torch.Size] = []
    hook = model.vfm.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].shape))
    function()
    hook.remove()
    return seen


def flops(forwards: Callable[[Tensor], None], tile: Tensor) -> int:
    """Floating point operations of the bare forwards of tiles; attention is spelt out, so that all of it counts."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        forwards(tile)
    torch.backends.mha.set_fastpath_enabled(fast)
    return counter.get_total_flops()


def waits(function: Callable[[], Any]) -> int:
    """Count how often a call makes the host wait for the GPU."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            function()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing CUDA operation" in str(warning.message) for warning in caught)


def named(device: torch.device) -> str:
    """The device's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def of_peak(speed: float, device: torch.device, precision: str) -> str:
    """A speed in TFLOP/s, and its share of what the device has in this precision, `-` where that is not known."""
    name = named(device)
    known = precision in ("fp16", "bf16") and not any(word in name for word in OTHERS)
    peak = next((peak for part, peak in PEAKS.items() if part in name), None) if known else None
    return f"{speed:.3g} ({'-' if peak is None else f'{100 * speed / peak:.1f} %'})"


def measure(setting: Setting, case: Case, precision: str) -> Generator[Row, None, int]:
    """All figures of one shape in one precision; returns the best batch."""
    at, model = f"{case.name} {precision}", load(setting, case, precision)
    rates = sweep(setting, case, model)
    best = max(rates, key=lambda batch: rates[batch])
    yield Row(f"{at}: images/s, batch 1", f"{rates[1]:.1f}", rates[1])
    every = ", ".join(f"{batch}: {rate:.1f}" for batch, rate in rates.items())
    rate = Row(f"{at}: images/s, best batch {best}", f"{rates[best]:.1f} ({every})", rates[best])
    goal = GOALS.get(case.name, 0.0)
    yield setting.judge(rate, f">= {goal:g}", rates[best] >= goal) if goal else rate

    whole, cuda = work(setting, case, model, best), setting.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(setting.device)
    shapes = groups(model, whole)
    used = torch.cuda.max_memory_allocated(setting.device) / 1e9 if cuda else None
    yield Row(f"{at}: peak memory, batch {best}", "-" if used is None else f"{used:.2f} GB", used)

    forwards = bare(setting.folder, shapes[0][2], PRECISIONS[precision], setting.device)
    for batch in sorted({1, best}):
        yield from against(setting, case, model, precision, batch, forwards, judged=batch == best)
    return best


def against(
    setting: Setting, case: Case, model: Any, precision: str, batch: int, forwards: Callable, judged: bool
) -> Iterator[Row]:
    """predict() of `batch` images against the bare forwards of its windows, in its groups."""
    at, device, whole = f"{case.name} {precision}", setting.device, work(setting, case, model, batch)
    parts = [torch.randn(shape, dtype=PRECISIONS[precision], device=device) for shape in groups(model, whole)]
    count = sum(map(len, parts))
    tiles = list(torch.randn(batch, count // batch, *parts[0].shape[1:], device=device))
    scoring = partial(model.extract_windows, tiles)
    total, alone, scored = setting.times(whole, lambda: [forwards(part) for part in parts], scoring)
    ratio = Row(f"{at}: predict / bare forwards, batch {batch}", f"{total / alone:.3f}x", total / alone)
    yield setting.judge(ratio, f"<= {RATIO:g}x", total / alone <= RATIO) if judged else ratio
    yield Row(f"{at}: time in bare forwards, batch {batch}", f"{100 * alone / total:.1f} %", alone / total)
    late = 1 - scored / total
    yield Row(f"{at}: time outside the windows' scores, batch {batch}", f"{100 * late:.1f} %", late)
    operations = flops(forwards, parts[0][:1]) * count / 1e12
    for what, taken in (("predict", total), ("bare forwards", alone)):
        speed = operations / taken
        yield Row(f"{at}: TFLOP/s (of peak), {what}, batch {batch}", of_peak(speed, device, precision), speed)
    waiting = Row(f"{at}: host waits in {count} windows", "-")
    if device.type == "cuda" and waits(torch.ones((), device=device).item):  # whether this torch tells
        count = waits(scoring)
        waiting = setting.judge(dataclasses.replace(waiting, measured=str(count), value=count), "0", not count)
    yield waiting


def sdpa(setting: Setting, case: Case, precision: str, batch: int) -> Iterator[Row]:
    """Each kernel for attention alone, against what torch chooses."""
    for name in BACKENDS:
        model = load(setting, case, precision)  # a kernel that takes too much memory makes groups smaller for good
        plain = work(setting, case, model, batch)
        variant = sdpa_kernel(getattr(SDPBackend, name))(plain)
        yield tried(setting, f"{case.name} {precision}: SDPA {name.lower()}, batch {batch}", batch, plain, variant)


def compiled(setting: Setting, case: Case, precision: str, batch: int) -> Iterator[Row]:
    """Both towers through torch.compile, for these very shapes, against the model as it is."""
    model = load(setting, case, precision)
    plain = work(setting, case, model, batch)
    plain()  # finds the size of groups
    size = max(shape[0] for shape in groups(model, plain))
    for mode in MODES:
        torch.compiler.reset()
        other = load(setting, case, precision, window_batch=size)
        other.vfm.compile(mode=mode, dynamic=False)
        other.clip.tokens = torch.compile(other.clip.tokens, mode=mode, dynamic=False)
        figure = f"{case.name} {precision}: compile {mode}, batch {batch}"
        yield tried(setting, figure, batch, plain, work(setting, case, other, batch))


COMPARISONS: dict[str, Callable[..., Iterator[Row]]] = dict(sdpa=sdpa, compile=compiled)


def tried(setting: Setting, figure: str, batch: int, plain: Callable, variant: Callable) -> Row:
    """Time a variant against the usual way; where it fails, its message is the figure."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # which kernels are not there, and why
            first = seconds(partial(setting.wait, variant))
            usual, other = setting.times(plain, variant)
    except Exception as error:  # whatever a compiler or a kernel says
        message = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Row(figure, f"fails: {message[:60]}")
    measured = f"{batch / other:.1f} images/s ({usual / other:.2f}x; first call {first:.1f} s)"
    return Row(figure, measured, batch / other)


def everything(setting: Setting, args: argparse.Namespace) -> Iterator[Row]:
    """All rows; the comparisons come last, for compiling may take long."""
    best: dict[tuple[str, str], int] = {}
    for precision in args.precisions:
        for name in args.shapes:
            best[name, precision] = yield from measure(setting, case(name), precision)
            gc.collect()
    for part in args.compare if "voc21" in args.shapes else []:
        precision = args.precisions[0]
        yield from COMPARISONS[part](setting, case("voc21"), precision, best["voc21", precision])


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=["fp16", "bf16"])
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--seconds", type=float, default=3.0, help="least time of a measurement")
    what = "which options to compare, for voc21 in the first precision; none without a value"
    parser.add_argument("--compare", nargs="*", choices=COMPARISONS, default=list(COMPARISONS), help=what)
    parser.add_argument("--small", action="store_true", help="tiny towers: tries the script, measures nothing of use")
    parser.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args()
    device = torch.device(args.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit(
            "benchmarks/gpu.py: torch finds no CUDA device (--device cpu --small --precisions fp32 tries it without)"
        )
    try:
        for precision in args.precisions:
            pick_dtype(precision, device)
    except ValueError as error:
        sys.exit(f"benchmarks/gpu.py: {error}")
    torch.set_grad_enabled(False)
    record: dict[str, Any] = dict(device=named(device), torch=torch.__version__, small=args.small, rows=[])
    rows: list[tuple[str, ...]] = []
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        write_models(Path(place), args.small)
        for row in everything(Setting(Path(place), device, args.seconds, args.small), args):
            print(f"{row.figure}  {row.measured}", file=sys.stderr, flush=True)
            rows.append((row.figure, row.measured, row.goal, row.verdict))
            record["rows"].append(dataclasses.asdict(row))
            if args.json:
                args.json.write_text(json.dumps(record, indent=1), "utf-8")
    TextTable(("figure", "measured", "goal", "verdict"), rows).print()
    print(f"{named(device)}, torch {torch.__version__} ({time.perf_counter() - begin:.0f} s in all)")


if __name__ == "__main__":
    main()
