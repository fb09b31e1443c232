"""Where objects live on a cluster of several machines: a tenant is served where its folder is.

The registry says which machine that is, once for each tenant and connection, and then that machine's
own directory is asked, as on a machine alone. While the machine is down its tenants are
`NodeDown`; all others don't notice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from raydo.actors import membership
from raydo.actors.finder import RayFinder
from raydo.pipelining.errors import NodeDown, Unavailable
from raydo.pipelining.limits import HOMES_MAX, NODE_RETRY_AFTER_S

if TYPE_CHECKING:
    from raydo.actors.address import Address
    from raydo.actors.finder import Finder
    from raydo.actors.registry import Home
    from raydo.actors.settings import Settings
    from raydo.actors.site import Site
    from raydo.pipelining.noun import Noun


class ClusterFinder:
    """Ask the registry for a tenant's machine, and that machine's directory for the object.

    `attached` is awaited before Ray is asked; `here` is the machine that asks.
    """

    def __init__(
        self, settings: Settings, attached: Callable[[], Awaitable[Any]], here: str
    ) -> None:
        assert settings.cluster is not None
        self._settings = settings
        self._cluster = settings.cluster
        self._attached = attached
        self._here = here
        self._sites: dict[Noun, str] = {}  # for good: a tenant stays where its folder is
        self._finders: dict[str, RayFinder] = {}

    async def find(self, noun: Noun) -> Address:
        """See `Finder.find`."""
        return await (await self._finder_of(noun)).find(noun)

    def at(self, site: str) -> RayFinder:
        """Return what asks the directory of one machine's folder."""
        return self._finder(site)

    async def counts(self, noun: Noun) -> dict[str, int]:
        """See `RayFinder.counts`."""
        return await (await self._finder_of(noun)).counts(noun)

    async def status(self) -> list[dict[str, Any]]:
        """Describe every host of every machine that is there."""
        answers = await asyncio.gather(*(finder.status() for finder in await self._up()))
        return [host for hosts in answers for host in hosts]

    async def roster(self) -> list[dict[str, Any]]:
        """List every tenant; of a machine that is down only who they are is known."""
        rows: list[dict[str, Any]] = []
        for home in await self._ask("sites"):
            try:
                rows += await self._finder(self._up_or_down(home).name).roster()
            except Unavailable:
                away = {"state": "unreachable", "node": home.site.machine, "next_timer_ms": None}
                for noun in await self._ask("tenants", home.site.name):
                    rows.append({"object": noun.cls, "tenant": noun.id, **away})
        return sorted(rows, key=lambda row: (row["object"], row["tenant"]))

    async def open(self) -> None:
        """Have every directory begin: there are timers to keep."""
        for finder in await self._up():
            finder.open()

    async def close(self) -> None:
        """Close every line."""
        await asyncio.gather(*(finder.close() for finder in self._finders.values()))

    async def _up(self) -> list[RayFinder]:
        return [self._finder(home.site.name) for home in await self._ask("sites") if home.up]

    async def _finder_of(self, noun: Noun) -> RayFinder:
        if (name := self._sites.get(noun)) is None:
            name = self._sites[noun] = (await self._ask("home", noun)).site.name
            while len(self._sites) > HOMES_MAX:
                del self._sites[next(iter(self._sites))]
        return self._finder(name)

    def _finder(self, name: str) -> RayFinder:
        finder = self._finders.get(name)
        if finder is None:
            attached = partial(self._site, name)
            finder = self._finders[name] = RayFinder(self._settings, attached, self._here)
        return finder

    async def _site(self, name: str) -> Site:
        """Return the site as it is now: its machine has another id when Ray has begun anew there."""
        for home in await self._ask("sites"):
            if home.site.name == name:
                return self._up_or_down(home)
        raise NodeDown(f"The cluster's registry knows no {name}.")

    def _up_or_down(self, home: Home) -> Site:
        if not home.up:
            raise NodeDown(
                f"The machine that has {home.site.data} ({home.site.name}) is not there; its"
                " tenants are served again when it is back.",
                retry_after_s=NODE_RETRY_AFTER_S,
            )
        return home.site

    async def _ask(self, method: str, *arguments: Any) -> Any:
        await self._attached()
        return await asyncio.to_thread(self._call, method, *arguments)

    def _call(self, method: str, *arguments: Any) -> Any:
        registry = membership.registry_of(self._cluster)
        return membership.call(getattr(registry, method), *arguments)


if TYPE_CHECKING:
    _conforms: type[Finder] = ClusterFinder
