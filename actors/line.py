"""The calling end of a socket: one line to one host, for any number of requests at once."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from raydo.actors.wire import ANSWER, ERROR, HELLO, MORE, REQUEST, Message, Peer, check_size
from raydo.pipelining.codec import unpack
from raydo.pipelining.errors import ConnectionLost, RaydoError, decode_error
from raydo.pipelining.limits import REACH_S_MAX, SILENCE_PROBES, SILENCE_S

if TYPE_CHECKING:
    from raydo.actors.address import Address, Tcp
    from raydo.pipelining.transport import More


class Line(Peer):
    """Speak to one host; any number of requests may be under way."""

    kinds = frozenset((ANSWER, ERROR, MORE))

    def __init__(self) -> None:
        super().__init__()
        self._next_id = 0
        self._pending: dict[int, asyncio.Future[bytes]] = {}
        self._streams: dict[int, More] = {}

    @classmethod
    async def connect(cls, address: Address) -> Line:
        """Open a line to the process that listens at `address`.

        Raises:
            ConnectionLost: nobody listens there.
        """
        loop = asyncio.get_running_loop()
        try:
            if isinstance(address, Path):
                _, line = await loop.create_unix_connection(cls, str(address))
                return line
            async with asyncio.timeout(REACH_S_MAX):
                _, line = await loop.create_connection(cls, address.host, address.port)
        except (OSError, TimeoutError) as error:
            where = address if isinstance(address, Path) else f"{address.host}:{address.port}"
            reason = getattr(error, "strerror", None) or "no answer"
            raise ConnectionLost(f"No host listens at {where}: {reason}.") from error
        line._introduce(address)
        return line

    def _introduce(self, address: Tcp) -> None:
        """Say who we are, and notice within a bounded time when the other machine has gone."""
        assert self._socket is not None
        _mind_silence(self._socket.get_extra_info("socket"))
        self.write(HELLO, 0, address.secret)

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


def _read_error(payload: bytes) -> RaydoError:
    try:
        wire = unpack(payload)
    except RaydoError as error:
        return error
    return decode_error(wire if isinstance(wire, dict) else {})


def _mind_silence(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", SILENCE_S),
        ("TCP_KEEPINTVL", SILENCE_S),
        ("TCP_KEEPCNT", SILENCE_PROBES),
        ("TCP_USER_TIMEOUT", SILENCE_S * SILENCE_PROBES * 1_000),
    ):
        if hasattr(socket, name):  # not all of them are on macOS
            end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
