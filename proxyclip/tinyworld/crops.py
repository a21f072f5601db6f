"""Training data of the tiny world: square crops with the list of what they show, and captions made from such lists.

Nothing of the mask reaches a model but which classes cover at least VISIBLE of a crop. The mask also centres crops on
a class chosen evenly, so that rare things are not drowned by materials. Arrays are cached on disk and memory-mapped.
"""

import json
import multiprocessing
import os
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from open_clip import OPENAI_IMAGENET_TEMPLATES
from PIL import Image

from proxyclip.tinyworld.scenes import CLASSES, OBJECTS, SYNONYMS, draw_seeded_scene

CROP_SIDE, CROPS_PER_SCENE, MIN_VISIBLE_SHARE = 96, 6, 0.04
SINGLE_TEMPLATES = ("{}", "a {}", "the {}", "a picture of a {}", "a small picture with a {} in it")
PAIR_TEMPLATES = ("a photo of a {} and a {}.", "a {} next to a {}.", "a drawing of a {} and {}.", "a {} with {}.")


def sample_crops(seed: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """PER_SCENE crops of one scene -> uint8 (n, SIDE, SIDE, 3) RGB, bool (n, classes)."""
    rng = np.random.default_rng([seed, index, 1])
    drawn = draw_seeded_scene(seed, index)
    h, w = drawn.mask.shape
    picture, images, shown = Image.fromarray(drawn.image), [], []
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


def _sample_crops_of(arguments: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    return sample_crops(*arguments)


def load_or_make_crops(folder: str | Path, seed: int, scenes: int, workers: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Crops of scenes 0..scenes-1 of a seed, made at the first call -> two memory-mapped arrays (see `crops`)."""
    folder = Path(folder) / f"crops-{seed}-{scenes}"
    record = folder / "done.json"
    if not record.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        n = scenes * CROPS_PER_SCENE
        images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (n, CROP_SIDE, CROP_SIDE, 3))
        shown = np.lib.format.open_memmap(folder / "shown.npy", "w+", bool, (n, len(CLASSES)))
        jobs = ((seed, i) for i in range(scenes))
        with multiprocessing.get_context("spawn").Pool(workers) if workers > 1 else nullcontext() as pool:
            made = pool.imap(_sample_crops_of, jobs, chunksize=32) if pool else map(_sample_crops_of, jobs)
            for i, (a, b) in enumerate(made):
                (
                    images[i * CROPS_PER_SCENE : (i + 1) * CROPS_PER_SCENE],
                    shown[i * CROPS_PER_SCENE : (i + 1) * CROPS_PER_SCENE],
                ) = a, b
        images.flush()
        shown.flush()
        temporary = folder / f"done.{os.getpid()}"
        temporary.write_text(json.dumps({"seed": seed, "scenes": scenes}))
        temporary.replace(record)
    return np.load(folder / "images.npy", mmap_mode="r"), np.load(folder / "shown.npy", mmap_mode="r")


def _sample_class_name(rng: np.random.Generator, kind: int) -> str:
    name = CLASSES[kind]
    return SYNONYMS[name] if name in SYNONYMS and rng.uniform() < 0.35 else name


def sample_captions(rng: np.random.Generator, shown: np.ndarray, count: int) -> tuple[list[str], np.ndarray]:
    """Captions of random rows of shown (n, classes) bool -> list of str, bool (count, classes): what each one claims.

    Two of three name one class, mostly by one of the 80 ImageNet templates; the others name two.
    """
    texts, claims = [], np.zeros((count, len(CLASSES)), bool)
    for claim in claims:
        there = rng.permutation(np.flatnonzero(shown[rng.integers(len(shown))]))
        if len(there) > 1 and rng.uniform() < 0.33:
            first, second = sorted(there[:2])
            joint = "a photo of a {} on the {}." if first < len(OBJECTS) <= second and rng.uniform() < 0.5 else None
            form = joint or PAIR_TEMPLATES[rng.integers(len(PAIR_TEMPLATES))]
            texts.append(form.format(_sample_class_name(rng, first), _sample_class_name(rng, second)))
            claim[[first, second]] = True
        else:
            word = _sample_class_name(rng, there[0])
            if rng.uniform() < 0.8:
                texts.append(OPENAI_IMAGENET_TEMPLATES[rng.integers(80)](word))
            else:
                texts.append(SINGLE_TEMPLATES[rng.integers(len(SINGLE_TEMPLATES))].format(word))
            claim[there[0]] = True
    return texts, claims
