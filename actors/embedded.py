"""Objects in this process: for tests, notebooks and small services; no Ray, no server, no sockets."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from raydo.actors import catalog
from raydo.actors.claim import Claim
from raydo.actors.clock import SystemClock
from raydo.actors.due import scan
from raydo.actors.figures import EMBEDDED
from raydo.actors.residents import Residents
from raydo.actors.roster import roster
from raydo.actors.waker import Waker
from raydo.actors.watchdog import Watchdog, resident_bytes
from raydo.pipelining.errors import NotConnected

if TYPE_CHECKING:
    from raydo.actors.clock import Clock
    from raydo.actors.figures import Fleet
    from raydo.actors.runtime import Runtime
    from raydo.actors.settings import Settings
    from raydo.pipelining.noun import Noun
    from raydo.pipelining.transport import More, Transport


class Embedded:
    """Hold the objects in this process: no Ray, no server, no sockets."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._claim: Claim | None = None
        self._residents: Residents | None = None
        self._waker: Waker | None = None

    async def open(self) -> Transport:
        """See `Runtime.open`."""
        await asyncio.to_thread(catalog.load, self._settings.objects)
        data = self._settings.data
        self._claim = Claim.alone(data, "embedded")  # at once or not at all: it never waits
        residents = self._residents = Residents(
            data,
            clock=self._clock,
            settings=self._settings,
            watchdog=Watchdog(turn_s=self._settings.turn_s),
            on_sleep=self._slept,
        )
        waker = self._waker = Waker(self._clock, residents.fire)
        for noun, due_ms in await asyncio.to_thread(lambda: list(scan(data))):
            waker.set(noun, due_ms)
        waker.start()
        return self

    async def send(self, noun: Noun, envelope: bytes, more: More | None = None) -> bytes:
        """See `Transport.send`."""
        del more  # nothing streams yet
        if self._residents is None:
            raise NotConnected("This connection is closed.")
        return await self._residents.deliver(noun, envelope)

    async def close(self) -> None:
        """Close every object, then give up the folder."""
        residents, self._residents = self._residents, None
        waker, self._waker = self._waker, None
        try:
            if waker is not None:
                await waker.stop()
            if residents is not None:
                await residents.close()
        finally:
            if self._claim is not None:
                self._claim.release()

    @property
    def dashboard_url(self) -> None:
        """See `Runtime.dashboard_url`."""
        return

    async def counts(self, noun: Noun) -> dict[str, int]:
        """See `Runtime.counts`; here one process holds every object."""
        del noun
        return self._residents.counts() if self._residents else {}

    async def status(self) -> list[dict[str, Any]]:
        """See `Runtime.status`."""
        if self._residents is None:
            return []
        return [
            {
                "host": "embedded",
                "actor": None,
                "node": None,
                "pid": os.getpid(),
                "bytes": resident_bytes(),
                "counts": self._residents.counts(),
                "objects": self._residents.status(),
            }
        ]

    async def roster(self) -> list[dict[str, Any]]:
        """See `Runtime.roster`."""
        return await asyncio.to_thread(roster, self._settings.data, await self.status())

    async def figures(self) -> Fleet:
        """See `Runtime.figures`."""
        hosts = []
        if self._residents is not None:
            hosts.append({"host": EMBEDDED, **self._residents.figures()})
        return {"hosts": hosts, "hosts_max": 0, "standbys": 0}

    async def drain(self, noun: Noun | None = None) -> list[str]:
        """See `Runtime.drain`."""
        return [] if self._residents is None else await self._residents.drain_now(noun)

    def _slept(self, noun: Noun, due_ms: int | None) -> None:
        if self._waker is not None:
            self._waker.set(noun, due_ms)


if TYPE_CHECKING:
    _conforms: tuple[type[Runtime], type[Transport]] = (Embedded, Embedded)
