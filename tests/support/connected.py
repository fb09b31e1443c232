"""A connection to a receiver in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from support.receiver import Receiver
from support.shop import Shop

from raydo.pipelining.connection import Connection
from raydo.pipelining.loopback import Loopback
from raydo.pipelining.stub import Stub


@dataclass
class Wire:
    """Everything between a stub and its object, open to view."""

    connection: Connection
    receiver: Receiver
    loopback: Loopback
    errors: list[Exception]

    def shop(self, tenant: str = "acme") -> Stub[Shop]:
        return self.connection.stub(Shop, tenant)


def make(receiver: Receiver, **settings: Any) -> Wire:
    loopback = Loopback(receiver.deliver)
    errors: list[Exception] = []

    async def transport() -> Loopback:
        return loopback

    connection = Connection(transport, on_error=errors.append, **settings)
    return Wire(connection, receiver, loopback, errors)


@asynccontextmanager
async def connected(receiver: Receiver | None = None, **settings: Any) -> AsyncIterator[Wire]:
    wire = make(receiver or Receiver(), **settings)
    async with wire.connection:
        yield wire


@contextmanager
def connected_sync(receiver: Receiver | None = None, **settings: Any) -> Iterator[Wire]:
    wire = make(receiver or Receiver(), **settings)
    with wire.connection:
        yield wire
