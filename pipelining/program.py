"""Programs: straight lines of instructions whose operands are earlier instructions.

A program is one frame of one session. The receiver keeps nothing between frames, so it is validated
whole before its first instruction runs: indexes point backward, types and sizes are right.

    program = [[op, …], outputs]
    op      = [0, target, name, args, kwargs]             CALL
            | [1, target, key]                            GET
            | [2, target, [[op, …], result], captures]    MAP
            | [3, value]                                  VALUE
            | [4, target, key]                            PEEK: a GET as JavaScript has it, which finds
                                                          None where there is no such key or index
            | [5, error]                                  FAIL: a value that is not to be had
    target  = -1 the root object, else an earlier index. In the body of a MAP -1 is the element and
              -2, -3, … are the captures, which name targets of the program around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import msgpack

from raydo.pipelining.codec import Ref, check_depth, pack, unpack_with_refs
from raydo.pipelining.errors import InvalidArgument, TooLarge
from raydo.pipelining.limits import FRAME_OPS_MAX, MAP_NESTING_MAX

CALL: Final = 0
GET: Final = 1
MAP: Final = 2
VALUE: Final = 3
PEEK: Final = 4
FAIL: Final = 5

ROOT: Final = -1
ELEMENT: Final = -1

NAME_MAX: Final = 200


class Call(NamedTuple):
    target: int
    name: str
    args: list[Any]
    kwargs: dict[str, Any]
    refs: bool  # whether any reference stands in the arguments


class Get(NamedTuple):
    target: int
    key: str | int
    lenient: bool = False


class Body(NamedTuple):
    ops: tuple[Op, ...]
    result: Any  # a value in which references stand for what the body computed


class Map(NamedTuple):
    target: int
    body: Body
    captures: tuple[int, ...]


class Value(NamedTuple):
    value: Any
    target: int = ROOT  # it has none; every instruction can be asked


class Fail(NamedTuple):
    error: dict[str, Any]
    target: int = ROOT


Op: TypeAlias = Call | Get | Map | Value | Fail


def _wire_op(op: Op) -> list[Any]:
    match op:
        case Call(target, name, args, kwargs, _):
            return [CALL, target, name, args, kwargs]
        case Get(target, key, lenient):
            return [PEEK if lenient else GET, target, key]
        case Map(target, body, captures):
            wired = [[_wire_op(inner) for inner in body.ops], body.result]
            return [MAP, target, wired, list(captures)]
        case Value(value, _):
            return [VALUE, value]
        case Fail(error, _):
            return [FAIL, error]


def encode_op(op: Op) -> bytes:
    """Encode one instruction by itself, for `join_program`."""
    return pack(_wire_op(op))


@dataclass(frozen=True, slots=True)
class Program:
    """Instructions, and the indexes of those whose values the caller waits for."""

    ops: tuple[Op, ...]
    outputs: tuple[int, ...]

    def encode(self) -> bytes:
        return join_program([encode_op(op) for op in self.ops], self.outputs)

    @staticmethod
    def decode(data: bytes) -> Program:
        """Read a program that may come from anyone.

        Raises:
            InvalidArgument, TooLarge: it is not one, or breaks a limit.
        """
        wire, refs = unpack_with_refs(data)
        expect(type(wire) is list and len(wire) == 2, "is [ops, outputs]")
        ops = _Parser(bool(refs)).ops(wire[0])
        outputs = wire[1]
        expect(type(outputs) is list and len(outputs) <= FRAME_OPS_MAX, "has a list of outputs")
        for index in outputs:
            expect(type(index) is int and 0 <= index < len(ops), "has outputs among its ops")
        return Program(ops, tuple(outputs))


def join_program(ops: Sequence[bytes], outputs: Sequence[int]) -> bytes:
    """Make a program of instructions that are encoded already, without decoding them again."""
    header = array_header(len(ops))
    return b"".join((b"\x92", header, *ops, msgpack.packb(tuple(outputs))))


def join_body(ops: Sequence[bytes], result: bytes) -> bytes:
    """Make the body of a MAP in the same way."""
    return b"".join((b"\x92", array_header(len(ops)), *ops, result))


def array_header(length: int) -> bytes:
    """Encode the beginning of a list whose items follow encoded already."""
    if length < 16:
        return bytes((0x90 | length,))
    return (
        b"\xdc" + length.to_bytes(2, "big")
        if length < 65536
        else b"\xdd" + length.to_bytes(4, "big")
    )


def expect(holds: bool, what: str) -> None:
    """Refuse a message from outside unless it holds.

    Raises:
        InvalidArgument: it doesn't.
    """
    if not holds:
        raise InvalidArgument(f"This is no frame of ours: it {what}.")


class _Parser:
    """Check instructions on their way in: those of a program, or of one body inside it."""

    def __init__(self, has_refs: bool, lowest: int = ROOT, outer: _Parser | None = None) -> None:
        self.has_refs = has_refs
        self.lowest = lowest  # what a target may be at least
        self.lowest_ref = lowest if outer else 0  # the root object itself is no value
        self.counts: list[int] = (
            outer.counts if outer else [0]
        )  # instructions so far, all bodies together
        self.nesting: int = outer.nesting + 1 if outer else 0
        if self.nesting > MAP_NESTING_MAX:
            raise TooLarge(f"Maps are nested at most {MAP_NESTING_MAX} deep.")

    def ops(self, wire: Any) -> tuple[Op, ...]:
        expect(type(wire) is list, "has a list of ops")
        self.counts[0] += len(wire)
        if self.counts[0] > FRAME_OPS_MAX:
            raise TooLarge(f"A program has at most {FRAME_OPS_MAX:,} instructions.")
        return tuple([self._op(op, index) for index, op in enumerate(wire)])

    def _op(self, wire: Any, index: int) -> Op:
        expect(type(wire) is list and len(wire) >= 2, "has ops that are lists")
        kind, target = wire[0], wire[1]
        if kind == VALUE and len(wire) == 2:
            expect(not self._refs(target, 0, 0), "has values without references")
            return Value(target)
        if kind == FAIL and len(wire) == 2:
            expect(
                type(target) is dict and not self._refs(target, 0, 0), "has errors as they travel"
            )
            return Fail(target)
        expect(type(target) is int and self.lowest <= target < index, "has earlier targets")
        if kind == CALL and len(wire) == 5:
            return self._call(wire, index)
        if kind in (GET, PEEK) and len(wire) == 3:
            expect(type(wire[2]) in (str, int), "has keys that are text or numbers")
            return Get(target, wire[2], kind == PEEK)
        expect(kind == MAP and len(wire) == 4, "has ops of a known shape")
        return self._map(wire, index)

    def _call(self, wire: list[Any], index: int) -> Call:
        _, target, name, args, kwargs = wire
        expect(type(name) is str and len(name) <= NAME_MAX, "names methods by a short text")
        expect(type(args) is list and type(kwargs) is dict, "has a list and a dict of arguments")
        check_depth(args)
        if kwargs:
            check_depth(kwargs)
            expect(all(type(key) is str for key in kwargs), "names keyword arguments by text")
        if not self.has_refs:
            return Call(target, name, args, kwargs, False)
        low = self.lowest_ref
        refs = _check_refs(args, low, index) | _check_refs(kwargs, low, index)
        return Call(target, name, args, kwargs, refs)

    def _map(self, wire: list[Any], index: int) -> Map:
        _, target, body, captures = wire
        expect(type(body) is list and len(body) == 2, "has bodies that are [ops, result]")
        expect(type(captures) is list, "has a list of captures")
        for capture in captures:
            expect(type(capture) is int and self.lowest <= capture < index, "captures earlier ops")
        inner = _Parser(self.has_refs, ELEMENT - len(captures), self)
        ops = inner.ops(body[0])
        self._refs(body[1], inner.lowest, len(ops))
        return Map(target, Body(ops, body[1]), tuple(captures))

    def _refs(self, value: Any, lowest: int, end: int) -> bool:
        """Check every reference inside a value; say whether there is one."""
        check_depth(value)
        return self.has_refs and _check_refs(value, lowest, end)


def _check_refs(value: Any, lowest: int, end: int) -> bool:
    if type(value) is Ref:
        expect(lowest <= value.index < end, "refers to earlier ops")
        return True
    if type(value) is dict:
        value = value.values()
    elif type(value) is not list:
        return False
    found = False
    for item in value:
        found |= _check_refs(item, lowest, end)
    return found
