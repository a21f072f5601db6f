"""Records of runs that tests write, and a writer that is killed while it writes."""

import math
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

A1, B2, C3, D4 = (name * 6 for name in ("a1", "b2", "c3", "d4"))  # identities
CONFIG_MODEL = {
    "type": "ProxyCLIPSegmentation",
    "model_type": "ViT-B/16",
    "clip_type": "openai",
    "vfm_model": {"type": "dino"},
}


def make_identity(name: str) -> str:
    """Make an identity, 12 hexadecimal digits, of a name of at most 6 characters: `aaa111` is `aaa111aaa111`."""
    if set(name) <= set("0123456789abcdef"):
        return (name * 12)[:12]
    return name.encode().hex().ljust(12, "0")


def make_record(identity: str = A1, miou: float = 37.123456789, **changes: Any) -> dict[str, Any]:
    """Make a record with a class without pixels, and metrics of several types of number."""
    return {
        "identity": identity,
        "metrics": {"aAcc": 71.5, "mIoU": miou, "mAcc": np.float32(50)},
        "per_class": [
            {"name": "sky", "iou": 80.25, "acc": 90.0, "pixels": 12},
            {"name": "horse", "iou": math.nan, "acc": None, "pixels": 0},
        ],
        "arguments": {
            "model_type": "ViT-B/16",
            "clip_type": "openai",
            "vfm_model": {"type": "dino"},
            "attention": "Proxy(beta=1.2, gamma=3.0)",
            "prob_thd": 0.1,
            "slide_crop": 336,
        },
        "dataset": {"type": "PascalVOC20Dataset", "images": 1449},
        "protocol": {"resize": "2048x336 keep ratio"},
        "git": {"commit": "f" * 40, "dirty": False},
        "end": "2026-01-01T00:00:00+00:00",
        **changes,
    }


def make_published_record(identity: str = A1, miou: float = 61.0, **changes: Any) -> dict[str, Any]:
    """Make a record that has a published result, 61.3."""
    return {
        **make_record(identity, miou),
        "config_name": "cfg_voc21",
        "method": "proxy",
        "options": {"config": "configs/cfg_voc21.py", "method": None},
        "config": {"model": CONFIG_MODEL},
        "changes": [],
        "approximations": [],
        "left_out": [],
        "scoring": "correct",
        "partial": False,
        **changes,
    }


def kill_writer(write: Callable[[Path, Any], None], folder: Path, delay: float) -> None:
    """Run `write(folder, started)` in a process, and kill it `delay` seconds after it has set the event `started`."""
    context = multiprocessing.get_context("fork")
    started = context.Event()
    writer = context.Process(target=write, args=(folder, started))
    writer.start()
    assert started.wait(60)
    time.sleep(delay)
    writer.kill()
    writer.join()
