"""The real architectures with random weights, and how to time them: what the benchmarks share."""

from __future__ import annotations

import _root  # noqa: F401  isort: skip
import json
import logging
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import timm
import torch
from mmseg.structures import SegDataSample
from safetensors.torch import save_file
from torch import Tensor

from proxyclip.models.segmentors.proxyclip import ProxyCLIPSegmentation

CLIP, DINO = "ViT-B-16-quickgelu", "vit_base_patch8_224"
SMALL_CLIP: dict[str, Any] = dict(layers=2, width=64, head_width=32)
SMALL_DINO: dict[str, Any] = dict(embed_dim=48, depth=2, num_heads=3)


@dataclass(frozen=True)
class Row:
    """One figure; `good` says whether it reaches its goal, None where it has none."""

    figure: str
    measured: str
    value: float | None = None
    goal: str = ""
    good: bool | None = None

    @property
    def verdict(self) -> str:
        """`good` as text."""
        return "" if self.good is None else "pass" if self.good else "falls short"


def write_models(folder: Path, small: bool = False) -> None:
    """`folder/clip` and `folder/dino` as open_clip and timm lay them out: ViT-B/16 and ViT-B/8, or tiny ones."""
    logging.getLogger().setLevel(logging.ERROR)  # open_clip warns of weights that are random
    torch.manual_seed(0)
    config: dict[str, Any] = dict(open_clip.get_model_config(CLIP))
    if small:
        config |= dict(embed_dim=32, vision_cfg=config["vision_cfg"] | SMALL_CLIP)
        config["text_cfg"] = config["text_cfg"] | dict(width=32, heads=2, layers=1)
    model = open_clip.CLIP(**{k: v for k, v in config.items() if k != "custom_text"})
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    _write(folder / "clip", "open_clip_config.json", dict(model_cfg=config, preprocess_cfg=dict(mean=mean, std=std)))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "clip/open_clip_model.safetensors")
    options = SMALL_DINO if small else {}
    vit = timm.create_model(DINO, num_classes=0, **options)
    normal = dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225], num_classes=0)
    record = dict(architecture=DINO, num_classes=0, num_features=vit.num_features, pretrained_cfg=normal)
    _write(folder / "dino", "config.json", record | dict(model_args=options))
    save_file({k: v.contiguous() for k, v in vit.state_dict().items()}, folder / "dino/model.safetensors")


def _write(folder: Path, name: str, value: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(value))


def build(
    folder: Path,
    names: Path | str,
    method: type[ProxyCLIPSegmentation] = ProxyCLIPSegmentation,
    guided: bool = True,
    **options: Any,
) -> ProxyCLIPSegmentation:
    """The segmentor over the models of `folder`, CLIP alone if it is not guided, and a vocabulary file."""
    vfm = dict(type="dino", model=f"local-dir:{folder / 'dino'}") if guided else None
    models: dict[str, Any] = dict(clip_type=None, model_type=f"local-dir:{folder / 'clip'}", vfm_model=vfm)
    return method(**models, name_path=str(names), **options).eval()


def bare(
    folder: Path, side: int, dtype: torch.dtype, device: torch.device | str = "cpu", guided: bool = True
) -> Callable[[Tensor], None]:
    """The two forwards alone, timm's and open_clip's own, of tiles (n, 3, side, side) in `dtype`; or CLIP's alone."""
    config = json.loads((folder / "clip/open_clip_config.json").read_text())["model_cfg"]
    config["vision_cfg"]["image_size"] = side
    clip = open_clip.CLIP(**config).visual.eval().to(device, dtype)
    model_args = json.loads((folder / "dino/config.json").read_text())["model_args"]
    dino: Any = timm.create_model(DINO, img_size=side, num_classes=0, **model_args).eval().to(device, dtype)

    @torch.no_grad()
    def forwards(tiles: Tensor) -> None:
        clip(tiles)
        if guided:
            dino.forward_features(tiles)

    return forwards


def sample(size: tuple[int, int]) -> SegDataSample:
    """Make the sample of an image that `predict` takes: the size (h, w) of its labels."""
    return SegDataSample(metainfo=dict(ori_shape=size))


def seconds(function: Callable[[], Any]) -> float:
    """One call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def median(function: Callable[[], Any], rounds: int) -> float:
    """Median seconds of `rounds` calls, after one that does not count."""
    function()
    return statistics.median(seconds(function) for _ in range(rounds))


def medians(functions: Sequence[Callable[[], Any]], rounds: int) -> list[float]:
    """Median seconds of each function; they take turns, so that they share the state of the machine."""
    for function in functions:
        function()
    turns = [[seconds(function) for function in functions] for _ in range(rounds)]
    return [statistics.median(times) for times in zip(*turns, strict=True)]
