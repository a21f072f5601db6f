"""Train the tiny models: `python -m proxyclip.tinyworld.train --seed 0 --out DIR`.

Same seed, device and thread count: same weights. A killed run continues from its last checkpoint when started again;
every step draws its batch from [seed, step], so no random state is stored. DIR gets clip/, contrast/ and mae/
(`local-dir:` folders of open_clip and timm), losses.json and, while training, checkpoints and the cached crops.
"""

import json
import math
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from numpy.random import Generator
from torch import Tensor, nn

from proxyclip.tinyworld import models
from proxyclip.tinyworld.crops import CROP_SIDE, load_or_make_crops, sample_captions
from proxyclip.tinyworld.losses import clip_loss, contrast_loss, mae_loss
from proxyclip.utils.io import replace_file

CropArrays = tuple[np.ndarray, np.ndarray]
DATA_SEED_OFFSET = 1000  # added to --seed: scenes that no evaluation with a small seed draws


def sample_batch(images: np.ndarray, rng: Generator, size: int, device: torch.device) -> tuple[Tensor, np.ndarray]:
    """Sample random crops, half of them mirrored, brightness and contrast changed.

    Returns:
        RGB in [0, 1] (B, 3, H, W), and the row numbers.
    """
    rows = np.sort(rng.choice(len(images), size, replace=len(images) < size))
    chosen = images[rows]
    mirrored = rng.uniform(size=size) < 0.5
    chosen[mirrored] = chosen[mirrored, :, ::-1]
    look = rng.uniform(0.85, 1.15, (size, 1, 1, 1)), rng.uniform(-0.06, 0.06, (size, 1, 1, 1))
    pixels = torch.from_numpy(chosen).to(device).permute(0, 3, 1, 2).float() / 255
    gain, shift = (torch.from_numpy(a).float().to(device) for a in look)
    return ((pixels - 0.5) * gain + 0.5 + shift).clamp(0, 1), rows


@cache
def _tokenizer() -> Callable[[list[str]], Tensor]:
    return open_clip.get_tokenizer("ViT-B-32", context_length=models.TINY_CLIP_CONFIG["text_cfg"]["context_length"])


def clip_step_loss(model: Any, data: CropArrays, rng: Generator, args: Namespace, device: torch.device) -> Tensor:
    """Loss of CLIP on one batch."""
    images, rows = sample_batch(data[0], rng, args.batch, device)
    shown = data[1][rows]
    texts, claims = sample_captions(rng, shown, args.captions)
    truth = ~(claims[None] & ~shown[:, None]).any(2)
    return clip_loss(model, images, _tokenizer()(texts).to(device), torch.from_numpy(truth).to(device))


def contrast_step_loss(model: Any, data: CropArrays, rng: Generator, args: Namespace, device: torch.device) -> Tensor:
    """Loss of the contrast VFM on two views of one batch of square cut-outs."""
    pictures, _ = sample_batch(data[0], rng, args.contrast_batch, device)
    side, size = args.contrast_side, (args.contrast_batch, 3, 1, 1)
    top, left = rng.integers(0, CROP_SIDE - side + 1, 2)
    first = pictures[:, :, top : top + side, left : left + side]
    gain = torch.from_numpy(rng.uniform(0.8, 1.2, size)).float().to(device)
    noise = torch.from_numpy(rng.normal(0, 0.03, first.shape)).float().to(device)
    second = (first + noise - 0.5) * gain + 0.5
    return contrast_loss(model, (first, second), args.temperature, args.radius)


def mae_step_loss(model: Any, data: CropArrays, rng: Generator, args: Namespace, device: torch.device) -> Tensor:
    """Loss of the masked autoencoder on one batch of crops."""
    pictures, _ = sample_batch(data[0], rng, args.mae_batch, device)
    patches = (CROP_SIDE // models.TINY_VFM_CONFIG["patch_size"]) ** 2
    order = torch.from_numpy(rng.permuted(np.tile(np.arange(patches), (len(pictures), 1)), axis=1)).to(device)
    return mae_loss(model["vfm"], model["decoder"], pictures, order, args.hidden)


def build_tiny_optimizer(model: nn.Module, rate: float) -> torch.optim.Optimizer:
    """Build AdamW; no weight decay for vectors, scalars and the token table."""
    decay: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (decay if parameter.ndim > 1 and "embedding" not in name else rest).append(parameter)
    return torch.optim.AdamW([{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0}], rate)


def lr_factor(step: int, steps: int) -> float:
    """Factor on the learning rate: 5 % warm-up, then a cosine to zero."""
    warm = max(1, steps // 20)
    return (step + 1) / warm if step < warm else 0.5 + 0.5 * math.cos(math.pi * (step - warm) / max(1, steps - warm))


StepLoss = Callable[[Any, CropArrays, Generator, Namespace, torch.device], Tensor]
TINY_TRAININGS: dict[str, tuple[Callable[[], nn.Module], StepLoss, Callable[[Any, Path], None]]] = {
    "clip": (partial(open_clip.CLIP, **models.TINY_CLIP_CONFIG), clip_step_loss, models.save_clip),
    "contrast": (models.build_tiny_vfm, contrast_step_loss, models.save_vfm),
    "mae": (
        lambda: nn.ModuleDict({"vfm": models.build_tiny_vfm(), "decoder": models.MAEDecoder()}),
        mae_step_loss,
        lambda model, folder: models.save_vfm(model["vfm"], folder),
    ),
}


def train_tiny_model(part: str, data: CropArrays, args: Namespace, device: torch.device) -> list[float]:
    """Train a part on (images, shown), from its checkpoint if any; return losses."""
    build, step_loss, save = TINY_TRAININGS[part]
    steps = getattr(args, f"{part}_steps")
    torch.manual_seed(args.seed)
    model = build().to(device).train()
    optimizer = build_tiny_optimizer(model, args.rate)
    path = args.out / f"{part}.pt"
    number = list(TINY_TRAININGS).index(part)
    losses: list[float] = []
    if path.is_file():
        saved = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        losses = saved["losses"]
    began = time.time()
    for step in range(len(losses), steps):
        for group in optimizer.param_groups:
            group["lr"] = args.rate * lr_factor(step, steps)
        rng = np.random.default_rng([args.seed, number, step])
        with torch.autocast(device.type, torch.bfloat16):
            loss = step_loss(model, data, rng, args, device)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % args.save_every == 0 or step + 1 == steps:
            saved = dict(model=model.state_dict(), optimizer=optimizer.state_dict(), step=step + 1, losses=losses)
            replace_file(path, partial(torch.save, saved))
            mean = np.mean(losses[-args.save_every :])
            print(f"{part} {step + 1}/{steps} loss {mean:.4f} {time.time() - began:.0f} s", flush=True)
    save(model, args.out / part)
    return losses


def parse_tinyworld_args(argv: list[str] | None = None) -> Namespace:
    """Parse the command line."""
    parser = ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("work_dirs/tinyworld"), help="folder for everything written")
    parser.add_argument("--cache", type=Path, help="folder for the crops (default: OUT)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    parser.add_argument("--parts", nargs="+", choices=TINY_TRAININGS, default=list(TINY_TRAININGS))
    parser.add_argument("--scenes", type=int, default=6000)
    parser.add_argument("--clip-steps", type=int, default=2000)
    parser.add_argument("--contrast-steps", type=int, default=500)
    parser.add_argument("--mae-steps", type=int, default=500)
    parser.add_argument("--batch", type=int, default=160, help="crops a step of CLIP")
    parser.add_argument("--captions", type=int, default=128, help="captions a step of CLIP")
    parser.add_argument("--contrast-batch", type=int, default=16)
    parser.add_argument("--contrast-side", type=int, default=64, help="pixels a side of the squares it sees")
    parser.add_argument("--temperature", type=float, default=0.1, help="of the contrast")
    parser.add_argument("--radius", type=int, default=2, help="patches away that count as neighbours")
    parser.add_argument("--mae-batch", type=int, default=16)
    parser.add_argument(
        "--hidden", type=float, default=0.75, help="share of the patches hidden from the masked autoencoder"
    )
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--save-every", type=int, default=100, help="steps between checkpoints")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw the crops")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    args = parse_tinyworld_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name if args.device == "auto" else args.device)
    data = load_or_make_crops(args.cache or args.out, DATA_SEED_OFFSET + args.seed, args.scenes, args.workers)
    record = args.out / "losses.json"
    losses = json.loads(record.read_text()) if record.is_file() else {}
    losses |= {part: train_tiny_model(part, data, args, device) for part in args.parts}
    record.write_text(json.dumps(losses))


if __name__ == "__main__":
    main()
