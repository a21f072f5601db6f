"""Parse class lists, background and threshold."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, TypeAlias, cast

from proxyclip.data.vocabulary import Vocabulary, read_vocabulary
from proxyclip.utils.paths import find_existing_path

ClassNames: TypeAlias = Sequence[str | Sequence[str]]
ClassesInput: TypeAlias = "str | Path | ClassNames | Mapping[str, str | Sequence[str]] | Vocabulary"
BackgroundInput: TypeAlias = "float | str | Sequence[str] | None"
BACKGROUND_CLASS = "background"
OTHER_CLASS = "other"


@dataclass(frozen=True)
class ClassQuery:
    """Classes, label names and threshold.

    Args:
        vocabulary: the classes with names for the text tower.
        names: of the labels; one more than the vocabulary has if class 0 is `other`, which is in no text.
        threshold: pixels whose best probability is below it become class 0.
    """

    vocabulary: Vocabulary
    names: tuple[str, ...]
    threshold: float = 0.0

    @property
    def has_other(self) -> bool:
        """True if class 0 is `other`: pixels that no class reached the threshold for."""
        return len(self.names) > len(self.vocabulary)

    @property
    def has_background(self) -> bool:
        """True if class 0 is `background` or `other`."""
        return self.has_other or self.names[:1] == (BACKGROUND_CLASS,)


def parse_class_query(classes: ClassesInput, background: BackgroundInput = None, threshold: float = 0.0) -> ClassQuery:
    """Parse the arguments of `Segmenter.set_classes`.

    Raises:
        ValueError, TypeError: no class, an empty or repeated name, or a background that is neither; the message says
            what is expected. FileNotFoundError: a vocabulary file that does not exist.
    """
    names = _parse_names(classes)
    has_other = _is_number(background)
    if has_other:
        if threshold:
            raise ValueError(f"Expected one threshold, but got background={background} and threshold={threshold}")
        threshold = cast(float, background)
        background = None
    if not _is_number(threshold):
        raise TypeError(f"Expected a threshold from 0 to 1, a probability, but got {threshold!r}")
    threshold = float(threshold)
    if not 0 <= threshold <= 1:
        raise ValueError(f"Expected a threshold from 0 to 1, a probability, but got {threshold}")
    if isinstance(background, str):
        background = [name for synonyms in split_classes(background) for name in synonyms]
    if background is not None:
        names = {BACKGROUND_CLASS: _synonyms(background, "the background"), **_require_absent(names, BACKGROUND_CLASS)}
    if not isinstance(classes, Vocabulary) and not _is_file(classes):  # of a file, reading it warns
        _check_synonyms(names)
    vocabulary = Vocabulary(tuple(names.values()), "your classes")
    if has_other or (threshold and background is None):
        return ClassQuery(vocabulary, (OTHER_CLASS, *_require_absent(names, OTHER_CLASS)), threshold)
    return ClassQuery(vocabulary, tuple(names), threshold)


def query_from_config(classes: Vocabulary, threshold: float) -> ClassQuery:
    """Make the query of a config: class 0 is the first line of its vocabulary file."""
    first_names = [names[0] for names in classes.classes]
    labels = (names[0] if first_names.count(names[0]) == 1 else ", ".join(names) for names in classes.classes)
    return ClassQuery(classes, tuple(labels), threshold)


def _parse_names(classes: Any) -> dict[str, tuple[str, ...]]:
    """Name -> synonyms, in order."""
    if isinstance(classes, Mapping):
        entries = [(_clean_name(name), _synonyms(names, repr(name))) for name, names in classes.items()]
    else:
        if _is_file(classes):
            classes = read_vocabulary(find_existing_path(classes, "file of classes"))
        if isinstance(classes, Vocabulary):
            classes = classes.classes
        elif isinstance(classes, str):
            classes = split_classes(classes)
        if not isinstance(classes, Sequence) or isinstance(classes, (bytes, bytearray)):
            raise TypeError(f"Expected classes as a list of names, a dict, or text, but got {type(classes).__name__}")
        synonyms = [_synonyms(entry, "a class") for entry in classes]
        entries = [(names[0], names) for names in synonyms]
    if not entries:
        raise ValueError('Expected at least one class, such as ["horse", "grass", "sky"], but got none')
    unique = dict(entries)
    if len(unique) < len(entries):
        repeated = next(name for i, (name, _) in enumerate(entries) if name in dict(entries[:i]))
        raise ValueError(f"Expected every class once, but {repeated!r} stands twice")
    return unique


def _is_file(classes: ClassesInput) -> bool:
    return isinstance(classes, Path) or (isinstance(classes, str) and classes.endswith(".txt"))


def _check_synonyms(classes: Mapping[str, tuple[str, ...]]) -> None:
    """Raise for a synonym of two classes: only the first of them could ever win."""
    owner: dict[str, str] = {}
    for name, synonyms in classes.items():
        for synonym in synonyms:
            if synonym in owner:
                raise ValueError(
                    f"Expected every word once, but {synonym!r} stands for {owner[synonym]!r} and {name!r}"
                )
            owner[synonym] = name


def split_classes(text: str) -> list[list[str]]:
    """Split text into classes (`;`, line end) and synonyms (`,`).

    Without any `;` or line end, `,` is between classes.
    """
    parts = [part for line in text.splitlines() for part in line.split(";")]
    if len(parts) < 2:
        parts = text.split(",")
    return [names for part in parts if (names := [name.strip() for name in part.split(",") if name.strip()])]


def _synonyms(names: object, owner: str) -> tuple[str, ...]:
    if isinstance(names, str):
        return (_clean_name(names),)
    if not isinstance(names, Sequence) or isinstance(names, (bytes, bytearray)):
        raise TypeError(f"Expected a name or a list of synonyms for {owner}, but got {names!r}")
    if not names:
        raise ValueError(f"Expected a name or a list of synonyms for {owner}, but got none")
    return tuple(dict.fromkeys(_clean_name(name) for name in names))


def _clean_name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"Expected names of classes as text, but got {name!r}")
    text = " ".join(name.split())
    categories = {unicodedata.category(character) for character in text}
    if not categories - {"Cf"} or categories & {"Cc", "Cs"}:  # invisible only, control characters, lone surrogates
        raise ValueError(f"Expected a name of letters for every class, but got {name!r}")
    return text


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _require_absent(classes: Mapping[str, tuple[str, ...]], reserved: str) -> Mapping[str, tuple[str, ...]]:
    if reserved in classes:
        raise ValueError(f"Expected no class of the name {reserved!r} beside the background, which is class 0")
    return classes
