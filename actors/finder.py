"""How a process finds an object's host: it asks the folder's directory, by a line of its own.

Ray names the directory and says where it listens; the errands go by its socket. A line that breaks
is opened again in the background, so that a directory that died and came back knows its folder
before anybody asks: it has timers to keep.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from raydo.actors import catalog
from raydo.actors.actor import cause_of
from raydo.actors.address import Sockets
from raydo.actors.directory import Directory
from raydo.actors.errand import errand
from raydo.actors.line import Line
from raydo.actors.place import NAMESPACE, pinned
from raydo.pipelining.codec import unpack
from raydo.pipelining.errors import ConnectionLost, NotConnected, RaydoError, Starting
from raydo.pipelining.limits import PLACE_S_MAX, RETRY_FIRST_S, RETRY_MAX_S

if TYPE_CHECKING:
    from raydo.actors.address import Address
    from raydo.actors.figures import Fleet
    from raydo.actors.settings import Settings
    from raydo.actors.site import Site
    from raydo.pipelining.noun import Noun


class Finder(Protocol):
    """Know where objects live."""

    async def find(self, noun: Noun) -> Address:
        """Return the address of the object's host, which takes its frames.

        Raises:
            Starting: it takes longer than it should; ask again.
            Confined: the object rests.
            NodeDown: the machine that has its folder is not there.
            RaydoError: no host can serve it, and this says why.
        """
        ...


class RayFinder:
    """Ask one folder's directory, which is a Ray actor.

    `attached` is awaited before Ray is asked: it makes sure that there is one, and says which folder
    is meant. `here` is the machine that asks: on another one the folder's processes are reached by
    their ports.
    """

    def __init__(
        self, settings: Settings, attached: Callable[[], Awaitable[Site]], here: str | None = None
    ) -> None:
        self._settings = settings
        self._attached = attached
        self._here = here
        self._site: Site | None = None
        self._opening: asyncio.Task[Line] | None = None
        self._declared: set[str] = set()  # classes that the directory knows from this line
        self._watch: asyncio.Task[None] | None = None
        self._closed = False

    def open(self) -> None:
        """Have the directory begin, before anybody asks: it has timers to keep and hosts to warm."""
        self._begin()

    async def find(self, noun: Noun) -> Address:
        """See `Finder.find`."""
        return self._address(Sockets(*await self._ask("find", noun)))

    async def counts(self, noun: Noun) -> dict[str, int]:
        """Ask the object's host what came in for it since it lives there."""
        counts: dict[str, int] = await self._ask("counts", noun)
        return counts

    async def status(self) -> list[dict[str, Any]]:
        """Describe every host and the objects that it holds."""
        status: list[dict[str, Any]] = await self._ask("status", None)
        return status

    async def roster(self) -> list[dict[str, Any]]:
        """List every tenant of the folder: see `roster`."""
        rows: list[dict[str, Any]] = await self._ask("roster", None)
        return rows

    async def figures(self) -> Fleet:
        """Tell the figures of the folder's hosts."""
        fleet: Fleet = await self._ask("figures", None)
        return fleet

    async def drain(self, noun: Noun | None) -> list[str]:
        """Have the databases of the hosts' objects brought up to date: see `Runtime.drain`."""
        failed: list[str] = await self._ask("drain", noun)
        return failed

    async def close(self) -> None:
        """Close the line."""
        self._closed = True
        for task in (self._watch, self._opening):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, RaydoError):
                    await task
        if self._opening is not None and not self._opening.cancelled():
            with contextlib.suppress(RaydoError):
                await self._opening.result().close()

    async def _ask(self, verb: str, noun: Noun | None) -> Any:
        try:
            async with asyncio.timeout(PLACE_S_MAX):
                return await self._ask_until_answered(verb, noun)
        except TimeoutError:
            raise Starting(f"The directory did not answer within {PLACE_S_MAX:.0f} s.") from None

    async def _ask_until_answered(self, verb: str, noun: Noun | None) -> Any:
        pause_s = RETRY_FIRST_S
        while True:
            try:
                line = await self._line()
                if noun is not None and noun.cls not in self._declared:
                    await self._declare(line, noun.cls)
                return unpack(await line.request(errand(verb, noun)))
            except ConnectionLost:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_MAX_S)

    async def _declare(self, line: Line, cls: str) -> None:
        """Tell the directory what hosts need to know a class; it passes it on."""
        parcel = await asyncio.to_thread(catalog.parcel, cls)
        await line.request(errand("declare", cls=cls, parcel=catalog.wrap(parcel)))
        self._declared.add(cls)

    async def _line(self) -> Line:
        if self._closed:
            raise NotConnected("This connection is closed.")
        task = self._opening
        if task is None or (task.done() and (_failed(task) or task.result().lost.is_set())):
            task = self._begin()
        return await asyncio.shield(task)

    def _begin(self) -> asyncio.Task[Line]:
        task = self._opening = asyncio.create_task(self._open())
        task.add_done_callback(_failed)
        return task

    async def _open(self) -> Line:
        site = self._site = await self._attached()
        self._declared.clear()
        line = await Line.connect(self._address(await _directory_sockets(self._settings, site)))
        self._watch = asyncio.create_task(self._reopen(line))
        return line

    def _address(self, sockets: Sockets) -> Address:
        assert self._site is not None
        near = self._here is None or self._here == self._site.machine
        return sockets.address(None if near else self._site.secret)

    async def _reopen(self, line: Line) -> None:
        await line.lost.wait()
        while not self._closed:
            with contextlib.suppress(RaydoError):
                await self._line()
                return
            await asyncio.sleep(RETRY_MAX_S)


async def _directory_sockets(settings: Settings, site: Site) -> Sockets:
    """Find the directory, or have Ray make it, and ask where it listens."""
    from ray.exceptions import RayError, RayTaskError

    try:
        directory = await asyncio.to_thread(_place_directory, settings, site)
        sockets: Sockets = await directory.where.remote()
    except RayTaskError as error:
        raise cause_of(error) from None
    except RayError as error:  # dead, unreachable, or its machine is gone
        raise ConnectionLost(f"The directory is dying or starting: {error}") from None
    return sockets


def _place_directory(settings: Settings, site: Site) -> Any:
    import ray

    options = ray.remote(Directory).options(
        name=site.directory,
        namespace=NAMESPACE,
        get_if_exists=True,
        lifetime="detached",  # it outlives the gateway that asked for it first
        num_cpus=0,
        max_restarts=-1,
        max_task_retries=0,
        enable_task_events=False,
        **pinned(site.machine),
    )
    return options.remote(replace(settings, data=site.data), site, catalog.search_paths())


def _failed(task: asyncio.Task[Line]) -> bool:
    """Tell whether no line came of it; looks at the error, so that none is reported as lost."""
    return task.cancelled() or task.exception() is not None
