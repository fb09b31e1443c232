"""Frames over a socket: how envelopes reach the process that holds an object.

An awaited Ray call costs a millisecond or more; a frame here costs a tenth of that, so Ray places,
starts and stops hosts and this carries the traffic. One connection serves many
requests at once: each bears an id, and answers come back in any order.

A frame is `u32 payload length | u8 kind | u64 request id | payload`. Requests flow one way;
answers, errors and further messages (kind `MORE`, for what streams) flow back. Who comes from
another machine says `HELLO` first, with the cluster's secret. Nobody is trusted:
a length over the limit or a kind that does not belong closes that connection and nothing else.
A side that does not read is not read from either, so neither can fill the other's memory.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple, cast

from raydo.pipelining.errors import InvalidArgument, TooLarge
from raydo.pipelining.limits import WIRE_BYTES_MAX

REQUEST: Final = 0
ANSWER: Final = 1
ERROR: Final = 2
MORE: Final = 3
HELLO: Final = 4

_HEADER: Final = struct.Struct("!IBQ")
_log = logging.getLogger("raydo")


class Message(NamedTuple):
    """Hold one frame that arrived whole."""

    kind: int
    id: int
    payload: bytes


class Reader:
    """Cut a stream of bytes into messages; knows no socket."""

    def __init__(self, kinds: frozenset[int], *, bytes_max: int = WIRE_BYTES_MAX) -> None:
        self._kinds = kinds
        self._bytes_max = bytes_max
        self._buffer = bytearray()

    def expect(self, kinds: frozenset[int], *, bytes_max: int = WIRE_BYTES_MAX) -> None:
        """Take other messages from now on, those behind the present one included."""
        self._kinds = kinds
        self._bytes_max = bytes_max

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take `data` in and yield every message that is now complete.

        Raises:
            InvalidArgument: the peer does not speak this protocol; nothing after it can be read.
        """
        self._buffer += data
        start, have = 0, len(self._buffer)
        try:
            while have - start >= _HEADER.size:
                size, kind, id_ = _HEADER.unpack_from(self._buffer, start)
                if kind not in self._kinds or size > self._bytes_max:
                    raise InvalidArgument(f"A frame of kind {kind} with {size} bytes is not ours.")
                end = start + _HEADER.size + size
                if end > have:
                    break
                yield Message(kind, id_, bytes(memoryview(self._buffer)[end - size : end]))
                start = end
        finally:
            del self._buffer[:start]


class Peer(asyncio.Protocol):
    """Share what both ends do: read whole frames, and write few times for many."""

    kinds: frozenset[int]

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(self.kinds)
        self._socket: asyncio.Transport | None = None
        self._due: list[bytes] = []
        self._gathering = False
        self._writable = asyncio.Event()
        self._writable.set()
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # whatever ended it, it has ended
        self._socket = None
        self._due.clear()
        self._writable.set()
        self.lost.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._reader.feed(data):
                self.message_received(message)
        except InvalidArgument as error:
            _log.warning("closing a connection: %s", error)
            self.abort()

    def message_received(self, message: Message) -> None:
        raise NotImplementedError

    def write(self, kind: int, id_: int, payload: bytes) -> None:
        """Send a frame at once; those that follow in the same loop iteration leave together."""
        frame = _HEADER.pack(len(payload), kind, id_) + payload
        if self._gathering:
            self._due.append(frame)
        elif self._socket is not None:
            self._gathering = True
            self._loop.call_soon(self.write_due)
            self._socket.write(frame)

    def write_due(self) -> None:
        self._gathering = False
        if self._socket is not None and self._due:
            self._socket.write(b"".join(self._due))
        self._due.clear()

    def abort(self) -> None:
        if self._socket is not None:
            self._socket.abort()


def check_size(payload: bytes) -> None:
    """Raise `TooLarge` for what the other end would refuse by closing the line."""
    if len(payload) > WIRE_BYTES_MAX:
        raise TooLarge(
            f"A message of {len(payload)} bytes is over the limit of {WIRE_BYTES_MAX}.",
        )
