"""Who lives where: from a noun to the socket of the process that holds it.

At this stage each object has a Ray actor of its own, named by the data folder and the noun, so
that Ray itself is the register: whoever asks first places it, everybody else finds it. What sends
frames sees only `Directory`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from raydo.actors import catalog
from raydo.actors.cluster import NAMESPACE
from raydo.actors.host import Host
from raydo.pipelining.errors import ObjectFailed, RaydoError, Starting
from raydo.pipelining.limits import PLACE_S_MAX, RETRY_FIRST_S, RETRY_MAX_S, SHUTDOWN_S

if TYPE_CHECKING:
    from raydo.actors.settings import Settings
    from raydo.pipelining.noun import Noun


class Directory(Protocol):
    """Know where objects live."""

    async def find(self, noun: Noun) -> Path:
        """Return the socket of the object's host, and place the object when it has none.

        Raises:
            Starting: it takes longer than it should; ask again.
            RaydoError: the host cannot serve, and says why.
        """
        ...


class NamedHosts:
    """Place each object in a Ray actor of its own, found again by its name.

    `attached` is awaited before Ray is asked, and makes sure that there is one.
    """

    def __init__(self, settings: Settings, attached: Callable[[], Awaitable[None]]) -> None:
        self._settings = settings
        self._attached = attached
        self._prefix = _prefix(settings.data)

    async def find(self, noun: Noun) -> Path:
        """See `Directory.find`."""
        try:
            async with asyncio.timeout(PLACE_S_MAX):
                return Path(await self._ask(noun))
        except TimeoutError:
            raise Starting(
                f"The host of {noun} did not start within {PLACE_S_MAX:.0f} s."
            ) from None

    async def counts(self, noun: Noun) -> dict[str, int]:
        """Ask the object's host what came in since its process began."""
        await self._attached()
        host = await asyncio.to_thread(self._place, noun)
        counts: dict[str, int] = await host.counts.remote()
        return counts

    async def _ask(self, noun: Noun) -> str:
        from ray.exceptions import RayActorError, RayTaskError

        pause_s = RETRY_FIRST_S
        while True:
            await self._attached()
            try:
                host = await asyncio.to_thread(self._place, noun)
                path: str = await host.where.remote()
            except RayActorError:
                # Dying, restarting or just gone: only asking again tells which.
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_MAX_S)
            except RayTaskError as error:
                raise _cause(noun, error) from None
            else:
                return path

    def _place(self, noun: Noun) -> Any:
        """Find the object's actor, or have Ray make it; blocks."""
        import ray

        options = ray.remote(Host).options(
            name=self._prefix + _digest(f"{noun.cls}\0{noun.id}".encode(), 16),
            namespace=NAMESPACE,
            get_if_exists=True,
            lifetime="detached",  # a gateway that restarts finds its hosts as they were
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=0,  # frames are numbered, and sent again by whoever owns them
            enable_task_events=False,
        )
        return options.remote(self._settings, noun, catalog.parcel(noun.cls))


def stop_hosts(data: Path) -> None:
    """Close every object of a data folder, within a bounded time, and end the hosts; blocks."""
    import ray

    prefix = _prefix(data)
    hosts = []
    for entry in ray.util.list_named_actors(all_namespaces=True):
        if entry["namespace"] == NAMESPACE and entry["name"].startswith(prefix):
            with contextlib.suppress(ValueError):  # it ended meanwhile
                hosts.append(ray.get_actor(entry["name"], NAMESPACE))
    closing: list[Any] = [host.close.remote() for host in hosts]
    if closing:
        ray.wait(closing, num_returns=len(closing), timeout=SHUTDOWN_S)
    for host in hosts:
        ray.kill(host)


def _prefix(data: Path) -> str:
    return _digest(os.fsencode(data.resolve()), 8) + "-"


def _digest(data: bytes, size: int) -> str:
    return hashlib.blake2b(data, digest_size=size).hexdigest()


def _cause(noun: Noun, error: Exception) -> RaydoError:
    cause = getattr(error, "cause", None)
    if isinstance(cause, RaydoError):
        return cause
    kind = type(cause).__name__
    return ObjectFailed(f"The host of {noun} cannot open: {kind}: {cause}", detail={"type": kind})
