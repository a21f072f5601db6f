"""Counts of the label values of a data set, and the issues that only all of its labels tell."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from proxyclip.data.files.errors import FileIssue
from proxyclip.data.files.labels import ILLEGAL_LABEL, LabelFormat

BACKGROUND_NAMES = ("background", "unlabeled", "unlabelled", "void", "other", "others", "none", "ignore", "clutter")
FREQUENT = 0.8  # share of the label maps from which on a value is in nearly all of them
MAX_SHOWN = 5  # values or names in a message


@dataclass(frozen=True)
class ValueCount:
    """Pixels and files that have a value, and the first of the files."""

    pixels: int
    files: int
    first: str


@dataclass
class LabelCounts:
    """Counts of the values of label maps, as they stand in the files."""

    files: int = 0
    values: dict[int, ValueCount] = field(default_factory=dict)

    def add(self, file: str, pixels: Mapping[int, int]) -> None:
        """Add the pixels of every value of one label map."""
        self.files += 1
        for value, count in pixels.items():
            known = self.values.get(value, ValueCount(0, 0, file))
            self.values[value] = ValueCount(known.pixels + count, known.files + 1, known.first)

    @property
    def pixels(self) -> int:
        """Pixels of all label maps."""
        return sum(count.pixels for count in self.values.values())

    def to_json(self) -> list:
        """Convert to lists for a JSON file."""
        values = [[value, count.pixels, count.files, count.first] for value, count in sorted(self.values.items())]
        return [self.files, values]

    @classmethod
    def from_json(cls, content: Sequence) -> "LabelCounts":
        """Convert back from `to_json`."""
        files, values = content
        return cls(files, {value: ValueCount(pixels, count, first) for value, pixels, count, first in values})


@dataclass(frozen=True)
class LabelContext:
    """Facts of a data set beside its label maps.

    Args:
        folder: of the label maps, for messages.
        names: of the classes of the files, in label order.
        label_format: legal and ignored values.
        stated: options of the data set that the user set: they answer the question whether they are meant.
    """

    folder: str
    names: tuple[str, ...]
    label_format: LabelFormat
    stated: frozenset[str] = frozenset()


def count_label_values(labels: np.ndarray) -> dict[int, int]:
    """Count the pixels of every value of a label map (H, W) int32."""
    if labels.size and labels.min() >= 0 and labels.max() < 65536:
        counts = np.bincount(labels.ravel())
        values = np.flatnonzero(counts)
        return dict(zip(values.tolist(), counts[values].tolist(), strict=True))
    values, counts = np.unique(labels, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def name_label_values(counts: LabelCounts, context: LabelContext) -> Iterator[tuple[int, str, ValueCount]]:
    """Yield each value of the files with the name of its class, "ignored" or "illegal"."""
    label_format = context.label_format
    for value, count in sorted(counts.values.items()):
        if label_format.is_class(value):
            yield value, context.names[value - label_format.reduce_zero], count
        else:
            yield value, "ignored" if label_format.is_ignored(value) else "illegal", count


def find_label_issues(counts: LabelCounts, context: LabelContext) -> Iterator[FileIssue]:
    """Find what is wrong with the labels of a whole set: one issue a cause."""
    label_format = context.label_format
    illegal = sorted(value for value in counts.values if not label_format.is_legal(value))
    if illegal:
        yield _explain_illegal_values(illegal, counts, context)
        return
    classes = {value for value in counts.values if label_format.is_class(value)}
    ignored = counts.values.keys() - classes
    if counts.files and not classes:
        text = f"every pixel of all {counts.files} label maps is ignored ({_join(sorted(ignored))})"
        yield FileIssue("nothing labelled", context.folder, text, "ignore_index or the folder of labels is wrong")
        return
    absent = [name for k, name in enumerate(context.names) if k + label_format.reduce_zero not in classes]
    if not absent or not counts.files:
        return
    marks = sorted(ignored - {0} if label_format.reduce_zero else ignored)
    ignored_share = sum(counts.values[value].pixels for value in marks) / counts.pixels
    is_lonely = classes == {0} or (len(classes) == 1 and len(context.names) == 2)
    if marks and "ignore_index" not in context.stated and (is_lonely or ignored_share > 0.5):
        yield _ask_for_ignored_class(marks, ignored_share, absent, context)
    elif counts.values.keys() == {0} and counts.files > 1 and "reduce_zero_label" not in context.stated:
        text = f"all {counts.files} label maps have the label 0 ({context.names[0]}) alone"
        remedy = "look whether they are black, or scaled; if all is of this class, reduce_zero_label=False says so"
        yield FileIssue("one label", context.folder, text, remedy)
    elif _is_zero_doubtful(counts, context, classes):
        yield _ask_for_zero(counts, context)
    else:
        marked = f", {_join(marks)} (ignored) has {_format_share(ignored_share)} of the pixels" if marks else ""
        text = f"{len(absent)} of {len(context.names)} classes have no pixel ({_join(absent, counts=False)}){marked}"
        yield FileIssue("absent classes", context.folder, text, "mIoU depends on the rule, see mIoU_gt", level="note")


def _explain_illegal_values(illegal: Sequence[int], counts: LabelCounts, context: LabelContext) -> FileIssue:
    """Explain values that are neither a class nor ignored, with what they may mean."""
    label_format, number = context.label_format, len(context.names)
    chosen = [counts.values[value] for value in illegal]
    files = max(count.files for count in chosen)
    share = sum(count.pixels for count in chosen) / counts.pixels
    several = len(illegal) > 1
    place = chosen[0].first if files == 1 and len({count.first for count in chosen}) == 1 else context.folder
    occurrence = (
        f"in {'up to ' if several else ''}{files} of {counts.files} files, {_format_share(share)} of the pixels"
    )
    allowed = " or ".join([f"0..{label_format.max_label}", *(f"{mark} (ignored)" for mark in label_format.unscored)])
    text = (
        f"label{'s' if several else ''} {_join(illegal)} {occurrence} (first: {chosen[0].first.rpartition('/')[2]}), "
        f"but expected {allowed}"
    )
    options = []
    if not several:
        options.append(f"ignore_index={illegal[0]} if it means void")
    if illegal == [number] and not label_format.reduce_zero:
        options.append("reduce_zero_label=True if 0 means not labelled and the classes begin at 1")
    if label_format.reduce_zero and illegal == [255]:
        options.append("reduce_zero_label=False if the labels are reduced already and 255 means void")
    step = int(np.gcd.reduce([value for value in counts.values if value > 0] or [1]))
    if several and step > 1 and max(counts.values) // step < max(number, 256 // step):
        options.append(f"all values are multiples of {step}: were they scaled to be seen? Divide them by it")
    if not any(label_format.is_class(value) and value for value in counts.values):
        options.insert(0, f"are these gray levels? No map has a class but 0: write 0..{label_format.max_label}")
    if several or not options:
        options.append(
            "convert the data set: the class of line k has the value k - 1, or k with reduce_zero_label=True"
        )
    return FileIssue(ILLEGAL_LABEL, place, text, "; ".join(options))


def _ask_for_ignored_class(
    marks: Sequence[int], share: float, absent: Sequence[str], context: LabelContext
) -> FileIssue:
    """Ask whether the ignored value is a class: it stands for pixels that classes lack."""
    number = len(context.names)
    text = (
        f"{len(absent)} of {number} classes have no pixel ({_join(absent, counts=False)}), while {_join(marks)}, which "
        f"is ignored, has {_format_share(share)} of the pixels and seems to mean one"
    )
    remedy = f"write the number of the class for it; if it means void: ignore_index={marks[0]} says so"
    return FileIssue("foreground ignored", context.folder, text, remedy)


def _is_zero_doubtful(counts: LabelCounts, context: LabelContext, classes: set[int]) -> bool:
    """True if 0 may mean "not labelled": it is nearly everywhere, and the last class nowhere."""
    if context.label_format.reduce_zero or "reduce_zero_label" in context.stated or len(context.names) < 3:
        return False
    is_background = any(part in BACKGROUND_NAMES for part in context.names[0].lower().strip("_ ").split())
    frequent = 0 in classes and counts.values[0].files >= FREQUENT * counts.files
    return frequent and not is_background and len(context.names) - 1 not in classes


def _ask_for_zero(counts: LabelCounts, context: LabelContext) -> FileIssue:
    """Ask whether 0 is the first class or means "not labelled"."""
    zero, names = counts.values[0], context.names
    text = (
        f"label 0 is in {zero.files} of {counts.files} files and the last class, {len(names) - 1} ({names[-1]}), in "
        f"none: 0 means {names[0]}, or not labelled and {names[0]} is 1"
    )
    remedy = f"say which: reduce_zero_label=False if 0 is {names[0]}, reduce_zero_label=True if it is not labelled"
    return FileIssue("meaning of 0", context.folder, text, remedy)


def _format_share(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 or share == 0 else "under 1 %"


def _join(values: Sequence[object], counts: bool = True) -> str:
    """Join the first values; with `counts` the number of all, where there are more."""
    more = f", ... ({len(values)} in all)" if counts else ", ..."
    return ", ".join(map(str, values[:MAX_SHOWN])) + (more if len(values) > MAX_SHOWN else "")
