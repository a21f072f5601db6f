"""Text features of class names, and their cache."""

import multiprocessing

import pytest
import torch
import torch.nn.functional as F

from proxyclip.models.clip.prompts import embed_class_names, load_or_compute_features


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


def test_embed_class_names_equals_one_name_at_a_time():
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


def test_feature_cache_is_keyed_by_its_parts(tmp_path):
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
def test_damaged_feature_cache_is_computed_again(tmp_path, damage, caplog):
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


def test_unwritable_feature_cache_is_no_error(tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert load_or_compute_features(["k"], lambda: torch.ones(2), blocked / "sub").sum() == 2
    assert "not cached" in caplog.text


def _write(folder, number):
    for _ in range(20):
        load_or_compute_features([number % 2], lambda: torch.full((50, 64), float(number % 2)), folder)


def test_feature_cache_survives_concurrent_writers(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_write, args=(tmp_path, n)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
        assert worker.exitcode == 0
    for n in (0, 1):
        assert load_or_compute_features([n], lambda: torch.empty(0), tmp_path).unique().tolist() == [float(n)]
