"""Drawn scenes: seeded images of objects on materials with exact class masks.

Every scene comes from np.random.default_rng([seed, index]), so scene 17 of seed 3 is the same on every run, whatever
was drawn before it. An object is painted into the image and the mask by the same polygons: the mask is exact to the
pixel, later objects hide earlier ones. Classes are OBJECTS then STUFF; there is no background and no ignore value.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from proxyclip.tinyworld.materials import MATERIAL_PAINTERS, sample_noise
from proxyclip.tinyworld.things import THING_PAINTERS

OBJECTS = tuple(painter.__name__.removeprefix("draw_") for painter in THING_PAINTERS)
STUFF = tuple(painter.__name__.removeprefix("fill_").replace("_", " ") for painter in MATERIAL_PAINTERS)
CLASSES = OBJECTS + STUFF
SYNONYMS = {"car": "automobile", "boat": "ship", "grass": "lawn", "water": "sea"}
PALETTE = tuple((37 + 97 * i % 211, 41 + 149 * i % 199, 29 + 61 * i % 223) for i in range(len(CLASSES)))
SCENE_SIZES = ((160, 224), (224, 160), (192, 192), (160, 192), (208, 160))


@dataclass(frozen=True)
class Scene:
    """image (h, w, 3) uint8 RGB and mask (h, w) uint8 class index."""

    image: np.ndarray
    mask: np.ndarray

    @cached_property
    def contents(self) -> tuple[str, ...]:
        """Names of the classes on at least 0.5 % of the image, in the order of CLASSES."""
        areas = np.bincount(self.mask.ravel(), minlength=len(CLASSES))
        return tuple(name for name, area in zip(CLASSES, areas, strict=True) if area >= 0.005 * self.mask.size)


def _paint_materials(rng: Generator, h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """One to three materials split by wavy lines: float32 image, uint8 mask (h, w)."""
    materials = rng.permutation(len(STUFF))[: rng.choice((1, 2, 3), p=(0.25, 0.55, 0.2))]
    across = rng.uniform() < 0.75
    along, width = (np.arange(h)[:, None], w) if across else (np.arange(w)[None, :], h)
    length = h if across else w
    image = MATERIAL_PAINTERS[materials[0]](rng, h, w)
    mask = np.full((h, w), len(OBJECTS) + materials[0], np.uint8)
    for i, material in enumerate(materials[1:], 1):
        t = np.linspace(0, 1, width)
        level = length * (i / len(materials) + rng.uniform(-0.12, 0.12))
        line = level + rng.uniform(0, 7) * np.sin(t * rng.uniform(3, 14) + rng.uniform(0, 6)) + rng.uniform(-15, 15) * t
        below = along >= (line[None, :] if across else line[:, None])
        image = np.where(below[..., None], MATERIAL_PAINTERS[material](rng, h, w), image)
        mask[below] = len(OBJECTS) + material
    return image, mask


def paint_thing(
    rng: Generator, image: Image.Image, mask: Image.Image, class_id: int, center: tuple[float, float], radius: float
) -> None:
    """Paint object `class_id` into an RGB image and an L mask; center (x, y), pixels."""
    angle = rng.normal(0, 0.15)
    turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    stretch = radius * rng.uniform(0.88, 1.12, 2) * (rng.choice((-1, 1)), 1)
    light = rng.uniform(0.82, 1.1)

    def pick_color(*colors: tuple[int, int, int]) -> np.ndarray:
        return rng.permutation(colors)[0] + rng.integers(-18, 19, 3)

    on_image, on_mask = ImageDraw.Draw(image), ImageDraw.Draw(mask)
    for polygon, color in THING_PAINTERS[class_id](pick_color):
        points = [(float(x), float(y)) for x, y in polygon * stretch @ turn + center]
        color = np.clip(np.array(color) * light + rng.integers(-8, 9, 3), 0, 255)
        on_image.polygon(points, fill=tuple(int(v) for v in color))
        on_mask.polygon(points, fill=int(class_id))


def draw_scene(rng: Generator | int, size: tuple[int, int] | None = None) -> Scene:
    """Draw a scene of `size` (h, w) pixels, or of a random one of SCENE_SIZES."""
    rng = np.random.default_rng(rng)
    h, w = size or SCENE_SIZES[rng.integers(len(SCENE_SIZES))]
    ground, classes = _paint_materials(rng, h, w)
    image, mask = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8)), Image.fromarray(classes)
    for class_id in rng.permutation(len(OBJECTS))[: rng.choice((1, 2, 3, 4), p=(0.2, 0.35, 0.3, 0.15))]:
        radius = min(h, w) * rng.uniform(0.17, 0.36)
        center = (rng.uniform(0.12, 0.88) * w, rng.uniform(0.12, 0.88) * h)
        paint_thing(rng, image, mask, class_id, center, radius)
    light = 1 + 0.12 * sample_noise(rng, h, w, 70, 70)[..., None] + rng.uniform(-0.08, 0.08)
    pixels = np.asarray(image) * light + rng.normal(0, 5, (h, w, 1)) + rng.normal(0, 2, (h, w, 3))
    return Scene(np.clip(pixels, 0, 255).astype(np.uint8), np.array(mask))


def draw_seeded_scene(seed: int, index: int, size: tuple[int, int] | None = None) -> Scene:
    """Draw scene number `index` of a seed."""
    return draw_scene(np.random.default_rng([seed, index]), size)
