"""What this session holds of the client, by number: its functions, its promises, our calls of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from raydo.pipelining.capnweb.faults import logger
from raydo.pipelining.capnweb.slot import Slot, Turns, failed
from raydo.pipelining.capnweb.stub import ClientStub
from raydo.pipelining.capnweb.writer import Exporter, Writer
from raydo.pipelining.errors import InvalidArgument, TooLarge
from raydo.pipelining.limits import CAPNWEB_IMPORTS_MAX

CHUNK_BYTES: Final = 64 * 1024  # of one write to a stream: the official client's smallest window

Broken = Callable[[Exception], None]


@dataclass(slots=True)
class Import:
    references: int = 1  # to be given back
    stubs: int = 0  # of ours that share them
    slot: Slot | None = None  # what it will resolve to, if it is a promise
    passing: bool = False  # the client forgets it by itself
    broken: list[Broken] = field(default_factory=list)


class Imports:
    """The table, and what is sent about it; number 0 is the client's own main object."""

    def __init__(self, turns: Turns, send: Callable[[list[Any]], None], exporter: Exporter) -> None:
        self._turns = turns
        self._send = send
        self._exporter = exporter
        self._entries: dict[int, Import] = {0: Import(stubs=1)}
        self._next = 1
        self.unreachable: Exception | None = None  # why the client cannot be called
        self._ended: Exception | None = None  # why nothing comes from it any more

    def __len__(self) -> int:
        return len(self._entries)

    # References that the client sends.

    def stub(self, number: int) -> ClientStub:
        """Take one more reference to something that can be called."""
        entry = self._entries.get(number)
        if entry is None:
            entry = self._add(number, Import(references=0))
        elif entry.slot is not None or not number:
            raise InvalidArgument(f"Export {number} is no function or object.")
        entry.references += 1
        entry.stubs += 1
        return ClientStub(self, number)

    def promise(self, number: int) -> Slot:
        """Take a value that the client will send by itself."""
        if number in self._entries:
            raise InvalidArgument(f"A promise cannot have the number {number} of another export.")
        slot = Slot(self._turns)
        self._add(number, Import(slot=slot))
        if self._ended is not None:
            slot.fail(self._ended)
        return slot

    def take(self, number: int) -> Slot | None:
        """Give what a resolution is for, if it is still waited for, and forget the number."""
        entry = self._entries.get(number)
        if entry is None or entry.slot is None:
            return None
        del self._entries[number]
        if not entry.passing:
            self._send(["release", number, entry.references])
        return None if entry.slot.known else entry.slot

    def _add(self, number: int, entry: Import) -> Import:
        if len(self._entries) > CAPNWEB_IMPORTS_MAX:
            raise TooLarge(
                f"A session holds at most {CAPNWEB_IMPORTS_MAX:,} functions and promises of a client."
            )
        self._entries[number] = entry
        return entry

    # Stubs.

    def call_client(
        self, reference: int, path: Sequence[str | int], args: list[Any] | None
    ) -> Slot:
        """Call something of the client's, or read a property of it."""
        if self.unreachable is not None:
            return failed(self._turns, self.unreachable)
        expression: list[Any] = ["pipeline", reference, list(path)]
        if args is not None:
            expression += Writer(self._exporter).write(args)
        slot = Slot(self._turns)
        number = self._push(["push", expression], Import(slot=slot))
        self._send(["pull", number])
        return slot

    def _push(self, message: list[Any], entry: Import) -> int:
        number = self._next
        self._add(number, entry)
        self._next += 1
        self._send(message)
        return number

    def give_back(self, reference: int) -> None:
        """Hold one stub less."""
        entry = self._entries.get(reference)
        if entry is None:
            return
        entry.stubs -= 1
        if not entry.stubs:
            del self._entries[reference]
            self._send(["release", reference, entry.references])

    def when_broken(self, reference: int, then: Broken) -> None:
        """Call `then` when the session has ended."""
        entry = self._entries.get(reference)
        if entry is not None:
            entry.broken.append(then)

    # Streams.

    def open_pipe(self) -> int:
        return self._push(["pipe"], Import())

    def pour(self, pipe: int, data: bytes) -> None:
        """Send bytes through a pipe, end it and let it go."""
        for start in range(0, len(data), CHUNK_BYTES):
            chunk = Writer(self._exporter).write(data[start : start + CHUNK_BYTES])
            self._stream(pipe, "write", [chunk])
        self._stream(pipe, "close", [])
        del self._entries[pipe]
        self._send(["release", pipe, 1])

    def _stream(self, pipe: int, method: str, args: list[Any]) -> None:
        slot = Slot(self._turns)
        message = ["stream", ["pipeline", pipe, [method], args]]
        self._push(message, Import(slot=slot, passing=True))

    # The end.

    def end(self, error: Exception) -> None:
        """Nothing comes from the client any more: what would wait for it fails now."""
        self.unreachable = self._ended = error
        for entry in self._entries.values():
            if entry.slot is not None and not entry.slot.known:
                entry.slot.fail(error)

    def clear(self, error: Exception) -> None:
        """Forget everything, and tell whoever wanted to know."""
        self.end(error)
        entries, self._entries = self._entries, {}
        for entry in entries.values():
            for then in entry.broken:
                try:
                    then(error)
                except Exception:  # noqa: BLE001  # the others are to be told as well
                    logger.exception("Whoever was told of a session's end failed")
