"""Frames over a Unix socket: how envelopes reach the process that holds an object.

An awaited Ray call costs a millisecond or more; a frame here costs a tenth of that, so Ray places,
starts and stops hosts and this carries the traffic (DECISIONS 13). One connection serves many
requests at once: each bears an id, and answers come back in any order.

A frame is `u32 payload length | u8 kind | u64 request id | payload`. Requests flow one way;
answers, errors and further messages (kind `MORE`, for what streams) flow back. Nobody is trusted:
a length over the limit or a kind that does not belong closes that connection and nothing else.
A side that does not read is not read from either, so neither can fill the other's memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import struct
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from raydo.pipelining.codec import unpack
from raydo.pipelining.errors import (
    ConnectionLost,
    InvalidArgument,
    RaydoError,
    TooLarge,
    decode_error,
)
from raydo.pipelining.frame import pack_error
from raydo.pipelining.limits import SOCKET_PATH_BYTES_MAX, WIRE_BYTES_MAX, WIRE_REQUESTS_MAX

if TYPE_CHECKING:
    from raydo.pipelining.transport import More

REQUEST: Final = 0
ANSWER: Final = 1
ERROR: Final = 2
MORE: Final = 3

Handler = Callable[[bytes, "More"], Awaitable[bytes]]

_HEADER: Final = struct.Struct("!IBQ")
_log = logging.getLogger(__name__)


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


class _Peer(asyncio.Protocol):
    """Share what both ends do: read whole frames, and write once for all that is due together."""

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


class Line(_Peer):
    """Speak to one host; any number of requests may be under way."""

    kinds = frozenset((ANSWER, ERROR, MORE))

    def __init__(self) -> None:
        super().__init__()
        self._next_id = 0
        self._pending: dict[int, asyncio.Future[bytes]] = {}
        self._streams: dict[int, More] = {}

    @classmethod
    async def connect(cls, path: Path) -> Line:
        """Open a line to the host that listens at `path`.

        Raises:
            ConnectionLost: nobody listens there.
        """
        try:
            _, line = await asyncio.get_running_loop().create_unix_connection(cls, str(path))
        except OSError as error:
            raise ConnectionLost(f"No host listens at {path}: {error.strerror}.") from error
        return line

    async def request(self, payload: bytes, more: More | None = None) -> bytes:
        """Send `payload` and return its answer; later messages of this request go to `more`.

        Raises:
            TooLarge: over the limit; nothing was sent.
            ConnectionLost: the line broke, and whether the host acted on it is unknown.
            RaydoError: what the host answered.
        """
        check_size(payload)
        await self._writable.wait()
        if self.lost.is_set():
            raise ConnectionLost("The line to the host is closed.")
        self._next_id = id_ = self._next_id + 1
        answer = self._pending[id_] = self._loop.create_future()
        if more is not None:
            self._streams[id_] = more
        self.write(REQUEST, id_, payload)
        try:
            payload = await answer
        except BaseException:
            self._streams.pop(id_, None)
            raise
        finally:
            self._pending.pop(id_, None)
        return payload

    def message_received(self, message: Message) -> None:
        if message.kind == MORE:
            if (more := self._streams.get(message.id)) is not None:
                more(message.payload)
            return
        answer = self._pending.get(message.id)
        if answer is None or answer.done():
            return  # its caller gave up; the host acted all the same
        if message.kind == ANSWER:
            answer.set_result(message.payload)
        else:
            answer.set_exception(_read_error(message.payload))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(ConnectionLost("The host's connection broke."))
        self._streams.clear()

    async def close(self) -> None:
        """Close the line; requests under way fail with `ConnectionLost`."""
        if self._socket is not None:
            self.write_due()
            self._socket.close()
            await self.lost.wait()


class _Caller(_Peer):
    """Serve one connection that a `Server` accepted."""

    kinds = frozenset((REQUEST,))

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._server.callers.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        # What runs goes on: the caller sends the same numbered frames again and must find them
        # applied once, whether it saw the answer or not.
        super().connection_lost(exc)
        self._server.callers.discard(self)

    def message_received(self, message: Message) -> None:
        if message.id in self._tasks:
            raise InvalidArgument(f"Request {message.id} is already under way.")
        task = self._loop.create_task(self._serve(message))
        self._tasks[message.id] = task
        if len(self._tasks) >= WIRE_REQUESTS_MAX:
            self._read(on=False)

    async def _serve(self, message: Message) -> None:
        id_ = message.id
        try:
            await self._writable.wait()
            kind, payload = await self._answer(message)
            self.write(kind, id_, payload)
        finally:
            del self._tasks[id_]
            if len(self._tasks) < WIRE_REQUESTS_MAX:
                self._read(on=True)

    async def _answer(self, message: Message) -> tuple[int, bytes]:
        def more(payload: bytes) -> None:
            self.write(MORE, message.id, payload)

        try:
            answer = await self._server.handle(message.payload, more)
            check_size(answer)
        except RaydoError as error:
            return ERROR, pack_error(error)[1]
        except Exception as error:  # noqa: BLE001 - the caller must hear, the line must live
            _log.exception("a request failed for a reason of ours")
            return ERROR, pack_error(error)[1]
        return ANSWER, answer

    def pause_writing(self) -> None:
        super().pause_writing()
        self._read(on=False)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._read(on=len(self._tasks) < WIRE_REQUESTS_MAX)

    def _read(self, *, on: bool) -> None:
        if self._socket is None or self._socket.is_closing():
            return
        if on and self._writable.is_set():
            self._socket.resume_reading()
        elif not on:
            self._socket.pause_reading()

    async def finish(self) -> None:
        """Let what is under way end, then close."""
        self._read(on=False)
        while self._tasks:
            await asyncio.wait(self._tasks.values())
        self.write_due()
        if self._socket is not None:
            self._socket.close()
            await self.lost.wait()


class Server:
    """Listen at a path and answer each request by `handle(payload, more)`."""

    def __init__(self, path: Path, handle: Handler) -> None:
        self.path = path
        self.handle = handle
        self.callers: set[_Caller] = set()
        self._listener: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen, in a folder that only this user may enter.

        Raises:
            InvalidArgument: the path does not fit into a socket's address.
        """
        if len(os.fsencode(self.path)) > SOCKET_PATH_BYTES_MAX:
            raise InvalidArgument(
                f"The socket path {self.path} is over {SOCKET_PATH_BYTES_MAX} bytes; "
                "set TMPDIR to a shorter folder."
            )
        self.path.unlink(missing_ok=True)  # what a killed host left behind
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_unix_server(lambda: _Caller(self), str(self.path))

    async def close(self) -> None:
        """Stop listening, finish what is under way, and close every connection."""
        if self._listener is None:
            return
        self._listener.close()
        with contextlib.suppress(OSError):
            self.path.unlink()
        await asyncio.gather(*(caller.finish() for caller in self.callers))


def check_size(payload: bytes) -> None:
    """Raise `TooLarge` for what the other end would refuse by closing the line."""
    if len(payload) > WIRE_BYTES_MAX:
        raise TooLarge(
            f"A message of {len(payload)} bytes is over the limit of {WIRE_BYTES_MAX}.",
        )


def _read_error(payload: bytes) -> RaydoError:
    try:
        wire = unpack(payload)
    except RaydoError as error:
        return error
    return decode_error(wire if isinstance(wire, dict) else {})
