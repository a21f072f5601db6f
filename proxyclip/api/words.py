"""Class lists as people write them -> a vocabulary, and what is meant by background."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TypeAlias, cast

from .. import vocabulary
from ..paths import find
from ..vocabulary import Vocabulary

Names: TypeAlias = Sequence[str | Sequence[str]]
Classes: TypeAlias = "str | Path | Names | Mapping[str, str | Sequence[str]] | Vocabulary"
Background: TypeAlias = "float | str | Sequence[str] | None"
BACKGROUND, OTHER = "background", "other"


@dataclass(frozen=True)
class Words:
    """What a picture is searched for.

    Args:
        vocabulary: the classes that have words.
        names: of the labels; one more than the vocabulary has where class 0 is `other`, which has no words.
        threshold: pixels whose best probability is below it become class 0.
    """

    vocabulary: Vocabulary
    names: tuple[str, ...]
    threshold: float = 0.0

    @property
    def has_other(self) -> bool:
        """Whether class 0 is what no word reached the threshold for."""
        return len(self.names) > len(self.vocabulary)

    @property
    def has_background(self) -> bool:
        """Whether class 0 is what is left over, with words or without."""
        return self.has_other or self.names[:1] == (BACKGROUND,)


def read(classes: Classes, background: Background = None, threshold: float = 0.0) -> Words:
    """Classes, background and threshold of `Segmenter.set_classes`.

    Raises:
        ValueError, TypeError: no class, an empty or repeated name, or a background that is neither; the message says
            what is expected. FileNotFoundError: a vocabulary file that does not exist.
    """
    named, other = _named(classes), _is_number(background)
    if other:
        if threshold:
            raise ValueError(f"Expected one threshold, but got background={background} and threshold={threshold}")
        background, threshold = None, cast(float, background)
    if not _is_number(threshold):
        raise TypeError(f"Expected a threshold from 0 to 1, a probability, but got {threshold!r}")
    threshold = float(threshold)
    if not 0 <= threshold <= 1:
        raise ValueError(f"Expected a threshold from 0 to 1, a probability, but got {threshold}")
    if isinstance(background, str):
        background = [name for names in split(background) for name in names]
    if background is not None:
        named = {BACKGROUND: _synonyms(background, "the background"), **_without(named, BACKGROUND)}
    if not isinstance(classes, Vocabulary) and not _is_file(classes):  # of a file, reading it warns
        _check_once(named)
    if other or (threshold and background is None):
        return Words(_vocabulary(named), (OTHER, *_without(named, OTHER)), threshold)
    return Words(_vocabulary(named), tuple(named), threshold)


def of_config(words: Vocabulary, threshold: float) -> Words:
    """The vocabulary file and threshold of a config as they are: class 0 is what the file's first line says."""
    return Words(words, tuple(_title(names, words.classes) for names in words.classes), threshold)


def _named(classes: Classes) -> dict[str, tuple[str, ...]]:
    """Name -> synonyms, in order."""
    if isinstance(classes, Vocabulary):
        parts: list = [list(names) for names in classes.classes]
    elif _is_file(classes):
        path = find(cast(Path, classes), "file of classes")
        parts = [list(names) for names in vocabulary.read(path).classes]
    elif isinstance(classes, str):
        parts = split(classes)
    elif isinstance(classes, Mapping):
        return _distinct([(_checked(name), _synonyms(words, repr(name))) for name, words in classes.items()])
    elif isinstance(classes, Sequence) and not isinstance(classes, (bytes, bytearray)):
        parts = list(classes)
    else:
        raise TypeError(f"Expected classes as a list of names, a dict, or text, but got {type(classes).__name__}")
    several = [_synonyms(part, "a class") for part in parts]
    return _distinct([(names[0], names) for names in several])


def _is_file(classes: Classes) -> bool:
    return isinstance(classes, Path) or (isinstance(classes, str) and classes.endswith(".txt"))


def _check_once(named: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse a word of two classes: only the first of them could ever win."""
    owner: dict[str, str] = {}
    for name, synonyms in named.items():
        for word in synonyms:
            if word in owner:
                raise ValueError(f"Expected every word once, but {word!r} stands for {owner[word]!r} and {name!r}")
            owner[word] = name


def _distinct(parts: list[tuple[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    if not parts:
        raise ValueError('Expected at least one class, such as ["horse", "grass", "sky"], but got none')
    found = dict(parts)
    if len(found) < len(parts):
        twice = next(name for i, (name, _) in enumerate(parts) if name in dict(parts[:i]))
        raise ValueError(f"Expected every class once, but {twice!r} stands twice")
    return found


def split(text: str) -> list[list[str]]:
    """Classes of a line of text: `;` or a new line between classes, `,` between synonyms; without them `,` it is."""
    parts = [part for line in text.splitlines() for part in line.split(";")]
    if len(parts) < 2:
        return [[name.strip()] for name in text.split(",") if name.strip()]
    return [names for part in parts if (names := [name.strip() for name in part.split(",") if name.strip()])]


def _synonyms(words: object, of: str) -> tuple[str, ...]:
    if isinstance(words, str):
        return (_checked(words),)
    if not isinstance(words, Sequence) or isinstance(words, (bytes, bytearray)):
        raise TypeError(f"Expected a name or a list of synonyms for {of}, but got {words!r}")
    if not words:
        raise ValueError(f"Expected a name or a list of synonyms for {of}, but got none")
    return tuple(dict.fromkeys(_checked(word) for word in words))


def _checked(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"Expected names of classes as text, but got {name!r}")
    text = " ".join(name.split())
    kinds = {unicodedata.category(sign) for sign in text}
    if not kinds - {"Cf"} or kinds & {"Cc", "Cs"}:  # nothing to be seen, or control signs and halves of letters
        raise ValueError(f"Expected a name of letters for every class, but got {name!r}")
    return text


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _vocabulary(named: Mapping[str, tuple[str, ...]]) -> Vocabulary:
    return Vocabulary(tuple(named.values()), "your classes")


def _without(named: Mapping[str, tuple[str, ...]], taken: str) -> Mapping[str, tuple[str, ...]]:
    if taken in named:
        raise ValueError(f"Expected no class of the name {taken!r} beside the background, which is class 0")
    return named


def _title(names: Sequence[str], classes: Sequence[Sequence[str]]) -> str:
    same = [other for other in classes if other[0] == names[0]]
    return names[0] if len(same) == 1 else ", ".join(names)
