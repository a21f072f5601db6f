"""Class lists as Python, JSON or YAML print them."""

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from proxyclip.data.class_lists.limits import MAX_NESTING, TooManyNames, check_name_count
from proxyclip.data.class_lists.shared_texts import shorten_name, shorten_text

NAME_KEYS = ("names", "classes", "class_names", "categories", "labels")  # of files with more than the list
ENTRY_KEYS = ("name", "title", "label", "class")  # of COCO's categories, Supervisely's classes
MAX_PARTS_PER_NAME = 4  # label, colors and more beside each
_OPENING = r"[\[{(]"
_ASSIGNED = re.compile(rf"^[A-Za-z_][\w.]*\s*=\s*(?=\w*{_OPENING})")  # CLASSES = ("car", "sky")
_CALLED = re.compile(r"^\w+\(\s*([\[(].*[\])])\s*(?:,\s*\w+\s*=.*)?\)$", re.DOTALL)  # array(['car'], dtype='<U3')
# One that is never closed goes to the end: else each quote behind it would be tried to the end again.
_QUOTED = re.compile(r"""("(?:\\[\s\S]|[^"\\])*(?:"|\\?\Z)|'(?:\\[\s\S]|[^'\\])*(?:'|\\?\Z))""")
_QUOTED_OR_BRACKET = re.compile(rf"{_QUOTED.pattern}|[\[({{]|[\])}}]")
_YAML_NAMES = re.compile(rf"^(?:{'|'.join(NAME_KEYS[:3])})\s*:", re.MULTILINE)
_ITEM = re.compile(r"^[ \t]*item\s*\{([^{}]*)\}", re.MULTILINE)  # of TensorFlow's label_map.pbtxt
_INNER_LIST = re.compile(
    r"""\b(?:classes|CLASSES|class_names)['"]?\s*[=:]\s*([\[(]\s*['"])"""
)  # of MMSegmentation's METAINFO

Numbered = list[tuple[int | None, tuple[str, ...]]]  # label, where one is written, and names of a class


def read_collection(text: str, place: str) -> Numbered | None:
    """Read a list or dict of names; None for text that is none.

    Raises:
        ValueError: text that is plainly meant as one and cannot be read, or has something else than names in it.
    """
    value = _evaluate(text.strip(), place)
    if value is None:
        return None
    return _list_classes(value, place)


def _evaluate(text: str, place: str) -> Any:
    """Python object of a printed one."""
    is_yaml = _YAML_NAMES.search(text) is not None
    if is_yaml and isinstance(value := _load_yaml(text, place), Mapping) and _find_list(value) is not None:
        return value
    if _ITEM.search(text):
        return [_read_item(item, place) for item in _ITEM.findall(text)]
    if inner := _INNER_LIST.search(text):
        text = _cut_at_closing(text[inner.start(1) :])
    text = _ASSIGNED.sub("", text).rstrip(";, \n")
    if text.endswith(")") and (call := _CALLED.match(text)):  # else slow in many brackets
        text = call[1]
    if not re.match(_OPENING, text) or not re.search(r"[\]})]$", text):
        return None
    quoted = re.search(r"""^[\[{(][\[{(\s]*['"]""", text) or re.search(r""":\s*['"]""", text)
    if quoted and (names := _read_without_commas(text, place)):
        return names
    for parse in (json.loads, _evaluate_literal):
        try:
            value = parse(text)
        except TooManyNames:
            raise
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        return value if isinstance(value, (list, tuple, set, dict)) else None
    is_flat = "," in text and len(re.findall(r"[\[\](){}]", text)) == 2 and not text.startswith("(")
    value = _load_yaml(text, place) if is_flat else None
    if value is None and quoted:
        raise ValueError(
            f"Expected a list as Python or JSON prints it in {place}, but got {text[:60]!r}, which cannot be read as "
            "one: write one class a line"
        )
    return value


def _evaluate_literal(text: str) -> Any:
    """Evaluate what Python prints; its parser takes 1.5 kB of memory for every name."""
    check_name_count(text.count(",") // MAX_PARTS_PER_NAME, "the list")
    return ast.literal_eval(text)


def _read_without_commas(text: str, place: str) -> list[str] | None:
    """Names of an array as numpy prints it; None where commas are between all texts.

    Raises:
        ValueError: commas are between some only: Python would join the others to one name.
    """
    pieces = _QUOTED.split(text)  # text and what is between, in turns
    if not all(len(piece) > 1 and piece[-1] == piece[0] for piece in pieces[1::2]):
        return None
    between = pieces[2:-1:2]
    missing = [i for i, separator in enumerate(between) if separator.isspace()]
    if not missing:
        return None
    if len(missing) == len(between) and text.startswith("["):
        return [ast.literal_eval(piece) for piece in pieces[1::2]]
    first, second = pieces[2 * missing[0] + 1], pieces[2 * missing[0] + 3]
    raise ValueError(
        f"Expected a comma between {first} and {second} in {place}: without one, Python makes them one name"
    )


def _cut_at_closing(text: str) -> str:
    """Cut text behind the bracket that closes its first one."""
    depth = 0
    for match in _QUOTED_OR_BRACKET.finditer(text):
        if match[1] is None:
            depth += 1 if match[0] in "[({" else -1
        if depth == 0:
            return text[: match.end()]
    return text


def _read_item(text: str, place: str) -> dict[str, Any]:
    """Label and name of an item of TensorFlow's label_map.pbtxt."""
    label = re.search(r"\bid\s*:\s*(\d+)", text)
    name = re.search(rf"\bdisplay_name\s*:\s*{_QUOTED.pattern}", text) or re.search(
        rf"\bname\s*:\s*{_QUOTED.pattern}", text
    )
    if label is None or name is None:
        raise ValueError(f"Expected id and name in every item of {place}, but got {shorten_text(text.strip())}")
    return {"id": int(label[1]), "name": ast.literal_eval(name[1])}


def _load_yaml(text: str, place: str) -> Any:
    """Load a list or dict, None for other text.

    Raises:
        ValueError: aliases, by which a short text has any number of names, or very many lists in another.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_yaml_events(yaml.parse(text, Loader=loader), place)
        value = yaml.load(text, Loader=loader)  # a safe one
    except yaml.YAMLError:
        return None
    except (ValueError, RecursionError) as error:
        if isinstance(error, TooManyNames):
            raise
        return None
    return value if isinstance(value, (list, dict)) else None


def _check_yaml_events(events: Iterable[Any], place: str) -> None:
    depth = 0
    for count, event in enumerate(events):
        kind = type(event).__name__
        if not count % 1000:
            check_name_count(count // (2 * MAX_PARTS_PER_NAME), place)  # a key and its value are two
        depth += kind.endswith(("SequenceStartEvent", "MappingStartEvent"))
        depth -= kind.endswith(("SequenceEndEvent", "MappingEndEvent"))
        if kind == "AliasEvent" or depth > MAX_NESTING:
            problem = "an alias (*name)" if kind == "AliasEvent" else f"more than {MAX_NESTING} lists in one another"
            raise TooManyNames(f"Expected a plain list of names in {place}, but got {problem}: write one class a line")


def _list_classes(value: Any, place: str) -> Numbered:
    """Label and names of each class of a list, a dict, or the list inside of a dict."""
    if isinstance(value, Mapping):
        if (inner := _find_list(value)) is not None:
            return _list_classes(inner, place)
        return [_number_entry(key, entry, place) for key, entry in value.items()]
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"Expected a list of classes in {place}, but got a {type(value).__name__}, which has no order")
    classes: Numbered = []
    for entry in value:
        if isinstance(entry, Mapping) and (names := [entry[k] for k in ENTRY_KEYS if isinstance(entry.get(k), str)]):
            label = next((entry[key] for key in ("id", "trainId") if type(entry.get(key)) is int), None)
            classes.append((label, _check_names(names[0], place)))
        elif isinstance(entry, (list, tuple)) and len(entry) == 2 and {*map(type, entry)} == {int, str}:
            label, name = sorted(entry, key=lambda part: type(part) is str)
            classes.append(_number_entry(label, name, place))
        else:
            classes.append((None, _check_names(entry, place)))
    return classes


def _find_list(value: Mapping[Any, Any]) -> Any:
    return next((value[key] for key in NAME_KEYS if isinstance(value.get(key), (list, tuple, dict))), None)


def _number_entry(key: Any, entry: Any, place: str) -> tuple[int, tuple[str, ...]]:
    """Label and names of an entry of a dict: label -> name, or name -> label."""
    if type(entry) is int and isinstance(key, str):
        return entry, (key,)
    if type(key) is int or (isinstance(key, str) and key.strip().isdecimal()):
        return int(key), _check_names(entry, place)
    raise ValueError(
        f"Expected a list of names or a dict of label and name in {place}, but got the entry {_shorten_entry(key)}: "
        f"{_shorten_entry(entry)}"
    )


def _shorten_entry(entry: Any) -> str:
    """Quote what stands in the place of names, long texts by begin and end."""
    if isinstance(entry, str):
        return shorten_name(entry)
    text = repr(entry)
    return text if len(text) <= 120 else f"{text[:100]} ... {text[-10:]}"


def _check_names(entry: Any, place: str) -> tuple[str, ...]:
    names = (entry,) if isinstance(entry, str) else entry
    if (
        not isinstance(names, Sequence)
        or not names
        or not all(isinstance(name, str) and name.strip() for name in names)
    ):
        raise ValueError(
            f"Expected names of classes in the list of {place}, but got {_shorten_entry(entry)}: put names into quotes"
        )
    return tuple(name.strip() for name in names)
