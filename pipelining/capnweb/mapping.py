"""A recorded map as one instruction of a program, so that its calls need no second journey.

That is possible where the function uses nothing but its element, the object that the program is
for, and what the program computes. Whatever is more than that gives None, and the map is replayed
at the gateway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raydo.pipelining.assemble import number
from raydo.pipelining.capnweb.arguments import Elsewhere, as_data
from raydo.pipelining.capnweb.draft import Draft
from raydo.pipelining.capnweb.reader import path_of
from raydo.pipelining.capnweb.slot import Slot, Turns
from raydo.pipelining.capnweb.special import SPECIAL
from raydo.pipelining.capnweb.stub import ClientStub
from raydo.pipelining.capnweb.targets import (
    TARGETS,
    LocalMethod,
    Path,
    RemoteMethod,
    Target,
    callee,
    walk,
)
from raydo.pipelining.capnweb.values import UNDEFINED, PeerError, plain
from raydo.pipelining.codec import Ref, pack, pack_arguments
from raydo.pipelining.errors import RaydoError
from raydo.pipelining.limits import FRAME_DEPTH_MAX, MAP_NESTING_MAX
from raydo.pipelining.noun import Noun
from raydo.pipelining.program import ELEMENT, NAME_MAX, ROOT, join_body

Captures = Sequence["Slot | ClientStub"]
Value = Ref | Target  # what a variable of the function is: a place in the body, or known beforehand


class _NotThere(Exception):
    """Leave a map that the object alone cannot run."""


def compile_map(
    turns: Turns, draft: Draft, at: int, captures: Captures, instructions: list[Any]
) -> tuple[bytes, int] | None:
    """Encode a map over the value at an index; give it with the number of instructions inside."""
    body = _Body(_Around(turns, draft, captures))
    try:
        return body.compile(at, instructions)
    except (_NotThere, Elsewhere, RaydoError, PeerError):
        return None  # replayed, it gives its result, or the error that belongs to it


class _Around:
    """The program around the outermost function, and what that captured."""

    def __init__(self, turns: Turns, draft: Draft, captures: Captures) -> None:
        self.turns = turns
        self.draft = draft
        self.noun: Noun = draft.noun
        self.depth: int = 0
        self._captures = captures

    def root(self) -> int:
        return ROOT

    def capture(self, position: int) -> Value:
        slot = self._captures[position]
        if isinstance(slot, ClientStub):
            raise _NotThere
        if isinstance(slot.value, TARGETS):
            return slot.value
        at = self.draft.place(slot)
        if at is None:
            if not slot.whole or slot.failure is not None:
                raise _NotThere
            value = slot.value if slot.plain else as_data(self.turns, self.draft, slot.value)
            at = self.draft.append(b"\x92\x03" + pack(value))
        return Ref(at)


class _Inside:
    """The function around a function inside it."""

    def __init__(self, body: _Body, captures: list[Value]) -> None:
        self.body = body
        self.noun: Noun = body.around.noun
        self.depth: int = body.around.depth + 1
        self._captures = captures
        if self.depth >= MAP_NESTING_MAX:
            raise _NotThere

    def root(self) -> int:
        return self.body.object(())

    def capture(self, position: int) -> Value:
        return self._captures[position]


class _Body:
    """The instructions of one function."""

    def __init__(self, around: _Around | _Inside) -> None:
        self.around = around
        self._ops: list[bytes] = []
        self._inner = 0
        self._outside: list[int] = []  # the indexes around that captures stand for
        self._captured: dict[int, Value] = {}
        self._parts: dict[tuple[str, ...], int] = {}
        self._variables: list[Any] = [Ref(ELEMENT)]

    def compile(self, at: int, instructions: list[Any]) -> tuple[bytes, int]:
        for instruction in instructions:
            self._variables.append(self._read(instruction, FRAME_DEPTH_MAX))
        result = self._variables.pop()
        if isinstance(result, TARGETS):
            raise _NotThere
        body = join_body(self._ops, pack(result))
        op = b"\x94\x02" + number(at) + body + pack(self._outside)
        return op, len(self._ops) + self._inner

    def object(self, path: tuple[str, ...]) -> int:
        """Give the index of the durable object, or of an exposed part of it."""
        if path not in self._parts:
            at = self._get(self.object(()), path) if path else self._take(self.around.root())
            self._parts[path] = at
        return self._parts[path]

    def _take(self, outside: int) -> int:
        self._outside.append(outside)
        return ELEMENT - len(self._outside)

    def _append(self, op: bytes) -> int:
        self._ops.append(op)
        return len(self._ops) - 1

    def _get(self, at: int, path: Path) -> int:
        for key in path:
            if str(key).startswith("-"):
                raise _NotThere
            at = self._append(b"\x93\x04" + number(at) + pack(key))
        return at

    def _variable(self, index: Any) -> Any:
        if type(index) is not int:
            raise _NotThere
        if index >= 0:
            if index >= len(self._variables):
                raise _NotThere
            return self._variables[index]
        if index not in self._captured:
            try:
                value = self.around.capture(-index - 1)
            except IndexError:
                raise _NotThere from None
            if isinstance(value, Ref):
                value = Ref(self._take(value.index))
            self._captured[index] = value
        return self._captured[index]

    def _read(self, expression: Any, depth: int) -> Any:
        """Read an expression to a value in which references stand for what the body computes."""
        if depth <= 0:
            raise _NotThere
        if isinstance(expression, dict):
            items = [(key, self._read(item, depth - 1)) for key, item in expression.items()]
            return {key: _value(item) for key, item in items if item is not UNDEFINED}
        if not isinstance(expression, list):
            return expression
        match expression:
            case [list(items)]:
                return [_value(self._read(item, depth - 1)) for item in items]
            case ["pipeline" | "import", index, *rest]:
                return self._pipeline(self._variable(index), rest, depth)
            case ["remap", index, list(path), list(captures), list(instructions)]:
                base = self._property(self._variable(index), path_of(path))
                return self._map(base, captures, instructions)
            case [str(tag), *_] if tag in SPECIAL:
                value = SPECIAL[tag](expression)
                return value if value is UNDEFINED else plain(value)
        raise _NotThere

    def _pipeline(self, base: Any, rest: list[Any], depth: int) -> Any:
        match rest:
            case []:
                return base
            case [list(path)]:
                return self._property(base, path_of(path))
            case [list(path), list(args)]:
                values = [_value(self._read(arg, depth - 1)) for arg in args]
                return self._call(base, path_of(path), values)
        raise _NotThere

    def _property(self, base: Any, path: Path) -> Any:
        if isinstance(base, Ref):
            return Ref(self._get(base.index, path))
        if not isinstance(base, TARGETS):
            raise _NotThere
        value, _ = walk(base, path)
        return value

    def _call(self, base: Any, path: Path, args: list[Any]) -> Any:
        if isinstance(base, Ref):
            if not path:
                raise _NotThere
            at = self._get(base.index, path[:-1])
            return Ref(self._append(_call(at, str(path[-1]), args)))
        if not isinstance(base, TARGETS):
            raise _NotThere
        method, _ = callee(base, path)
        if isinstance(method, LocalMethod):
            return self._fixed(method, args)
        if not isinstance(method, RemoteMethod) or method.remote.noun != self.around.noun:
            raise _NotThere
        at = self.object(method.remote.path)
        return Ref(self._append(_call(at, method.name, args)))

    def _fixed(self, method: LocalMethod, args: list[Any]) -> Target:
        """Do a call of the gateway's own that does nothing but name an object."""
        if any(type(arg) is not str for arg in args):
            raise _NotThere
        found = method.local.fixed(method.name, args)
        if found is None:
            raise _NotThere
        return found

    def _map(self, base: Any, captures: list[Any], instructions: list[Any]) -> Ref:
        if not isinstance(base, Ref) or not instructions:
            raise _NotThere
        captured = [self._variable(each[1]) for each in captures if _is_import(each)]
        inner = _Body(_Inside(self, captured))
        op, count = inner.compile(base.index, instructions)
        self._inner += count
        return Ref(self._append(op))


def _is_import(capture: Any) -> bool:
    if type(capture) is not list or len(capture) != 2 or capture[0] != "import":
        raise _NotThere
    return True


def _call(at: int, name: str, args: list[Any]) -> bytes:
    if len(name) > NAME_MAX:
        raise _NotThere
    while args and args[-1] is UNDEFINED:
        args.pop()
    values = tuple(None if arg is UNDEFINED else arg for arg in args)
    return b"\x95\x00" + number(at) + pack(name) + pack_arguments(values, {})


def _value(read: Any) -> Any:
    """Let through what may stand inside a value."""
    if isinstance(read, TARGETS):
        raise _NotThere
    return read
