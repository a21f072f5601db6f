"""Class names of a data set, with synonyms, from vocabulary files."""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proxyclip.data.class_lists.limits import (
    MAX_CLASS_LIST_BYTES,
    check_class_limits,
    check_name_count,
    check_text_length,
)
from proxyclip.data.class_lists.lines import clean_class_lines, list_numbered_classes, unquote_name
from proxyclip.data.class_lists.notes import log_note, note_file_names, note_names, note_shared_texts
from proxyclip.data.class_lists.numbering import ClassLine, ClassLines
from proxyclip.data.class_lists.shared_texts import shorten_text
from proxyclip.data.class_lists.structures import read_collection
from proxyclip.data.class_lists.text import SEPARATORS, resolve_entities, split_names
from proxyclip.utils.file_limits import read_limited_bytes

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
         (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))  # fmt: skip


@dataclass(frozen=True)
class Vocabulary:
    """Classes of a data set, each a tuple of its names."""

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
        """True if any class has more than one name."""
        return len(self.names) > len(self.classes)

    def __len__(self) -> int:
        return len(self.classes)


def parse_vocabulary(text: str, source: str = "", separator: str = ";") -> Vocabulary:
    """Parse one class a line, synonyms between separators.

    Blanks around names, blank lines and a BOM are dropped. Lists of other tools are read where they are certain (see
    `clean_class_lines`, `read_collection`), and what may surprise is logged.

    Raises:
        ValueError: no class at all, a line of nothing but separators, semicolons in a file with another separator, or
            another tool's list that cannot be read; the message has the line. TooManyNames: more names, or longer
            ones, than the limits of `class_lists.limits`.
    """
    place = source or "the vocabulary"
    check_text_length(text, place)
    original = text.removeprefix("\ufeff")
    text = resolve_entities(original)
    collection = read_collection(text, place)
    if collection is not None:
        classes, notes = list_numbered_classes(collection, place)
    else:
        for number, (raw, resolved) in enumerate(zip(original.splitlines(), text.splitlines(), strict=False), 1):
            if raw.strip() and not resolved.strip():
                raise ValueError(
                    f"Expected a class name in line {number} of {place}, but got {shorten_text(raw)}, a blank"
                )
        listed = clean_class_lines(text.splitlines(), place)
        classes, notes = [_split_synonyms(line, listed, separator) for line in listed.lines], listed.notes
    if not classes:
        raise ValueError(f"Expected one class a line in {place}, but it is empty")
    check_class_limits(classes, place)
    for note in (*notes, *note_shared_texts(classes, source), *note_file_names(classes, source, separator)):
        log_note(note)
    return Vocabulary(tuple(classes), source)


def _split_synonyms(line: ClassLine, listed: ClassLines, separator: str) -> tuple[str, ...]:
    text = line.text.translate(SEPARATORS) if separator == ";" else line.text
    if ";" in text and separator != ";":
        raise ValueError(
            f"Expected names between {separator!r}, as SCLIP writes them, in {listed.where(line)}, but it has ';': "
            "such a file belongs to ProxyCLIPSegmentation"
        )
    names = tuple(name for part in split_names(text, separator) if (name := unquote_name(part.strip())))
    if not names:
        raise ValueError(f"Expected a class name in {listed.where(line)}, but got {shorten_text(line.text)}")
    return names


def read_vocabulary(path: Path, separator: str = ";") -> Vocabulary:
    """Read the vocabulary of a UTF-8 or UTF-16 file (see `parse_vocabulary`).

    Raises:
        FileTooLarge: a file of more than MAX_CLASS_LIST_BYTES, of which nothing is read.
    """
    data = read_limited_bytes(path, MAX_CLASS_LIST_BYTES, "a class list")
    return parse_vocabulary(decode_class_file(data, path), str(path), separator)


def decode_class_file(data: bytes, path: Path) -> str:
    """Decode the bytes of a class file: UTF-8, or UTF-16 as Windows writes it, with and without a BOM.

    Raises:
        ValueError: another encoding.
    """
    encoding = next((name for bom, name in _BOMS if data.startswith(bom)), None)
    if encoding is None and b"\0" in data:  # no text in UTF-8 has zeros, but UTF-16's letters or line ends have
        encoding = max("utf-16-le", "utf-16-be", key=lambda name: _count_ascii(data, name))
    try:
        text = data.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"Expected UTF-8 text in {path}, but byte {error.start} is not: save it as UTF-8") from error
    if "\0" in text:
        raise ValueError(f"Expected UTF-8 text in {path}, but it has zero bytes: save it as UTF-8")
    return text.removeprefix("\ufeff")


def _count_ascii(data: bytes, encoding: str) -> int:
    """Count letters and line ends of ASCII in what is decoded so."""
    return sum(character.isascii() and character != "\0" for character in data.decode(encoding, "replace"))


def list_class_names(names: Sequence[str], place: str) -> list[str]:
    """Take the classes out of a list of names, one a class, and log what may surprise.

    Raises:
        ValueError: too many names, or LabelMe's `__ignore__` behind the first place.
    """
    check_name_count(len(names), place)
    classes, notes = list_numbered_classes([(None, (name,)) for name in names], place)
    for note in (*notes, *note_shared_texts(classes, place), *note_names([entry[0] for entry in classes], place)):
        log_note(note)
    return [entry[0] for entry in classes]
