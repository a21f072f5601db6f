"""Command lines of option dataclasses: fields -> argparse -> dataclass -> argv.

    @dataclass(frozen=True)
    class EvalOptions:
        limit: int | None = declare_option(None, metavar="N", help="evaluate the first N images only")

    options = parse_options(EvalOptions, ["--limit", "3"])  # EvalOptions(limit=3)
    to_command(options)  # ["--limit", "3"]

The annotation of a field sets the type: `bool` is a flag without a value, `tuple[str, ...]` takes several values, and
`int`, `float` or `str`, also with `| None`, one. Standard library only, so that `--help` is quick.
"""

import argparse
from collections.abc import Collection, Sequence
from dataclasses import MISSING, Field, field, fields
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def declare_option(
    default: Any = MISSING,
    *,
    help: str,
    flags: Sequence[str] = (),
    group: str | None = None,
    exclusive: str | None = None,
    **settings: Any,
) -> Any:
    """Declare a dataclass field that is an argument of a command line.

    Args:
        default: of the field and the argument; required without one.
        flags: names on the command line, default `--field-name`; a name without dashes makes it positional.
        group: title of the help section that lists it.
        exclusive: name shared by arguments of which only one may be given.
        settings: further arguments of `ArgumentParser.add_argument`: metavar, choices, nargs, action, type.
    """
    metadata = {"flags": flags, "group": group, "exclusive": exclusive, "settings": {"help": help, **settings}}
    return field(default=default, metadata=metadata)


def build_parser(options_class: type, **settings: Any) -> argparse.ArgumentParser:
    """Build the parser of an option dataclass; `settings` are of `ArgumentParser`."""
    parser = argparse.ArgumentParser(**{"allow_abbrev": False, **settings})
    add_arguments(parser, options_class)
    return parser


def add_arguments(parser: argparse.ArgumentParser, options_class: type) -> None:
    """Add an argument for each field that `declare_option` declared, in their order."""
    containers: dict[tuple[str, str], Any] = {}
    types = get_type_hints(options_class)
    for item in _option_fields(options_class):
        container: Any = parser
        group = item.metadata["group"]
        exclusive = item.metadata["exclusive"]
        if group is not None:
            container = containers.get(("group", group)) or parser.add_argument_group(group)
            containers["group", group] = container
        if exclusive is not None:
            container = containers.get(("exclusive", exclusive)) or container.add_mutually_exclusive_group()
            containers["exclusive", exclusive] = container
        container.add_argument(*_flags(item), **_argument_settings(item, types[item.name]))


def read_options(options_class: type[T], namespace: argparse.Namespace) -> T:
    """Make the option dataclass of parsed arguments; others are left out."""
    values = {item.name: getattr(namespace, item.name) for item in _option_fields(options_class)}
    return options_class(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def parse_options(options_class: type[T], argv: Sequence[str] | None = None, **settings: Any) -> T:
    """Parse a command line (default: of this process) into an option dataclass."""
    return read_options(options_class, build_parser(options_class, **settings).parse_args(argv))


def to_command(options: Any, names: Sequence[str] | None = None, always: Collection[str] = ()) -> list[str]:
    """Format options as an argv list; options with their default value are left out.

    Args:
        names: the fields to take, in this order; default all of them in theirs.
        always: fields to write even with their default value.
    """
    items = {item.name: item for item in _option_fields(type(options))}
    argv: list[str] = []
    for name in items if names is None else names:
        value = getattr(options, name)
        if value == items[name].default and name not in always:
            continue
        flag = _flags(items[name])[0]
        argv += [flag] if flag.startswith("-") else []
        if not isinstance(value, bool):
            argv += map(str, value) if isinstance(value, tuple) else [str(value)]
    return argv


def parse_count(text: str) -> int:
    """Parse a whole number of 1 or more; an `argparse` type."""
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a number, 1 or more, but got {text!r}")


def _option_fields(options_class: Any) -> list[Field]:
    return [item for item in fields(options_class) if "settings" in item.metadata]


def _flags(item: Field) -> tuple[str, ...]:
    return tuple(item.metadata["flags"]) or (f"--{item.name.replace('_', '-')}",)


def _argument_settings(item: Field, annotation: Any) -> dict[str, Any]:
    """Arguments of `add_argument`, from annotation, default and metadata."""
    takes_several = get_origin(annotation) is tuple
    numeric = [t for t in get_args(annotation) or (annotation,) if t in (int, float)]
    settings: dict[str, Any] = {}
    if annotation is bool:
        settings["action"] = "store_false" if item.default else "store_true"
    elif takes_several:
        settings["nargs"] = "+"
    elif numeric:
        settings["type"] = numeric[0]
    if item.default is not MISSING:
        settings["default"] = list(item.default) if takes_several else item.default
    if _flags(item)[0].startswith("-"):
        settings["dest"] = item.name
        settings["required"] = item.default is MISSING
    return settings | item.metadata["settings"]
