"""Optimiser, learning rate and checkpoints of the tiny models' training."""

import math
import os
from pathlib import Path

import torch
from torch import nn


def build_tiny_optimizer(model: nn.Module, rate: float) -> torch.optim.Optimizer:
    """AdamW; no weight decay for vectors, scalars and the token table."""
    decay: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (decay if parameter.ndim > 1 and "embedding" not in name else rest).append(parameter)
    return torch.optim.AdamW([{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0}], rate)


def lr_factor(step: int, steps: int) -> float:
    """Factor on the learning rate: 5 % warm-up, then a cosine to zero."""
    warm = max(1, steps // 20)
    return (step + 1) / warm if step < warm else 0.5 + 0.5 * math.cos(math.pi * (step - warm) / max(1, steps - warm))


def load_tiny_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, list[float]]:
    """Load a checkpoint, if there is one -> steps done, their losses."""
    if not path.is_file():
        return 0, []
    saved = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(saved["model"]), optimizer.load_state_dict(saved["optimizer"])
    return saved["step"], saved["losses"]


def save_tiny_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int, losses: list[float]
) -> None:
    """Write a checkpoint under another name and rename it: a kill leaves the old one."""
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "losses": losses}
    temporary = path.with_suffix(f".{os.getpid()}")
    torch.save(state, temporary)
    temporary.replace(path)
