"""Labels and probabilities from row chunks of scores, over refinement steps."""

import functools

import pytest
import torch

from proxyclip.models.sliding import postprocess


@pytest.mark.parametrize("keep", [False, True])
def test_scores_to_labels_without_and_with_steps(keep):
    whole = torch.rand(4, 9, 5, generator=torch.Generator().manual_seed(1))
    best, wanted = whole.max(0)
    wanted = wanted.masked_fill(best < 0.7, 0)
    classify = functools.partial(postprocess.labels_from_probabilities, threshold=0.7)
    labels, kept = postprocess.scores_to_labels(whole.split(2, 1), torch.clone, classify, None, (), 0.7, keep)
    assert torch.equal(labels, wanted)
    assert labels.dtype == torch.int64
    assert torch.equal(kept, whole) if keep else kept is None

    calls = []

    def double(probabilities, image):
        calls.append((probabilities.shape, image))
        return probabilities * 2

    def halve_one(probabilities, image):
        return (probabilities > 1) / 2

    double.on = halve_one.on = "probabilities"
    steps = [double, halve_one]
    labels, kept = postprocess.scores_to_labels(whole.split(2, 1), torch.clone, None, "image", steps, 0.0, keep)
    assert torch.equal(labels, ((whole > 0.5) / 2).argmax(0))
    assert torch.equal(kept, (whole > 0.5) / 2) if keep else kept is None
    assert calls == [((4, 9, 5), "image")]


def test_steps_on_scores_run_on_the_whole_map_before_the_softmax():
    scores = torch.rand(4, 9, 5, generator=torch.Generator().manual_seed(1))
    calls = []

    def turn(maps, image):
        calls.append((maps.clone(), image))
        return -maps

    turn.on = "scores"
    labels, kept = postprocess.scores_to_labels(
        scores.split(2, 1), lambda chunk: chunk.softmax(0), None, "image", [turn], 0.0, keep=True
    )
    ((maps, image),) = calls
    assert torch.equal(maps, scores)
    assert image == "image"
    torch.testing.assert_close(kept, (-scores).softmax(0))
    assert torch.equal(labels, scores.argmin(0))


@pytest.mark.parametrize("threshold", [0.0, 0.55, 0.7])
def test_labels_from_scores_is_the_argmax_of_merged_probabilities(threshold):
    scores = torch.rand(6, 5, 7, generator=torch.Generator().manual_seed(0))
    scores[1, 0], scores[4, 0] = 2.0, 2.0  # a tie between classes: the first one
    scores[3, 1], scores[0, 1] = 2.0, 2.0
    index = torch.tensor([0, 1, 1, 2, 2, 3])
    before = scores.clone()
    merged = postprocess.max_over_synonyms((9.0 * scores).softmax(0), index, 4)
    probability, want = merged.max(0)
    want = want.masked_fill(probability < threshold, 0)
    got = postprocess.labels_from_scores(scores, index, 9.0, threshold)
    assert torch.equal(got, want)
    assert got.dtype == torch.int64
    assert threshold == 0 or 0 < (probability < threshold).float().mean() < 1
    assert torch.equal(scores, before)
    if threshold == 0:
        assert got[0].eq(1).all()
        assert got[1].eq(0).all()


def test_labels_from_scores_accepts_extreme_scores():
    scores = torch.tensor([[1.0, -1.0], [-1.0, -1.0], [0.0, -1.0]])
    assert postprocess.labels_from_scores(scores, torch.arange(3), 1e4, 0.5).tolist() == [0, 0]
    assert postprocess.labels_from_scores(scores.flip(0), torch.arange(3), 1e4, 0.5).tolist() == [2, 0]


@pytest.mark.parametrize("shape", [(), (4,), (3, 5)])
def test_max_over_synonyms_is_the_maximum_of_a_class(shape):
    index = torch.tensor([0, 0, 1, 2, 2, 2])
    scores = torch.rand(6, *shape)
    merged = postprocess.max_over_synonyms(scores, index, 3)
    for c in range(3):
        assert torch.equal(merged[c], scores[index == c].amax(0))
