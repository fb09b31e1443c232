"""A transport inside one process: for embedded use, and for tests that count envelopes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from raydo.pipelining.errors import NotConnected
from raydo.pipelining.noun import Noun
from raydo.pipelining.transport import More, Transport


class Loopback:
    """Hand each envelope to a function of this process."""

    def __init__(self, deliver: Callable[[Noun, bytes], Awaitable[bytes]]) -> None:
        self.envelopes = 0
        self._deliver = deliver
        self._closed = False

    async def send(self, noun: Noun, envelope: bytes, more: More | None = None) -> bytes:
        """Deliver `envelope` and return the answer; nothing follows it.

        Raises:
            NotConnected: after `close`.
        """
        del more
        if self._closed:
            raise NotConnected("This connection has been closed.")
        self.envelopes += 1
        return await self._deliver(noun, envelope)

    async def close(self) -> None:
        self._closed = True


if TYPE_CHECKING:
    _conforms: Transport = Loopback(lambda _noun, _envelope: NotImplemented)
