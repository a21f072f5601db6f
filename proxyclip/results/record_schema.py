"""Form of a record: the fields, types, ranges and sizes that every reader may rely on.

A record may be somebody else's, or damaged. All is checked here, once, so that no table, report or sweep has to.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

READABLE_SCHEMAS = (4, 5)  # 5 has `record_sha256` and `text_features_sha256`
MAX_RECORD_BYTES = 64 * 10**6  # of some 800,000 images
MAX_CLASSES = 65_536
MAX_UNNAMED_CLASSES = 4096  # of a confusion matrix of a record without names
MAX_GALLERY_ENTRIES = 10_000
MAX_VERSIONS = 300
_MAX_DEPTH = 64
_MAX_TEXT = 100_000  # characters
_MAX_INTEGER = 2**63
_MAX_SHOWN = 60  # characters of a value in a message
_PERCENT_MARGIN = 1e-3
_IDENTITY = re.compile("[0-9a-f]{12}")
_PERCENTAGES = ("mIoU", "aAcc", "mAcc", "mIoU_gt", "fwIoU", "mIoU_seen", "mIoU_unseen", "hIoU")

Test = Callable[[Any], bool]


def is_identity(text: Any) -> bool:
    """Return True for 12 hexadecimal digits, in lower case."""
    return isinstance(text, str) and _IDENTITY.fullmatch(text) is not None


def check_record(run: Any, name: str) -> None:
    """Check the form of a record as it was read from JSON.

    Fields that are absent or null, and unknown ones, are no error.

    Args:
        name: of its file, without `.json`; the identity has to be the same.

    Raises:
        ValueError: a record of another schema, or a value that no reader can use; the message names the field.
    """
    if isinstance(run, dict) and run.get("schema") not in READABLE_SCHEMAS:
        schemas = " or ".join(map(str, READABLE_SCHEMAS))
        raise ValueError(f"expected schema {schemas}, but got {_show(run.get('schema'))}: evaluate again")
    if not (isinstance(run, dict) and isinstance(run.get("identity"), str) and isinstance(run.get("metrics"), dict)):
        raise ValueError("expected a JSON object with `identity`, a text, and `metrics`, an object")
    if not is_identity(run["identity"]):
        raise ValueError(f"expected an `identity` of 12 hexadecimal digits, but got {_show(run['identity'])}")
    if run["identity"] != name:
        raise ValueError(f"expected the file {run['identity']}.json for this identity")
    _check_values(run)
    for path, (expected, test) in _FIELDS.items():
        value = _look_up(run, path)
        if value is not None and not test(value):
            raise ValueError(f"expected {expected} in `{path}`, but got {_show(value)}")
    _check_class_rows(run)
    _check_confusion(run)
    _check_images(run)


def _check_values(run: Any) -> None:
    """Check depth, numbers and texts of all values, of unknown fields too."""
    level: list[Any] = [run]
    for _ in range(_MAX_DEPTH):
        parts: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                parts += value.keys()
                parts += value.values()
            elif isinstance(value, list):
                parts += _condense(value)
            else:
                _check_scalar(value)
        if not parts:
            return
        level = parts
    raise ValueError(f"expected at most {_MAX_DEPTH} levels of lists and objects")


def _condense(values: list[Any]) -> list[Any]:
    """Return the extremes of a list of numbers or texts alone, which stand for all of it; any other list as it is."""
    types = set(map(type, values))
    if types == {str}:
        return [max(values, key=len)]
    if types == {float}:
        return [next((value for value in values if not math.isfinite(value)), 0.0)]
    return [min(values), max(values)] if types == {int} else values


def _check_scalar(value: Any) -> None:
    if isinstance(value, str):
        if len(value) > _MAX_TEXT:
            raise ValueError(f"expected texts of at most {_MAX_TEXT} characters, but got one of {len(value)}")
    elif isinstance(value, int):
        if not -_MAX_INTEGER <= value < _MAX_INTEGER:
            raise ValueError("expected whole numbers of 64 bits, but got a larger one")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"expected finite numbers, but got {value}")


def _check_class_rows(run: Mapping[str, Any]) -> None:
    for number, row in enumerate(run.get("per_class") or ()):
        _check_row(row, f"per_class[{number}]", _CLASS_ROW)
    for number, row in enumerate(run.get("left_out") or ()):
        _check_row(row, f"left_out[{number}]", {"file": _TEXT, "why": _TEXT})


def _check_confusion(run: Mapping[str, Any]) -> None:
    """Check that the matrix is one of the classes of the record, and of pixels."""
    entries = run.get("confusion")
    if entries is None:
        return
    classes = entries.get("classes")
    rows = len(run.get("per_class") or ())
    if not _is_count(classes) or (classes not in (0, rows) if rows else classes > MAX_UNNAMED_CLASSES):
        raise ValueError(f"expected `confusion` of the {rows} classes of the record, but got {_show(classes)}")
    columns = [entries.get(name) for name in ("label", "prediction", "count")]
    if not all(isinstance(column, list) for column in columns) or len(set(map(len, columns))) != 1:
        raise ValueError("expected lists of one length in `confusion`")
    if not all(set(map(type, column)) <= {int} and min(column, default=0) >= 0 for column in columns):
        raise ValueError("expected whole numbers, 0 or more, in `confusion`")
    if columns[0] and max(map(max, columns[:2])) >= classes:
        raise ValueError(f"expected classes below {classes} in `confusion`")
    if sum(columns[2]) >= _MAX_INTEGER:
        raise ValueError("expected fewer pixels in `confusion`")


def _check_images(run: Mapping[str, Any]) -> None:
    """Check the lists by image, and that the gallery's entries are among them."""
    columns = {name: column for name, column in (run.get("per_image") or {}).items() if column is not None}
    if not all(isinstance(column, list) for column in columns.values()) or len(set(map(len, columns.values()))) > 1:
        raise ValueError("expected lists of one length in `per_image`")
    for name, test in (("file", _is_text), ("mIoU", _is_percent_or_null), ("aAcc", _is_percent_or_null)):
        wrong = next((value for value in columns.get(name, ()) if not test(value)), test)
        if wrong is not test:
            expected = "texts" if name == "file" else "percentages"
            raise ValueError(f"expected {expected} in `per_image.{name}`, but got {_show(wrong)}")
    images = len(columns.get("file", ()))
    for number, entry in enumerate(run.get("gallery") or ()):
        _check_row(entry, f"gallery[{number}]", _GALLERY_ROW)
        index = entry.get("index")
        if index is None or (index >= images if images else index >= 2**31):
            raise ValueError(f"expected an `index` of `per_image` in `gallery[{number}]`, but got {_show(index)}")


def _check_row(row: Any, place: str, columns: Mapping[str, tuple[str, Test]]) -> None:
    if not isinstance(row, dict):
        raise ValueError(f"expected an object in `{place}`, but got {_show(row)}")
    for name, (expected, test) in columns.items():
        value = row.get(name)
        if value is not None and not test(value):
            raise ValueError(f"expected {expected} in `{place}.{name}`, but got {_show(value)}")


def _look_up(run: Any, path: str) -> Any:
    for key in path.split("."):
        run = run.get(key) if isinstance(run, dict) else None
    return run


def _show(value: Any) -> str:
    """Show a value of a message in one short line of printable ASCII."""
    if isinstance(value, (dict, list)):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = ascii(value[: _MAX_SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_integer(value) and value >= 0


def _is_percent(value: Any) -> bool:
    return _is_number(value) and -_PERCENT_MARGIN <= value <= 100 + _PERCENT_MARGIN


def _is_percent_or_null(value: Any) -> bool:
    return value is None or _is_percent(value)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_list(max_length: int) -> Test:
    return lambda value: isinstance(value, list) and len(value) <= max_length


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _has_values(test: Test, max_length: int) -> Test:
    """Test that all values of an object, which may be null, pass a test."""
    return lambda value: (
        isinstance(value, dict)
        and len(value) <= max_length
        and all(part is None or test(part) for part in value.values())
    )


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, int, float))


_TEXT: tuple[str, Test] = ("a text", _is_text)
_COUNT: tuple[str, Test] = ("a whole number, 0 or more,", _is_count)
_NUMBER: tuple[str, Test] = ("a number", _is_number)
_PERCENT: tuple[str, Test] = ("a percentage", _is_percent)
_BOOL: tuple[str, Test] = ("true or false", _is_bool)
_OBJECT: tuple[str, Test] = ("an object", _is_object)
_CLASS_ROW = {"name": _TEXT, "iou": _PERCENT, "acc": _PERCENT, "pixels": _COUNT, "unseen": _BOOL}
_GALLERY_ROW = {"index": _COUNT, "why": _TEXT, "note": _TEXT}


def _fields(kind: tuple[str, Test], paths: str) -> dict[str, tuple[str, Test]]:
    return dict.fromkeys(paths.split(), kind)


# path of a value -> what it has to be, unless it is absent or null
_FIELDS: dict[str, tuple[str, Test]] = {
    **_fields(
        _OBJECT,
        "config options arguments weights trained vocabulary templates dataset protocol confusion per_image git",
    ),
    **_fields(
        _TEXT,
        "config_sha256 config_name method scoring data_check precision device device_name code_sha256 start end "
        "metrics_sha256 record_sha256 text_features_sha256 trained.checkpoint trained.sha256 vocabulary.sha256 "
        "templates.sha256 dataset.type dataset.list_sha256 dataset.files_sha256 git.commit weights.clip weights.vfm",
    ),
    **_fields(
        _COUNT,
        "limit processes resumed_images trained.iteration vocabulary.classes vocabulary.names templates.count "
        "dataset.images",
    ),
    **_fields(_NUMBER, "images_per_second peak_memory_mib"),
    **_fields(_BOOL, "partial git.dirty"),
    **_fields(_PERCENT, " ".join(f"metrics.{name}" for name in _PERCENTAGES)),
    **_fields(("a list of texts", _is_list_of_texts), "changes approximations changed_code"),
    "seed": ("a whole number", _is_integer),
    "command": ("a text or a list of texts", lambda value: _is_text(value) or _is_list_of_texts(value)),
    "per_class": (f"a list of at most {MAX_CLASSES}", _is_list(MAX_CLASSES)),
    "left_out": ("a list", _is_list(10**7)),
    "gallery": (f"a list of at most {MAX_GALLERY_ENTRIES}", _is_list(MAX_GALLERY_ENTRIES)),
    "files": ("an object of texts", _has_values(_is_text, 10_000)),
    "own_code": ("an object of texts", _has_values(_is_text, 10_000)),
    "classes_in": ("an object of whole numbers", _has_values(_is_count, 100)),
    "times": ("an object of numbers", _has_values(_is_number, 100)),
    "versions": (f"an object of at most {MAX_VERSIONS} texts", _has_values(_is_scalar, MAX_VERSIONS)),
}
