"""Class lists of other tools, a line (or part of a text) a class.

LabelMe's labels.txt, CVAT's labelmap.txt, numbered lists, tables with a heading, bullets, comments and quotes.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import replace

from proxyclip.data.class_lists.limits import check_name_count
from proxyclip.data.class_lists.numbering import ClassLine, ClassLines, order_by_labels, strip_numbers
from proxyclip.data.class_lists.shared_texts import quote_some, shorten_text
from proxyclip.data.class_lists.structures import Numbered

IGNORED_LABEL = "__ignore__"  # LabelMe's first line: label -1, which is 255 in a file of 8 bits
NUMBER_HEADINGS = (
    "id", "index", "idx", "label_id", "labelid", "class_id", "category_id", "train_id", "trainid", "value",
    "pixel_value",
)  # fmt: skip
NAME_HEADINGS = (
    "name", "names", "class_name", "classname", "label", "label_name", "class", "category", "category_name",
)  # fmt: skip
_QUOTES = ('""', "''", "“”", "„“", "‘’", "«»", "「」", "``")
_CVAT_HEADING = re.compile(r"^#?\s*label\s*:\s*color", re.IGNORECASE)
_CVAT_LINE = re.compile(r"^([^:]+):(?:\s*\d+\s*,\s*\d+\s*,\s*\d+\s*)?:[^:]*:[^:]*$")
_BULLET = re.compile(r"^[-*•–·]\s+")
_COLORS = re.compile(r"^[^\d,\t]*[^\d,\t\s](?:(?:\s*[,;\t ]\s*\d{1,3}){3,4}|\s*[,;\t ]\s*#[0-9a-fA-F]{6})$")
_BLANKS = re.compile(r"\s{2,}")  # in which the two patterns of colors would be slow
_LEADING_COLORS = re.compile(r"\s*\d{1,3}([\s,]+)\d{1,3}\1\d{1,3}\1\s*[^\s\d,]")  # as CamVid's "64 128 64 Animal"


def clean_class_lines(texts: Sequence[str], place: str, unit: str = "line", is_file: bool = True) -> ClassLines:
    """Take the names out of the lines of a class list.

    Raises:
        ValueError: lines that are plainly of another tool and cannot be read for certain; the message has the line.
    """
    lines = [ClassLine(number, text.strip()) for number, text in enumerate(texts, 1) if text.strip()]
    check_name_count(len(lines), place)
    listed = ClassLines(tuple(lines), place, unit, is_file)
    for read in (_read_label_map, _drop_comments, _read_table, _strip_commas, _strip_bullets, strip_numbers):
        listed = read(listed)
    _refuse_columns(listed)
    return drop_ignored_label(listed)


def unquote_name(name: str) -> str:
    """Take off the quotes around a name."""
    for opening, closing in map(tuple, _QUOTES):
        inner = name[1:-1]
        if len(name) > 2 and name[0] == opening and name[-1] == closing and not {opening, closing} & {*inner}:
            return inner.strip()
    return name


def _read_label_map(listed: ClassLines) -> ClassLines:
    """CVAT's labelmap.txt: `name:color:parts:actions`."""
    lines = [line for line in listed.lines if not _CVAT_HEADING.match(line.text)]
    matches = [_CVAT_LINE.match(line.text) for line in lines if not line.text.startswith("#")]
    if not matches or not all(matches):
        return listed
    names = [replace(line, text=match[1].strip()) for line, match in zip(lines, matches, strict=False) if match]
    return listed.take(names, "read as CVAT's label map: colors, parts and actions are left out; class k is label k")


def _drop_comments(listed: ClassLines) -> ClassLines:
    """Lines after `#` or `//`, and what stands behind `#` in a line."""
    lines = []
    comments = []
    for line in listed.lines:
        text, *comment = re.split(r"\s(?=#\s)", line.text, maxsplit=1)  # no \s+, which is slow in many blanks
        if text.startswith(("#", "//")):
            comments.append(line.text)
        else:
            lines.append(replace(line, text=text.rstrip()))
            comments += comment
    if not comments or not lines:
        return listed
    return listed.take(lines, f"taken as comments, which are no class: {quote_some(comments)}")


def _read_table(listed: ClassLines) -> ClassLines:
    """A table with a heading that names the columns."""
    heading = listed.lines[0].text if listed.lines else ""
    for delimiter in ("\t", ",", ";", "|"):
        columns = [re.sub(r"[\s_-]+", "_", cell.strip(" \"'").lower()) for cell in heading.split(delimiter)]
        name_column = next((columns.index(name) for name in columns if name in NAME_HEADINGS), None)
        is_table = len(columns) > 1 and {*NUMBER_HEADINGS, "r", "red", "color"} & {*columns}
        if name_column is None or not is_table or len(listed.lines) < 2:
            continue
        id_column = next((columns.index(name) for name in columns if name in NUMBER_HEADINGS), None)
        lines = []
        for line in listed.lines[1:]:
            cells = _split_cells(line.text, delimiter)
            label = cells[id_column].strip() if id_column is not None and len(cells) == len(columns) else ""
            if len(cells) != len(columns) or not (id_column is None or label.isdecimal()):
                raise ValueError(
                    f"Expected {', '.join(columns)[:120]} in {listed.where(line)}, but got {shorten_text(line.text)}"
                )
            lines.append(ClassLine(line.number, cells[name_column].strip(), int(label) if label else None))
        listed = listed.take(lines, f"read as a table, of which the column {columns[name_column]!r} names the classes")
        return listed if id_column is None else order_by_labels(listed)
    return listed


def _split_cells(text: str, delimiter: str) -> list[str]:
    """Cells of a line of a table; none where it cannot be read as one."""
    try:
        return next(csv.reader([text], delimiter=delimiter, skipinitialspace=True))
    except (csv.Error, StopIteration):  # a cell of more than 131072 letters
        return []


def _strip_commas(listed: ClassLines) -> ClassLines:
    """Commas at the end of lines, as a list in a program has them."""
    return listed.take([replace(line, text=line.text.rstrip(", ") or line.text) for line in listed.lines])


def _strip_bullets(listed: ClassLines) -> ClassLines:
    """`- car`."""
    marked = [line for line in listed.lines if _BULLET.match(line.text)]
    if not marked:
        return listed
    if len(marked) < len(listed.lines):
        plain = next(line for line in listed.lines if not _BULLET.match(line.text))
        raise ValueError(
            f"Expected a bullet before every class or none, but {listed.where(marked[0])} is "
            f"{shorten_text(marked[0].text)} and {listed.unit} {plain.number} is {shorten_text(plain.text)}"
        )
    return listed.take([replace(line, text=_BULLET.sub("", line.text)) for line in listed.lines])


def _refuse_columns(listed: ClassLines) -> None:
    """Raise for a table without a heading: nobody knows which column has the names."""
    texts = [_BLANKS.sub(_shorten_blanks, line.text) for line in listed.lines]
    forms = (_COLORS.match, _LEADING_COLORS.match, lambda text: "\t" in text)
    if len(texts) > 1 and any(all(map(form, texts)) for form in forms):
        raise ValueError(
            f"Expected a name of a class in {listed.where(listed.lines[0])}, but got {shorten_text(texts[0])}, as in "
            "all others: keep the names alone"
        )


def _shorten_blanks(match: re.Match[str]) -> str:
    return "\t" if "\t" in match[0] else " "


def drop_ignored_label(listed: ClassLines) -> ClassLines:
    """Leave out LabelMe's `__ignore__` in the first line, which is no class there.

    Raises:
        ValueError: it is in another line.
    """
    ignored = [line for line in listed.lines if unquote_name(line.text) == IGNORED_LABEL]
    if not ignored or len(listed.lines) == 1:
        return listed
    if ignored != [listed.lines[0]]:
        raise ValueError(
            f"Expected {IGNORED_LABEL!r} in the first line, where LabelMe has it, but it is "
            f"{listed.where(ignored[-1])}: it is no class; leave it out where no label map has its label"
        )
    name = listed.lines[1].text
    return listed.take(
        listed.lines[1:],
        f"{IGNORED_LABEL!r} is left out, as in LabelMe, where it is label -1 (255 in the file) and no class: label 0 "
        f"is {shorten_text(name)}",
    )


def list_numbered_classes(
    classes: Numbered, place: str, is_file: bool = True
) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """Order the classes of a list or dict by their labels, if it has any; return them, and notes."""
    lines = [ClassLine(i, names[0], label) for i, (label, names) in enumerate(classes, 1)]
    listed = ClassLines(tuple(lines), place, "entry", is_file)
    if any(line.label is not None for line in lines):
        if missing := [line for line in lines if line.label is None]:
            raise ValueError(f"Expected a label of every class or none, but {listed.where(missing[0])} has none")
        listed = order_by_labels(listed)
    listed = drop_ignored_label(listed)
    return [classes[line.number - 1][1] for line in listed.lines], listed.notes
