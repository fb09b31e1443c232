"""What a program still has to do when some of its calls are answered elsewhere.

A method may return `Postponed`: its answer takes long, and is found beside the object's turns. Each
instruction that needs it waits as well, and together they are a smaller program, in which what is
known already stands as values. It is plain data, so it can wait in another process, or on disk as
the reply that a retry is given; whoever has the answers finishes it (`evaluate.finish`).

    unfinished = [[outcome | index, …], [[op, error], …], program, [[index, ask], …]]

The indexes are of the smaller program's instructions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from raydo.pipelining.codec import pack, unpack
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.frame import Failure
from raydo.pipelining.limits import ENVELOPE_BYTES_MAX
from raydo.pipelining.operands import Waits, at
from raydo.pipelining.program import ROOT, Call, Get, Map, Op, Program, Value
from raydo.pipelining.step import is_remote

_FIRST_BYTE: Final = b"\x94"  # a reply begins with another: it is a map

_INTO_CALLS: Final = (
    "What this call needs is answered beside the object's turns, so no call of the same chain can "
    "take it. Await it first, and pass its value."
)


class Postponed:
    """Say that a call is answered beside the turns; `ask` is plain data that says what is asked."""

    __slots__ = ("ask",)

    def __init__(self, ask: Any) -> None:
        self.ask = ask


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Results as far as they are known, and what is to be done with the answers to `asks`."""

    results: tuple[bytes | int, ...]
    failures: tuple[Failure, ...]
    program: bytes
    asks: tuple[tuple[int, Any], ...]

    def encode(self) -> bytes:
        return pack([self.results, [list(each) for each in self.failures], self.program, self.asks])

    @staticmethod
    def decode(data: bytes) -> Unfinished:
        results, failures, program, asks = unpack(data, bytes_max=ENVELOPE_BYTES_MAX)
        return Unfinished(
            tuple(results),
            tuple(Failure(*each) for each in failures),
            program,
            tuple((index, ask) for index, ask in asks),
        )


def is_unfinished(reply: object) -> bool:
    """Tell an encoded `Unfinished` from an encoded `Reply`."""
    return isinstance(reply, bytes) and reply.startswith(_FIRST_BYTE)


class Rest:
    """Gather the instructions that wait, while a program runs."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self.asks: list[tuple[int, Any]] = []

    def postpone(self, call: Postponed) -> Waits:
        """Let the value of a call come later."""
        waits = self._add(Value(None))
        self.asks.append((waits.index, call.ask))
        return waits

    def holds(self, op: Op, target: Any, values: Sequence[Any]) -> bool:
        """Tell whether an instruction needs what comes later."""
        if type(target) is Waits:
            return True
        return type(op) is Map and any(
            index >= 0 and type(values[index]) is Waits for index in op.captures
        )

    def follow(self, op: Op, values: list[Any]) -> Waits:
        """Let an instruction wait for what it needs.

        Raises:
            InvalidArgument: it is a call, which cannot.
        """
        if type(op) is Get:
            return self._add(Get(self._operand(op.target, values), op.key))
        if type(op) is Map and not any(type(inner) is Call for inner in op.body.ops):
            captures = tuple(self._operand(index, values) for index in op.captures)
            return self._add(Map(self._operand(op.target, values), op.body, captures))
        raise InvalidArgument(_INTO_CALLS)

    def unfinished(self, results: Sequence[bytes | int], failures: Sequence[Failure]) -> Unfinished:
        """Say what is left to do."""
        program = Program(tuple(self.ops), ()).encode()
        return Unfinished(tuple(results), tuple(failures), program, tuple(self.asks))

    def _operand(self, index: int, values: list[Any]) -> int:
        if index == ROOT:
            raise InvalidArgument(_INTO_CALLS)
        value = values[index]
        if type(value) is Waits:
            return value.index
        if is_remote(known := at(index, values, ())):
            raise InvalidArgument(_INTO_CALLS)
        return self._add(Value(known)).index

    def _add(self, op: Op) -> Waits:
        self.ops.append(op)
        return Waits(len(self.ops) - 1)
