"""Label maps from scores: softmax, synonyms, refinement steps, threshold."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor


def scores_to_labels(
    chunks: Iterable[Tensor],
    classify: Callable[[Tensor], Tensor],
    label: Callable[[Tensor], Tensor],
    image: Tensor,
    steps: Sequence[Any],
    threshold: float,
    keep: bool,
) -> tuple[Tensor, Tensor | None]:
    """Convert score maps to labels, over optional refinement steps.

    Without steps, and unless `keep` is set, no map of the whole image is ever in memory.

    Args:
        chunks: row chunks of the score map, (names, rows, W0) each, from the top of the image.
        classify: scores (names, rows, W0) -> class probabilities (classes, rows, W0).
        label: scores -> labels (rows, W0) after the threshold; used where no probabilities are needed.
        image: passed to the steps with the maps.
        steps: refinement steps (`proxyclip.models.refine`), in the order of their stages.
        threshold: pixels whose best probability is below it become class 0.
        keep: return the probabilities too.

    Returns:
        Labels (H0, W0) int64, and with `keep` the class probabilities (classes, H0, W0) after all steps on maps.
    """
    score_steps, probability_steps, label_steps = (
        [step for step in steps if step.on == stage] for stage in ("scores", "probabilities", "labels")
    )
    if score_steps:
        chunks = _refine_chunks(chunks, image, score_steps)
    if not (probability_steps or keep):
        return refine_labels(torch.cat([label(chunk) for chunk in chunks]), image, label_steps), None
    probabilities = torch.cat([classify(chunk) for chunk in chunks], 1)
    for step in probability_steps:
        probabilities = step(probabilities, image)
    labels = refine_labels(labels_from_probabilities(probabilities, threshold), image, label_steps)
    return labels, probabilities if keep else None


def refine_labels(labels: Tensor, image: Tensor, steps: Sequence[Any]) -> Tensor:
    """Apply the steps on labels among `steps` to labels (H0, W0)."""
    for step in steps:
        if step.on == "labels":
            labels = step(labels, image)
    return labels


def _refine_chunks(chunks: Iterable[Tensor], image: Tensor, steps: Sequence[Any]) -> Iterator[Tensor]:
    """Apply steps to the whole score map and split it again."""
    parts = list(chunks)
    rows = parts[0].shape[1]
    scores = torch.cat(parts, 1)
    del parts
    for step in steps:
        scores = step(scores, image)
    yield from scores.split(rows, 1)


def labels_from_probabilities(probabilities: Tensor, threshold: float) -> Tensor:
    """Choose the best class: (classes, H, W) -> (H, W) int64, 0 below `threshold`."""
    best, labels = probabilities.max(0)
    return apply_threshold(labels, best, threshold)


def apply_threshold(labels: Tensor, probabilities: Tensor, threshold: float) -> Tensor:
    """Set labels (...) whose probability (...) is below `threshold` to class 0, in place."""
    return labels.masked_fill_(probabilities < threshold, 0)


def labels_from_scores(scores: Tensor, index: Tensor, scale: float, threshold: float) -> Tensor:
    """Choose the best class of each pixel without computing class probabilities.

    Args:
        scores: cosine similarity to every name (names, ...).
        index: (names,) int64, the class of each name, ascending, so that ties go to the first class.
        scale: of the softmax over names.
        threshold: pixels whose best probability is below it become class 0.

    Returns:
        (...) int64, equal to the argmax of `max_over_synonyms(softmax(scale * scores))` after the threshold.
    """
    best, name = scores.max(0)
    labels = index[name]
    if threshold <= 0:  # spares the exponentials
        return labels
    total = (scores - best).mul_(scale).exp_().sum(0)  # of the softmax, relative to the best name
    return apply_threshold(labels, total.reciprocal_(), threshold)


def max_over_synonyms(probabilities: Tensor, index: Tensor, classes: int) -> Tensor:
    """Take the maximum over the names of each class: (names, ...) -> (classes, ...).

    Args:
        index: (names,) int64, the class of each name.
    """
    if len(probabilities) == classes:
        return probabilities
    out = probabilities.new_full((classes, *probabilities.shape[1:]), -float("inf"))
    index = index.view(-1, *[1] * (probabilities.ndim - 1)).expand_as(probabilities)
    return out.scatter_reduce_(0, index, probabilities, "amax")
