"""Expressions of the wire to values; the calls inside are handed on as they are met.

    1 "a" true null {"k": E}     themselves               [[E, E]]               an array
    ["pipeline", id, path, args] a call, a property       ["import", …]          the same, as a stub
    ["remap", id, path, captures, instructions]           a map
    ["export", id] ["promise", id] ["writable", id]       something of the client's
    ["readable", id] ["blob", mime, …]                    a stream, read to its end
    ["date", ms] ["bytes", base64] ["error", …] …         values that JSON has not

Whatever is none of these ends the session, since the two sides no longer agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from raydo.pipelining.capnweb.slot import Slot
from raydo.pipelining.capnweb.special import SPECIAL, unknown
from raydo.pipelining.capnweb.values import Blob, PeerError, Request, Response
from raydo.pipelining.errors import InvalidArgument, TooLarge
from raydo.pipelining.limits import (
    CAPNWEB_ARGUMENTS_MAX,
    CAPNWEB_DEPTH_MAX,
    CAPNWEB_PATH_MAX,
)

if TYPE_CHECKING:
    from raydo.pipelining.capnweb.stub import ClientStub
    from raydo.pipelining.capnweb.targets import Path

_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


@dataclass(slots=True)
class Payload:
    """A value as it was sent, and the slots that stand in it."""

    value: Any = None
    slots: list[Slot] = field(default_factory=list)
    foreign: bool = False  # whether anything in it is more than JSON


class Scope(Protocol):
    """What the numbers in an expression mean."""

    def slot(self, number: int, /) -> Slot:
        """Find what was pushed or exported.

        Raises:
            InvalidArgument: nothing of that number.
        """

    def stub(self, number: int, /) -> ClientStub:
        """Take a reference to something of the client's."""

    def promise(self, number: int, /) -> Slot:
        """Take a value that the client will send."""

    def readable(self, number: int, /) -> Slot:
        """Take the content of a pipe."""


class Calls(Protocol):
    """What does what the expressions ask for."""

    def get(self, slot: Slot, path: Path) -> Slot: ...
    def call(self, slot: Slot, path: Path, args: Payload) -> Slot: ...
    def remap(
        self, slot: Slot, path: Path, captures: list[Slot | ClientStub], instructions: list[Any]
    ) -> Slot: ...
    def derive(self, slot: Slot, read: Callable[[Any], Any]) -> Slot: ...


Form: TypeAlias = "Callable[[Reader, list[Any], Payload, int], Any]"
Reference: TypeAlias = "Callable[[Reader, list[Any], Payload], Any]"


class Reader:
    """Read expressions of one scope."""

    def __init__(self, scope: Scope, calls: Calls) -> None:
        self.scope = scope
        self.calls = calls

    def read(self, expression: Any, depth: int = CAPNWEB_DEPTH_MAX) -> Payload:
        """Read one expression whole.

        Raises:
            InvalidArgument, TooLarge: it is none; the session cannot go on.
        """
        payload = Payload()
        payload.value = self._read(expression, payload, depth)
        return payload

    def _read(self, expression: Any, into: Payload, depth: int) -> Any:
        kind = type(expression)
        if kind in _SCALARS:
            return expression
        if depth <= 0:
            raise TooLarge(f"A message is nested at most {CAPNWEB_DEPTH_MAX} levels deep.")
        read, depth = self._read, depth - 1
        if kind is dict:
            return {key: read(item, into, depth) for key, item in expression.items()}
        if len(expression) == 1 and type(expression[0]) is list:
            return [read(item, into, depth) for item in expression[0]]
        return self._special(expression, into, depth)

    def _special(self, expression: list[Any], into: Payload, depth: int) -> Any:
        tag = expression[0] if expression else None
        if not isinstance(tag, str):
            raise unknown(expression)
        into.foreign = True
        if tag in SPECIAL:
            return SPECIAL[tag](expression)
        if tag in REFERENCES:
            return REFERENCES[tag](self, expression, into)
        if tag in FORMS:
            return FORMS[tag](self, expression, into, depth)
        raise unknown(expression)

    def _slot(self, slot: Slot, into: Payload) -> Slot:
        into.slots.append(slot)
        return slot

    def _pipeline(self, expression: list[Any], into: Payload, depth: int) -> Slot:
        match expression:
            case [_, int(number)]:
                return self._slot(self.scope.slot(number), into)
            case [_, int(number), list(path)]:
                return self._slot(self.calls.get(self.scope.slot(number), path_of(path)), into)
            case [_, int(number), list(path), list(args)]:
                if len(args) > CAPNWEB_ARGUMENTS_MAX:
                    raise TooLarge(f"A call has at most {CAPNWEB_ARGUMENTS_MAX:,} arguments.")
                slot = self.scope.slot(number)
                payload = self.read([args], depth)
                return self._slot(self.calls.call(slot, path_of(path), payload), into)
        raise unknown(expression)

    def _remap(self, expression: list[Any], into: Payload) -> Slot:
        match expression:
            case [_, int(number), list(path), list(captures), list(instructions)] if instructions:
                slot = self.scope.slot(number)
                captured = [self._capture(each) for each in captures]
                return self._slot(
                    self.calls.remap(slot, path_of(path), captured, instructions), into
                )
        raise unknown(expression)

    def _capture(self, expression: Any) -> Slot | ClientStub:
        match expression:
            case ["import", int(number)]:
                return self.scope.slot(number)
            case ["export", int(number)]:
                return self.scope.stub(number)
        raise unknown(expression)

    def _stub(self, expression: list[Any], _: Payload) -> ClientStub:
        return self.scope.stub(_number(expression))

    def _promise(self, expression: list[Any], into: Payload) -> Slot:
        return self._slot(self.scope.promise(_number(expression)), into)

    def _readable(self, expression: list[Any], into: Payload) -> Slot:
        return self._slot(self.scope.readable(_number(expression)), into)

    def _blob(self, expression: list[Any], into: Payload) -> Slot:
        match expression:
            case [_, str(mime), ["readable", int(number)]]:
                content = self.scope.readable(number)
                return self._slot(
                    self.calls.derive(content, lambda data: _as_blob(mime, data)), into
                )
        raise unknown(expression)

    def _error(self, expression: list[Any], into: Payload, depth: int) -> PeerError:
        match expression:
            case [_, str(name), str(message)] | [_, str(name), str(message), str() | None]:
                return PeerError(name, message)
            case [_, str(name), str(message), str() | None, dict(props)]:
                return PeerError(name, message, self._read(props, into, depth))
        raise unknown(expression)

    def _request(self, expression: list[Any], into: Payload, depth: int) -> Request:
        match expression:
            case [_, str(url), dict(init)]:
                return Request(url, self._init(init, into, depth))
        raise unknown(expression)

    def _response(self, expression: list[Any], into: Payload, depth: int) -> Response:
        match expression:
            case [_, body, dict(init)]:
                return Response(self._read(body, into, depth), self._init(init, into, depth))
        raise unknown(expression)

    def _init(self, init: dict[str, Any], into: Payload, depth: int) -> dict[str, Any]:
        """Read a request's or response's settings, of which only body and signal are expressions."""
        _bound_depth(init, depth)
        return {
            key: self._read(item, into, depth) if key in {"body", "signal"} else item
            for key, item in init.items()
        }


def _as_blob(mime: str, content: Any) -> Blob:
    data = content.encode() if isinstance(content, str) else content
    if data == []:
        data = b""
    if not isinstance(data, bytes):
        raise InvalidArgument("A Blob's stream holds bytes.")
    return Blob(mime, data)


def _number(expression: list[Any]) -> int:
    match expression:
        case [_, int(number)] if not isinstance(number, bool):
            return number
    raise unknown(expression)


def path_of(path: list[Any]) -> list[str | int]:
    """Check a path.

    Raises:
        InvalidArgument, TooLarge: it is none.
    """
    if len(path) > CAPNWEB_PATH_MAX:
        raise TooLarge(f"A path has at most {CAPNWEB_PATH_MAX} steps.")
    for part in path:
        if type(part) is not str and type(part) is not int:
            raise InvalidArgument("A path is made of names and numbers.")
    return path


def _bound_depth(value: Any, depth: int) -> None:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return
    if depth <= 0:
        raise TooLarge(f"A message is nested at most {CAPNWEB_DEPTH_MAX} levels deep.")
    for item in value:
        _bound_depth(item, depth - 1)


REFERENCES: Final[dict[str, Reference]] = {
    "remap": Reader._remap,
    "export": Reader._stub,
    "promise": Reader._promise,
    "writable": Reader._stub,
    "readable": Reader._readable,
    "blob": Reader._blob,
}
FORMS: Final[dict[str, Form]] = {
    "pipeline": Reader._pipeline,
    "import": Reader._pipeline,
    "error": Reader._error,
    "request": Reader._request,
    "response": Reader._response,
}
