"""Who lives where, and who must wake when: the one register of a data folder, a Ray actor.

It starts hosts, gives each object one, and wakes objects whose timers are due. All it knows can be
found again: hosts are asked what they hold, folders when they must wake (`due`). So it keeps no
file of its own, Ray restarts it when it dies, and meanwhile whoever knows a host goes on.

An object is given to a host by an errand before anybody hears of it, and a host takes frames for
its own objects only; a caller that comes too late is told `Moved` and asks here again. Should two
hosts ever believe that they have one object, its lease lets only the later one answer.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from raydo.actors import tenant
from raydo.actors.actor import Actor
from raydo.actors.breaker import Breaker
from raydo.actors.clock import Clock, SystemClock
from raydo.actors.disk import OsDisk
from raydo.actors.due import read_due, scan
from raydo.actors.errand import Errand, errand, read_request, run_errand
from raydo.actors.line import Line
from raydo.actors.placement import Placement
from raydo.actors.roster import roster
from raydo.actors.waker import Waker
from raydo.pipelining.codec import unpack
from raydo.pipelining.errors import ConnectionLost, InvalidArgument, RaydoError, Starting
from raydo.pipelining.limits import (
    PLACE_S_MAX,
    STANDBY_HOSTS,
)
from raydo.pipelining.noun import Noun

if TYPE_CHECKING:
    from raydo.actors.address import Sockets
    from raydo.actors.pool import Pool, Started
    from raydo.actors.settings import Settings
    from raydo.actors.site import Site
    from raydo.pipelining.transport import More

_log = logging.getLogger("raydo")


class _Host:
    """One host, as the directory sees it."""

    def __init__(self, started: Started, line: Line) -> None:
        self.name, self.sockets = started
        self.line = line
        self.classes: dict[str, bytes] = {}  # which version of each class it was told of


class Directory(Actor):
    """Find, place, wake; opened by the first call of `where`."""

    def __init__(
        self,
        settings: Settings,
        site: Site,
        paths: tuple[str, ...] = (),
        pool: Pool | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(settings, site, paths)
        self._pool = pool
        self._clock = clock or SystemClock()
        self._placement = Placement(settings.hosts_max(), STANDBY_HOSTS)
        self._hosts: dict[str, _Host] = {}
        self._assigning: dict[Noun, asyncio.Task[_Host]] = {}
        self._classes: dict[str, bytes] = {}  # parcels, by the name of their class
        self._waker: Waker | None = None
        self._breaker = Breaker()
        self._failure: RaydoError | None = None  # why the last host did not start
        self._news = asyncio.Event()  # a host came up, or failed to
        self._verbs = {
            "find": self._find,
            "declare": self._declare,
            "left": self._left,
            "offended": self._offended,
            "counts": self._counts,
            "status": self._status,
            "roster": self._roster,
            "figures": self._figures,
            "drain": self._drain,
        }

    def __repr__(self) -> str:
        return "directory"  # Ray's logs and dashboard call the actor by this

    async def close(self) -> None:
        """Take no more errands, and start and wake nobody."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        if self._waker is not None:
            await self._waker.stop()
        if self._listener is not None:
            await self._listener.close()
        await asyncio.gather(*(host.line.close() for host in self._hosts.values()))

    async def _open(self) -> Sockets:
        if self._pool is None:
            from raydo.actors.pool import RayPool

            self._pool = RayPool(self._settings, self._site, self._paths)
        self._waker = Waker(self._clock, self._wake)
        sockets = await self._listen("directory-")
        for started in await self._pool.running():
            await self._welcome(started)
        self._refill()
        for noun, due_ms in await asyncio.to_thread(lambda: list(scan(self._site.data))):
            self._waker.set(noun, due_ms)
        self._waker.start()
        return sockets

    async def _run(self, payload: bytes, more: More) -> bytes:
        del more  # nothing streams here
        request = read_request(payload)
        if not isinstance(request, Errand):
            raise InvalidArgument("Frames go to an object's host, not to the directory.")
        return await run_errand(self._verbs, request)

    # Errands

    async def _find(self, given: Errand) -> list[Any]:
        """Give the sockets of an object's host, and place the object when it has none."""
        self._breaker.check(given.noun, self._clock.now_ms())
        try:
            async with asyncio.timeout(PLACE_S_MAX):
                host = await self._placed(given.noun)
        except TimeoutError:
            raise Starting(f"No host was there within {PLACE_S_MAX:.0f} s.") from None
        return list(host.sockets)

    async def _declare(self, given: Errand) -> None:
        """Keep what a host needs to know a class."""
        self._classes[given.arguments["cls"]] = given.arguments["parcel"]

    async def _left(self, given: Errand) -> None:
        """An object sleeps, and its host has let go of it."""
        assert self._waker is not None
        self._placement.leave(given.noun, given.arguments["host"])
        self._waker.set(given.noun, given.arguments["due_ms"])

    async def _offended(self, given: Errand) -> None:
        """An object's turn had to be ended by force."""
        self._breaker.offended(given.noun, given.arguments["reason"], self._clock.now_ms())

    async def _counts(self, given: Errand) -> Any:
        host = await self._placed(given.noun)
        return unpack(await host.line.request(errand("counts", given.noun)))

    async def _status(self, _given: Errand) -> list[dict[str, Any]]:
        """Describe every host and what it holds."""
        return await self._of_all(errand("status"))

    async def _roster(self, given: Errand) -> list[dict[str, Any]]:
        """List every tenant of the folder, and what its host says of it."""
        return await asyncio.to_thread(roster, self._site.data, await self._status(given))

    async def _figures(self, _given: Errand) -> dict[str, Any]:
        """Give the figures of every host, and how many stand by; see `figures.Fleet`."""
        return {
            "hosts": await self._of_all(errand("figures")),
            "hosts_max": self._settings.hosts_max(),
            "standbys": self._placement.free(),
        }

    async def _drain(self, given: Errand) -> list[str]:
        """Bring one object's database, or all of them, up to date; name those that are not."""
        named = given.arguments.get("noun")
        noun = None if named is None else given.noun
        if noun is not None and self._placement.where(noun) is None:
            return []  # it sleeps, and its database has everything
        return [name for names in await self._of_all(errand("drain", noun)) for name in names]

    async def _of_all(self, request: bytes) -> list[Any]:
        """Ask every host; one that is gone has no answer."""
        answers = await asyncio.gather(
            *(host.line.request(request) for host in self._hosts.values()), return_exceptions=True
        )
        return [unpack(answer) for answer in answers if isinstance(answer, bytes)]

    # Placing

    async def _placed(self, noun: Noun) -> _Host:
        """Return the host that has the object, and has been told so."""
        while True:
            if (assigning := self._assigning.get(noun)) is not None:
                return await asyncio.shield(assigning)
            if (name := self._placement.where(noun)) is not None:
                return self._hosts[name]
            if (name := self._placement.place(noun)) is not None:
                self._refill()
                return await self._assigned(noun, self._hosts[name])
            await self._first_host()

    async def _assigned(self, noun: Noun, host: _Host) -> _Host:
        task = self._assigning[noun] = asyncio.create_task(self._assign(noun, host))
        task.add_done_callback(lambda _: self._assigning.pop(noun, None))
        try:
            return await asyncio.shield(task)
        except ConnectionLost:
            self._lose(host.name)
            return await self._placed(noun)

    async def _assign(self, noun: Noun, host: _Host) -> _Host:
        parcel = self._classes.get(noun.cls)
        news = None if host.classes.get(noun.cls) == parcel else parcel
        try:
            await host.line.request(errand("assign", noun, parcel=news))
        except ConnectionLost:
            raise
        except RaydoError:
            self._placement.leave(noun, host.name)
            raise
        if parcel is not None:
            host.classes[noun.cls] = parcel
        return host

    async def _first_host(self) -> None:
        """Wait until there is a host, or a reason why there is none."""
        self._news.clear()
        self._refill()
        await self._news.wait()
        if not self._hosts:
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure

    # Hosts

    def _refill(self) -> None:
        if self._closing:
            return
        for _ in range(self._placement.missing()):
            self._placement.starting += 1
            self._task(self._start())

    async def _start(self) -> None:
        assert self._pool is not None
        try:
            started = await self._pool.start()
            await self._welcome(started)
        except RaydoError as error:
            _log.warning("A host did not start: %s", error)
            self._failure = error
        finally:
            self._placement.starting -= 1
            self._news.set()

    async def _welcome(self, started: Started) -> None:
        """Speak to a host, and take over what it holds already."""
        assert self._listener is not None
        line = await Line.connect(started.sockets.address())
        answer = await line.request(errand("hello", path=str(self._listener.path)))
        host = self._hosts[started.name] = _Host(started, line)
        self._placement.add(started.name)
        for name in unpack(answer)["objects"]:
            noun = Noun(*name)
            if self._placement.where(noun) is None:
                self._placement.settle(noun, started.name)
        self._task(self._watch(host))

    async def _watch(self, host: _Host) -> None:
        await host.line.lost.wait()
        self._lose(host.name)

    def _lose(self, name: str) -> None:
        """A host is gone, or as good as gone: end it, and let its objects be placed anew."""
        if self._closing or self._hosts.pop(name, None) is None:
            return
        lost = self._placement.lose(name)
        self._task(self._bury(name, lost))
        self._refill()

    async def _bury(self, name: str, lost: frozenset[Noun]) -> None:
        assert self._pool is not None
        assert self._waker is not None
        await self._pool.end(name)
        for noun in lost:  # nobody keeps their time now
            folder = tenant.folder(self._site.data, noun)
            self._waker.set(noun, await asyncio.to_thread(read_due, OsDisk(), folder))

    async def _wake(self, noun: Noun) -> int | None:
        self._breaker.check(noun, self._clock.now_ms())
        host = await self._placed(noun)
        due_ms: int | None = unpack(await host.line.request(errand("wake", noun)))["due_ms"]
        return due_ms
