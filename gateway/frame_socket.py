"""WebSocket /rpc with the subprotocol `raydo.frames`: envelopes of the Python client.

Each message is delivered as `POST /rpc` would be, many at once, and answered under its number in
whatever order they end. While much is under way the socket is not read, so its client waits. A
client that hangs up has what it sent applied all the same: it will send the same frames again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import msgpack
from starlette.types import Receive, Scope, Send

from raydo.gateway.access import Access
from raydo.gateway.backend import Backend
from raydo.gateway.convoy import deliver_addressed
from raydo.gateway.endpoint import internal
from raydo.gateway.replies import failure
from raydo.pipelining.codec import unpack
from raydo.pipelining.errors import InvalidArgument, RaydoError
from raydo.pipelining.frame import pack_error
from raydo.pipelining.limits import BODY_BYTES_MAX, SOCKET_FRAMES_MAX
from raydo.pipelining.noun import Noun
from raydo.pipelining.websocket import ANSWER, ERROR, FRAMES

_PROTOCOL_ERROR: Final = 1002
_log = logging.getLogger("raydo.gateway")


def speaks_frames(scope: Scope) -> bool:
    """Tell this kind of socket from Cap'n Web's."""
    return FRAMES in scope.get("subprotocols", ())


class FrameSocket:
    """The ASGI application for the Python client's sockets."""

    def __init__(self, backend: Backend, access: Access) -> None:
        self._backend = backend
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # the request to connect
        try:
            await self._access.caller(scope)
        except RaydoError as error:
            await failure(error)(scope, receive, send)
            return
        await send({"type": "websocket.accept", "subprotocol": FRAMES})
        await _Talk(self._backend, self._access, scope, receive, send).run()


class _Talk:
    """One client."""

    def __init__(
        self, backend: Backend, access: Access, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._backend = backend
        self._access = access
        self._scope = scope
        self._receive = receive
        self._send = send
        self._tasks: set[asyncio.Task[None]] = set()
        self._bytes = 0
        self._gone = False

    async def run(self) -> None:
        """Deliver what comes until the client hangs up, and see it through."""
        while (message := await self._receive())["type"] == "websocket.receive":
            data = message.get("bytes")
            try:
                id_, what = _read(data)
            except RaydoError as error:
                await self._send(
                    {"type": "websocket.close", "code": _PROTOCOL_ERROR, "reason": str(error)[:100]}
                )
                break
            assert data is not None
            self._bytes += len(data)
            task = asyncio.create_task(self._serve(id_, what, len(data)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            while len(self._tasks) >= SOCKET_FRAMES_MAX or self._bytes > BODY_BYTES_MAX:
                await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        self._gone = True
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, id_: int, what: list[Any], size: int) -> None:
        try:
            reply = [id_, ANSWER, await deliver_addressed(what, self._deliver)]
        except RaydoError as error:
            reply = [id_, ERROR, pack_error(error)[0]]
        except Exception as error:  # noqa: BLE001  # the last line of defence, logged
            _log.exception("a frame failed")
            reply = [id_, ERROR, pack_error(internal(error))[0]]
        finally:
            self._bytes -= size
        if not self._gone:
            try:
                await self._send({"type": "websocket.send", "bytes": msgpack.packb(reply)})
            except OSError:  # it has hung up, and the reader is about to hear of it
                self._gone = True

    async def _deliver(self, target: Noun, envelope: bytes) -> bytes:
        caller = await self._access.caller(self._scope)  # each time: keys end
        envelope = caller.check_envelope(target, envelope)
        return await self._backend.deliver(target, envelope)


def _read(data: bytes | None) -> tuple[int, list[Any]]:
    """Read one message, up to whom it is for.

    Raises:
        InvalidArgument: it begins with no number.
    """
    message: Any = None if data is None else unpack(data)
    match message:
        case [int(id_), *what]:
            return id_, what
    raise InvalidArgument("A message is msgpack of [id, class, tenant, envelope].")
