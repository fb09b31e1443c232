"""The answering end of sockets: it listens and hands each request to a function.

At a path in a folder that only this user may enter, everybody is one of us. At a port, where
callers from other machines come, the first message must be the cluster's secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from raydo.actors.address import Sockets
from raydo.actors.wire import ANSWER, ERROR, HELLO, MORE, REQUEST, Message, Peer, check_size
from raydo.pipelining.errors import InvalidArgument, RaydoError
from raydo.pipelining.frame import pack_error
from raydo.pipelining.limits import (
    HELLO_BYTES_MAX,
    HELLO_S_MAX,
    SOCKET_PATH_BYTES_MAX,
    WIRE_REQUESTS_MAX,
)

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


class _Stranger(_Caller):
    """Serve a connection from another machine, once it has shown the secret."""

    kinds = frozenset((HELLO,))

    def __init__(self, listener: Listener, secret: bytes) -> None:
        super().__init__(listener)
        self._secret: bytes | None = secret
        self._reader.expect(self.kinds, bytes_max=HELLO_BYTES_MAX)
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._patience = self._loop.call_later(HELLO_S_MAX, self.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._calm()
        super().connection_lost(exc)

    def message_received(self, message: Message) -> None:
        if self._secret is None:
            super().message_received(message)
        elif hmac.compare_digest(message.payload, self._secret):
            self._secret = None
            self._calm()
            self._reader.expect(_Caller.kinds)
        else:
            raise InvalidArgument("a caller showed another secret")

    def _calm(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


class Listener:
    """Listen at a path, and at a port of `host` if there is a secret; answer by `handle(payload, more)`."""

    def __init__(
        self, path: Path, handle: Handler, *, host: str = "", secret: bytes | None = None
    ) -> None:
        self.path = path
        self.handle = handle
        self.callers: set[_Caller] = set()
        self.sockets = Sockets(str(path))
        self._host = host
        self._secret = secret
        self._servers: list[asyncio.Server] = []

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
        server = await loop.create_unix_server(lambda: _Caller(self), str(self.path))
        self._servers.append(server)
        if (secret := self._secret) is not None:
            server = await loop.create_server(lambda: _Stranger(self, secret), self._host, 0)
            self._servers.append(server)
            host, port = server.sockets[0].getsockname()[:2]
            self.sockets = Sockets(str(self.path), host, port)

    async def close(self) -> None:
        """Stop listening, finish what is under way, and close every connection."""
        if not self._servers:
            return
        for server in self._servers:
            server.close()
        with contextlib.suppress(OSError):
            self.path.unlink()
        await asyncio.gather(*(caller.finish() for caller in self.callers))
