"""Small image and text files for tests of what lies on disk."""

import numpy as np
from PIL import Image


def save(path, values, dtype=np.uint8):
    """A picture of these values, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, dtype)).save(path)


def pixels(path):
    return np.array(Image.open(path)).tolist()


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def photo(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3))
