"""Vocabulary files, prompt ensembles, the cache, synonym merging."""

from __future__ import annotations

import json
import logging
import multiprocessing

import pytest
import torch
import torch.nn.functional as F
from helpers.reference import arrays

from proxyclip.data.vocabulary import parse_vocabulary, read_vocabulary
from proxyclip.models.clip.prompts import embed_class_names, load_or_compute_features
from proxyclip.models.sliding.postprocess import labels_from_scores, max_over_synonyms


def test_parser_corner_cases():
    """Where the published parser gives well-formed names, ours gives the same; blanks and empties are dropped."""
    cases = json.loads(str(arrays("text")["parse_cases_json"]))
    same = {"no_trailing_newline", "trailing_newline", "comma", "crlf"}
    for name, case in cases.items():
        got = parse_vocabulary(case["text"])
        assert "" not in got.names
        assert all(n == n.strip() for n in got.names)
        if name in same:
            assert (list(got.names), list(got.index)) == (case["names"], case["idx"]), name
    assert parse_vocabulary(cases["blank_line_inside"]["text"]).classes == (("a",), ("b",))
    assert parse_vocabulary(cases["trailing_semicolon"]["text"]).classes == (("a",), ("b",))
    assert parse_vocabulary(cases["semicolon_without_space"]["text"]).classes == (("a", "b"), ("c",))
    assert parse_vocabulary(cases["trailing_space"]["text"]).classes == (("wood",), ("road",))


@pytest.mark.parametrize("text", ["a;b\r\nc ;d\r\n", "\ufeffa; b\n\nc;d  \n\n", "a ;b;\n c; d"])
def test_blanks_bom_and_line_ends(text, tmp_path):
    path = tmp_path / "cls.txt"
    path.write_bytes(text.encode())
    assert read_vocabulary(path).classes == (("a", "b"), ("c", "d"))


def test_bad_files(tmp_path, caplog):
    with pytest.raises(ValueError, match=r"line 2 .*' ; '"):
        parse_vocabulary("a\n ; \nb")
    path = tmp_path / "cls.txt"
    path.write_bytes(b"\n\n")
    with pytest.raises(ValueError, match=r"cls\.txt.* empty"):
        read_vocabulary(path)
    path.write_bytes(b"caf\xe9\n")
    with pytest.raises(ValueError, match=r"UTF-8.*cls\.txt.*byte 3"):
        read_vocabulary(path)
    with caplog.at_level(logging.WARNING):
        parse_vocabulary("wall; bed\nbed")
    assert "'bed'" in caplog.text


class Tower:
    """A causal stand-in: the feature of a text is a running function of its tokens, so padding cannot matter."""

    def __init__(self):
        self.table = torch.randn(256, 16, generator=torch.Generator().manual_seed(0))
        self.shapes = []

    def tokenize(self, texts):
        out = torch.zeros(len(texts), 77, dtype=torch.long)
        for row, text in zip(out, texts, strict=True):
            ids = torch.tensor([ord(c) % 255 + 1 for c in text][:77])
            row[: len(ids)] = ids
        return out

    def encode(self, tokens):
        self.shapes.append(tuple(tokens.shape))
        return (self.table[tokens] * tokens.ne(0)[..., None]).cumsum(1)[:, -1] + 1


def test_embed_equals_one_name_at_a_time():
    names = ["cat", "a much longer name of a thing", "dog", "horse"]
    templates = ("a {}", "one {} there", "{}")
    tower = Tower()
    together = embed_class_names(names, templates, tower.tokenize, tower.encode, batch=6)
    lengths = [s[1] for s in tower.shapes]
    assert lengths == sorted(lengths)  # each batch is cut to its longest prompt, and like lengths are together
    assert (lengths[0], lengths[-1]) == (7, 39)
    assert [s[0] for s in tower.shapes] == [6, 6]
    torch.testing.assert_close(
        embed_class_names(names, templates, tower.tokenize, tower.encode, 6, names_per_sort=3), together
    )
    for name, row in zip(names, together, strict=True):
        features = F.normalize(tower.encode(tower.tokenize([t.format(name) for t in templates])), dim=-1)
        torch.testing.assert_close(row, F.normalize(features.mean(0), dim=-1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("threshold", [0.0, 0.55, 0.7])
def test_best_is_the_best_class_of_the_merged_probabilities(threshold):
    scores = torch.rand(6, 5, 7, generator=torch.Generator().manual_seed(0))
    scores[1, 0], scores[4, 0] = 2.0, 2.0  # a tie between classes: the first one
    scores[3, 1], scores[0, 1] = 2.0, 2.0
    index = torch.tensor([0, 1, 1, 2, 2, 3])
    before = scores.clone()
    merged = max_over_synonyms((9.0 * scores).softmax(0), index, 4)
    probability, want = merged.max(0)
    want = want.masked_fill(probability < threshold, 0)
    got = labels_from_scores(scores, index, 9.0, threshold)
    assert torch.equal(got, want)
    assert got.dtype == torch.int64
    assert threshold == 0 or 0 < (probability < threshold).float().mean() < 1
    assert torch.equal(scores, before)
    if threshold == 0:
        assert got[0].eq(1).all()
        assert got[1].eq(0).all()


def test_best_of_extreme_scores_is_finite():
    scores = torch.tensor([[1.0, -1.0], [-1.0, -1.0], [0.0, -1.0]])
    assert labels_from_scores(scores, torch.arange(3), 1e4, 0.5).tolist() == [0, 0]
    assert labels_from_scores(scores.flip(0), torch.arange(3), 1e4, 0.5).tolist() == [2, 0]


def test_cache_gives_the_same_and_is_keyed(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return torch.full((2, 3), float(len(calls)))

    first = load_or_compute_features(["w", ["a"]], compute, tmp_path)
    assert torch.equal(load_or_compute_features(["w", ["a"]], compute, tmp_path), first)
    assert len(calls) == 1
    assert not torch.equal(load_or_compute_features(["w", ["b"]], compute, tmp_path), first)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_damaged_cache_is_computed_again(tmp_path, damage, caplog):
    want = load_or_compute_features(["k"], lambda: torch.arange(4.0), tmp_path)
    (file,) = tmp_path.glob("text-*.pt")
    data = bytearray(file.read_bytes())
    if damage is None:  # a flipped value inside a readable file
        entry = torch.load(file, weights_only=True)
        entry["features"][0] = 9
        torch.save(entry, file)
    else:
        file.write_bytes(damage or bytes(data[: len(data) // 2]))
    assert torch.equal(load_or_compute_features(["k"], lambda: torch.arange(4.0), tmp_path), want)
    assert "damaged" in caplog.text
    assert torch.equal(load_or_compute_features(["k"], lambda: torch.zeros(4), tmp_path), want)  # and was mended


def test_unwritable_cache_is_no_error(tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert load_or_compute_features(["k"], lambda: torch.ones(2), blocked / "sub").sum() == 2
    assert "not cached" in caplog.text


def _write(folder, number):
    for _ in range(20):
        load_or_compute_features([number % 2], lambda: torch.full((50, 64), float(number % 2)), folder)


def test_concurrent_writers(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_write, args=(tmp_path, n)) for n in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join(30)
        assert w.exitcode == 0
    for n in (0, 1):
        assert load_or_compute_features([n], lambda: torch.empty(0), tmp_path).unique().tolist() == [float(n)]


@pytest.mark.parametrize("shape", [(), (4,), (3, 5)])
def test_merge_is_the_maximum_over_names(shape):
    index = torch.tensor([0, 0, 1, 2, 2, 2])
    scores = torch.rand(6, *shape)
    merged = max_over_synonyms(scores, index, 3)
    for c in range(3):
        assert torch.equal(merged[c], scores[index == c].amax(0))
