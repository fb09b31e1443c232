"""A place where objects live, be it this process or Ray, and what one may see of it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from raydo.actors.analytics import Analytics
from raydo.actors.embedded import Embedded
from raydo.actors.on_ray import OnRay
from raydo.actors.runtime import Runtime
from raydo.actors.settings import Settings
from raydo.pipelining.connection import Connection
from raydo.pipelining.frame import Call, Entry, Program, decode_answers, encode_envelope
from raydo.pipelining.noun import Noun
from raydo.pipelining.stub import Stub


@dataclass
class Place:
    """A connection, the runtime behind it, and the envelopes that its hosts count."""

    runtime: Runtime
    connection: Connection
    settings: Settings
    errors: list[Exception] = field(default_factory=list)

    def analytics(self, tenant: str) -> Stub[Analytics]:
        return self.connection.stub(Analytics, tenant)

    async def envelopes(self, tenant: str, cls: str = "Analytics") -> int:
        return (await self.runtime.counts(Noun(cls, tenant))).get("envelopes", 0)

    async def send(self, noun: Noun, session: bytes, n: int, name: str, *args: Any) -> Any:
        """Send one program as a client's batch would, without the batch."""
        program = Program((Call(-1, name, list(args), {}, False),), (0,)).encode()
        envelope = encode_envelope([Entry(session, n, n - 1, program)])
        [answer] = decode_answers(await self.connection.deliver(noun, envelope))
        return answer


@asynccontextmanager
async def opened(settings: Settings, *, on_ray: bool, **changes: Any) -> AsyncIterator[Place]:
    """Open a connection to objects in this process, or on the Ray that serves the folder."""
    settings = replace(settings, **changes)
    runtime: Runtime = OnRay(settings) if on_ray else Embedded(settings)
    errors: list[Exception] = []
    connection = Connection(runtime.open, on_error=errors.append)
    async with connection:
        yield Place(runtime, connection, settings, errors)


def fresh(name: str = "acme") -> str:
    """Name a tenant that no other test has met."""
    return f"{name}-{secrets.token_hex(4)}"
