"""A connection whose transport carries several envelopes in one message, to the gateway's own code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgpack
from support.connected import Wire
from support.receiver import Receiver

from raydo.gateway.convoy import deliver_addressed
from raydo.pipelining.codec import unpack
from raydo.pipelining.connection import Connection
from raydo.pipelining.links import Link, Member, decode_results, encode_convoy
from raydo.pipelining.loopback import Loopback
from raydo.pipelining.noun import Noun
from raydo.pipelining.transport import More


class Socket(Loopback):
    """Count messages, whatever is in them; may lose some of their answers."""

    def __init__(self, receiver: Receiver) -> None:
        super().__init__(receiver.deliver)
        self.messages: list[list[Noun]] = []
        self.lose: list[Exception] = []  # raised one each, after delivering

    async def send(self, noun: Noun, envelope: bytes, more: More | None = None) -> bytes:
        self.messages.append([noun])
        return await super().send(noun, envelope, more)

    async def send_together(
        self, members: Sequence[Member], links: Sequence[Link]
    ) -> list[bytes | dict[str, Any]]:
        self.messages.append([member.noun for member in members])
        body = unpack(msgpack.packb(encode_convoy(members, links)))
        answer = await deliver_addressed(body, self._deliver)
        if self.lose:
            raise self.lose.pop(0)
        return decode_results(answer, len(members))


@asynccontextmanager
async def together(**settings: Any) -> AsyncIterator[tuple[Wire, Socket]]:
    receiver = Receiver()
    socket = Socket(receiver)
    errors: list[Exception] = []

    async def transport() -> Socket:
        return socket

    connection = Connection(transport, on_error=errors.append, **settings)
    async with connection:
        yield Wire(connection, receiver, socket, errors), socket
