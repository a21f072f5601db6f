"""Lines of a class list, and the numbers that may stand beside their names."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from proxyclip.data.class_lists.shared_texts import shorten_text

_NUMBER_FIRST = re.compile(
    r"^[\"'(\[#]?(?:(?:class|label|id)\s+)?(?P<number>\d{1,5})[\"']?(?:\s*(?P<mark>=>|->|[:：.．)）\]\t,，、;；=|])(?!\d)\s*|\s+[-–—]\s+|\s+)(?P<name>.*\S)$"
)
_MARKS_BEFORE_NUMBER = frozenset(":：\t,，=|")
_LETTER = re.compile(r"[^\W\d_]")
_SURE_MARKS = frozenset(":：)）]\t|=>->")  # never behind the number of a name such as "2 door car"


@dataclass(frozen=True)
class ClassLine:
    """Text of a class, its line (or part) in the list, counted from 1, and the label that is written there."""

    number: int
    text: str
    label: int | None = None


@dataclass(frozen=True)
class ClassLines:
    """Lines of a class list without what another tool has around the names, and notes on that.

    Args:
        place: of messages; unit: what `number` of a line counts, line or class.
        is_file: whether label maps belong to the list.
    """

    lines: tuple[ClassLine, ...]
    place: str
    unit: str = "line"
    is_file: bool = True
    notes: tuple[str, ...] = ()

    def where(self, line: ClassLine) -> str:
        """Name a line in a message."""
        return f"{self.unit} {line.number} of {self.place}"

    def take(self, lines: Sequence[ClassLine], note: str = "") -> "ClassLines":
        """Return others instead of the lines, and one more note."""
        notes = (*self.notes, f"{self.place}: {note}") if note else self.notes
        return replace(self, lines=tuple(lines), notes=notes)


class _NumberedName(NamedTuple):
    """Digits of a number beside a name, and the sign between, if any."""

    number: str
    mark: str | None
    name: str


def strip_numbers(listed: ClassLines) -> ClassLines:
    """`0: car`, `1. car`, `0<tab>car`, `0,car`, `0 car`, and `car 0`."""
    for match_number in (_match_number_first, _match_number_last):
        is_first = match_number is _match_number_first
        matches = [match_number(line.text) for line in listed.lines]
        numbered = [match for match in matches if match]
        if not numbered:
            continue
        is_sure = all(match.mark in _SURE_MARKS if match.mark else False for match in numbered)
        if len(numbered) < len(listed.lines):
            if is_sure and is_first and 2 * len(numbered) > len(listed.lines) > 2:
                plain = listed.lines[matches.index(None)]
                raise ValueError(
                    f"Expected a number before every class or none, but {listed.where(plain)} is "
                    f"{shorten_text(plain.text)}"
                )
            continue
        lines = [
            ClassLine(line.number, match.name.strip(), int(match.number))
            for line, match in zip(listed.lines, numbered, strict=True)
        ]
        if not is_first and len(lines) < 2:
            continue
        if _is_numbering(lines, {match.mark for match in numbered}, is_sure, is_first):
            return order_by_labels(listed.take(lines))
        if is_first and len(lines) > 1 and ";" not in {match.mark for match in numbered}:
            example = listed.lines[0].text
            return listed.take(
                listed.lines,
                f"the numbers at the beginning of the names are a part of them, as {shorten_text(example)}",
            )
    return listed


def _match_number_first(text: str) -> _NumberedName | None:
    match = _NUMBER_FIRST.match(text)
    if match is None or not _LETTER.search(match["name"]):
        return None
    return _NumberedName(match["number"], match["mark"], match["name"])


def _match_number_last(text: str) -> _NumberedName | None:
    """Number of up to 5 digits behind a name, read from the end: a pattern would try every letter of long names."""
    size = next((i for i, character in enumerate(reversed(text[-6:])) if not character.isdecimal()), 6)
    before = text[: len(text) - size]
    name = before.rstrip()
    mark = name[-1:] if name[-1:] in _MARKS_BEFORE_NUMBER else None
    if before[-1:] and before[-1:].isspace() and mark is None and "\t" in before[len(name) :]:
        mark = "\t"
    name = name[:-1].rstrip() if mark and mark != "\t" else name
    if not 0 < size < 6 or name == before:
        return None
    last = next((i for i, character in enumerate(reversed(name)) if character.isdecimal()), len(name))
    return _NumberedName(text[len(text) - size :], mark, name) if _LETTER.search(name[len(name) - last :]) else None


def _is_numbering(lines: Sequence[ClassLine], marks: set[str | None], is_sure: bool, is_first: bool) -> bool:
    """Tell numbers of a list, before or behind the names, from those that belong to the names."""
    labels = [line.label for line in lines]
    names = [line.text.lower() for line in lines]
    starts_at_0 = labels[0] == 0
    if marks == {";"} and {"one", "two"} & {*names}:  # "1; one": both are names of the digit
        return False
    if is_sure:
        return len(lines) > 1 or labels[0] in (0, 1)
    is_consecutive = labels == [*range(len(labels))] or labels == [*range(1, len(labels) + 1)]
    if len(lines) < 2 or len({*names}) < len(names):  # "1 euro coin", "2 euro coin"
        return False
    is_increasing = all(a < b for a, b in pairwise(labels) if a is not None and b is not None)
    if None in marks and not starts_at_0:  # blanks alone: "1 euro coin", "2 cent coin"
        return is_consecutive and is_first
    return is_consecutive or (len(lines) > 2 and is_increasing and labels[0] in (0, 1))


def order_by_labels(listed: ClassLines) -> ClassLines:
    """Put the lines of a list with labels into their order.

    Raises:
        ValueError: labels that are no numbering from 0 or 1; the message has the first that is wrong.
    """
    lines = sorted(listed.lines, key=lambda line: line.label or 0)
    first = lines[0].label or 0
    counts = Counter(line.label for line in lines)
    remedy = "leave the numbers out"
    if listed.is_file:
        remedy = (
            "class k here is label k, so write one class a line in the order of the labels, without numbers, and give "
            "the label maps those labels"
        )
    for position, line in enumerate(lines):
        expected = position + min(first, 1)
        if line.label == expected:
            continue
        problem = "which stands twice" if counts[line.label] > 1 else f"where {expected} was to come"
        raise ValueError(
            f"Expected classes numbered 0, 1, 2, ... or 1, 2, 3, ..., but {listed.where(line)} has {line.label}, "
            f"{problem}: {remedy}"
        )
    note = f"the numbers beside the names are taken as labels, {first} to {lines[-1].label}"
    if tuple(lines) != listed.lines:
        note += ", and the classes put into their order"
    if first == 1:
        note += f"; here {shorten_text(lines[0].text)} is label 0"
        note += ", and label maps that begin with 1 need reduce_zero_label=True" if listed.is_file else ""
    return listed.take(lines, note)
