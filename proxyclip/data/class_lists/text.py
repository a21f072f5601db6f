"""Class lists as text: on a command line, in a box of the page, in Python."""

import html.entities
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proxyclip.data.class_lists.limits import check_text_length
from proxyclip.data.class_lists.lines import clean_class_lines, list_numbered_classes, unquote_name
from proxyclip.data.class_lists.shared_texts import shorten_name, shorten_text
from proxyclip.data.class_lists.structures import read_collection
from proxyclip.utils.paths import ROOT, path_exists
from proxyclip.utils.probability import parse_probability

SEPARATORS = str.maketrans("；؛﹔\u037e，、،﹐､｜¦", ";;;;,,,,,||")  # of other keyboards
CLASS_FILE_SUFFIXES = (".txt", ".csv", ".tsv", ".json", ".yaml", ".yml", ".pbtxt", ".names", ".lst", ".list")
_QUOTED_NAME = r'(?:(?<=[;,|])|^)\s*"[^"]*"\s*(?=[;,|]|$)'  # whole, and not the inches of 5" pipe
_OTHER_SEPARATORS = re.compile(r"\s[/\\&+•–—:~>-]\s|[／・＆＋：•·]|\\")
TEXT_PLACE = "the text"


@dataclass(frozen=True)
class ClassText:
    """Classes of a text, each a list of its names, and notes on how the text was read."""

    classes: list[list[str]]
    notes: tuple[str, ...] = ()


def is_class_file(text: str) -> bool:
    """Tell text that names a file of classes from text that has the classes themselves.

    It names one if it has the ending of a list, or is the path, with a separator, of a file that exists: a name alone
    is a class, whatever lies in the folder.
    """
    if "\0" in text or len(text.splitlines()) > 1:
        return False
    if text.lower().endswith(CLASS_FILE_SUFFIXES):
        return ";" not in text or path_exists(text)
    return bool({"/", os.sep} & {*text}) and any(path_exists(place) for place in _list_places(text))


def _list_places(text: str) -> list[Path]:
    try:
        path = Path(text).expanduser()
        return [place for place in (path, ROOT / path) if not place.is_dir()]
    except (OSError, ValueError, RuntimeError):  # no path, or the home of a user who is none
        return []


def parse_class_text(text: str, place: str = TEXT_PLACE) -> ClassText:
    """Parse classes between `;` or line ends, and synonyms between `,`.

    Without any `;` or line end, `,` is between classes; without that, a tab or `|` is. A name in quotes may have all of
    them. Separators of other keyboards, and lists of other tools, are taken as in `parse_vocabulary`.

    Raises:
        ValueError: another tool's list that cannot be read. TooManyNames: a text too long to be classes.
    """
    check_text_length(text, place)
    collection = read_collection(text, place)
    if collection is not None:
        listed_classes, listed_notes = list_numbered_classes(collection, place, is_file=False)
        return ClassText([list(names) for names in listed_classes], listed_notes)
    text = resolve_entities(text).translate(SEPARATORS).replace("\\n", "\n").replace("\\t", "\t")  # typed as such
    if (whole := re.fullmatch(r"\s*'([^']*)'\s*", text)) is not None:
        text = whole[1]  # quotes that a shell of Windows leaves
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        text = text.replace("\t", ";")
    parts = [part for line in text.splitlines() for part in split_names(line, ";")]
    separator = ";" if len(parts) > 1 else "|" if "|" in text and "," not in text else ","
    if len(parts) < 2:
        parts = [part for part in split_names(text, separator) if part.strip()]
    listed = clean_class_lines(parts, place, "line" if len(lines) > 1 else "class", is_file=False)
    entries = [[unquote_name(name.strip()) for name in split_names(line.text, ",")] for line in listed.lines]
    classes = [names for entry in entries if (names := [name for name in entry if name])]
    notes = [*listed.notes]
    if separator == "," and len(classes) > 1:
        notes.append(_note_commas([names[0] for names in classes]))
    if len(lines) > 1 and "," not in text and any(";" in line.strip("; ") for line in lines):
        notes.append(
            "';' and line ends are both between classes in text; between synonyms put ',' (in a file it is ';')"
        )
    if len(classes) == 1 and (other := _OTHER_SEPARATORS.search(classes[0][0])):
        notes.append(f"1 class, {shorten_name(classes[0][0])}: between classes put ';' and not {other[0].strip()!r}")
    if any("|" in name for names in classes for name in names):
        notes.append("'|' is a part of names here: ';' is between classes, ',' between synonyms")
    return ClassText(classes, tuple(notes))


def parse_background_text(text: str) -> float | list[str]:
    """Parse a background: a number as people write it, or the names in a text.

    Raises:
        ValueError: another number than a probability, or a number among names.
    """
    text = text.strip()
    number = parse_probability(text) if text else None
    if number is not None:
        return number
    names = [name for synonyms in parse_class_text(text, "the background").classes for name in synonyms]
    for name in names:
        if name[:1].isdecimal() and parse_probability(name) is not None:
            raise ValueError(
                f"Expected names or one number as background, but got {shorten_text(text)}: give the names as "
                f"background, and {name[:40]} as threshold"
            )
    return names


def _note_commas(names: Sequence[str]) -> str:
    some = " | ".join(name if len(name) <= 120 else shorten_text(name) for name in names[:3]) + " | ..." * (
        len(names) > 3
    )
    synonyms = ", ".join(names[:2]) + ";"
    return f"{len(names)} classes, for there is no ';': {some} ({shorten_text(synonyms)} is one class with a synonym)"


def resolve_entities(text: str) -> str:
    """Resolve HTML entities, whose `;` is between no classes; CLIP's tokenizers resolve them too."""
    return re.sub(r"&(#\d{1,9}|#[xX][0-9a-fA-F]{1,8}|\w{1,40});", _resolve_entity, text) if "&" in text else text


def _resolve_entity(match: re.Match[str]) -> str:
    is_entity = match[1].startswith("#") or f"{match[1]};" in html.entities.html5
    return html.unescape(match[0]) if is_entity else match[0]


def split_names(text: str, separator: str) -> list[str]:
    """Split text, but not inside of names in double quotes."""
    if '"' not in text or len(separator) > 1:
        return text.split(separator)
    return re.findall(rf"(?:{_QUOTED_NAME}|[^{separator}])+", text)


def quote_name(name: str) -> str:
    """Put a name with separators into double quotes."""
    return f'"{name}"' if {",", ";", "|"} & {*name} else name
