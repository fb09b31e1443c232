"""The answering end of a socket: it listens at a path and hands each request to a function."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from raydo.actors.wire import ANSWER, ERROR, MORE, REQUEST, Message, Peer, check_size
from raydo.pipelining.errors import InvalidArgument, RaydoError
from raydo.pipelining.frame import pack_error
from raydo.pipelining.limits import SOCKET_PATH_BYTES_MAX, WIRE_REQUESTS_MAX

if TYPE_CHECKING:
    from raydo.pipelining.transport import More

Handler = Callable[[bytes, "More"], Awaitable[bytes]]

_log = logging.getLogger("raydo")


class _Caller(Peer):
    """Serve one connection that a `Listener` accepted."""

    kinds = frozenset((REQUEST,))

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self._listener = listener
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._listener.callers.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        # What runs goes on: the caller sends the same numbered frames again and must find them
        # applied once, whether it saw the answer or not.
        super().connection_lost(exc)
        self._listener.callers.discard(self)

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
            answer = await self._listener.handle(message.payload, more)
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


class Listener:
    """Listen at a path and answer each request by `handle(payload, more)`."""

    def __init__(self, path: Path, handle: Handler) -> None:
        self.path = path
        self.handle = handle
        self.callers: set[_Caller] = set()
        self._server: asyncio.Server | None = None

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
        self._server = await loop.create_unix_server(lambda: _Caller(self), str(self.path))

    async def close(self) -> None:
        """Stop listening, finish what is under way, and close every connection."""
        if self._server is None:
            return
        self._server.close()
        with contextlib.suppress(OSError):
            self.path.unlink()
        await asyncio.gather(*(caller.finish() for caller in self.callers))
