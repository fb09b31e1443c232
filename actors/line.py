"""The calling end of a socket: one line to one host, for any number of requests at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from raydo.actors.wire import ANSWER, ERROR, MORE, REQUEST, Message, Peer, check_size
from raydo.pipelining.codec import unpack
from raydo.pipelining.errors import ConnectionLost, RaydoError, decode_error

if TYPE_CHECKING:
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


def _read_error(payload: bytes) -> RaydoError:
    try:
        wire = unpack(payload)
    except RaydoError as error:
        return error
    return decode_error(wire if isinstance(wire, dict) else {})
