"""Hosts as Ray actors: started, found again, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from raydo.actors.actor import cause_of
from raydo.actors.host import Host
from raydo.actors.place import NAMESPACE, actor, actors_named, pinned
from raydo.pipelining.errors import ConnectionLost, RaydoError
from raydo.pipelining.limits import PLACE_S_MAX, SHUTDOWN_S

if TYPE_CHECKING:
    from raydo.actors.address import Sockets
    from raydo.actors.settings import Settings
    from raydo.actors.site import Site


class Started(NamedTuple):
    """A host that is up: its name, and where it listens."""

    name: str
    sockets: Sockets


class Pool(Protocol):
    """Start and end the processes that hold objects."""

    async def start(self) -> Started:
        """Start a host; return when it listens.

        Raises:
            RaydoError: it cannot open, and says why.
        """
        ...

    async def running(self) -> list[Started]:
        """Find the hosts that an earlier directory started."""
        ...

    async def end(self, name: str) -> None:
        """End a host at once; one that is gone already is no error."""


class RayPool:
    """Keep hosts as named actors of Ray's."""

    def __init__(self, settings: Settings, site: Site, paths: tuple[str, ...]) -> None:
        self._settings = settings
        self._site = site
        self._paths = paths  # where hosts find the modules of objects

    async def start(self) -> Started:
        """See `Pool.start`."""
        name = self._site.hosts + secrets.token_hex(4)
        return Started(name, await self._listening(await asyncio.to_thread(self._make, name)))

    async def running(self) -> list[Started]:
        """See `Pool.running`."""
        started = []
        for name in await asyncio.to_thread(actors_named, self._site.hosts):
            with contextlib.suppress(RaydoError, ValueError):
                handle = await asyncio.to_thread(actor, name)
                started.append(Started(name, await self._listening(handle)))
                continue
            await self.end(name)
        return started

    async def end(self, name: str) -> None:
        """See `Pool.end`."""
        with contextlib.suppress(ValueError):
            handle = await asyncio.to_thread(actor, name)
            await asyncio.to_thread(_kill, handle)

    def _make(self, name: str) -> Any:
        import ray

        options = ray.remote(Host).options(
            name=name,
            namespace=NAMESPACE,
            lifetime="detached",  # a gateway or directory that restarts finds its hosts as they were
            num_cpus=0,
            max_restarts=0,  # the directory has a standby at once, and starts another
            enable_task_events=False,
            **pinned(self._site.machine),
        )
        return options.remote(self._settings, self._site, name, self._paths)

    async def _listening(self, handle: Any) -> Sockets:
        from ray.exceptions import RayError, RayTaskError

        try:
            async with asyncio.timeout(PLACE_S_MAX):
                sockets: Sockets = await handle.where.remote()
                return sockets
        except TimeoutError:
            raise ConnectionLost(f"A host did not start within {PLACE_S_MAX:.0f} s.") from None
        except RayTaskError as error:
            raise cause_of(error) from None
        except RayError as error:
            raise ConnectionLost(f"A host died while it started: {error}") from None


def stop_hosts(site: Site) -> None:
    """Close the directory and every host of a data folder, within a bounded time; blocks."""
    import ray

    for start in (site.directory, site.hosts):
        handles = []
        for name in actors_named(start):
            with contextlib.suppress(ValueError):  # it ended meanwhile
                handles.append(actor(name))
        closing: list[Any] = [handle.close.remote() for handle in handles]
        if closing:
            ray.wait(closing, num_returns=len(closing), timeout=SHUTDOWN_S)
        for handle in handles:
            _kill(handle)


def _kill(handle: Any) -> None:
    import ray

    ray.kill(handle, no_restart=True)
