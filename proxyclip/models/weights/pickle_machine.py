"""A reader of pickles that builds tensors and plain values, and can do nothing else.

It decodes opcodes with the standard library's `pickletools` and keeps a stack of its own. No name is imported: a
pickle's globals are looked up in a table (`pickle_globals.PICKLE_GLOBALS`), and each of its functions takes only the
arguments that it checks.
"""

import io
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from proxyclip.models.weights.pickle_globals import (
    IGNORED_GLOBALS,
    PICKLE_GLOBALS,
    SCRIPT_GLOBALS,
    IgnoredValue,
    PickleFunction,
    PickleRefused,
    ScriptClass,
    ScriptObject,
    set_versions,
)
from proxyclip.models.weights.zip_archive import ArchiveError

MAX_OPCODES = 1_000_000  # a checkpoint has about 25 a tensor
MAX_COPIED_ITEMS = 2_000_000  # of what functions get, which a pickle can give them again and again
MAX_TUPLE_KEYS = 10_000  # hashes of tuples can be made to collide
LITERAL_OPCODES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES",
    "BINBYTES8", "BYTEARRAY8"
}  # fmt: skip
COPIED_TYPES = (str, bytes, bytearray, list, tuple, dict, set, frozenset)
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
TUPLE_SIZES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _is_scalar(value: Any) -> bool:
    return type(value) in (str, bytes, bool, float, type(None)) or (type(value) is int and -(2**63) <= value < 2**64)


class PickleMachine:
    """Stack machine of one pickle.

    Args:
        load_storage: gets the tuple of a persistent id.
        is_script: read names of `__torch__` as classes of TorchScript.

    Raises:
        PickleRefused: by its methods: damaged, or asking for more than tensors.
    """

    def __init__(self, load_storage: Callable[[tuple[Any, ...]], Any] | None = None, is_script: bool = False) -> None:
        self.load_storage = load_storage
        self.is_script = is_script
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.tuple_keys = 0
        self.copied_items = 0

    def run_pickle(self, stream: io.BytesIO) -> Any:
        """Read the pickle at the position of a stream, which then stands behind it."""
        try:
            for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
                if count > MAX_OPCODES:
                    raise PickleRefused(reason=f"its pickle has more than {MAX_OPCODES} operations")
                if opcode.name == "STOP":
                    return self.stack.pop()
                self._step(opcode.name, argument)
        except (PickleRefused, ArchiveError, OSError, MemoryError):
            raise
        except Exception as error:  # of the decoder, of a stack without values, of a function's arguments
            raise PickleRefused from error
        raise PickleRefused

    def _step(self, name: str, argument: Any) -> None:
        if name in LITERAL_OPCODES:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in TUPLE_SIZES:
            self._push_tuple(TUPLE_SIZES[name])
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self.memo[argument])
        elif name not in ("PROTO", "FRAME"):
            action = ACTIONS.get(name)
            if action is None:
                raise PickleRefused(f"pickle.{name}")
            action(self, argument)

    def _push_tuple(self, size: int) -> None:
        items = tuple(self.stack[len(self.stack) - size :]) if len(self.stack) >= size else None
        if items is None:
            raise PickleRefused
        del self.stack[len(self.stack) - size :]
        self.stack.append(items)

    def _pop_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def _push_mark(self, _: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def _check_key(self, key: Any) -> None:
        """Refuse keys whose hash is unknown or slow to compute."""
        if type(key) is tuple and len(key) <= 8 and all(map(_is_scalar, key)):
            self.tuple_keys += 1
            if self.tuple_keys <= MAX_TUPLE_KEYS:
                return
        if not _is_scalar(key):
            raise PickleRefused(reason="it has a dict with keys other than strings and numbers; nothing in it was run")

    def _make_dict(self, items: list[Any]) -> dict[Any, Any]:
        pairs = list(zip(items[::2], items[1::2], strict=True))
        for key, _ in pairs:
            self._check_key(key)
        return dict(pairs)

    def _make_set(self, items: Any) -> set[Any]:
        for item in items:
            self._check_key(item)
        return set(items)

    def _set_items(self, target: Any, items: list[Any]) -> None:
        values = self._make_dict(items)
        if not isinstance(target, IgnoredValue):
            if not isinstance(target, dict):
                raise PickleRefused
            target.update(values)

    def _append_items(self, target: Any, items: list[Any]) -> None:
        if not isinstance(target, IgnoredValue):
            if type(target) is not list:
                raise PickleRefused
            target.extend(items)

    def _add_items(self, target: Any, items: list[Any]) -> None:
        if type(target) is not set:
            raise PickleRefused
        target.update(self._make_set(items))

    def _find_global(self, full_name: str) -> Any:
        """Look a global up in the tables; nothing is imported."""
        module, _, name = full_name.partition(" ")
        module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
        dotted = f"{module}.{name}"
        if dotted in IGNORED_GLOBALS:
            return PickleFunction(lambda *_: IgnoredValue())
        if dotted == "builtins.set":
            return PickleFunction(lambda items=(): self._make_set(items if type(items) in (list, tuple) else ()))
        if dotted == "collections.OrderedDict":
            return PickleFunction(self._make_ordered_dict)
        if dotted in PICKLE_GLOBALS:
            return PICKLE_GLOBALS[dotted]
        if self.is_script:
            if dotted in SCRIPT_GLOBALS:
                return SCRIPT_GLOBALS[dotted]
            if module == "__torch__" or module.startswith("__torch__."):
                return ScriptClass(dotted)
        raise PickleRefused(dotted)

    def _make_ordered_dict(self, pairs: Any = ()) -> Any:
        return OrderedDict(self._make_dict([item for key, value in pairs for item in (key, value)]))

    def _push_stack_global(self, _: Any) -> None:
        module, name = self.stack[-2:]
        del self.stack[-2:]
        if type(module) is not str or type(name) is not str:
            raise PickleRefused
        self.stack.append(self._find_global(f"{module} {name}"))

    def _call_function(self, _: Any) -> None:
        function, arguments = self.stack[-2:]
        del self.stack[-2:]
        if type(arguments) is not tuple:
            raise PickleRefused
        if type(function) is ScriptClass:
            self.stack.append(ScriptObject(function.name))
        elif type(function) is PickleFunction:
            self.copied_items += sum(len(item) for item in arguments if isinstance(item, COPIED_TYPES))
            if self.copied_items > MAX_COPIED_ITEMS:
                raise PickleRefused(reason=f"its pickle copies more than {MAX_COPIED_ITEMS} values")
            self.stack.append(function.apply(*arguments))
        else:
            raise PickleRefused

    def _set_state(self, _: Any) -> None:
        target, state = self.stack[-2:]
        del self.stack[-1]
        if type(target) is ScriptObject:
            if type(state) is not dict or target.attributes is not None or not all(type(k) is str for k in state):
                reason = f"{target.class_name} in it has code that runs when it is read; nothing in it was run"
                raise PickleRefused(reason=reason)
            target.attributes = state
        elif type(target) is OrderedDict:
            set_versions(target, state)
        elif type(target) is not IgnoredValue:
            raise PickleRefused

    def _push_storage(self, _: Any) -> None:
        identity = self.stack.pop()
        if self.load_storage is None or type(identity) is not tuple:
            raise PickleRefused
        self.stack.append(self.load_storage(identity))


ACTIONS: dict[str, Callable[[PickleMachine, Any], Any]] = {
    "MARK": PickleMachine._push_mark,
    "POP": lambda m, _: m.stack.pop() if m.stack else m._pop_mark(),
    "POP_MARK": lambda m, _: m._pop_mark(),
    "DUP": lambda m, _: m.stack.append(m.stack[-1]),
    "MEMOIZE": lambda m, _: m.memo.__setitem__(len(m.memo), m.stack[-1]),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "EMPTY_SET": lambda m, _: m.stack.append(set()),
    "LIST": lambda m, _: _replace_marked(m, list),
    "TUPLE": lambda m, _: _replace_marked(m, tuple),
    "DICT": lambda m, _: _replace_marked(m, m._make_dict),
    "FROZENSET": lambda m, _: _replace_marked(m, lambda items: frozenset(m._make_set(items))),
    "APPEND": lambda m, _: _apply_to_top(m, m._append_items, [m.stack.pop()]),
    "APPENDS": lambda m, _: _apply_to_top(m, m._append_items, m._pop_mark()),
    "ADDITEMS": lambda m, _: _apply_to_top(m, m._add_items, m._pop_mark()),
    "SETITEM": lambda m, _: _apply_to_top(m, m._set_items, [m.stack.pop(-2), m.stack.pop()]),
    "SETITEMS": lambda m, _: _apply_to_top(m, m._set_items, m._pop_mark()),
    "GLOBAL": lambda m, name: m.stack.append(m._find_global(name)),
    "STACK_GLOBAL": PickleMachine._push_stack_global,
    "REDUCE": PickleMachine._call_function,
    "NEWOBJ": PickleMachine._call_function,
    "BUILD": PickleMachine._set_state,
    "BINPERSID": PickleMachine._push_storage,
}


def _replace_marked(machine: PickleMachine, build: Callable[[list[Any]], Any]) -> None:
    value = build(machine._pop_mark())
    machine.stack.append(value)


def _apply_to_top(machine: PickleMachine, change: Callable[[Any, list[Any]], None], items: list[Any]) -> None:
    change(machine.stack[-1], items)
