"""The reference arrays and tiny models of `proxyclip.engine.parity`, for tests.

tests/golden holds a thinned copy. Where the full arrays lie in the folder $PROXYCLIP_GOLDEN or in ../shared/golden,
they are used instead.
"""

import os
from functools import partial
from pathlib import Path

import numpy as np
import torch

from proxyclip.engine.parity.reference import DEFAULT_GOLDEN as HERE
from proxyclip.engine.parity.reference import GoldenSet
from proxyclip.engine.parity.tiny_models import (
    build_tiny_sam,
    read_tiny_clip_config,
    read_tiny_weights,
    write_tiny_clip,
    write_tiny_sam,
    write_tiny_vit,
)


def folder() -> Path:
    """Return the folder of the arrays: the full set if it is there, else the thinned copy."""
    full = Path(os.environ.get("PROXYCLIP_GOLDEN") or HERE.parents[2] / "shared" / "golden")
    return full if (full / "text.npz").is_file() else HERE


GOLDEN = GoldenSet(folder())
arrays = GOLDEN.arrays
image = GOLDEN.image
differences = GOLDEN.differences
tiny_sam = build_tiny_sam
tensors = partial(read_tiny_weights, GOLDEN)
model_config = partial(read_tiny_clip_config, GOLDEN)
write_clip = partial(write_tiny_clip, GOLDEN)
write_sam = partial(write_tiny_sam, GOLDEN)
write_vit = partial(write_tiny_vit, GOLDEN)


def check(got: torch.Tensor | np.ndarray, file: str, name: str, tol: float, share: float = 1.0, bound: float = 0.0):
    """Assert that at least `share` of the elements are within `tol`, and all within `bound` (default `tol`)."""
    error = differences(got, file, name)
    within = (error <= tol).mean()
    message = f"{file}/{name}: max {error.max():.2e}, {100 * within:.2f} % within {tol:.0e}"
    assert within >= share, message
    assert error.max() <= (bound or tol), message
