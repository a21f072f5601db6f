"""Segmentors on the tiny CLIP and DINO, images for them, and pieces of CLIP's last block in numpy float64."""

import math

import numpy as np
import torch
from mmseg.structures import SegDataSample

from proxyclip.models.segmentors.gla import GLACLIPSegmentation
from proxyclip.models.segmentors.resclip import ResCLIPSegmentation
from proxyclip.models.segmentors.sc_clip import SCCLIPSegmentation

METHODS = {"gla": GLACLIPSegmentation, "resclip": ResCLIPSegmentation, "sc_clip": SCCLIPSegmentation}
_built = {}


def method_options(files, method, **changes):
    """Constructor arguments of a method, without VFM but for GLA-CLIP."""
    options = dict(
        clip_type=None, model_type=f"local-dir:{files / 'clip'}", name_path=str(files / "cls.txt"), vfm_model=None,
        slide_crop=64, slide_stride=32, precision="fp32", keep_logits=True,
    )  # fmt: skip
    if method == "gla":
        options["vfm_model"] = dict(type="dino", model=f"local-dir:{files / 'dino'}")
    return options | changes


def build_method(files, method, **changes):
    """The model of a method, prepared; tests share those they do not change."""
    key = repr((files, method, sorted(changes.items())))
    if key not in _built:
        _built[key] = METHODS[method](**method_options(files, method, **changes))
        _built[key].prepare(torch.device("cpu"))
    return _built[key]


def make_images(count, h, w, seed=0):
    """Smooth colors with edges, CLIP-normalized (count, 3, h, w)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:h, :w]
    waves = [np.sin(y / rng.uniform(3, 20) + x / rng.uniform(3, 20) + rng.uniform(0, 6)) for _ in range(3 * count)]
    edges = 1.5 * ((x // 16 + y // 24) % 2)
    return torch.from_numpy(np.stack(waves) + edges).float().view(count, 3, h, w)


def predict_samples(model, images):
    """Images (3, h, w) -> samples with labels and probabilities."""
    samples = [SegDataSample(metainfo=dict(ori_shape=tuple(x.shape[1:]))) for x in images]
    return model.predict(images, samples)


def assert_close(got, want, atol=2e-5):
    torch.testing.assert_close(torch.as_tensor(got).double(), torch.as_tensor(want).double(), atol=atol, rtol=0)


def to_array(x):
    return x.detach().double().numpy()


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def normalize(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def split_heads(block, x):
    """q, k, v of ln_1(x): (N, C) -> three lists, an array (N, d) a head."""
    x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + block.ln_1.eps)
    x = x * to_array(block.ln_1.weight) + to_array(block.ln_1.bias)
    x = x @ to_array(block.attn.in_proj_weight).T + to_array(block.attn.in_proj_bias)
    return [np.split(part, block.attn.num_heads, 1) for part in np.split(x, 3, 1)]


def project_out(block, mixed):
    """Output projection of a list of heads (N, d) -> (N, C)."""
    return np.concatenate(mixed, 1) @ to_array(block.attn.out_proj.weight).T + to_array(block.attn.out_proj.bias)


def compute_cosines(model, tokens, grid):
    """Last tokens (h*w, C) -> (names, h, w)."""
    post = model.clip.model.visual.ln_post
    x = (tokens - tokens.mean(1, keepdims=True)) / np.sqrt(tokens.var(1, keepdims=True) + post.eps)
    x = normalize((x * to_array(post.weight) + to_array(post.bias)) @ to_array(model.clip.model.visual.proj))
    return (x @ to_array(model.text).T).T.reshape(-1, *grid)


def compute_hidden(model, tile):
    """Tokens of all layers of a tile (3, h, w), and their grid."""
    layers, grid = model.clip.hidden(tile[None])
    return [to_array(x[0]) for x in layers], grid


def list_cells(grid):
    return [(i, j) for i in range(grid[0]) for j in range(grid[1])]


def gaussian_window(grid, sigma):
    cells = list_cells(grid)
    return np.array([[math.exp(-((a - c) ** 2 + (b - d) ** 2) / (2 * sigma**2)) for c, d in cells] for a, b in cells])
