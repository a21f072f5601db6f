"""Legal and ignored values of label maps."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from proxyclip.data.files.errors import FileIssue, InvalidFile

ILLEGAL_LABEL = "illegal label"  # kind of the issue


@dataclass(frozen=True)
class LabelFormat:
    """Legal and ignored values of the label maps of a data set.

    Args:
        classes: number of classes that are scored; None allows any label.
        ignore: the value of pixels that are not scored, once a map is loaded.
        reduce_zero: True if 0 in the files means "not scored" and class k is k + 1.
        marks: values of the files, besides 0 with `reduce_zero`, that mean "not scored"; None: `ignore` alone.
    """

    classes: int | None = None
    ignore: int = 255
    reduce_zero: bool = False
    marks: tuple[int, ...] | None = None

    @property
    def unscored(self) -> tuple[int, ...]:
        """Values of the files that mean "not scored", without the 0 of `reduce_zero`."""
        return (self.ignore,) if self.marks is None else self.marks

    @property
    def max_label(self) -> int:
        """Largest legal value of the files that is a class."""
        return 2**31 - 1 if self.classes is None else self.classes - (not self.reduce_zero)

    def is_class(self, value: int) -> bool:
        """Return True if a value of the files is a class that is scored."""
        return self.reduce_zero <= value <= self.max_label and value not in self.unscored

    def is_legal(self, value: int) -> bool:
        """Return True if a value of the files is a class, or means "not scored"."""
        return self.is_class(value) or self.is_ignored(value)

    def is_ignored(self, value: int) -> bool:
        """Return True if a value of the files means "not scored"."""
        return value in self.unscored or (self.reduce_zero and value == 0)

    def check(self, labels: np.ndarray, path: str | Path) -> None:
        """Raise InvalidFile on labels of a file that are neither a class nor a mark."""
        top = self.max_label
        if labels.size and labels.min() >= 0 and labels.max() <= top:
            return
        wrong = ((labels < 0) | (labels > top)) & ~np.isin(labels, self.unscored)
        if not wrong.any():
            return
        values = np.unique(labels[wrong])
        shown = ", ".join(map(str, values[:5])) + (", ..." if len(values) > 5 else "")
        allowed = " or ".join([f"0..{top}", *(f"{mark} (ignored)" for mark in self.unscored)])
        text = f"{wrong.sum()} pixels have {shown}, but expected labels {allowed}"
        reduced = self.reduce_zero and values.tolist() == [255]
        guess = "these look like labels that are reduced already" if reduced else "convert the data set"
        remedy = (
            f"{guess}; reduce_zero_label is {self.reduce_zero}, another mark of ignored pixels is set by ignore_index"
        )
        raise InvalidFile(FileIssue(ILLEGAL_LABEL, str(path), text, remedy))

    def apply(self, labels: np.ndarray) -> np.ndarray:
        """Convert labels of a file to int32 classes 0..classes-1 and `ignore`."""
        unscored = np.isin(labels, self.unscored)
        if self.reduce_zero:
            unscored |= labels == 0
        return np.where(unscored, self.ignore, labels - int(self.reduce_zero)).astype(np.int32)
