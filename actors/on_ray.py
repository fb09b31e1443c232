"""Objects in Ray actors, reached from one connection of one process.

Ray is started or joined on the keeper's thread; frames go by the courier's lines and never meet
Ray. A Ray that is gone is noticed when a host is looked for, and the folder's next one is found.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from raydo.actors import catalog, service
from raydo.actors.cluster_finder import ClusterFinder
from raydo.actors.courier import Courier
from raydo.actors.finder import RayFinder
from raydo.actors.keeper import ray_keeper
from raydo.actors.place import machine
from raydo.pipelining.errors import NotConnected

if TYPE_CHECKING:
    from raydo.actors.figures import Fleet
    from raydo.actors.runtime import Runtime
    from raydo.actors.service import Service
    from raydo.actors.settings import Settings
    from raydo.actors.site import Site
    from raydo.pipelining.noun import Noun
    from raydo.pipelining.transport import More, Transport


class OnRay:
    """Reach objects that live in Ray actors, on a Ray that is started, joined or given."""

    def __init__(self, settings: Settings, *, dashboard: bool = False, guest: bool = False) -> None:
        self._settings = settings
        self._dashboard = dashboard
        self._guest = guest  # of a cluster: it serves no folder
        self._service: Service | None = None
        self._finder: RayFinder | ClusterFinder | None = None
        self._courier: Courier | None = None

    @property
    def dashboard_url(self) -> str | None:
        """Where Ray's own dashboard is, once open."""
        return self._service.cluster.dashboard_url if self._service else None

    async def open(self) -> Transport:
        """See `Runtime.open`."""
        # Here too, for what is wrong with a module is best said before Ray has started.
        await asyncio.to_thread(catalog.load, self._settings.objects)
        entering = partial(
            service.enter, self._settings, dashboard=self._dashboard, guest=self._guest
        )
        self._service = await ray_keeper.run(entering, undo=service.leave)
        if self._settings.cluster is None:
            self._finder = RayFinder(self._settings, self._site)
            self._finder.open()
        else:
            self._finder = ClusterFinder(self._settings, self._attached, machine())
            await self._finder.open()
        self._courier = Courier(self._finder)
        return self

    async def send(self, noun: Noun, envelope: bytes, more: More | None = None) -> bytes:
        """See `Transport.send`."""
        if self._courier is None:
            raise NotConnected("This connection is closed.")
        return await self._courier.send(noun, envelope, more)

    async def close(self) -> None:
        """Close the lines; the process that started Ray stops the hosts and Ray."""
        courier, self._courier = self._courier, None
        entered, self._service = self._service, None
        if courier is not None and self._finder is not None:
            await courier.close()
            await self._finder.close()
        if entered is not None:
            await ray_keeper.run(partial(service.leave, entered))

    async def counts(self, noun: Noun) -> dict[str, int]:
        """See `Runtime.counts`."""
        assert self._finder is not None
        return await self._finder.counts(noun)

    async def status(self) -> list[dict[str, Any]]:
        """See `Runtime.status`."""
        assert self._finder is not None
        return await self._finder.status()

    async def roster(self) -> list[dict[str, Any]]:
        """See `Runtime.roster`."""
        assert self._finder is not None
        return await self._finder.roster()

    async def figures(self) -> Fleet:
        """See `Runtime.figures`."""
        return await (await self._near()).figures()

    async def drain(self, noun: Noun | None = None) -> list[str]:
        """See `Runtime.drain`."""
        return await (await self._near()).drain(noun)

    async def _near(self) -> RayFinder:
        """Return what asks the directory of this machine's own folder."""
        finder = self._finder
        assert finder is not None
        return finder if isinstance(finder, RayFinder) else finder.at((await self._site()).name)

    async def _site(self) -> Site:
        """Return where this process's own folder is."""
        site = (await self._attached()).site
        assert site is not None
        return site

    async def _attached(self) -> Service:
        entered = self._service
        if entered is None:
            raise NotConnected("This connection is closed.")
        unserved = entered.site is None and not entered.guest
        if unserved or not await asyncio.to_thread(entered.cluster.alive):
            await ray_keeper.run(partial(service.renew, entered))
        return entered


if TYPE_CHECKING:
    _conforms: tuple[type[Runtime], type[Transport]] = (OnRay, OnRay)
