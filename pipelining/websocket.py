"""Envelopes over one WebSocket, to a gateway's `/rpc`: no request line and no headers for each.

    to the gateway    [id, class, tenant, envelope]           or a convoy: [id, members, links]
    from it           [id, 0, answer] | [id, 1, error]          in any order

The socket opens with the first envelope, and again with the next one after it broke. What was under
way then is `ConnectionLost`, so its sender sends the same numbered frames once more, and whatever
had been applied is not applied again. All objects of a connection share the socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from raydo.pipelining.codec import unpack
from raydo.pipelining.errors import (
    ConnectionLost,
    InvalidArgument,
    NotConnected,
    TooLarge,
    decode_error,
)
from raydo.pipelining.http import refusal
from raydo.pipelining.limits import BODY_BYTES_MAX, CALL_TIMEOUT_S, WIRE_BYTES_MAX
from raydo.pipelining.links import Link, Member, decode_results, encode_convoy
from raydo.pipelining.noun import Noun
from raydo.pipelining.transport import More, Transport

FRAMES: Final = "raydo.frames"  # the subprotocol; without it a socket speaks Cap'n Web
ANSWER: Final = 0
ERROR: Final = 1


class WebSocketTransport:
    """Keep one socket open while it is used."""

    def __init__(self, url: str, key: str | None = None, timeout_s: float = CALL_TIMEOUT_S) -> None:
        if not url.startswith(("ws://", "wss://")):
            raise InvalidArgument(f"A gateway's socket begins with ws:// or wss://: {url!r}.")
        self._url = url.rstrip("/") + "/rpc"
        self._headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._timeout_s = timeout_s
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._id = 0
        self._closed = False

    async def send(self, noun: Noun, envelope: bytes, more: More | None = None) -> bytes:
        """Send `envelope` and return the answer.

        Raises:
            ConnectionLost: no answer came; the envelope may have arrived.
            TooLarge: the gateway takes no message of this size.
            RaydoError: what the gateway said.
        """
        del more
        return await self._ask([*noun, envelope])

    async def send_together(
        self, members: Sequence[Member], links: Sequence[Link]
    ) -> list[bytes | dict[str, Any]]:
        """Send several envelopes in one message.

        Raises:
            ConnectionLost, RaydoError: as `send`, for all of them.
        """
        answer = await self._ask(encode_convoy(members, links))
        return decode_results(answer, len(members))

    async def _ask(self, asked: Sequence[Any]) -> bytes:
        if self._closed:
            raise NotConnected("This connection has been closed.")
        self._id = id_ = self._id + 1
        message = msgpack.packb([id_, *asked])
        if len(message) > BODY_BYTES_MAX:
            raise TooLarge(f"A message to a gateway has at most {BODY_BYTES_MAX:,} bytes.")
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._timeout_s):
                socket = await self._open()
                self._waiting[id_] = answer
                await socket.send(message)
                return await answer
        except TimeoutError:
            raise self._lost(f"not within {self._timeout_s:g} s") from None
        except (OSError, WebSocketException) as error:
            raise self._lost(str(error) or type(error).__name__) from error
        finally:
            self._waiting.pop(id_, None)

    async def _open(self) -> ClientConnection:
        async with self._opening:
            if self._reader is None or self._reader.done():
                self._socket = await self._connect()
                self._reader = asyncio.create_task(self._read(self._socket))
            assert self._socket is not None
            return self._socket

    async def _connect(self) -> ClientConnection:
        try:
            return await connect(
                self._url,
                additional_headers=self._headers,
                subprotocols=[Subprotocol(FRAMES)],
                compression=None,  # between machines of one network it costs more than it saves
                max_size=WIRE_BYTES_MAX,
            )
        except InvalidStatus as error:
            response = error.response
            raise refusal(
                self._url,
                response.status_code,
                response.reason_phrase,
                bytes(response.body or b""),
                response.headers.get("retry-after", ""),
            ) from None

    async def _read(self, socket: ClientConnection) -> None:
        """Bring answers to those who wait, until the socket ends."""
        why = "it was closed"
        try:
            async for message in socket:
                self._take(message)
        except ConnectionClosed as error:
            why = str(error)
        except InvalidArgument as error:
            why = f"what came is no answer ({error})"
            await socket.close()
        for answer in list(self._waiting.values()):
            if not answer.done():
                answer.set_exception(self._lost(why))

    def _take(self, message: str | bytes) -> None:
        wire: Any = unpack(message, bytes_max=WIRE_BYTES_MAX) if type(message) is bytes else None
        match wire:
            case [int(id_), 0, bytes(payload)]:
                answer = self._waiting.get(id_)  # who waited may have given up
                if answer is not None and not answer.done():
                    answer.set_result(payload)
            case [int(id_), 1, dict(error)]:
                answer = self._waiting.get(id_)
                if answer is not None and not answer.done():
                    answer.set_exception(decode_error(error))
            case _:
                raise InvalidArgument("not [id, 0, answer] or [id, 1, error]")

    def _lost(self, why: str) -> ConnectionLost:
        return ConnectionLost(f"No answer from {self._url}: {why}.")

    async def close(self) -> None:
        self._closed = True
        reader, socket = self._reader, self._socket
        if socket is not None:
            with suppress(OSError, WebSocketException):
                await socket.close()
        if reader is not None:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)


if TYPE_CHECKING:
    _conforms: Transport = WebSocketTransport("ws://localhost")
