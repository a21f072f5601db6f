"""Objects of the drawn scenes, each made of parts.

An object is a function(colors) -> list of (polygon, color): polygons (n, 2) of x (right) and y (down) in the box
[-1, 1], painted in order; colors(a, b) is one of two colors. Every class has its own colors and its own shape; the
colors overlap (cars, mushrooms and rockets are red, cars and boats blue, houses and ducks yellow), so that color alone
does not decide.
"""

from collections.abc import Callable

import numpy as np

WHITE, BLACK, CREAM, BROWN, GLASS = (245, 245, 240), (30, 30, 35), (240, 225, 190), (110, 70, 35), (175, 215, 240)
ThingParts = list[tuple[np.ndarray, tuple[int, int, int] | np.ndarray]]
ColorPicker = Callable[..., np.ndarray]


def _box(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)


def _oval(x: float, y: float, rx: float, ry: float, start: float = 0.0, stop: float = 360.0) -> np.ndarray:
    angle = np.radians(np.linspace(start, stop, 24))
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], 1)


def _polygon(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, float)


def draw_car(c: ColorPicker) -> ThingParts:
    body = c((205, 35, 40), (35, 70, 205))
    return [
        (_polygon((-0.55, 0), (-0.35, -0.5), (0.35, -0.5), (0.62, 0)), body),
        (_polygon((-0.43, -0.03), (-0.29, -0.41), (-0.02, -0.41), (-0.02, -0.03)), GLASS),
        (_polygon((0.06, -0.03), (0.06, -0.41), (0.29, -0.41), (0.47, -0.03)), GLASS),
        (_polygon((-1, 0), (0.8, -0.03), (1, 0.12), (1, 0.42), (-1, 0.42)), body),
        *[(_oval(x, 0.42, r, r), k) for x in (-0.55, 0.55) for r, k in ((0.25, BLACK), (0.1, (170, 170, 170)))],
    ]


def draw_tree(c: ColorPicker) -> ThingParts:
    crown = c((25, 95, 40), (20, 115, 60))
    blobs = [(0, -0.55, 0.48, 0.42), (-0.42, -0.1, 0.42, 0.38), (0.42, -0.1, 0.42, 0.38), (0, -0.1, 0.5, 0.42)]
    return [(_box(-0.13, 0.1, 0.13, 1), BROWN), *[(_oval(*blob), crown) for blob in blobs]]


def draw_house(c: ColorPicker) -> ThingParts:
    wall, roof = c((235, 215, 150), (240, 190, 185)), c((120, 35, 30), (70, 65, 85))
    return [
        (_box(0.42, -0.85, 0.62, -0.2), roof),
        (_box(-0.72, -0.1, 0.72, 0.9), wall),
        (_polygon((-0.98, -0.1), (0, -0.95), (0.98, -0.1)), roof),
        (_box(-0.16, 0.3, 0.16, 0.9), BROWN),
        *[(_box(x, 0.1, x + 0.3, 0.42), GLASS) for x in (-0.56, 0.26)],
    ]


def draw_boat(c: ColorPicker) -> ThingParts:
    return [
        (_box(-0.04, -0.95, 0.04, 0.45), BROWN),
        (_polygon((0.08, -0.9), (0.8, 0.3), (0.08, 0.3)), WHITE),
        (_polygon((-0.08, -0.7), (-0.65, 0.3), (-0.08, 0.3)), WHITE),
        (_polygon((-1, 0.4), (1, 0.4), (0.65, 0.9), (-0.65, 0.9)), c((25, 40, 110), (110, 30, 50))),
        (_polygon((-0.95, 0.48), (0.95, 0.48), (0.88, 0.58), (-0.88, 0.58)), WHITE),
    ]


def draw_fish(c: ColorPicker) -> ThingParts:
    body = c((250, 130, 20), (255, 155, 50))
    return [
        (_polygon((0.45, 0), (1, -0.45), (0.85, 0), (1, 0.45)), body),
        (_polygon((-0.2, -0.35), (0.25, -0.72), (0.3, -0.3)), body),
        (_oval(-0.15, 0, 0.8, 0.46), body),
        *[(_oval(x, 0, 0.07, 0.4 - abs(x) * 0.3), WHITE) for x in (-0.3, 0.05, 0.38)],
        *[(_oval(-0.65, -0.08, r, r), k) for r, k in ((0.13, WHITE), (0.07, BLACK))],
    ]


def draw_flower(c: ColorPicker) -> ThingParts:
    petal = c((240, 110, 170), (225, 60, 140))
    ring = np.radians(np.arange(0, 360, 60))
    return [
        (_box(-0.06, 0, 0.06, 1), (60, 140, 50)),
        (_oval(0.25, 0.75, 0.26, 0.1), (60, 140, 50)),
        *[(_oval(0.42 * np.cos(a), -0.3 + 0.42 * np.sin(a), 0.28, 0.28), petal) for a in ring],
        (_oval(0, -0.3, 0.24, 0.24), (250, 210, 50)),
    ]


def draw_mushroom(c: ColorPicker) -> ThingParts:
    spots = [(-0.5, -0.25, 0.14), (0, -0.6, 0.15), (0.48, -0.25, 0.14), (0, -0.2, 0.11)]
    return [
        (_polygon((-0.22, 0), (0.22, 0), (0.32, 0.9), (-0.32, 0.9)), CREAM),
        (_oval(0, 0, 0.95, 0.9, 180, 360), c((215, 40, 30), (190, 30, 50))),
        *[(_oval(x, y, r, r), WHITE) for x, y, r in spots],
    ]


def draw_balloon(c: ColorPicker) -> ThingParts:
    skin = c((140, 60, 200), (170, 70, 215))
    return [
        (_box(-0.03, 0.3, 0.03, 1), (90, 90, 90)),
        (_polygon((-0.12, 0.5), (0.12, 0.5), (0, 0.35)), skin),
        (_oval(0, -0.28, 0.6, 0.7), skin),
        (_oval(-0.22, -0.52, 0.1, 0.18), (225, 190, 245)),
    ]


def draw_butterfly(c: ColorPicker) -> ThingParts:
    wing = c((30, 185, 190), (40, 205, 165))
    wings = [(x * 0.48, y, 0.48, ry) for x in (-1, 1) for y, ry in ((-0.36, 0.46), (0.42, 0.4))]
    return [
        *[(_oval(*w), BLACK) for w in wings],
        *[(_oval(x, y, rx - 0.1, ry - 0.1), wing) for x, y, rx, ry in wings],
        *[(_oval(x, y, 0.13, 0.13), (250, 240, 120)) for x, y, *_ in wings],
        (_oval(0, 0, 0.09, 0.8), BLACK),
    ]


def draw_snowman(c: ColorPicker) -> ThingParts:
    return [
        *[(_oval(0, y, r, r), (235, 240, 250)) for y, r in ((0.55, 0.45), (-0.05, 0.35), (-0.48, 0.26))],
        (_box(-0.24, -1, 0.24, -0.66), BLACK),
        (_box(-0.38, -0.72, 0.38, -0.62), BLACK),
        *[(_oval(x, -0.52, 0.045, 0.045), BLACK) for x in (-0.1, 0.1)],
        (_polygon((0, -0.46), (0.3, -0.4), (0, -0.37)), (245, 130, 30)),
        (_polygon((-0.28, -0.28), (0.28, -0.28), (0.28, -0.16), (-0.28, -0.16)), c((200, 40, 40), (40, 120, 60))),
        *[(_oval(0, y, 0.05, 0.05), BLACK) for y in (0.0, 0.35, 0.6)],
    ]


def draw_rocket(c: ColorPicker) -> ThingParts:
    trim = c((215, 45, 45), (225, 95, 35))
    return [
        (_polygon((-0.2, 0.6), (0.2, 0.6), (0, 1)), (255, 190, 40)),
        *[(_polygon((x * 0.25, 0.15), (x * 0.68, 0.75), (x * 0.25, 0.65)), trim) for x in (-1, 1)],
        (_box(-0.32, -0.45, 0.32, 0.65), (185, 190, 200)),
        (_polygon((-0.32, -0.45), (0, -1), (0.32, -0.45)), trim),
        *[(_oval(0, -0.1, r, r), k) for r, k in ((0.2, (70, 75, 90)), (0.13, GLASS))],
    ]


def draw_duck(c: ColorPicker) -> ThingParts:
    down = c((250, 215, 40), (245, 225, 90))
    return [
        (_polygon((-0.5, 0.1), (-1, -0.2), (-0.8, 0.5)), down),
        (_oval(-0.1, 0.4, 0.75, 0.45), down),
        (_oval(0.42, -0.3, 0.36, 0.36), down),
        (_polygon((0.7, -0.38), (1, -0.22), (0.7, -0.1)), (240, 120, 20)),
        (_oval(0.5, -0.4, 0.06, 0.06), BLACK),
        (_oval(-0.2, 0.4, 0.36, 0.2), (215, 170, 30)),
    ]


THING_PAINTERS = (
    draw_car, draw_tree, draw_house, draw_boat, draw_fish, draw_flower,
    draw_mushroom, draw_balloon, draw_butterfly, draw_snowman, draw_rocket, draw_duck,
)  # fmt: skip
