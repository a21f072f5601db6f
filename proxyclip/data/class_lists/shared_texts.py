"""Class names as texts for CLIP: what a tokenizer makes of them, and names that are one text."""

import html
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

# of pixels without a class, in the files of annotation tools
LABEL_NAMES = (
    "ignore",
    "ignored",
    "unlabeled",
    "unlabelled",
    "void",
    "dontcare",
    "unclassified",
    "none",
    "null",
    "nan",
)
MAX_LISTED = 3  # examples in a note


@dataclass(frozen=True)
class SharedText:
    """Two names of different classes that are one text.

    Args:
        names: both as they are written; classes: their indices.
        text: what is read instead of either.
    """

    names: tuple[str, str]
    classes: tuple[int, int]
    text: Hashable


def clean_class_text(name: str, lower: bool = True) -> str:
    """Clean a name like open_clip's tokenizers.

    Mojibake, compatibility characters and HTML entities are resolved and blanks collapsed.

    Args:
        lower: as OpenAI's tokenizer does, and most of Hugging Face's do not.
    """
    if not name.isascii() or "&" in name:
        import ftfy

        name = html.unescape(html.unescape(ftfy.fix_text(name)))
    text = " ".join(name.split())
    return text.lower() if lower else text


def find_shared_texts(
    classes: Sequence[Sequence[str]], read: Callable[[str], Hashable] = clean_class_text
) -> list[SharedText]:
    """Find names of two classes that `read` makes one of; each with the first that has its text."""
    first: dict[Hashable, tuple[str, int]] = {}
    shared = []
    for index, names in enumerate(classes):
        for name in names:
            text = read(name)
            owner, owner_index = first.setdefault(text, (name, index))
            if owner_index != index:
                shared.append(SharedText((owner, name), (owner_index, index), text))
    return shared


def refuse_shared_texts(shared: Sequence[SharedText], names: Sequence[str]) -> None:
    """Raise for names of two classes that are one text: only the first could ever win.

    Args:
        names: of the classes.
    """
    if not shared:
        return
    first, second = shared[0].names
    owners = [names[index] for index in shared[0].classes]
    if first == second:
        raise ValueError(
            f"Expected every word once, but {shorten_text(first)} stands for {shorten_text(owners[0])} and "
            f"{shorten_text(owners[1])}"
        )
    of = "" if owners == [first, second] else f" (of {shorten_text(owners[0])} and {shorten_text(owners[1])})"
    text = clean_class_text(first)
    reads = (
        f"reads {shorten_text(text)} for both"
        if clean_class_text(second) == text
        else "reads no further than their beginning"
    )
    raise ValueError(
        f"Expected every class once, but {quote_pairs(shared[:1])}{of} are one text for CLIP, which {reads}: "
        "leave one out, or make them synonyms of one class"
    )


def find_foreign_names(names: Iterable[str]) -> list[str]:
    """Find names with letters of another script than the Latin one, and none of that."""
    return [name for name in names if (scripts := {*map(_is_latin, filter(str.isalpha, name))}) and not any(scripts)]


def _is_latin(letter: str) -> bool:
    return "LATIN" in unicodedata.name(letter, "LATIN")  # full-width ones too


def find_label_names(names: Iterable[str]) -> list[str]:
    """Find names that mark pixels in other tools and describe nothing, such as `_background_` and `void`."""
    return [name for name in names if name.strip("_").lower() in LABEL_NAMES or is_tool_label(name)]


def is_tool_label(name: str) -> bool:
    """Return True for names between underscores, as LabelMe writes `__ignore__`."""
    return len(name) > 2 and name.startswith("_") and name.endswith("_")


def quote_some(names: Sequence[str], separator: str = ", ") -> str:
    """Quote the first few names, and say how many more there are."""
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return separator.join(map(shorten_text, names[:MAX_LISTED])) + more


def quote_pairs(shared: Sequence[SharedText]) -> str:
    """Quote the first few pairs of names, and say how many more there are."""
    pairs = [" and ".join(map(_pick_quoting(item.names), item.names)) for item in shared[:MAX_LISTED]]
    return ", ".join(pairs) + (f" and {len(shared) - MAX_LISTED} more" if len(shared) > MAX_LISTED else "")


def _pick_quoting(names: tuple[str, str]) -> Callable[[str], str]:
    """Quote in ASCII what looks alike, and shorten long names."""
    if len({unicodedata.normalize("NFC", name) for name in names}) < 2:
        return ascii
    return shorten_name


def shorten_text(text: str) -> str:
    """Quote a line or a name for a message, very long ones by begin and end."""
    return repr(text if len(text) <= 120 else f"{text[:100]}...{text[-10:]}")


def shorten_name(name: str) -> str:
    """Quote a name, long ones by begin and end."""
    return repr(name if len(name) <= 40 else f"{name[:25]}...{name[-10:]}")
