"""Label maps as exact integers of any width; anything else is an error."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from proxyclip.data.files.errors import CorruptFile, FileIssue, InvalidFile
from proxyclip.data.files.images import explain_decode_error


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

    def check(self, labels: np.ndarray, path: str | Path) -> None:
        """Raise InvalidFile on labels of a file that are neither a class nor a mark."""
        top = 2**31 - 1 if self.classes is None else self.classes - (not self.reduce_zero)
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
        raise InvalidFile(FileIssue("illegal label", str(path), text, remedy))

    def apply(self, labels: np.ndarray) -> np.ndarray:
        """Convert labels of a file to int32 classes 0..classes-1 and `ignore`."""
        unscored = np.isin(labels, self.unscored)
        if self.reduce_zero:
            unscored |= labels == 0
        return np.where(unscored, self.ignore, labels - int(self.reduce_zero)).astype(np.int32)


def decode_label_map(data: bytes, path: str | Path) -> np.ndarray:
    """Decode a label map, (H, W) int32; palette images give indices.

    Raises:
        CorruptFile: (an OSError) unreadable, or truncated.
        InvalidFile: (a ValueError) more than one channel, lossy, or fractions.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            bands = image.getbands()
            file_format = image.format
            values = np.array(image) if len(bands) == 1 else None
    except (OSError, SyntaxError, ValueError) as error:
        remedy = "copy it or convert the data set again"
        issue = FileIssue("damaged label map", str(path), explain_decode_error(data, error), remedy)
        raise CorruptFile(issue) from error

    def invalid(text: str, remedy: str) -> InvalidFile:
        return InvalidFile(FileIssue("no label map", str(path), text, remedy))

    if values is None:
        text = f"has {len(bands)} channels ({''.join(bands)}), but expected one of labels"
        raise invalid(text, "convert the colours to class indices, or name the folder of index masks")
    if file_format in ("JPEG", "MPO"):
        raise invalid("is a JPEG, which changes labels", "make it again as PNG or TIFF")
    labels = values.astype(np.int32) if np.isfinite(values).all() else None
    if labels is None or not np.array_equal(labels, values):
        raise invalid(f"has {values.dtype} fractions, but expected whole numbers", "convert it to ids")
    return labels
