"""The runtime as the routes see it: still starting, up, or failed to start.

The server listens before Ray is up, so that whoever waits for it gets an answer that says so;
routes ask here for their connection and get it or the error to reply with.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from raydo.actors.administration import SERVER, Administration
from raydo.actors.analytics import Analytics
from raydo.actors.figures import Fleet
from raydo.actors.runtime import Served
from raydo.gateway.bells import Bells
from raydo.pipelining.connection import Acting, Connection
from raydo.pipelining.errors import RaydoError, Starting, Unavailable
from raydo.pipelining.limits import STARTUP_RETRY_AFTER_S
from raydo.pipelining.noun import Noun
from raydo.pipelining.stub import Stub

Opener = Callable[[], Awaitable[Served]]


class Backend:
    """Open one runtime, hand out its stubs, and close it."""

    def __init__(self, opener: Opener) -> None:
        self.bells = Bells()
        self._opener = opener
        self._served: Served | None = None
        self._failure: RaydoError | None = None

    async def open(self) -> Served:
        """Start the runtime; until this returns, `check` raises `Starting`.

        Raises:
            RaydoError: it cannot start; `check` raises the same from then on.
        """
        try:
            self._served = await self._opener()
        except RaydoError as error:
            self._failure = error
            raise
        return self._served

    async def close(self) -> None:
        """Flush and end the runtime; harmless if it never started."""
        self._failure = Unavailable("The server is stopping; another will answer in a moment.")
        served, self._served = self._served, None
        if served is not None:
            await served.connection.close()

    def check(self) -> Connection:
        """Return the connection.

        Raises:
            Starting: not yet; the caller may come back. RaydoError: never; it failed to start.
        """
        if self._served is not None:
            return self._served.connection
        if self._failure is not None:
            raise self._failure
        raise Starting(
            "The server is starting; try again in a moment.", retry_after_s=STARTUP_RETRY_AFTER_S
        )

    async def deliver(self, target: Noun, envelope: bytes) -> bytes:
        """Pass an envelope on to its object, once.

        Raises:
            RaydoError: as `check`, or from there.
        """
        answer = await self.check().deliver(target, envelope)
        self.bells.ring(target.id)
        return answer

    async def roster(self) -> list[dict[str, Any]]:
        """List every tenant, where its object is, and when it must wake."""
        self.check()
        assert self._served is not None
        return await self._served.runtime.roster()

    async def figures(self) -> Fleet:
        """Tell the figures of the processes that hold this machine's objects."""
        self.check()
        assert self._served is not None
        return await self._served.runtime.figures()

    async def drain(self, noun: Noun | None = None) -> list[str]:
        """Bring the databases of this machine's objects up to date: see `Runtime.drain`."""
        self.check()
        assert self._served is not None
        return await self._served.runtime.drain(noun)

    def analytics(self, tenant: str, by: str = "") -> Stub[Analytics]:
        """Return the stub of one tenant's Analytics object, for a caller that the audit log names."""
        return self.acting(by).stub(Analytics, tenant)

    def administration(self, by: str = "") -> Stub[Administration]:
        """Return the stub of the server's own object."""
        return self.acting(by).stub(Administration, SERVER)

    def acting(self, by: str) -> Acting | Connection:
        """Return the connection as a caller uses it.

        Raises:
            RaydoError: as `check`.
        """
        connection = self.check()
        return connection.acting(by) if by else connection
