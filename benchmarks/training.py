"""Time and memory of a training step of MaskCLIP+, part by part: `python benchmarks/training.py`.

The students on ADE20K's 150 classes without annotations, with a ViT-B/16 as teacher: random weights of the real
architectures, random images, on a CPU or a GPU. The column `tinyworld` is the config that train.py takes by default.
A step is the one train.py makes, with the config's optimiser, images at hand; its learning rate is 0, so that all steps
are the same work. Ratios are of medians taken in turns in one process; memory is that of a process of its own. One
table, with the goal.
"""

from __future__ import annotations

from _root import ROOT  # isort: skip
import argparse
import dataclasses
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import open_clip
import torch
import torch.nn.functional as F
from _real import Row, medians, write_models
from mmengine.config import Config
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import proxyclip.models.trained.maskclip_plus  # noqa: F401  registers the model
from proxyclip.engine.config.registration import activate_scope, register_modules
from proxyclip.engine.evaluation.console import silence_libraries
from proxyclip.engine.training.optim import enable_mixed_precision
from proxyclip.models.clip.loading import get_clip_config
from proxyclip.models.precision import cpu_has_bf16
from proxyclip.utils.distributed import set_threads
from proxyclip.utils.paths import find_existing_path
from proxyclip.utils.text_table import TextTable

CONFIGS = ROOT / "configs/trained/maskclip_plus"
TINY_WORLD = "tinyworld"
STUDENTS = ("deeplabv2_r101", "deeplabv3plus_r101", "segformer_b0", "segformer_b5", TINY_WORLD)
SMALL = ("deeplab_tiny", "segformer_tiny", TINY_WORLD)
USUAL = {"cpu": dict(batch=2, crop=256, rounds=3), "cuda": dict(batch=4, crop=512, rounds=20)}
PARTS = ("teacher", "student forward", "loss and pseudo labels", "backward", "optimiser", "preparing images")
TEACHER, STUDENT, LOSS, BACKWARD, OPTIMISER, PREPARING = PARTS
COMPARISONS = ("labels", "networks", "amp", "memory")
RATIO = 1.25  # of a step, at most, to the time of the bare networks
WARM_SIDE = 64  # pixels, of the step before the one whose memory is measured


@dataclasses.dataclass(frozen=True)
class Setting:
    """Settings of all measurements: teacher's folder, device, images a step, their side, rounds, tiny models."""

    folder: Path
    device: torch.device
    batch: int
    crop: int
    rounds: int
    small: bool

    @property
    def cuda(self) -> bool:
        """Device is a GPU, to be waited for."""
        return self.device.type == "cuda"

    def now(self) -> float:
        """Seconds, once the device is done."""
        if self.cuda:
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


class Case:
    """One student and its teacher, in training."""

    def __init__(self, name: str, setting: Setting) -> None:
        self.name, self.setting = name, setting
        tiny, family = name == TINY_WORLD, "segformer_b0" if name.startswith("segformer") else "deeplabv2_r101"
        cfg = Config.fromfile(CONFIGS / ("tinyworld_segformer.py" if tiny else f"annofree/ade20k_{family}.py"))
        activate_scope(cfg)
        self.crop, self.batch, self.optim = setting.crop, setting.batch, cfg.optim_wrapper
        self.optim.optimizer.lr = 0.0
        if tiny:
            self.crop, self.batch = cfg.model.data_preprocessor.size[0], cfg.train_dataloader.batch_size
        else:
            cfg.model.student = dict(type=name, pretrained=None)
            cfg.model.teacher = dict(model_type=f"local-dir:{setting.folder / 'clip'}", clip_type=None)
        self.teacher = find_existing_path(cfg.model.teacher["model_type"].removeprefix("local-dir:"))
        torch.manual_seed(0)
        self.model: Any = MODELS.build(cfg.model).to(setting.device).train()
        self.classes = len(self.model.names)
        text = F.normalize(
            torch.randn(self.classes, get_clip_config(cfg.model.teacher["model_type"])["embed_dim"]), dim=1
        )
        self.model.guide.open(setting.device).clip.embed = lambda names, templates: text.to(setting.device)
        self.model.init_weights()  # without encoding text, which is no part of a step

    def data(self, side: int, labelled: bool = False) -> dict[str, list[Any]]:
        """A batch as the loader gives it: nothing is labelled, or everything, and then with no class hidden in it."""
        shape, low = (self.batch, 1, side, side), 1 if labelled else -1
        labels = torch.randint(low, self.classes if labelled else 0, shape)
        metainfo = dict(suppressed=(0,) if labelled else tuple(range(self.classes)), img_shape=(side, side))
        samples = [SegDataSample(metainfo=metainfo, gt_sem_seg=PixelData(data=one)) for one in labels]
        images = torch.randint(256, (self.batch, 3, side, side), dtype=torch.uint8)
        return dict(inputs=list(images), data_samples=samples)

    def wrapper(self, amp: bool = False) -> OptimWrapper:
        """A new optimiser, as train.py builds it."""
        device = self.setting.device.type
        return build_optim_wrapper(self.model, enable_mixed_precision(self.optim, device) if amp else dict(self.optim))

    def step(self, wrapper: OptimWrapper, side: int | None = None, labelled: bool = False) -> Callable[[], Any]:
        """A training step of a batch of its own, which returns when the device is done."""
        side = side or self.crop
        data = self.data(side, labelled)

        def run() -> None:
            self.model.data_preprocessor.size = (side, side)
            self.model.train_step(data, wrapper)
            self.setting.now()

        return run

    def networks(self) -> Callable[[], Any]:
        """open_clip's own forward of the teacher, and forward and backward of the student's networks, alone."""
        config = json.loads((self.teacher / "open_clip_config.json").read_text())["model_cfg"]
        config = {k: v for k, v in config.items() if k != "custom_text"}
        config["vision_cfg"] |= dict(image_size=self.crop)
        tower = open_clip.CLIP(**config).visual.eval().to(self.setting.device)
        images = torch.randn(self.batch, 3, self.crop, self.crop, device=self.setting.device)

        def run() -> None:
            with torch.no_grad():
                tower(images)
            self.model.extract_feat(images).mean().backward()
            self.model.zero_grad()
            self.setting.now()

        return run


class Split:
    """Seconds of the parts of training steps, what they call inside not counted."""

    def __init__(self, case: Case, wrapper: OptimWrapper, step: Callable[[], Any]) -> None:
        self.case, self.step = case, step
        self.steps: list[dict[str, float]] = []
        self.inside = 0.0
        model = case.model
        places = [(model, "train_step", PREPARING), (model.guide, "score", TEACHER), (model, "extract_feat", STUDENT)]
        places += [(model, name, LOSS) for name in ("loss", "parse_losses")]
        places += [(wrapper, "backward", BACKWARD), (wrapper, "step", OPTIMISER), (wrapper, "zero_grad", OPTIMISER)]
        self.places = places

    def __call__(self) -> None:
        """One step, taken apart."""
        self.steps.append(defaultdict(float))
        with ExitStack() as stack:
            for thing, name, part in self.places:
                timed = partial(self._timed, getattr(thing, name), part)
                stack.enter_context(mock.patch.object(thing, name, timed))
            self.step()

    def _timed(self, function: Callable[..., Any], part: str, *args: Any, **kwargs: Any) -> Any:
        outside, self.inside = self.inside, 0.0
        start = self.case.setting.now()
        out = function(*args, **kwargs)
        taken = self.case.setting.now() - start
        self.steps[-1][part] += taken - self.inside
        self.inside = outside + taken
        return out

    def shares(self) -> dict[str, float]:
        """Share of each part, of medians over all steps but the first."""
        spent = {part: statistics.median(step[part] for step in self.steps[1:]) for part in PARTS}
        return {part: seconds / sum(spent.values()) for part, seconds in spent.items()}


def measure(setting: Setting, name: str, compared: Sequence[str]) -> Iterator[Row]:
    """All figures of one student."""
    case = Case(name, setting)
    wrapper = case.wrapper()
    step = case.step(wrapper)
    split = Split(case, wrapper, step)
    turns = dict(step=step if setting.cuda else split)  # on a GPU taking apart has its price, in waiting
    if "labels" in compared:
        turns["labels"] = case.step(wrapper, labelled=True)
    if "networks" in compared:
        turns["networks"] = case.networks()
    if "amp" in compared and (setting.cuda or setting.small or cpu_has_bf16()):
        turns["amp"] = case.step(case.wrapper(amp=True))
    took = dict(zip(turns, medians(list(turns.values()), setting.rounds), strict=True))
    for _ in range(setting.rounds + 1 if setting.cuda else 0):
        split()
    taken = took["step"]
    yield Row("images a step x side", f"{case.batch} x {case.crop}")
    yield from (figure("images/s", case.batch / taken), figure("steps/s", 1 / taken), figure("seconds a step", taken))
    for part, share in split.shares().items():
        yield figure(f"  {part}", 100 * share, " %", ".1f")
    if "labels" in took:
        yield figure("step / step with labels", taken / took["labels"], "x")
    if "networks" in took:
        row = figure("step / bare networks", taken / took["networks"], "x")
        judged = not setting.small and name != TINY_WORLD
        yield dataclasses.replace(row, goal=f"<= {RATIO:g}x", good=taken / took["networks"] <= RATIO) if judged else row
    if "amp" in compared:
        what = "step, --amp / float32"
        yield figure(what, took["amp"] / taken, "x") if "amp" in took else Row(what, "no bf16 in hardware")
    yield from parameters(case)


def figure(name: str, value: float, unit: str = "", form: str = ".3g") -> Row:
    """A number."""
    return Row(name, f"{value:{form}}{unit}", value)


def parameters(case: Case) -> Iterator[Row]:
    """Sizes of student and teacher."""
    clip = case.model.guide.teacher.clip.model
    student = sum(p.numel() for p in case.model.parameters() if p.requires_grad)
    whole, image = (sum(p.numel() for p in part.parameters()) for part in (clip, clip.visual))
    yield figure("parameters, trained", student / 1e6, " M")
    yield figure("parameters, CLIP's images", image / 1e6, " M")
    yield figure("parameters, CLIP's text", (whole - image) / 1e6, " M")


def memory(setting: Setting, name: str) -> Iterator[Row]:
    """Peak memory of a process that makes steps, beside its memory before them."""
    arguments = ["--peak", name, "--models", str(setting.folder), "--device", setting.device.type]
    arguments += ["--batch", str(setting.batch), "--crop", str(setting.crop), *(["--small"] if setting.small else [])]
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    for what, value in json.loads(done.stdout).items():
        yield Row(what, "Linux only") if value is None else figure(what, value, " GB")


def peak(case: Case) -> dict[str, float | None]:
    """GB at most in a step of this process, and before it: of the GPU where there is one, else resident."""
    cuda = case.setting.cuda
    gigabytes: dict[str, float | None] = {}
    for what, amp in (("", False), (" with --amp", True))[: 2 if cuda else 1]:
        wrapper = case.wrapper(amp)
        case.step(wrapper, WARM_SIDE)()  # what libraries and the optimiser set up once
        step = case.step(wrapper)
        gc.collect()
        before, peak_memory = (_cuda if cuda else _resident)(step)
        gigabytes |= {f"memory before a step{what}": before, f"memory in a step{what}": peak_memory}
        del wrapper, step
    return gigabytes


def _cuda(step: Callable[[], Any]) -> tuple[float, float]:
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    return before / 1e9, torch.cuda.max_memory_allocated() / 1e9


def _resident(step: Callable[[], Any]) -> tuple[float | None, float | None]:
    reset, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    if not reset.exists():
        return None, None

    def read(key: str) -> float:
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(key)) / 1e6

    before = read("VmRSS")
    reset.write_text("5")
    step()
    return before, read("VmHWM")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line; what depends on the device is filled in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--students", nargs="+", help=f"any of students.py, and {TINY_WORLD} (default: {' '.join(STUDENTS)})")
    add("--only", nargs="*", choices=COMPARISONS, default=list(COMPARISONS), help="beside the step itself")
    add("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    add("--batch", type=int, help="images a step (default: 2 on a CPU, 4 on a GPU)")
    add("--crop", type=int, help="their side in pixels (default: 256, 512)")
    add("--rounds", type=int, help="steps of each kind that count (default: 3, 20)")
    add("--small", action="store_true", help="tiny networks: tries the script, measures nothing of use")
    add("--json", type=Path, help="file for the figures")
    add("--peak", help=argparse.SUPPRESS)  # the process whose memory is measured
    add("--models", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    usual = dict(batch=2, crop=64, rounds=1) if args.small else USUAL[args.device]
    for name, value in usual.items():
        setattr(args, name, getattr(args, name) or value)
    args.students = args.students or (SMALL if args.small else STUDENTS)
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print one table; as the child of another one, memory alone."""
    args = parse(argv)
    silence_libraries()
    register_modules()
    device, threads = torch.device(args.device), set_threads(1)
    shared = (device, args.batch, args.crop, args.rounds, args.small)
    if args.peak:
        print(json.dumps(peak(Case(args.peak, Setting(args.models, *shared)))))
        return
    begin, rows_by_name = time.perf_counter(), {}
    with tempfile.TemporaryDirectory() as place:
        write_models(Path(place), args.small)
        for name in args.students:
            print(f"{name} ...", file=sys.stderr, flush=True)
            setting = Setting(Path(place), *shared)
            figures = [*measure(setting, name, args.only), *(memory(setting, name) if "memory" in args.only else [])]
            rows_by_name[name] = {row.figure: row for row in figures}
            gc.collect()
            if args.json:
                figures_by_student = {
                    student: [dataclasses.asdict(row) for row in each.values()]
                    for student, each in rows_by_name.items()
                }
                args.json.write_text(json.dumps(figures_by_student, indent=1), "utf-8")
    tabulate(rows_by_name).print()
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"CPU, {threads} threads"
    fallen = sum(row.good is False for each in rows_by_name.values() for row in each.values())
    print(f"{where}, torch {torch.__version__}; {fallen} fall short ({time.perf_counter() - begin:.0f} s in all)")


def tabulate(rows_by_name: dict[str, dict[str, Row]]) -> TextTable:
    """Figures as rows, students as columns, and the goal."""
    lines = []
    for name in next(iter(rows_by_name.values())):
        rows = [each[name] for each in rows_by_name.values()]
        cells = [f"{row.measured} ({row.verdict})" if row.good is False else row.measured for row in rows]
        lines.append((name, *cells, next((row.goal for row in rows if row.goal), "")))
    return TextTable(("figure", *rows_by_name, "goal"), lines)


if __name__ == "__main__":
    main()
