"""Lines of a class list, and the numbers that may stand beside their names."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

_NUMBER_FIRST = re.compile(
    r"^[\"'(\[#]?(?:(?:class|label|id)\s+)?(?P<number>\d{1,5})[\"']?(?:\s*(?P<mark>=>|->|[:：.．)）\]\t,，、;；=|])(?!\d)\s*|\s+[-–—]\s+|\s+)(?P<name>.*\S)$"
)
_NUMBER_LAST = re.compile(r"^(?P<name>.*[^\W\d_]\D*?)(?:\s*(?P<mark>[:：\t,，=|])\s*|\s+)(?P<number>\d{1,5})$")
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


def strip_numbers(listed: ClassLines) -> ClassLines:
    """`0: car`, `1. car`, `0<tab>car`, `0,car`, `0 car`, and `car 0`."""
    for pattern in (_NUMBER_FIRST, _NUMBER_LAST):
        matches = [pattern.match(line.text) for line in listed.lines]
        matches = [match if match and re.search(r"[^\W\d_]", match["name"]) else None for match in matches]
        numbered = [match for match in matches if match]
        if not numbered:
            continue
        is_sure = all(match["mark"] in _SURE_MARKS if match["mark"] else False for match in numbered)
        if len(numbered) < len(listed.lines):
            if is_sure and pattern is _NUMBER_FIRST and 2 * len(numbered) > len(listed.lines) > 2:
                plain = listed.lines[matches.index(None)]
                raise ValueError(
                    f"Expected a number before every class or none, but {listed.where(plain)} is {plain.text!r}"
                )
            continue
        lines = [
            ClassLine(line.number, match["name"].strip(), int(match["number"]))
            for line, match in zip(listed.lines, numbered, strict=True)
        ]
        if pattern is _NUMBER_LAST and len(lines) < 2:
            continue
        if _is_numbering(lines, {match["mark"] for match in numbered}, is_sure, pattern is _NUMBER_FIRST):
            return order_by_labels(listed.take(lines))
        if pattern is _NUMBER_FIRST and len(lines) > 1 and ";" not in {match["mark"] for match in numbered}:
            example = listed.lines[0].text
            return listed.take(
                listed.lines, f"the numbers at the beginning of the names are a part of them, as {example!r}"
            )
    return listed


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
        note += f"; here {lines[0].text!r} is label 0"
        note += ", and label maps that begin with 1 need reduce_zero_label=True" if listed.is_file else ""
    return listed.take(lines, note)
