"""MaskCLIP as its published code computes it, on an image tower of its own: last block, scores, labels."""

from typing import Any

import torch
import torch.nn.functional as F
from mmseg.structures import SegDataSample

from proxyclip.data.vocabulary import Vocabulary
from proxyclip.engine.parity.cases import EXACT, PROBABILITIES, ParityCase, ParityStage, Tolerance
from proxyclip.engine.parity.tiny_models import write_image_tower
from proxyclip.engine.parity.world import ParityWorld
from proxyclip.models.layers.block import project_keys
from proxyclip.models.segmentors.maskclip import MaskCLIPSegmentation

FILE = "trained/maskclip_vit_e2e"
TOKENS = Tolerance(1e-5)
TOWER: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 3, "head_width": 8, "mlp_ratio": 4},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def build_maskclip(world: ParityWorld, **options: Any) -> Any:
    """Build the segmentor on the reference's image tower, with its text features."""
    folder = world.folder / "maskclip"
    arrays = world.golden.arrays(FILE)
    if not folder.is_dir():
        tower = {key[2:]: torch.from_numpy(value) for key, value in arrays.items() if key.startswith("w/")}
        write_image_tower(folder, TOWER, tower)
    model = MaskCLIPSegmentation(
        clip_type=None, model_type=f"local-dir:{folder}", vfm_model=None, name_path=None, precision="fp32",
        logit_scale=1, parity="upstream", slide_crop=0, keep_logits=True, **options,
    )  # fmt: skip
    names = tuple((f"name {i}",) for i in range(len(arrays["text"])))
    model.set_vocabulary(Vocabulary(names), torch.from_numpy(arrays["text"]))
    model.prepare(torch.device("cpu"))
    return model


def compute_last_block(world: ParityWorld) -> dict[str, Any]:
    """Compute keys, normalized values and projected features, (2, ...) of the padded images."""
    clip = (model := build_maskclip(world)).clip
    x, grid = clip.tokens(_read_images(world, pad=True))
    tokens, _ = model.attention(clip.last, x, grid, None)
    values = clip.model.visual.ln_post(tokens)
    return {"k": project_keys(clip.last, x), "v": values.mT.unflatten(2, grid), "feat": clip.project(tokens, grid)}


def _read_images(world: ParityWorld, pad: bool = False) -> torch.Tensor:
    images = torch.from_numpy(world.golden.arrays(FILE)["image"])
    return F.pad(images, (0, 4, 0, 0)) if pad else images  # 40 x 52 to patches of 8


def _make_score_case(key_smoothing: float, prompt_denoising: float, labels: bool) -> ParityCase:
    name = f"ks{key_smoothing}_pd{prompt_denoising}"

    def compute(world: ParityWorld) -> dict[str, Any]:
        model = build_maskclip(world, key_smoothing=key_smoothing, prompt_denoising=prompt_denoising)
        computed = {"logits": model.extract_feat(_read_images(world, pad=True))}
        if labels:
            samples = [SegDataSample(metainfo=dict(ori_shape=(33, 47))) for _ in range(2)]
            predicted = model.predict(_read_images(world), samples)
            computed["prob"] = torch.stack([sample.seg_logits.data for sample in predicted])
            computed["label"] = torch.cat([sample.pred_sem_seg.data for sample in predicted])
        return computed

    tolerances = {"logits": PROBABILITIES} | ({"prob": PROBABILITIES, "label": EXACT} if labels else {})
    stages = {stage: ParityStage(tolerance, f"{stage}_{name}", FILE) for stage, tolerance in tolerances.items()}
    return ParityCase("maskclip", name, compute, stages)


CASES = (
    ParityCase(
        "maskclip",
        "last_block",
        compute_last_block,
        {stage: ParityStage(TOKENS, stage, FILE) for stage in ("k", "v", "feat")},
    ),
    _make_score_case(0.0, 0.0, labels=True),
    _make_score_case(0.6, 0.0, labels=False),
    _make_score_case(0.0, 0.5, labels=False),
    _make_score_case(1.0, 0.0, labels=False),
    _make_score_case(1.0, 0.5, labels=True),
)
