"""What each message of the client does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from raydo.pipelining.capnweb.calls import Dispatcher
from raydo.pipelining.capnweb.exports import Export, Exports
from raydo.pipelining.capnweb.imports import Imports
from raydo.pipelining.capnweb.local import Holds
from raydo.pipelining.capnweb.outgoing import Outgoing
from raydo.pipelining.capnweb.pipe import Pipe
from raydo.pipelining.capnweb.reader import Reader
from raydo.pipelining.capnweb.slot import Slot, Turns, settled
from raydo.pipelining.capnweb.stub import ClientStub
from raydo.pipelining.capnweb.values import PeerError
from raydo.pipelining.errors import InvalidArgument


class SessionEnded(Exception):
    """Leave a session that the client has ended."""


class Incoming:
    """Read messages, and find what their numbers mean."""

    def __init__(
        self,
        *,
        turns: Turns,
        exports: Exports,
        imports: Imports,
        outgoing: Outgoing,
        holds: Holds,
        calls: Dispatcher,
    ) -> None:
        self._turns = turns
        self._exports = exports
        self._imports = imports
        self._outgoing = outgoing
        self._holds = holds
        self.give = calls.give
        self._reader = Reader(self, calls)
        self._pipes: list[Pipe] = []

    def handle(self, message: list[Any]) -> None:
        """Do what one message says.

        Raises:
            SessionEnded: the client ends the session. RaydoError: it is none; the session cannot go on.
        """
        handler = _HANDLERS.get(message[0])
        if handler is None:
            raise _bad(message)
        handler(self, message)

    def end(self, error: Exception) -> None:
        """No further message comes: fail the streams that have not ended."""
        for pipe in self._pipes:
            pipe.fail(error)

    def _push(self, message: list[Any]) -> None:
        self._exports.push(Export(self._evaluate(message)))

    def _stream(self, message: list[Any]) -> None:
        export = Export(self._evaluate(message), passing=True)
        self._outgoing.pull(self._exports.push(export), export)

    def _evaluate(self, message: list[Any]) -> Slot:
        if len(message) < 2:
            raise _bad(message)
        payload = self._reader.read(message[1])
        if isinstance(payload.value, Slot):
            return payload.value
        slot = Slot(self._turns)
        slot.settle(payload.value, payload.slots)
        return slot

    def _pipe(self, _: list[Any]) -> None:
        pipe = Pipe(self._turns)
        self._pipes = [each for each in self._pipes if not each.content.known]
        self._pipes.append(pipe)
        self._exports.push(Export(settled(self._turns, self._holds.hold(pipe)), pipe=pipe))

    def _pull(self, message: list[Any]) -> None:
        [number] = _integers(message, 1)
        export = self._exports.get(number)
        if not export.pulled:
            self._outgoing.pull(number, export)

    def _resolve(self, message: list[Any]) -> None:
        [number] = _integers(message, 1)
        if len(message) < 3:
            raise _bad(message)
        payload = self._reader.read(message[2])
        slot = self._imports.take(number)
        if slot is None:
            return  # nobody waits for it any more
        value = payload.value
        if message[0] == "reject":
            slot.fail(
                value if isinstance(value, PeerError) else PeerError("Error", f"{value!r:.200}")
            )
        elif isinstance(value, Slot):
            slot.follow(value)
        else:
            slot.settle(value, payload.slots)

    def _release(self, message: list[Any]) -> None:
        number, references = _integers(message, 2)
        self._exports.release(number, references)

    def _abort(self, message: list[Any]) -> None:
        reason = self._reader.read(message[1]).value if len(message) > 1 else None
        text = reason.message if isinstance(reason, PeerError) else "no reason given"
        raise SessionEnded(f"The client has ended the session: {text:.500}")

    # What numbers mean in the client's expressions.

    def slot(self, number: int, /) -> Slot:
        return self._exports.get(number).slot

    def stub(self, number: int, /) -> ClientStub:
        return self._imports.stub(number)

    def promise(self, number: int, /) -> Slot:
        return self._imports.promise(number)

    def readable(self, number: int, /) -> Slot:
        pipe = self._exports.get(number).pipe
        if pipe is None or pipe.taken:
            raise InvalidArgument(f"Export {number} is not a pipe, or it is read already.")
        pipe.taken = True
        return pipe.content


def _integers(message: list[Any], count: int) -> list[int]:
    numbers = message[1 : 1 + count]
    if len(numbers) < count or any(type(number) is not int for number in numbers):
        raise _bad(message)
    return numbers


def _bad(message: list[Any]) -> InvalidArgument:
    return InvalidArgument(f"bad RPC message: {message!r:.200}")


_HANDLERS: Final[dict[str, Callable[[Incoming, list[Any]], None]]] = {
    "push": Incoming._push,
    "stream": Incoming._stream,
    "pipe": Incoming._pipe,
    "pull": Incoming._pull,
    "resolve": Incoming._resolve,
    "reject": Incoming._resolve,
    "release": Incoming._release,
    "abort": Incoming._abort,
}
