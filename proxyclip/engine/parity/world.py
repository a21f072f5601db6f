"""Tiny models for the cases of a comparison, and the stages that all segmentors have."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.structures import SegDataSample
from torch import Tensor

from proxyclip.data.vocabulary import parse_vocabulary
from proxyclip.engine.parity.reference import GoldenSet
from proxyclip.engine.parity.tiny_models import write_tiny_clip, write_tiny_vit
from proxyclip.models.clip.dense import DenseCLIP, load_clip
from proxyclip.models.vfm import build_vfm


class ParityWorld:
    """Tiny models of the reference arrays, written when they are first used.

    Args:
        folder: an empty one for the models' files.
    """

    def __init__(self, golden: GoldenSet, folder: Path) -> None:
        self.golden = golden
        self.folder = folder
        self._clips: dict[int, DenseCLIP] = {}

    def clip_name(self, depth: int = 3) -> str:
        """Return the `model_type` of the tiny CLIP with `depth` blocks in its image tower (3 or 12)."""
        folder = self.folder / f"clip{depth}"
        if not folder.is_dir():
            write_tiny_clip(self.golden, folder, depth)
        return f"local-dir:{folder}"

    def clip(self, depth: int = 3) -> DenseCLIP:
        """Return the tiny CLIP, which cases share and do not change."""
        if depth not in self._clips:
            self._clips[depth] = load_clip(self.clip_name(depth), None)
        return self._clips[depth]

    def vfm_spec(self, name: str = "dino", **options: Any) -> dict[str, Any]:
        """Return the `vfm_model` of a tiny VFM: dino (patch 8), dino16 or mae.

        MAE resizes images to 224 pixels, if `options` do not say otherwise.
        """
        folder = self.folder / name
        if not folder.is_dir():
            write_tiny_vit(self.golden, folder, name)
        own = dict(size=224) if name == "mae" else {}
        return dict(type=name.removesuffix("16"), model=f"local-dir:{folder}") | own | options

    def vfm(self, name: str = "dino", **options: Any) -> Any:
        """Build a tiny VFM."""
        return build_vfm(self.vfm_spec(name, **options), clip=None)

    def text(self, classes: str) -> Tensor:
        """Return the text features (names, 64) of a class list that the published codes computed."""
        return torch.from_numpy(self.golden.arrays("text")[f"{classes}_query_features"])

    def build(
        self, segmentor: Any, classes: str = "syn3", depth: int = 3, vfm: str | None = None, **options: Any
    ) -> Any:
        """Build a segmentor in float32 on the tiny CLIP, and prepare it.

        Args:
            segmentor: its class.
            classes: class list syn3, plain5 or syn12, with the stored text features.
            depth: blocks of the tiny CLIP.
            vfm: tiny VFM, as in `vfm_spec`.
            options: of its constructor.
        """
        towers = dict(model_type=self.clip_name(depth), vfm_model=None if vfm is None else self.vfm_spec(vfm))
        common = dict(clip_type=None, name_path=None, precision="fp32", keep_logits=True)
        model = segmentor(**towers | common | options)
        vocabulary = parse_vocabulary(str(self.golden.arrays("text")[f"{classes}_file"]))
        model.set_vocabulary(vocabulary, self.text(classes))
        model.prepare(torch.device("cpu"))
        return model


@contextmanager
def record_features(model: Any) -> Iterator[list[Tensor]]:
    """Collect what a segmentor compares with the text features, (n, d, h, w) before its normalization, call by call."""
    features: list[Tensor] = []
    similarity = model.similarity

    def record(projected: Tensor) -> Tensor:
        features.append(projected)
        return similarity(projected)

    model.similarity = record
    try:
        yield features
    finally:
        del model.similarity


def compute_window(model: Any, image: Tensor) -> dict[str, Tensor]:
    """Compute the stages of one window, a whole image (1, 3, h, w) to the segmentor.

    Returns:
        feat: tokens in the image-text space (cells, d), before their normalization; those of the last pass, if there
            are several. logits: cosines (names, h, w).
    """
    with record_features(model) as features:
        scores = model.extract_feat(image)
    size = (image.shape[2], image.shape[3])
    logits = F.interpolate(scores, size=size, mode="bilinear")[0]
    return {"feat": features[-1][0].flatten(1).mT, "logits": logits}


def compute_image(
    model: Any, image: Tensor, size: Sequence[int], thresholds: Sequence[float] = (0.0,), ending: str = ""
) -> dict[str, Tensor]:
    """Compute the stages of an image (1, 3, h, w) whose original has `size` (H0, W0).

    Returns:
        logits: cosines (names, H0, W0), after the refinement steps on scores. seg_logits: probabilities
        (classes, H0, W0). pred_thdT and `ending`: labels (1, H0, W0) with the threshold T, for each of `thresholds`.
    """
    recorder = ScoreRecorder()
    order = [step.on == "scores" for step in model.refine]
    steps = model.refine
    model.refine = (*steps[: sum(order)], recorder, *steps[sum(order) :])
    stages: dict[str, Tensor] = {}
    for threshold in thresholds:
        model.prob_thd = threshold
        (sample,) = model.predict(image, [SegDataSample(metainfo=dict(ori_shape=tuple(int(n) for n in size)))])
        stages[f"pred_thd{threshold}{ending}"] = sample.pred_sem_seg.data
    model.refine = steps
    return {"logits": recorder.scores, "seg_logits": sample.seg_logits.data, **stages}


class ScoreRecorder:
    """Refinement step that keeps the score maps and returns them as they are."""

    on = "scores"
    scores: Tensor

    def __call__(self, maps: Tensor, image: Tensor) -> Tensor:
        self.scores = maps
        return maps
