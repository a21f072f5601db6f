"""Check of class names with the tokenizer of the CLIP that reads them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from torch import Tensor

from proxyclip.data.class_lists.notes import log_note
from proxyclip.data.class_lists.shared_texts import (
    MAX_LISTED,
    SharedText,
    clean_class_text,
    find_foreign_names,
    find_shared_texts,
    quote_pairs,
    quote_some,
    shorten_name,
)

MULTILINGUAL_VOCABULARY = 100_000  # tokens; OpenAI's has 49,408, BERT's 30,522, XLM's 250,002
SHORT_NAME = 20  # characters, of which none is cut

Tokenize = Callable[[list[str]], Tensor]
Classes = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class NameCheck:
    """Names that are not what they seem, for one tokenizer and its prompts.

    Args:
        shared: names of two classes whose prompts are equal, all of them.
        cut: names whose end is beyond the context; empty: names of which nothing is left.
        foreign: names in other scripts, for a tokenizer of English.
    """

    shared: tuple[SharedText, ...] = ()
    cut: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()

    def format_notes(self, subject: str) -> list[str]:
        """Format all but names that are equal as text, which reading them has told."""
        notes = []
        shared = [item for item in self.shared if len({*map(clean_class_text, item.names)}) > 1]
        if shared:
            notes.append(f"{subject}: one text for this CLIP, only the first can win: {quote_pairs(shared)}")
        if self.cut:
            names = ", ".join(map(shorten_name, self.cut[:MAX_LISTED]))
            notes.append(f"{subject}: longer than this CLIP reads, so the end is cut: {names}")
        if self.empty:
            notes.append(f"{subject}: nothing is left of {quote_some(self.empty)} for this CLIP")
        if self.foreign:
            notes.append(
                f"{subject}: {quote_some(self.foreign)} in a script that this CLIP, trained on English captions, "
                "hardly knows: write the classes in English"
            )
        return notes


@lru_cache(maxsize=16)
def check_class_names(tokenizer: Any, classes: Classes, templates: tuple[str, ...]) -> NameCheck:
    """Compare the tokens of the prompts of all names.

    Args:
        tokenizer: texts -> token ids (B, L), of the CLIP.
        classes: the names of each.
        templates: format strings with one `{}`. Names are one only if they are so in every template.
    """
    names = [name for entry in classes for name in entry]
    if not names or not callable(tokenizer):
        return NameCheck()
    template = max(templates, key=len)
    rows = dict(zip(names, _tokenize(tokenizer, [template.format(name) for name in names]), strict=True))
    shared = [
        item
        for item in find_shared_texts(classes, rows.__getitem__)
        if item.names[0] == item.names[1] or _is_one_text(tokenizer, item.names, templates)
    ]
    (nothing,) = _tokenize(tokenizer, [template.format("")])
    long_names = [name for name in names if len(name) > SHORT_NAME]
    shorter = _tokenize(tokenizer, [template.format(name[:-1]) for name in long_names]) if long_names else []
    cut = [name for name, row in zip(long_names, shorter, strict=True) if row == rows[name]]
    foreign = [] if is_multilingual(tokenizer) else find_foreign_names(names)
    empty = [name for name in names if rows[name] == nothing]
    return NameCheck(tuple(shared), tuple(cut), tuple(empty), tuple(foreign))


def log_name_check(clip: Any, classes: Sequence[Sequence[str]], templates: Sequence[str], subject: str) -> None:
    """Log what the CLIP of a model makes of its class names."""
    check = check_class_names(getattr(clip, "tokenizer", None), tuple(map(tuple, classes)), tuple(templates))
    for note in check.format_notes(subject or "The classes"):
        log_note(note)


def is_multilingual(tokenizer: Any) -> bool:
    """Return True for a tokenizer of many languages, by the size of its vocabulary."""
    inner = getattr(tokenizer, "tokenizer", None)
    size = getattr(tokenizer, "vocab_size", None) or getattr(inner, "vocab_size", None) or 0
    return size > MULTILINGUAL_VOCABULARY


def _is_one_text(tokenizer: Any, names: tuple[str, str], templates: Sequence[str]) -> bool:
    first, second = (_tokenize(tokenizer, [template.format(name) for template in templates]) for name in names)
    return first == second


def _tokenize(tokenizer: Tokenize, texts: list[str]) -> list[tuple[int, ...]]:
    return [tuple(row) for row in tokenizer(texts).tolist()]
