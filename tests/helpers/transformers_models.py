"""Tiny models in transformers' form, with what transformers itself computes from them, kept in tests/golden.

A golden file has the config, the shapes of all tensors and transformers' output; the weights are made of the names, the
input is drawn. To make the files again, where transformers is installed: `python tests/helpers/transformers_models.py`.
"""

import json
import sys
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

GOLDEN = Path(__file__).parents[1] / "golden" / "transformers"
SMALL = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2)
PLAIN = dict(**SMALL, intermediate_size=24, image_size=32, patch_size=8)
META = dict(**SMALL, mlp_ratio=2, image_size=56, patch_size=14)
DINOV3 = dict(**SMALL, intermediate_size=24, patch_size=16, num_register_tokens=4, image_size=64)
TEXT = dict(
    **SMALL, intermediate_size=24, vocab_size=64, max_position_embeddings=12, projection_dim=10, bos_token_id=60,
    eos_token_id=63
)  # fmt: skip
VISION = dict(**PLAIN, projection_dim=10)
SAM_VISION = dict(
    hidden_size=8, num_hidden_layers=2, num_attention_heads=2, output_channels=4, mlp_dim=16, global_attn_indexes=[1]
)
# name -> class of transformers, its config
MODELS = {
    "vit": ("ViTModel", PLAIN),
    "vit_classifier": ("ViTForImageClassification", PLAIN),
    "mae": ("ViTMAEModel", PLAIN),
    "mae_pretraining": ("ViTMAEForPreTraining", PLAIN | dict(
        decoder_hidden_size=8, decoder_num_hidden_layers=1, decoder_intermediate_size=8, decoder_num_attention_heads=2
    )),
    "dinov2": ("Dinov2Model", META),
    "dinov2_swiglu": ("Dinov2Model", META | dict(use_swiglu_ffn=True, mlp_ratio=4)),
    "dinov2_registers": ("Dinov2WithRegistersModel", META | dict(num_register_tokens=4)),
    "dinov3": ("DINOv3ViTModel", DINOV3),
    "dinov3_gated": ("DINOv3ViTModel", DINOV3 | dict(use_gated_mlp=True, hidden_act="silu")),
    "sam": ("SamModel", dict(
        vision_config=SAM_VISION,
        prompt_encoder_config=dict(hidden_size=8),
        mask_decoder_config=dict(
            hidden_size=8, mlp_dim=8, num_hidden_layers=1, num_attention_heads=2, iou_head_hidden_dim=8
        ),
    )),
    "clip_quick_gelu": ("CLIPModel", dict(
        text_config=TEXT | dict(hidden_act="quick_gelu"), vision_config=VISION | dict(hidden_act="quick_gelu"),
        projection_dim=10,
    )),
    "clip_gelu": ("CLIPModel", dict(
        text_config=TEXT | dict(hidden_act="gelu"), vision_config=VISION | dict(hidden_act="gelu"), projection_dim=10,
    )),
}  # fmt: skip


def make_tensor(name, shape):
    """A tensor of its name: about 1 for the weights of norms, else about 0."""
    noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32) * 0.2
    is_norm = name.endswith("weight") and len(shape) == 1
    return torch.from_numpy(np.asarray(noise + is_norm, dtype=np.float32))


def make_image(name):
    """The normalized input (1, 3, S, S) of a golden model, of its native size."""
    side = 1024 if name == "sam" else MODELS[name][1].get("image_size", 32)
    return torch.from_numpy(np.random.RandomState(3).standard_normal((1, 3, side, side)).astype(np.float32))


def read_golden(name):
    """The config, the weights, and what transformers computes (features, ...) of a golden model."""
    record = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    weights = {key: make_tensor(key, tuple(shape)) for key, shape in record["shapes"].items()}
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return record["config"], weights, {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def write_transformers_folder(root, name):
    """Write a golden model as transformers does; return its folder and the arrays."""
    config, weights, arrays = read_golden(name)
    root.mkdir(parents=True, exist_ok=True)
    (root / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(weights, root / "model.safetensors")
    return root, arrays


def compute_with_transformers(name, model, image):
    """What transformers computes: patch features (1, N, D), SAM's map, or CLIP's embeddings."""
    with torch.no_grad():
        if name == "sam":
            return dict(features=model.vision_encoder(image).last_hidden_state)
        if name.startswith("clip"):
            tokens = torch.tensor([[60, 5, 9, 63, 0, 0, 0, 0, 0, 0, 0, 0], [60, 8, 63, 0, 0, 0, 0, 0, 0, 0, 0, 0]])
            output = model(pixel_values=image, input_ids=tokens)
            return dict(tokens=tokens, image_embeds=output.image_embeds, text_embeds=output.text_embeds)
        tower = getattr(model, "vit", model)
        if name.startswith("mae"):
            tower.config.mask_ratio = 0.0
            patches = (image.shape[2] // 8) * (image.shape[3] // 8)
            return dict(features=tower(image, noise=torch.arange(patches)[None].float()).last_hidden_state[:, 1:])
        prefix = 1 + getattr(model.config, "num_register_tokens", 0)
        return dict(features=tower(image).last_hidden_state[:, prefix:])


def build_transformers_model(name, folder):
    """The model of transformers itself with the golden weights; also writes them."""
    import transformers

    cls = getattr(transformers, MODELS[name][0])
    model = cls(cls.config_class(**MODELS[name][1]))
    model.save_pretrained(folder)
    from safetensors import safe_open

    with safe_open(f"{folder}/model.safetensors", "pt") as file:
        shapes = {key: list(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118  no mapping
    save_file(
        {key: make_tensor(key, tuple(s)) for key, s in shapes.items()}, f"{folder}/model.safetensors", {"format": "pt"}
    )
    return cls.from_pretrained(folder).eval(), shapes


def main(folder):
    """Write the golden files."""
    GOLDEN.mkdir(exist_ok=True)
    for name in MODELS:
        model, shapes = build_transformers_model(name, f"{folder}/{name}")
        arrays = compute_with_transformers(name, model, make_image(name))
        if name == "sam":  # a part of its output is enough
            arrays["features"] = arrays["features"][:, :, ::4, ::4]
        config = json.loads(Path(folder, name, "config.json").read_text(encoding="utf-8"))
        text = json.dumps(dict(config=config, shapes=shapes), separators=(",", ":"))
        (GOLDEN / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        np.savez_compressed(GOLDEN / f"{name}.npz", **{key: value.numpy() for key, value in arrays.items()})


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "/tmp/transformers_models")
