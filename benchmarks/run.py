"""Cost of the toolkit beside that of the two backbones alone: `python benchmarks/run.py`.

Random weights of the real architectures (CLIP ViT-B/16, DINO ViT-B/8) on this machine's CPU, `predict` of images as the
protocol resizes them (336 x 448, two windows of 336). Every speed is a ratio of medians taken in turns in one process;
one table, with the goals. `--only` takes some of the parts, `--photos` adds real images to the one on precision, and
`benchmarks/gpu.py` is for a GPU.
"""

from __future__ import annotations

from _root import ROOT  # isort: skip
import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from _real import Row, bare, build, medians, sample, write_models
from PIL import Image
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from torch import Tensor

from proxyclip.data.templates import openai_imagenet_template
from proxyclip.data.vocabulary import read_vocabulary
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.evaluation.evaluate import run_evaluation
from proxyclip.models.clip import text as clip_text
from proxyclip.models.clip.prompts import embed_class_names
from proxyclip.models.precision import cpu_has_bf16
from proxyclip.models.segmentors.gla import GLACLIPSegmentation
from proxyclip.models.segmentors.resclip import ResCLIPSegmentation
from proxyclip.models.segmentors.sc_clip import SCCLIPSegmentation
from proxyclip.models.sliding.segmentor import SlidingSegmentor
from proxyclip.utils.system import count_cores, read_cpu_name

VOC, ADE847, OBJECT, ADE = (
    ROOT / f"configs/cls_{name}.txt" for name in ("voc21", "ade20k847", "coco_object", "ade20k")
)
INPUT, CROP = (336, 448), 336


@dataclass(frozen=True)
class Setting:
    """Settings of all parts."""

    folder: Path
    rounds: int
    photos: Path | None
    small: bool


def at_most(figure: str, value: float, goal: float, unit: str = "") -> Row:
    """A figure that should not be above `goal`."""
    return Row(figure, f"{value:.3g}{unit}", value, f"<= {goal:g}{unit}", value <= goal)


def at_least(figure: str, value: float, goal: float, unit: str = "") -> Row:
    """A figure that should not be below `goal`."""
    return Row(figure, f"{value:.3g}{unit}", value, f">= {goal:g}{unit}", value >= goal)


def random_text(model: Any) -> Any:
    """The model with random text features: encoding 67 760 prompts is no part of what is timed."""
    model.clip.embed = lambda names, templates: F.normalize(
        torch.randn(len(names), model.clip.model.visual.proj.shape[1])
    )
    model.prepare(torch.device("cpu"))
    return model


def overhead(setting: Setting) -> Iterator[Row]:
    """predict() against the two bare forwards of the same windows."""
    yield from _overhead(setting, "fp32", torch.float32, 1.10)
    yield from _overhead(setting, "bf16", torch.bfloat16, 1.20)


def _overhead(setting: Setting, precision: str, dtype: torch.dtype, goal: float) -> Iterator[Row]:
    tiles, image = torch.randn(2, 3, CROP, CROP, dtype=dtype), torch.randn(3, *INPUT)
    forwards = bare(setting.folder, CROP, dtype)
    voc, ade = (random_text(build(setting.folder, names, precision=precision)) for names in (VOC, ADE847))
    alone, few, many = medians(
        [
            lambda: forwards(tiles),
            lambda: voc.predict([image], [sample((375, 500))]),
            lambda: ade.predict([image], [sample((512, 683))]),
        ],
        setting.rounds,
    )
    names = len(voc.vocabulary.names)
    yield Row(f"the two forwards alone, {precision}", f"{alone:.2f} s")
    yield at_most(f"predict / forwards, {names} names, 375x500, {precision}", few / alone, goal)
    yield at_most(f"predict / forwards, 847 classes, 512x683, {precision}", many / alone, 1.35)


def methods(setting: Setting) -> Iterator[Row]:
    """predict() of methods that do more than an attention, in windows of 224, against the forwards of their towers."""
    image, asked = torch.randn(3, *INPUT), sample((375, 500))
    tiles = torch.randn(6, 3, 224, 224)
    for cls, guided in ((ResCLIPSegmentation, False), (SCCLIPSegmentation, False), (GLACLIPSegmentation, True)):
        forwards = bare(setting.folder, 224, torch.float32, guided=guided)
        options = dict(precision="fp32", slide_crop=224, slide_stride=112)
        few, many = (random_text(build(setting.folder, names, cls, guided, **options)) for names in (VOC, ADE))
        predictions = [partial(model.predict, [image], [asked]) for model in (few, many)]
        alone, *times = medians([partial(forwards, tiles), *predictions], setting.rounds)
        for model, taken in zip((few, many), times, strict=True):
            towers = "both towers" if guided else "CLIP's tower"
            names = len(model.vocabulary.names)
            yield at_most(f"{cls.method}: predict / forwards of {towers}, {names} names, fp32", taken / alone, 1.5)


def precision(setting: Setting) -> Iterator[Row]:
    """bf16 against our own fp32: time, and labels of photographs."""
    image = torch.randn(3, *INPUT)
    models = {p: build(setting.folder, VOC, precision=p) for p in ("fp32", "bf16")}
    for model in models.values():
        torch.manual_seed(0)
        random_text(model)
    asked = sample((375, 500))
    slow, fast = medians(
        [lambda: models["fp32"].predict([image], [asked]), lambda: models["bf16"].predict([image], [asked])],
        setting.rounds,
    )
    goal = cpu_has_bf16() and not setting.small
    row = at_least("predict, fp32 / bf16", slow / fast, 3.0)
    yield row if goal else Row(row.figure, row.measured, row.value, "none without bf16 in hardware")
    if setting.photos is None:
        yield Row("labels equal, bf16 and fp32", "not measured: give --photos FOLDER")
        return
    equal = []
    for path in sorted(p for p in setting.photos.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png")):
        photo = Image.open(path).convert("RGB")
        scale = CROP / min(photo.size)
        resized = np.asarray(photo.resize([round(side * scale) for side in photo.size]))
        data = dict(inputs=[torch.tensor(resized[..., ::-1].copy()).permute(2, 0, 1)])
        size = photo.size[::-1]
        labels = [m.test_step(dict(data, data_samples=[sample(size)]))[0].pred_sem_seg.data for m in models.values()]
        equal.append((labels[0] == labels[1]).double().mean().item())
    yield at_least(f"labels equal, bf16 and fp32, worst of {len(equal)} photographs", 100 * min(equal), 99.0, " %")


def text(setting: Setting) -> Iterator[Row]:
    """Encoding of the vocabulary, and its cache."""
    clip = build(setting.folder, VOC).clip
    names = list(read_vocabulary(VOC).names[:6])

    @torch.no_grad()
    def alone() -> Tensor:
        rows = []
        for name in names:
            tokens = clip.tokenizer([t.format(name) for t in openai_imagenet_template])
            features = F.normalize(clip.model.encode_text(tokens), dim=-1)
            rows.append(F.normalize(features.mean(0), dim=0))
        return torch.stack(rows)

    @torch.no_grad()
    def ours() -> Tensor:
        return embed_class_names(names, openai_imagenet_template, clip.tokenizer, clip.encode_text)

    one, together = medians([alone, ours], max(setting.rounds // 2, 1))
    yield at_least("text, one name at a time at full length / ours", one / together, 4.0)
    error = (alone() - ours()).abs().max().item()
    yield at_most("text, largest difference", error, 1e-6)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["PROXYCLIP_CACHE"] = cache
        many = read_vocabulary(ADE847).names
        width = clip.model.visual.proj.shape[1]
        with mock.patch.object(clip_text, "embed_class_names", lambda *_, **__: torch.randn(len(many), width)):
            clip.embed(many, openai_imagenet_template)
        loaded = medians([lambda: clip.embed(many, openai_imagenet_template)], setting.rounds)[0]
        del os.environ["PROXYCLIP_CACHE"]
    yield at_most("text of 847 classes from the cache", loaded, 0.2, " s")


def memory(setting: Setting) -> Iterator[Row]:
    """Peak memory of predict() with towers that take next to nothing."""
    with tempfile.TemporaryDirectory() as folder:
        write_models(Path(folder), small=True)
        for what, names, size, goal in (
            ("ADE20K-847, 512x683", ADE847, (512, 683), 400),
            ("COCO-Object, 480x640", OBJECT, (480, 640), 200),
        ):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                peak = pool.apply(_peak, (Path(folder), names, size))
            if peak is None:
                yield Row(f"memory above the backbones, {what}", "not measured: Linux only")
            else:
                yield at_most(f"memory above the backbones, {what}", peak, goal, " MB")


def _peak(folder: Path, names: Path, size: tuple[int, int]) -> float | None:
    """Megabytes by which a predict() raises the process's peak, in a process of its own."""
    reset, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    if not reset.exists():
        return None

    def read(key: str) -> int:
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(key))

    torch.set_num_threads(1)
    model = random_text(build(folder, names, precision="fp32"))
    model.predict([torch.randn(3, 96, 96)], [sample((96, 96))])  # what libraries set up once
    before = read("VmRSS")
    reset.write_text("5")
    model.predict([torch.randn(3, *INPUT)], [sample(size)])
    return (read("VmHWM") - before) / 1000


def loop(setting: Setting) -> Iterator[Row]:
    """The whole evaluation loop (loading, metric, everything mmengine does) against predict() within it."""
    spent = 0.0
    predict = SlidingSegmentor.predict

    def timed(self: Any, *arguments: Any) -> Any:
        nonlocal spent
        start = time.perf_counter()
        out = predict(self, *arguments)
        spent += time.perf_counter() - start
        return out

    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), 4 if setting.small else 12)
        with mock.patch.object(SlidingSegmentor, "predict", timed):
            record = run_evaluation(_options(setting, Path(folder)))
    whole = record["dataset"]["images"] / record["images_per_second"]
    yield at_most("evaluation / predict", whole / spent, 1.05)


def scale(setting: Setting) -> Iterator[Row]:
    """Two processes against one, a thread each (gloo)."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        draw(data, 4 if setting.small else 12)
        rates = {}
        for processes in (1, 2):
            options = _options(setting, data)
            arguments = ["--data-root", str(data), "--clip", str(options.clip), "--vfm", str(options.vfm), "--no-check"]
            arguments += [
                "--work-dir",
                str(data / f"{processes}"),
                "--workers",
                "0",
                "--cfg-options",
                *options.cfg_options,
            ]
            command = ["bash", str(ROOT / "dist_test.sh"), options.config, str(processes), *arguments]
            threads = dict(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", PYTHON=sys.executable)
            subprocess.run(command, check=True, cwd=ROOT, env=os.environ | threads, capture_output=True)
            (record,) = (data / f"{processes}" / "records").glob("*.json")
            rates[processes] = json.loads(record.read_text())["images_per_second"]
    yield at_least("images/s, 2 processes / 1 process, a thread each", rates[2] / rates[1], 1.8)


def _options(setting: Setting, data: Path) -> EvalOptions:
    return EvalOptions(
        config="configs/cfg_folder.py",
        work_dir=str(data / "work"),
        data_root=str(data),
        clip=f"local-dir:{setting.folder / 'clip'}",
        vfm=f"dino,local-dir:{setting.folder / 'dino'}",
        cfg_options=("model.attention.type=proxy",),
        gallery=0,  # it predicts again
        check=False,
    )


def draw(folder: Path, count: int) -> None:
    """Images of VOC's size with masks, smooth noise that compresses about as photographs do."""
    random = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir()
    for i in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8)).resize((500, 375))
        coarse.save(folder / f"images/{i}.jpg")
        Image.fromarray(np.asarray(coarse.convert("L")) // 13).save(folder / f"masks/{i}.png")
    (folder / "classes.txt").write_text("cat\ndog\n" + "".join(f"thing {i}\n" for i in range(18)))


def approximations(setting: Setting) -> Iterator[Row]:
    """Cost of the optional shortcuts on the tiny world, in mIoU, and their gain in speed."""
    limit = 2 if setting.small else None
    taken = {"exact": (), "vfm=image": ("model.approximate.vfm=image",), "stride=96": ("model.approximate.stride=96",)}
    records = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, cfg_options in taken.items():
            options = EvalOptions(work_dir=folder, cfg_options=cfg_options, limit=limit, check=False)
            records[name] = run_evaluation(options)
    exact = records.pop("exact")
    yield Row("tiny world, exact", f"mIoU {exact['metrics']['mIoU']:.2f}, {exact['images_per_second']:.2f} images/s")
    for name, record in records.items():
        lost = record["metrics"]["mIoU"] - exact["metrics"]["mIoU"]
        faster = record["images_per_second"] / exact["images_per_second"]
        yield Row(f"tiny world, approximate: {name}", f"mIoU {lost:+.2f}, {faster:.2f}x images/s")


PARTS: dict[str, Callable[[Setting], Iterator[Row]]] = {
    part.__name__: part for part in (overhead, methods, precision, text, memory, loop, scale, approximations)
}


def main() -> None:
    """Run the parts and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--photos", type=Path, help="folder of photographs for the agreement of bf16 and fp32")
    parser.add_argument("--small", action="store_true", help="tiny towers: tries the script, measures nothing of use")
    args = parser.parse_args()
    cores = count_cores()
    torch.set_num_threads(cores)
    table = Table("figure", "measured", "goal", "", box=SIMPLE_HEAD, pad_edge=False)
    fallen = 0
    with tempfile.TemporaryDirectory() as folder:
        write_models(Path(folder), args.small)
        setting = Setting(Path(folder), args.rounds, args.photos, args.small)
        for name in args.only:
            print(f"{name} ...", file=sys.stderr, flush=True)
            for row in PARTS[name](setting):
                fallen += row.good is False
                table.add_row(row.figure, row.measured, row.goal, row.verdict)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    print(f"{read_cpu_name()}, {cores} threads, torch {torch.__version__}; {fallen} fall short")


if __name__ == "__main__":
    main()
