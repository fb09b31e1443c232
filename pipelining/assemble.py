"""Turn promises into the encoded instructions of one program, each node once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgpack

from raydo.pipelining.codec import pack, renumber
from raydo.pipelining.convoy import Linked
from raydo.pipelining.derive import is_mine
from raydo.pipelining.errors import PromiseMisused, TooLarge
from raydo.pipelining.limits import FRAME_OPS_MAX
from raydo.pipelining.program import ROOT
from raydo.pipelining.promise import (
    CallPromise,
    CastPromise,
    GetPromise,
    LazyCall,
    MapPromise,
    Promise,
)
from raydo.pipelining.state import Settled

if TYPE_CHECKING:
    from raydo.pipelining.convoy import Place
    from raydo.pipelining.site import Site

_VALUE: Final = b"\x92\x03"  # the beginning of a VALUE
_NUMBERS: Final = tuple(msgpack.packb(number) for number in range(-1, 1024))


def number(value: int) -> bytes:
    """Encode a small integer."""
    return _NUMBERS[value + 1] if -1 <= value < 1023 else bytes(msgpack.packb(value))


def encode_cast(promise: CastPromise[Any]) -> bytes:
    """Encode the instruction of a cast to the object itself, with values only.

    Raises:
        PromiseMisused: it is a sub-object's, or an argument is a promise.
    """
    if promise._parent is not None or promise._refs:
        raise PromiseMisused(
            f"{promise!r} cannot be sent by itself: it depends on another promise."
        )
    return _head(promise._name) + promise._args


@lru_cache(maxsize=4096)
def _head(name: str) -> bytes:
    """Encode the beginning of a CALL on the object itself."""
    return b"\x95\x00\xff" + pack(name)


class Assembler:
    """Collect instructions in order; a node's index is its place."""

    def __init__(self) -> None:
        self.ops: list[bytes] = []
        self.nodes: list[Promise[Any] | None] = []  # parallel to ops; None where nobody may ask
        self.parents: list[int] = []
        self.uses: list[int] = []  # the indexes that instructions of this program hold, each time
        self.places: dict[int, int] = {}

    def known(self, promise: Promise[Any] | None) -> int | None:
        """Give the target of what needs no instruction of its own, or None."""
        raise NotImplementedError

    def place(self, promise: Promise[Any] | None) -> int:
        """Give the target that stands for a promise, adding the instructions that it needs.

        Raises:
            PromiseMisused, TooLarge: it cannot be part of this program.
        """
        path: list[Promise[Any]] = []  # a chain may be longer than Python's stack is deep
        at = self._find(promise)
        while at is None:
            assert promise is not None
            path.append(promise)
            promise = promise._parent
            at = self._find(promise)
        for node in reversed(path):
            at = self._add(node, self._op(node, at), at)
        return at

    def _find(self, promise: Promise[Any] | None) -> int | None:
        at = None if promise is None else self.places.get(id(promise))
        return self.known(promise) if at is None else at

    def _use(self, promise: Promise[Any] | None) -> int:
        at = self.place(promise)
        self.uses.append(at)
        return at

    def _op(self, node: Promise[Any], at: int) -> bytes:
        if isinstance(node, GetPromise):
            return b"\x93\x01" + number(at) + pack(node._key)
        if isinstance(node, CallPromise):
            args = node._args
            if node._refs:
                args = renumber(b"\x92" + args, [self._use(ref) for ref in node._refs])[1:]
            return b"\x95\x00" + number(at) + pack(node._name) + args
        if isinstance(node, MapPromise):
            captures = [self._use(capture) for capture in node._captures]
            return b"\x94\x02" + number(at) + node._body + pack(captures)
        raise PromiseMisused("A value made by then() is here, not at the object; await it first.")

    def _add(self, node: Promise[Any], op: bytes, at: int) -> int:
        self.uses.append(at)
        if isinstance(node, LazyCall):
            node._line = None  # it is being sent
        return self.append(op, node, at)

    def append(self, op: bytes, node: Promise[Any] | None, at: int = ROOT) -> int:
        """Add one encoded instruction and give its index."""
        index = len(self.ops)
        if index >= FRAME_OPS_MAX:
            raise TooLarge(f"A program has at most {FRAME_OPS_MAX:,} instructions.")
        self.ops.append(op)
        self.nodes.append(node)
        self.parents.append(at)
        if node is not None:
            self.places[id(node)] = index
        return index

    def cut(self, length: int, uses: int) -> None:
        """Take back the instructions of something that could not be placed whole."""
        del self.uses[uses:]
        for node in self.nodes[length:]:
            if node is not None:
                del self.places[id(node)]
        for column in (self.ops, self.nodes, self.parents):
            del column[length:]


class Elsewhere(Exception):
    """Leave a promise that needs another object's, which cannot come on the way."""


class ProgramAssembler(Assembler):
    """Assemble a program: settled values travel as values, and others' by links."""

    def __init__(self, find: Callable[[Promise[Any]], Place | None]) -> None:
        super().__init__()
        self.site: Site | None = None  # of what is being placed, if it needs another object's
        self.links: list[Linked] = []
        self._find_place = find

    def known(self, promise: Promise[Any] | None) -> int | None:
        if promise is None:
            return ROOT
        state = promise._state
        if type(state) is Settled:
            return self.append(_VALUE + pack(state.result()), promise)
        if self.site is None or is_mine(promise, self.site):
            return None
        place = self._find_place(promise)
        if place is None:
            raise Elsewhere
        # Not as this program's node: its value is another frame's to bring.
        self.places[id(promise)] = at = self.append(_VALUE + pack(None), None)
        self.links.append(Linked(at, promise, place))
        return at

    def cut(self, length: int, uses: int) -> None:
        for link in self.links:
            if link.op >= length:
                del self.places[id(link.promise)]
        self.links = [link for link in self.links if link.op < length]
        super().cut(length, uses)
