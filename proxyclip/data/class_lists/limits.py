"""Limits on class lists, looked at before anything of a list is parsed or prepared for CLIP."""

from collections.abc import Iterable, Sequence
from itertools import islice

from proxyclip.data.class_lists.shared_texts import shorten_name
from proxyclip.utils.file_limits import MEGABYTE

MAX_CLASS_LIST_BYTES = 10 * MEGABYTE  # of a file, or letters of a text; ImageNet-21k with all synonyms has 0.7 MB
MAX_CLASS_LIST_NAMES = 100_000  # synonyms included
MAX_NAME_LETTERS = 2000  # CLIP reads 77 tokens, some 400 letters
MAX_NESTING = 20  # of lists and dicts in another


class TooManyNames(ValueError):
    """More names, or longer ones, than a reader of class lists takes."""


def check_text_length(text: str, place: str, limit: int = MAX_CLASS_LIST_BYTES) -> None:
    """Raise TooManyNames for a text of more than `limit` letters."""
    if len(text) > limit:
        raise TooManyNames(
            f"Expected at most {limit} letters of class names in {place}, but got {len(text)}: name fewer classes"
        )


def check_name_length(name: str, place: str, limit: int = MAX_NAME_LETTERS) -> None:
    """Raise TooManyNames for a name of more than `limit` letters."""
    if len(name) > limit:
        raise TooManyNames(
            f"Expected names of at most {limit} letters in {place}, but {shorten_name(name)} has {len(name)}: CLIP "
            'reads no more than the first 77 tokens of a name; between classes put ";"'
        )


def check_name_count(count: int, place: str, limit: int = MAX_CLASS_LIST_NAMES) -> None:
    """Raise TooManyNames for more than `limit` names, synonyms included."""
    if count > limit:
        raise TooManyNames(f"Expected at most {limit} names, but got {count} in {place}: name fewer classes")


def check_class_limits(
    classes: Iterable[Sequence[str]],
    place: str,
    max_names: int = MAX_CLASS_LIST_NAMES,
    max_letters: int = MAX_NAME_LETTERS,
) -> None:
    """Raise TooManyNames for too many names of all classes together, or for one that is too long."""
    count = 0
    for names in classes:
        count += len(names)
        for name in islice(names, max_names + 1):  # an alias may have the same long list in many classes
            check_name_length(name, place, max_letters)
    check_name_count(count, place, max_names)
