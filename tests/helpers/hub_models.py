"""Small models under the names of published ones, and the hub's cache on disk."""

import hashlib
import json
import re

import open_clip
import timm
import torch
from open_clip import pretrained
from safetensors.torch import save_file

from helpers.reference import model_config
from proxyclip.models.weights.catalogue import WEIGHTS_FILES

VOCABULARY_SIZE = 400


def add_to_hub_cache(root, repository, name, write):
    """Add a file that `write(path)` writes to the cache folder `root`; return its path in the snapshot."""
    folder = root / f"models--{repository.replace('/', '--')}"
    path = folder / "snapshots" / ("1" * 40) / name
    for parent in (path.parent, folder / "refs"):
        parent.mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text("1" * 40)
    write(path)
    return path


def cache_weights(root, entry, content):
    """Add the weights of a catalog entry to the hub's cache in `root`, as its client does; return their path."""

    def link_blob(path):
        blob = path.parents[2] / "blobs" / hashlib.sha256(content).hexdigest()
        blob.parent.mkdir()
        blob.write_bytes(content)
        path.symlink_to(blob)

    return add_to_hub_cache(root / "hub", entry.hub, WEIGHTS_FILES[entry.kind][0], link_blob)


def add_tiny_clip(monkeypatch, folder, tags):
    """Add `tiny-test` to open_clip, the tiny CLIP with plain GELU in its config, and its pretrained tags."""
    folder.mkdir(exist_ok=True)
    config = {key: value for key, value in model_config().items() if key != "quick_gelu"}
    (folder / "tiny-test.json").write_text(json.dumps(config))
    for name in ("_MODEL_CONFIG_PATHS", "_MODEL_CONFIGS"):
        monkeypatch.setattr(open_clip.factory, name, getattr(open_clip.factory, name).copy())
    open_clip.add_model_config(folder)
    monkeypatch.setitem(pretrained._PRETRAINED, "tiny-test", tags)


def shrink_timm(monkeypatch, **sizes):
    """Set sizes of every architecture that timm creates."""
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **options: create(name, **{**sizes, **options}))


def shrink_clip_config(config):
    """Set the width of two heads, three layers and a tiny text tower; all else stays."""
    vision, text = config["vision_cfg"], config["text_cfg"]
    vision |= dict(width=2 * vision.get("head_width", 64), layers=3)
    text |= dict(width=32, heads=2, layers=2, vocab_size=VOCABULARY_SIZE)
    for key in ("hf_tokenizer_name", "tokenizer_kwargs"):  # need transformers; the tower is the same without
        text.pop(key, None)
    return config | dict(embed_dim=24)


def write_random_clip(root, config, **preprocess):
    """Write an open_clip folder of a config with random weights; return its name."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{root}")
    for name, p in model.named_parameters():
        scale = bool(re.search(r"(ln_\w+|norm)\.weight$", name))
        torch.nn.init.normal_(p, mean=float(scale), std=0.1 if p.ndim < 2 else p.shape[-1] ** -0.5)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, root / "open_clip_model.safetensors")
    return f"local-dir:{root}"


def write_random_vit(root, architecture, **arguments):
    """Write a timm folder of an architecture, two heads wide, with random weights; return the model."""
    arguments = dict(embed_dim=48, depth=3, num_heads=2) | arguments
    torch.manual_seed(0)
    model = timm.create_model(architecture, num_classes=0, **arguments).eval()
    for name, p in model.named_parameters():
        torch.nn.init.normal_(p, mean=1.0 if name.endswith("norm.weight") else 0.0, std=0.2)
    root.mkdir()
    save_file(model.state_dict(), root / "model.safetensors")
    side = arguments.get("img_size", 64)
    record = dict(input_size=[3, side, side], mean=[0.43, 0.411, 0.296], std=[0.213, 0.156, 0.143], num_classes=0)
    config = dict(architecture=architecture, num_classes=0, num_features=48, model_args=arguments)
    config["pretrained_cfg"] = record | dict(first_conv="patch_embed.proj")
    (root / "config.json").write_text(json.dumps(config))
    return model
