"""Class names in, text features out: reading vocabulary files, embedding over templates, merging synonyms.

Prompt ensembling over templates: Radford et al. (arXiv 2103.00020), section 3.1.4.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

logger = logging.getLogger(__name__)
CACHE_FORMAT = 1


@dataclass(frozen=True)
class Vocabulary:
    """Classes of a data set, each a tuple of names that mean it."""

    classes: tuple[tuple[str, ...], ...]
    source: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """All names, class by class."""
        return tuple(name for names in self.classes for name in names)

    @property
    def index(self) -> tuple[int, ...]:
        """Class of each of `names`."""
        return tuple(i for i, names in enumerate(self.classes) for _ in names)

    @property
    def has_synonyms(self) -> bool:
        """Whether any class has more than one name."""
        return len(self.names) > len(self.classes)

    def __len__(self) -> int:
        return len(self.classes)


def parse(text: str, source: str = "", separator: str = ";") -> Vocabulary:
    """One class a line, synonyms between separators; blanks around names, blank lines and a BOM are dropped.

    Raises:
        ValueError: no class at all, a line of nothing but separators, or semicolons in a file that is said to have
            another separator; the message gives the line.
    """
    classes = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if not line.strip():
            continue
        if ";" in line and separator != ";":
            raise ValueError(
                f"Expected names between {separator!r}, as SCLIP writes them, in line {number} of "
                f"{source or 'the vocabulary'}, but it has ';': such a file belongs to ProxyCLIPSegmentation"
            )
        names = tuple(name.strip() for name in line.split(separator) if name.strip())
        if not names:
            raise ValueError(
                f"Expected a class name in line {number} of {source or 'the vocabulary'}, but got {line!r}"
            )
        classes.append(names)
    flat = [name for names in classes for name in names]
    twice = sorted({name for name in flat if flat.count(name) > 1})
    if twice:
        logger.warning("%s has names that stand twice, only the first can win: %s", source or "The vocabulary", twice)
    if not classes:
        raise ValueError(f"Expected one class a line in {source or 'the vocabulary'}, but it is empty")
    return Vocabulary(tuple(classes), source)


def read(path: Path, separator: str = ";") -> Vocabulary:
    """The vocabulary of a UTF-8 file (see `parse`)."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path), separator)
    except UnicodeDecodeError as error:
        raise ValueError(f"Expected UTF-8 text in {path}, but byte {error.start} is not: save it as UTF-8") from error


def embed(
    names: Sequence[str],
    templates: Sequence[str],
    tokenize: Callable[[list[str]], Tensor],
    encode: Callable[[Tensor], Tensor],
    batch: int = 80,
    together: int = 64,
    unit: bool = True,
) -> Tensor:
    """One text feature a name: the mean over templates of unit features, made unit again unless `unit` is False.

    Args:
        templates: format strings with one `{}`.
        tokenize: texts -> token ids (B, L), zeros after the end token.
        encode: token ids (B, L' <= L) -> features (B, d). It must be causal: prompts are cut to a batch's longest.
        batch: most prompts encoded at once. They are sorted by length first, for each batch is as long as its longest.
        together: names whose prompts are sorted together.

    Returns:
        (names, d) float32.
    """
    rows = []
    for first in range(0, len(names), together):
        chosen = names[first : first + together]
        tokens = tokenize([t.format(name) for name in chosen for t in templates])
        # the last token that is not zero: zeros inside a prompt are no end
        lengths = tokens.shape[1] - tokens.ne(0).flip(1).int().argmax(1)
        order = lengths.argsort()
        parts = [encode(tokens[some, : int(lengths[some[-1]])]).float() for some in order.split(batch)]
        features = F.normalize(torch.cat(parts), dim=-1)[order.argsort().to(parts[0].device)]
        means = features.unflatten(0, (len(chosen), -1)).mean(1)
        rows.append(F.normalize(means, dim=-1) if unit else means)
    return torch.cat(rows)


def cached(key: Sequence[object], compute: Callable[[], Tensor], folder: Path | None = None) -> Tensor:
    """`compute()`, or what it gave for the same key before.

    A damaged or unwritable cache costs time, never the run: the file is checked by hash and replaced as a whole.

    Args:
        key: everything that can change the result, JSON-serialisable.
        folder: default `$PROXYCLIP_CACHE`, else `~/.cache/proxyclip`.
    """
    folder = folder or Path(os.environ.get("PROXYCLIP_CACHE") or Path.home() / ".cache" / "proxyclip")
    name = hashlib.sha256(json.dumps([CACHE_FORMAT, *key]).encode()).hexdigest()
    path = folder / f"text-{name[:40]}.pt"
    found = _load(path)
    if found is not None:
        return found
    features = compute()
    try:
        _save(path, features)
    except OSError as error:
        logger.warning("Text features are not cached: %s", error)
    return features


def _digest(features: Tensor) -> str:
    return hashlib.sha256(features.cpu().contiguous().numpy().tobytes()).hexdigest()


def _load(path: Path) -> Tensor | None:
    if not path.is_file():
        return None
    try:
        entry = torch.load(path, map_location="cpu", weights_only=True)
        features = entry["features"]
        if entry["digest"] == _digest(features):
            return features
    except Exception as error:  # any damage means: compute again
        logger.debug("%s", error)
    logger.warning("The text cache file %s is damaged; computing it again", path)
    return None


def _save(path: Path, features: Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".text-")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save({"features": features.cpu(), "digest": _digest(features)}, file)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def best(scores: Tensor, index: Tensor, scale: float, threshold: float) -> Tensor:
    """Labels without the probabilities they stand for: the class of the best name is the best class.

    Args:
        scores: cosine similarity to every name (names, ...).
        index: (names,) int64, the class of each name, ascending, so that ties go to the first class.
        scale: of the softmax over names.
        threshold: pixels whose best probability is below it become class 0.

    Returns:
        (...) int64, equal to the argmax of `merge(softmax(scale * scores))` after the threshold.
    """
    top, name = scores.max(0)
    labels = index[name]
    if threshold <= 0:
        return labels
    others = (scores - top).mul_(scale).exp_().sum(0)  # over the best one: its probability is 1 / others
    return labels.masked_fill_(others.reciprocal_() < threshold, 0)


def merge(scores: Tensor, index: Tensor, classes: int) -> Tensor:
    """Best name of each class: (names, ...) -> (classes, ...).

    Args:
        index: (names,) int64, the class of each name.
    """
    if len(scores) == classes:
        return scores
    out = scores.new_full((classes, *scores.shape[1:]), -float("inf"))
    return out.scatter_reduce_(0, index.view(-1, *[1] * (scores.ndim - 1)).expand_as(scores), scores, "amax")
