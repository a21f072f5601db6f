"""Class names of a data set, with synonyms, from vocabulary files."""

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)


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

    Blanks around names, blank lines and a BOM are dropped.

    Raises:
        ValueError: no class at all, a line of nothing but separators, or semicolons in a file with another separator;
            the message has the line.
    """
    classes = []
    place = source or "the vocabulary"
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if not line.strip():
            continue
        if ";" in line and separator != ";":
            raise ValueError(
                f"Expected names between {separator!r}, as SCLIP writes them, in line {number} of {place}, but it has "
                "';': such a file belongs to ProxyCLIPSegmentation"
            )
        names = tuple(name.strip() for name in line.split(separator) if name.strip())
        if not names:
            raise ValueError(f"Expected a class name in line {number} of {place}, but got {line!r}")
        classes.append(names)
    counts = Counter(name for names in classes for name in names)
    repeated = sorted(name for name, count in counts.items() if count > 1)
    if repeated:
        subject = source or "The vocabulary"
        logger.warning("%s has names that stand twice, only the first can win: %s", subject, repeated)
    if not classes:
        raise ValueError(f"Expected one class a line in {place}, but it is empty")
    return Vocabulary(tuple(classes), source)


def read_vocabulary(path: Path, separator: str = ";") -> Vocabulary:
    """Read the vocabulary of a UTF-8 file (see `parse_vocabulary`)."""
    try:
        return parse_vocabulary(path.read_text(encoding="utf-8"), str(path), separator)
    except UnicodeDecodeError as error:
        raise ValueError(f"Expected UTF-8 text in {path}, but byte {error.start} is not: save it as UTF-8") from error
