"""The Ray actor that holds live objects and answers frames by a Unix socket.

Ray starts it and asks where it listens; frames and errands never pass through Ray. It decides
nothing: the directory says which objects live here, `Residents` runs their turns, and what is
acknowledged is on disk, so that a kill at any moment loses nothing that anybody was told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from raydo.actors import catalog
from raydo.actors.actor import Actor
from raydo.actors.claim import Claim
from raydo.actors.clock import SystemClock
from raydo.actors.cluster_finder import ClusterFinder
from raydo.actors.courier import Courier
from raydo.actors.elsewhere import by_ray, on_a_thread
from raydo.actors.errand import Errand, errand, read_request, run_errand
from raydo.actors.finder import RayFinder
from raydo.actors.gauges import Gauges
from raydo.actors.line import Line
from raydo.actors.place import HOST, actor, machine
from raydo.actors.residents import Residents
from raydo.actors.watchdog import Watchdog, resident_bytes
from raydo.pipelining.errors import ConnectionLost, Moved
from raydo.pipelining.limits import METRICS_S, RETRY_MAX_S

if TYPE_CHECKING:
    from raydo.actors.address import Sockets
    from raydo.actors.settings import Settings
    from raydo.actors.site import Site
    from raydo.pipelining.noun import Noun
    from raydo.pipelining.transport import More

TITLE_OBJECTS: Final = 3  # that a process is named after
RUNAWAY: Final = 70  # the exit code of a process whose turn could not be ended
_log = logging.getLogger("raydo")


class Host(Actor):
    """Hold the objects that the directory gives it."""

    def __init__(
        self, settings: Settings, site: Site, name: str = "host", paths: tuple[str, ...] = ()
    ) -> None:
        super().__init__(settings, site, paths)
        self._name = name
        self._objects: set[Noun] = set()  # those whose frames are taken
        self._claim: Claim | None = None
        self._residents: Residents | None = None
        self._directory: Line | None = None
        self._finder: RayFinder | ClusterFinder | None = None
        self._others: Courier | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._verbs = {
            "hello": self._hello,
            "assign": self._assign,
            "wake": self._wake,
            "counts": self._counts,
            "status": self._status,
            "figures": self._figures,
            "drain": self._drain,
        }

    def __repr__(self) -> str:
        return f"host {self._name.rpartition(HOST)[2]}"  # Ray's logs and dashboard call the actor by this

    async def close(self) -> None:
        """Take no more frames, finish those under way, and close every object."""
        self._closing = True
        if self._listener is not None:
            await self._listener.close()
        if self._residents is not None:
            await self._residents.close()
        if self._others is not None and self._finder is not None:
            await self._others.close()
            await self._finder.close()
        if self._directory is not None:
            await self._directory.close()
        if self._claim is not None:
            self._claim.release()

    async def _open(self) -> Sockets:
        self._loop = asyncio.get_running_loop()
        catalog.search_in(self._paths)
        await asyncio.to_thread(catalog.load, self._settings.objects)
        data = self._settings.data
        self._claim = Claim.shared(data)
        self._residents = Residents(
            data,
            clock=SystemClock(),
            settings=self._settings,
            host=True,
            watchdog=Watchdog(
                on_offence=self._offended,
                kill=self._kill,
                turn_s=self._settings.turn_s,
                bytes_max=self._settings.host_bytes_max(),
            ),
            on_sleep=self._left,
            elsewhere=by_ray if _on_ray() else on_a_thread,
            transport=self._courier(),
        )
        sockets = await self._listen()
        self._entitle()
        if _on_ray():
            self._task(self._show())
        return sockets

    def _courier(self) -> Courier | None:
        """Make what carries casts to objects that live in other processes."""
        if not _on_ray():
            return None
        if self._settings.cluster is None:
            self._finder = RayFinder(self._settings, self._here)
        else:
            self._finder = ClusterFinder(self._settings, self._here, machine())
        self._others = Courier(self._finder)
        return self._others

    async def _here(self) -> Site:
        return self._site

    async def _run(self, payload: bytes, more: More) -> bytes:
        del more  # nothing streams yet
        request = read_request(payload)
        if isinstance(request, Errand):
            return await run_errand(self._verbs, request)
        noun, envelope = request
        if noun not in self._objects:
            raise Moved(f"{noun} does not live in this process.")
        assert self._residents is not None
        return await self._residents.deliver(noun, envelope)

    # Errands

    async def _hello(self, given: Errand) -> dict[str, Any]:
        """Let the directory at this path be told what happens here; say what lives here."""
        if self._directory is not None:
            await self._directory.close()
        self._directory = await Line.connect(Path(given.arguments["path"]))
        self._task(self._miss(self._directory))
        return {"objects": [list(noun) for noun in self._objects], "pid": os.getpid()}

    async def _assign(self, given: Errand) -> None:
        """Take an object's frames from now on."""
        assert self._residents is not None
        if (parcel := given.arguments["parcel"]) is not None:
            await asyncio.to_thread(lambda: catalog.unpack(catalog.unwrap(parcel)))
        self._residents.admit(given.noun)
        if not self._objects:  # with many at once the roster tells who is where
            _log.info("%s lives here now", given.noun)
        self._objects.add(given.noun)
        self._entitle()

    async def _wake(self, given: Errand) -> dict[str, Any]:
        """Run the timers of an object that are due; say when the next one is."""
        if given.noun not in self._objects:
            raise Moved(f"{given.noun} does not live in this process.")
        assert self._residents is not None
        return {"due_ms": await self._residents.fire(given.noun)}

    async def _counts(self, given: Errand) -> dict[str, int]:
        assert self._residents is not None
        counts = self._residents.counts()
        return {**counts, **self._residents.counts_of(given.noun), "pid": os.getpid()}

    async def _status(self, _given: Errand) -> dict[str, Any]:
        assert self._residents is not None
        return {
            "host": self._name,
            "pid": os.getpid(),
            **_identity(),
            "bytes": resident_bytes(),
            "counts": self._residents.counts(),
            "objects": self._residents.status(),
        }

    async def _figures(self, _given: Errand) -> dict[str, Any]:
        assert self._residents is not None
        return {"host": self._name, **self._residents.figures()}

    async def _drain(self, given: Errand) -> list[str]:
        """Bring one object's database, or all of them, up to date; name those that are not."""
        assert self._residents is not None
        named = given.arguments.get("noun")
        return await self._residents.drain_now(None if named is None else given.noun)

    # What the directory is told

    def _left(self, noun: Noun, due_ms: int | None) -> None:
        """An object sleeps: its next frame, or timer, may go to another host."""
        self._objects.discard(noun)
        self._tell("left", noun, host=self._name, due_ms=due_ms)
        self._entitle()

    def _offended(self, noun: Noun, reason: str) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(lambda: self._tell("offended", noun, reason=reason))

    def _kill(self, noun: Noun, reason: str) -> None:
        """End this process, once the directory has heard why; on the watchdog's thread."""
        assert self._loop is not None
        told = asyncio.run_coroutine_threadsafe(
            self._request("offended", noun, reason=reason), self._loop
        )
        with contextlib.suppress(Exception):
            told.result(timeout=1)
        os._exit(RUNAWAY)

    def _tell(self, verb: str, noun: Noun, **arguments: Any) -> None:
        if not self._closing:
            self._task(self._request(verb, noun, **arguments))

    async def _request(self, verb: str, noun: Noun, **arguments: Any) -> None:
        # A directory that is gone asks for all of this again when it is back.
        if self._directory is not None:
            with contextlib.suppress(ConnectionLost):
                await self._directory.request(errand(verb, noun, **arguments))

    async def _miss(self, line: Line) -> None:
        """Have Ray's new directory open itself when the old one is gone: it says hello then."""
        await line.lost.wait()
        while not self._closing and self._directory is line:
            await asyncio.sleep(RETRY_MAX_S)
            with contextlib.suppress(Exception):
                directory = await asyncio.to_thread(actor, self._site.directory)
                await directory.where.remote()

    async def _show(self) -> None:
        """Set the process's metrics, for as long as it lives."""
        assert self._residents is not None
        gauges = Gauges(self._name.rpartition(HOST)[2])
        while not self._closing:
            gauges.set(self._residents.figures())
            await asyncio.sleep(METRICS_S)

    def _entitle(self) -> None:
        """Name the process after the objects in it."""
        if not _on_ray():
            return
        names = [str(noun) for noun in sorted(self._objects)[:TITLE_OBJECTS]]
        if (more := len(self._objects) - len(names)) > 0:
            names.append(f"and {more:,} more")
        raylet: Any = import_module("ray._raylet")
        raylet.setproctitle(f"raydo {', '.join(names) or 'standby'}")


def _on_ray() -> bool:
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _identity() -> dict[str, str | None]:
    """Name this process as Ray's dashboard does."""
    if not _on_ray():
        return {"actor": None, "node": None}
    context = sys.modules["ray"].get_runtime_context()
    return {"actor": context.get_actor_id(), "node": context.get_node_id()}
