"""The one pickle that is read: a batch of the python distribution, without executing anything.

The official batches are Python 2 pickles of protocol 2: a dictionary with a list of labels and an
array of bytes. Python's own unpickler calls whatever a file names; this reader knows the operations
that those files consist of, builds nothing but dictionaries, lists, tuples, integers and bytes, and
refuses every other operation and name. numpy is not called either: an array is its shape and bytes.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class Refused(Exception):
    """The pickle is not one of those that the python distribution holds; the message says why."""


@dataclass
class Array:
    """What the pickle says of an array of unsigned bytes."""

    shape: tuple[int, ...] = ()
    fortran: bool = False
    """Columns first."""
    data: bytes = b""


@dataclass(frozen=True)
class Name:
    """A name that the pickle may mention; it stands for itself and is never looked up."""

    text: str


RECONSTRUCT = Name("numpy.core.multiarray _reconstruct")
NDARRAY = Name("numpy ndarray")
DTYPE = Name("numpy dtype")
UNSIGNED_BYTE = Name("the type of an unsigned byte")


def read(data: bytes) -> dict[bytes, Any]:
    """The dictionary that ``data`` holds.

    Raises:
        Refused: anything but such a dictionary.
    """
    machine = _Machine()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in texts, which are refused anyway
            for opcode, argument, _ in pickletools.genops(data):
                if opcode.name == "STOP":
                    break
                machine.step(opcode.name, argument)
        (value,) = machine.stack
    except (ValueError, IndexError, KeyError) as error:
        raise Refused(f"damaged or cut off ({error})") from None
    if not isinstance(value, dict):
        raise Refused("it holds no dictionary")
    return value


class _Machine:
    """The stack and the memo on which the operations work."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        """The stacks that marks have put aside, the innermost last."""
        self.memo: dict[int, Any] = {}

    def step(self, operation: str, argument: Any) -> None:
        """Carry out one operation, or refuse it."""
        if operation in ("BININT", "BININT1", "BININT2"):
            self.stack.append(argument)
        elif operation in ("SHORT_BINSTRING", "BINSTRING"):
            self.stack.append(argument.encode("latin-1"))
        elif operation in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif operation in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif operation in CONSTANTS:
            self.stack.append(CONSTANTS[operation]())
        elif operation in TUPLES:
            count = TUPLES[operation]
            items = [self.stack.pop() for _ in range(count)]
            self.stack.append(tuple(reversed(items)))
        elif operation in METHODS:
            METHODS[operation](self, argument)
        elif operation != "PROTO":
            raise Refused(f"it uses {operation}, which no batch of CIFAR-10 needs")

    def mark(self, _: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.below.pop()
        return items

    def tuple(self, _: Any) -> None:
        items = self.since_mark()
        self.stack.append(tuple(items))

    def append(self, _: Any) -> None:
        item = self.stack.pop()
        _expect(self.stack[-1], list).append(item)

    def appends(self, _: Any) -> None:
        items = self.since_mark()
        _expect(self.stack[-1], list).extend(items)

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _expect(self.stack[-1], dict)[_expect(key, bytes)] = value

    def set_items(self, _: Any) -> None:
        items = self.since_mark()
        target = _expect(self.stack[-1], dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_expect(key, bytes)] = value

    def name(self, argument: str) -> None:
        known = {name.text: name for name in (RECONSTRUCT, NDARRAY, DTYPE)}
        if argument not in known:
            raise Refused(f"it names '{argument[:60]}', which no batch of CIFAR-10 needs")
        self.stack.append(known[argument])

    def call(self, _: Any) -> None:
        """The two calls that such a file makes: an empty array, and the type of its elements."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if (function, arguments) == (RECONSTRUCT, (NDARRAY, (0,), b"b")):
            self.stack.append(Array())
        elif (function, arguments) == (DTYPE, (b"u1", 0, 1)):
            self.stack.append(UNSIGNED_BYTE)
        else:
            raise Refused("it calls something that no batch of CIFAR-10 calls")

    def build(self, _: Any) -> None:
        """Fill an array; the state of the type says nothing new."""
        state, target = self.stack.pop(), self.stack[-1]
        if target is UNSIGNED_BYTE:
            return
        _, shape, element, fortran, data = _expect(state, tuple)
        if element is not UNSIGNED_BYTE:
            raise Refused("its array is not one of unsigned bytes")
        array = _expect(target, Array)
        array.shape = _expect(shape, tuple)
        array.fortran = bool(_expect(fortran, bool))
        array.data = _expect(data, bytes)


def _expect(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise Refused(f"a {type(value).__name__} stands where a {kind.__name__} is expected")
    return value


CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
METHODS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "TUPLE": _Machine.tuple,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.name,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
}
