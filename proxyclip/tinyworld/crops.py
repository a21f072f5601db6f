"""Training data of the tiny models: square crops, their classes, and captions.

Of the mask a model gets only the classes that cover at least MIN_VISIBLE_SHARE of a crop. Crops are centered on a class
chosen evenly, so that small objects are as frequent as materials. Arrays are cached on disk and memory-mapped.
"""

import json
import multiprocessing
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
from open_clip import OPENAI_IMAGENET_TEMPLATES
from PIL import Image

from proxyclip.tinyworld.scenes import CLASSES, OBJECTS, SYNONYMS, draw_seeded_scene
from proxyclip.utils.io import replace_file

CROP_SIDE = 96
CROPS_PER_SCENE = 6
MIN_VISIBLE_SHARE = 0.04
SINGLE_TEMPLATES = ("{}", "a {}", "the {}", "a picture of a {}", "a small picture with a {} in it")
PAIR_TEMPLATES = ("a photo of a {} and a {}.", "a {} next to a {}.", "a drawing of a {} and {}.", "a {} with {}.")


def sample_crops(seed: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Crops of one scene: uint8 (n, SIDE, SIDE, 3) RGB, bool (n, classes)."""
    rng = np.random.default_rng([seed, index, 1])
    drawn = draw_seeded_scene(seed, index)
    h, w = drawn.mask.shape
    picture = Image.fromarray(drawn.image)
    images = []
    shown = []
    for _ in range(CROPS_PER_SCENE):
        side = int(rng.uniform(48, min(h, w)))
        pixels = np.flatnonzero(drawn.mask == rng.choice(np.unique(drawn.mask)))
        y, x = divmod(int(pixels[rng.integers(len(pixels))]), w)
        top = int(np.clip(y - rng.uniform(0.2, 0.8) * side, 0, h - side))
        left = int(np.clip(x - rng.uniform(0.2, 0.8) * side, 0, w - side))
        box = (left, top, left + side, top + side)
        images.append(np.asarray(picture.resize((CROP_SIDE, CROP_SIDE), Image.Resampling.BILINEAR, box)))
        areas = np.bincount(drawn.mask[top : top + side, left : left + side].ravel(), minlength=len(CLASSES))
        shown.append(areas >= MIN_VISIBLE_SHARE * side * side)
    return np.stack(images), np.stack(shown)


def load_or_make_crops(folder: str | Path, seed: int, scenes: int, workers: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Memory-mapped crops of scenes 0..scenes-1 of a seed, written by the first call."""
    folder = Path(folder) / f"crops-{seed}-{scenes}"
    record = folder / "done.json"
    if not record.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        n = scenes * CROPS_PER_SCENE
        images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (n, CROP_SIDE, CROP_SIDE, 3))
        shown = np.lib.format.open_memmap(folder / "shown.npy", "w+", bool, (n, len(CLASSES)))
        sample = partial(sample_crops, seed)
        with multiprocessing.get_context("spawn").Pool(workers) if workers > 1 else nullcontext() as pool:
            crops = pool.imap(sample, range(scenes), chunksize=32) if pool else map(sample, range(scenes))
            for i, (scene_images, scene_shown) in enumerate(crops):
                rows = slice(i * CROPS_PER_SCENE, (i + 1) * CROPS_PER_SCENE)
                images[rows] = scene_images
                shown[rows] = scene_shown
        images.flush()
        shown.flush()
        replace_file(record, lambda path: path.write_text(json.dumps({"seed": seed, "scenes": scenes})))
    return np.load(folder / "images.npy", mmap_mode="r"), np.load(folder / "shown.npy", mmap_mode="r")


def _sample_class_name(rng: np.random.Generator, class_id: int) -> str:
    name = CLASSES[class_id]
    return SYNONYMS[name] if name in SYNONYMS and rng.uniform() < 0.35 else name


def sample_captions(rng: np.random.Generator, shown: np.ndarray, count: int) -> tuple[list[str], np.ndarray]:
    """Captions of random rows of `shown` (n, classes), and classes (count, classes).

    Two of three name one class, mostly by one of the 80 ImageNet templates; the others name two.
    """
    texts = []
    claims = np.zeros((count, len(CLASSES)), bool)
    for claim in claims:
        visible = rng.permutation(np.flatnonzero(shown[rng.integers(len(shown))]))
        if len(visible) > 1 and rng.uniform() < 0.33:
            first, second = sorted(visible[:2])
            joint = "a photo of a {} on the {}." if first < len(OBJECTS) <= second and rng.uniform() < 0.5 else None
            template = joint or PAIR_TEMPLATES[rng.integers(len(PAIR_TEMPLATES))]
            texts.append(template.format(_sample_class_name(rng, first), _sample_class_name(rng, second)))
            claim[[first, second]] = True
        else:
            name = _sample_class_name(rng, visible[0])
            if rng.uniform() < 0.8:
                texts.append(OPENAI_IMAGENET_TEMPLATES[rng.integers(80)](name))
            else:
                texts.append(SINGLE_TEMPLATES[rng.integers(len(SINGLE_TEMPLATES))].format(name))
            claim[visible[0]] = True
    return texts, claims
