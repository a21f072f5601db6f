"""Text features of class names."""

import torch
import torch.nn.functional as F

from proxyclip.models.clip.prompts import embed_class_names


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
