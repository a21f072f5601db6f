"""Materials: function(rng, h, w) -> float32 (h, w, 3) RGB in 0..255."""

import numpy as np
from PIL import Image


def sample_noise(rng: np.random.Generator, h: int, w: int, cell_h: int, cell_w: int) -> np.ndarray:
    """Smooth noise (h, w) in about -1..1 with blobs of cell_h x cell_w pixels."""
    small = rng.uniform(-1, 1, (max(2, -(-h // cell_h)), max(2, -(-w // cell_w)))).astype(np.float32)
    return np.asarray(Image.fromarray(small).resize((w, h), Image.Resampling.BICUBIC))


def _mix_colors(value: np.ndarray, dark: tuple[int, int, int], bright: tuple[int, int, int]) -> np.ndarray:
    """Mix two colors by value (h, w), clipped to 0..1."""
    value = np.clip(value, 0, 1)[..., None]
    return ((1 - value) * np.array(dark, np.float32) + value * np.array(bright, np.float32)).astype(np.float32)


def fill_sky(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    cloud = np.clip(2 * sample_noise(rng, h, w, 30, 50) - 0.3, 0, 1)
    fade = np.linspace(0, 0.5, h, dtype=np.float32)[:, None]
    return _mix_colors(fade + cloud, (95, 160, 235), (240, 246, 252))


def fill_grass(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    blades = 0.35 * sample_noise(rng, h, w, 9, 2) + 0.25 * sample_noise(rng, h, w, 40, 40)
    return _mix_colors(0.5 + blades, (60, 130, 30), (150, 205, 80))


def fill_sand(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    grain = 0.25 * sample_noise(rng, h, w, 1, 1) + 0.3 * sample_noise(rng, h, w, 25, 45)
    return _mix_colors(0.5 + grain, (190, 160, 105), (238, 215, 165))


def fill_water(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    bend = 5 * sample_noise(rng, h, w, 22, 30) + np.arange(h, dtype=np.float32)[:, None] * rng.uniform(0.45, 0.8)
    waves = 0.45 + 0.35 * np.sin(bend) + 0.15 * sample_noise(rng, h, w, 4, 16)
    return _mix_colors(waves, (10, 75, 130), (70, 160, 195))


def fill_brick_wall(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    high, wide = int(rng.integers(9, 14)), int(rng.integers(20, 30))
    y, x = np.mgrid[:h, :w] + rng.integers(0, 30, (2, 1, 1))
    row = y // high
    x = x + (row % 2) * (wide // 2)
    tone = rng.uniform(0, 1, (64, 64))[row % 64, (x // wide) % 64] + 0.2 * sample_noise(rng, h, w, 2, 2)
    wall = _mix_colors(tone, (140, 55, 40), (190, 90, 65))
    wall[(y % high < 2) | (x % wide < 2)] = (205, 195, 180)
    return wall


def fill_wood(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    high = int(rng.integers(16, 26))
    y = np.arange(h) + rng.integers(0, 30)
    plank = rng.uniform(0, 0.5, 64)[(y // high) % 64][:, None]
    board = _mix_colors(0.2 + plank + 0.3 * sample_noise(rng, h, w, 3, 50), (95, 55, 20), (180, 125, 70))
    board[y % high < 2] = (60, 35, 15)
    return board


def fill_stone(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    cell = int(rng.integers(14, 22))
    rows, columns = -(-h // cell) + 1, -(-w // cell) + 1
    y, x = np.mgrid[:h, :w].astype(np.float32)
    jitter = rng.uniform(0.1, 0.9, (rows + 2, columns + 2, 2)).astype(np.float32)
    tone = rng.uniform(0.1, 0.8, (rows + 2, columns + 2)).astype(np.float32)
    row, column = (y // cell).astype(int) + 1, (x // cell).astype(int) + 1
    near = np.full((h, w), 1e9, np.float32)
    second = np.full((h, w), 1e9, np.float32)
    shade: np.ndarray = np.zeros((h, w), np.float32)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            point = jitter[row + dy, column + dx]
            far = np.hypot((row + dy - 1 + point[..., 0]) * cell - y, (column + dx - 1 + point[..., 1]) * cell - x)
            second = np.minimum(second, np.maximum(near, far))
            shade = np.where(far < near, tone[row + dy, column + dx], shade)
            near = np.minimum(near, far)
    shade = np.where(second - near < 2, -1, shade) + 0.15 * sample_noise(rng, h, w, 2, 2)
    return _mix_colors(shade, (60, 60, 65), (165, 160, 155))


MATERIAL_PAINTERS = (fill_sky, fill_grass, fill_sand, fill_water, fill_brick_wall, fill_wood, fill_stone)
