"""Parse class lists, background and threshold."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any, TypeAlias, cast

from proxyclip.data.class_lists.limits import check_name_count, check_name_length
from proxyclip.data.class_lists.lines import IGNORED_LABEL
from proxyclip.data.class_lists.notes import note_names
from proxyclip.data.class_lists.shared_texts import (
    clean_class_text,
    find_shared_texts,
    refuse_shared_texts,
    shorten_name,
)
from proxyclip.data.class_lists.text import is_class_file, parse_background_text, parse_class_text, quote_name
from proxyclip.data.vocabulary import Vocabulary, read_vocabulary
from proxyclip.utils.paths import find_existing_path
from proxyclip.utils.probability import check_probability

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
        notes: on how the classes were read, where something else may have been meant.
    """

    vocabulary: Vocabulary
    names: tuple[str, ...]
    threshold: float = 0.0
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def has_other(self) -> bool:
        """True if class 0 is `other`: pixels that no class reached the threshold for."""
        return len(self.names) > len(self.vocabulary)

    @property
    def has_background(self) -> bool:
        """True if class 0 is `background` or `other`."""
        return self.has_other or self.names[:1] == (BACKGROUND_CLASS,)


def parse_class_query(
    classes: ClassesInput, background: BackgroundInput = None, threshold: float = 0.0, lower: bool = True
) -> ClassQuery:
    """Parse the arguments of `Segmenter.set_classes`.

    Args:
        lower: whether the CLIP reads lower case, as OpenAI's does: then "Sky" and "sky" are one.

    Raises:
        ValueError, TypeError: no class, an empty or repeated name, more or longer names than `class_lists.limits` has,
            or a background that is neither; the message says what is expected. FileNotFoundError: a vocabulary file
            that does not exist.
    """
    names, notes = _parse_names(classes)
    background = parse_background_text(background) if isinstance(background, str) else background
    has_other = _is_number(background)
    if has_other:
        if threshold:
            raise ValueError(f"Expected one threshold, but got background={background} and threshold={threshold}")
        threshold = cast(float, background)
        background = None
    if not _is_number(threshold):
        raise TypeError(f"Expected a threshold from 0 to 1, a probability, but got {repr(threshold)[:100]}")
    threshold = check_probability(threshold)
    if background is not None:
        names = {BACKGROUND_CLASS: _synonyms(background, "the background"), **_require_absent(names, BACKGROUND_CLASS)}
    if not is_from_file(classes):  # of a file, reading it warns
        _check_texts(names, lower)
        notes = (*notes, *note_names([name for synonyms in names.values() for name in synonyms], "your classes"))
    vocabulary = Vocabulary(tuple(names.values()), "your classes")
    if has_other or (threshold and background is None):
        return ClassQuery(vocabulary, (OTHER_CLASS, *_require_absent(names, OTHER_CLASS)), threshold, notes)
    return ClassQuery(vocabulary, tuple(names), threshold, notes)


def query_from_config(classes: Vocabulary, threshold: float) -> ClassQuery:
    """Make the query of a config: class 0 is the first line of its vocabulary file."""
    first_names = [names[0] for names in classes.classes]
    labels = (names[0] if first_names.count(names[0]) == 1 else ", ".join(names) for names in classes.classes)
    return ClassQuery(classes, tuple(labels), threshold)


def describe_classes(query: ClassQuery, max_classes: int = 12) -> str:
    """Describe in a line which classes were understood: `3 classes: horse | grass, lawn | sky`."""
    own = [", ".join(map(quote_name, synonyms)) for synonyms in query.vocabulary.classes]
    class_0 = ""
    if query.has_other:
        class_0 = f"; class 0, {OTHER_CLASS}: what no class reaches the probability {query.threshold:g} for"
    elif query.names[:1] == (BACKGROUND_CLASS,) and own[0] != BACKGROUND_CLASS:
        class_0 = f"; class 0, {BACKGROUND_CLASS}: {own.pop(0)}"
    count = f"{len(own)} class{'es' * (len(own) != 1)}"
    more = f" | ... and {len(own) - max_classes} more" if len(own) > max_classes else ""
    return f"{count}: {' | '.join(own[:max_classes])}{more}{class_0}"


def is_from_file(classes: ClassesInput) -> bool:
    """Return True for classes that are, or were, in a vocabulary file."""
    return isinstance(classes, (Vocabulary, Path)) or (isinstance(classes, str) and is_class_file(classes))


def _parse_names(classes: Any) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Name -> synonyms, in order, and notes on how they were read."""
    notes: tuple[str, ...] = ()
    if isinstance(classes, Mapping):
        check_name_count(len(classes), "your classes")
        entries = [(_clean_name(name), _synonyms(names, repr(name)[:100])) for name, names in classes.items()]
    else:
        if is_from_file(classes) and not isinstance(classes, Vocabulary):
            classes = read_vocabulary(find_existing_path(classes, "file of classes"))
        if isinstance(classes, Vocabulary):
            classes = classes.classes
        elif isinstance(classes, str):
            text = parse_class_text(classes)
            classes, notes = text.classes, text.notes
        if not isinstance(classes, Sequence) or isinstance(classes, (bytes, bytearray)):
            raise TypeError(f"Expected classes as a list of names, a dict, or text, but got {type(classes).__name__}")
        check_name_count(len(classes), "your classes")
        synonyms = [_synonyms(entry, "a class") for entry in classes]
        entries = [(names[0], names) for names in synonyms]
    check_name_count(sum(len(names) for _, names in entries), "your classes")
    entries, ignored = _drop_ignored_label(entries)
    if not entries:
        raise ValueError('Expected at least one class, such as ["horse", "grass", "sky"], but got none')
    unique: dict[str, tuple[str, ...]] = {}
    for name, names in entries:
        if name in unique:
            raise ValueError(f"Expected every class once, but {shorten_name(name)} stands twice")
        unique[name] = names
    return unique, (*notes, *ignored)


def _drop_ignored_label(entries: list[tuple[str, tuple[str, ...]]]) -> tuple[list[Any], tuple[str, ...]]:
    """Leave out LabelMe's first line, and return a note on it.

    Raises:
        ValueError: it is at another place.
    """
    places = [i for i, (name, _) in enumerate(entries) if name == IGNORED_LABEL]
    if not places or len(entries) == 1:
        return entries, ()
    if places != [0]:
        raise ValueError(
            f"Expected {IGNORED_LABEL!r} at the first place, where LabelMe has it, but it is class {places[-1]}: it is "
            "no class; leave it out where no label map has its label"
        )
    first = shorten_name(entries[1][0])
    note = f"{IGNORED_LABEL!r} is left out: in LabelMe it is label -1 and no class; class 0 is {first}"
    return entries[1:], (note,)


def _check_texts(classes: Mapping[str, tuple[str, ...]], lower: bool) -> None:
    """Raise for names of two classes that are one text."""
    read = partial(clean_class_text, lower=lower)
    refuse_shared_texts(find_shared_texts(list(classes.values()), read), list(classes))


def _synonyms(names: object, owner: str) -> tuple[str, ...]:
    if isinstance(names, str):
        return (_clean_name(names),)
    if not isinstance(names, Sequence) or isinstance(names, (bytes, bytearray)):
        raise TypeError(f"Expected a name or a list of synonyms for {owner}, but got {repr(names)[:100]}")
    if not names:
        raise ValueError(f"Expected a name or a list of synonyms for {owner}, but got none")
    check_name_count(len(names), owner)
    unique: dict[str, str] = {}
    for name in map(_clean_name, names):
        unique.setdefault(clean_class_text(name, lower=False), name)  # twice in one class is harmless
    return tuple(unique.values())


def _clean_name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"Expected names of classes as text, but got {repr(name)[:100]}")
    check_name_length(name, "your classes")
    text = " ".join(name.split())
    categories = {unicodedata.category(character) for character in text}
    is_invisible = not categories - {"Cf"} or not clean_class_text(text)
    if is_invisible or categories & {"Cc", "Cs"}:  # control characters, lone surrogates
        raise ValueError(f"Expected a name of letters for every class, but got {shorten_name(name)}")
    return text


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _require_absent(classes: Mapping[str, tuple[str, ...]], reserved: str) -> Mapping[str, tuple[str, ...]]:
    if reserved in classes:
        raise ValueError(f"Expected no class of the name {reserved!r} beside the background, which is class 0")
    return classes
