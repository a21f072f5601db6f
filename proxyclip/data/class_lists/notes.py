"""Notes on class lists: what was read, and what may be meant otherwise."""

import logging
import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from proxyclip.data.class_lists.shared_texts import (
    clean_class_text,
    find_label_names,
    find_shared_texts,
    quote_pairs,
    quote_some,
    shorten_text,
)

logger = logging.getLogger(__name__)
MAX_REPEATED = 20  # names in a note
LIST_WITH_COMMAS = "cls_ade20k847.txt"  # ADE20K's synonyms in one name, as published


def note_shared_texts(classes: Sequence[Sequence[str]], source: str) -> list[str]:
    """Note names that stand twice, as text or for CLIP."""
    subject = source or "The vocabulary"
    counts = Counter(name for names in classes for name in names)
    repeated = sorted(name for name, count in counts.items() if count > 1)
    listing = (
        "["
        + ", ".join(map(shorten_text, repeated[:MAX_REPEATED]))
        + "]"
        + f" and {len(repeated) - MAX_REPEATED} more" * (len(repeated) > MAX_REPEATED)
    )
    notes = [f"{subject} has names that stand twice, only the first can win: {listing}"] if repeated else []
    shared = [item for item in find_shared_texts(classes) if item.names[0] != item.names[1]]
    if shared:
        only_case = all(len({clean_class_text(name, lower=False) for name in item.names}) > 1 for item in shared)
        reads = "CLIP, which reads lower case" if only_case else "CLIP"
        notes.append(
            f"{subject} has names that are one text for {reads}: only the first can win: {quote_pairs(shared)}"
        )
    return notes


def note_file_names(classes: Sequence[Sequence[str]], source: str, separator: str) -> list[str]:
    """Note names that are probably none, or several."""
    subject = source or "The vocabulary"
    names = [name for entry in classes for name in entry]
    notes = note_names(names, subject)
    for sign, one, many in ((",", "a comma", "commas"), ("|", "a bar", "bars"), ("\t", "a tab", "tabs")):
        signed = [name for name in names if sign in name]
        if signed and not (sign == "," and Path(source).name == LIST_WITH_COMMAS):
            count = f"{len(signed)} names have {many}" if len(signed) > 1 else f"1 name has {one}"
            notes.append(
                f"{subject}: {count}, as {shorten_text(signed[0])}: is {separator!r} meant, which is between synonyms?"
            )
    if len(classes) == 1 and len(names) > 1:
        notes.append(f"{subject} is 1 class with {len(names)} names: one class a line, {separator!r} between synonyms")
    return notes


def note_names(names: Sequence[str], subject: str) -> list[str]:
    """Note names that mark pixels without a class, and names that are nothing for CLIP."""
    notes = []
    if labels := find_label_names(names):
        notes.append(f"{subject}: {quote_some(labels)} marks pixels and describes nothing: write what they show")
    if hidden := [name for name in names if any(map(_is_invisible, name))]:
        some = ", ".join(ascii(name[:120]) for name in hidden[:3])
        notes.append(f"{subject}: invisible characters, which CLIP reads, in {some}")
    if empty := [name for name in names if not clean_class_text(name)]:
        notes.append(f"{subject}: nothing is left of {quote_some(empty)} for CLIP, which drops blanks in any form")
    return notes


def _is_invisible(character: str) -> bool:
    is_joiner = character in "\u200c\u200d"  # of Persian and of emoji
    return unicodedata.category(character) in ("Cf", "Cc") and not is_joiner and character != "\t"


@lru_cache(maxsize=1024)
def log_note(note: str) -> None:
    """Log a note as a warning, each once in a run: data set, model and other processes may read the same file."""
    if os.environ.get("RANK", "0") == "0":
        logger.warning("%s", note)
