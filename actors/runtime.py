"""`connect`: one function for the four places where objects can live.

A runtime opens a transport for a connection, and closing that transport ends the runtime: the
objects of an embedded one, the use of Ray of the other. The same stubs work over each. A client of
a gateway loads nothing of the server.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from raydo.actors import catalog
from raydo.actors.settings import Settings, settings_from
from raydo.pipelining.connection import Connection
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.http import HttpTransport
from raydo.pipelining.limits import CALL_TIMEOUT_S

if TYPE_CHECKING:
    from types import ModuleType

    from raydo.actors.clock import Clock
    from raydo.actors.figures import Fleet
    from raydo.pipelining.later import Timeout
    from raydo.pipelining.noun import Noun
    from raydo.pipelining.outbox import OnError
    from raydo.pipelining.transport import Transport


class Runtime(Protocol):
    """Where objects live, seen by one connection."""

    async def open(self) -> Transport:
        """Begin, and give the transport whose `close` ends it.

        Raises:
            DataInUse: another process has the data folder.
            InvalidArgument: a module of objects cannot be imported.
        """
        ...

    async def counts(self, noun: Noun) -> dict[str, int]:
        """Count what the host of an object was sent: `{"envelopes", "frames", …}`."""
        ...

    async def status(self) -> list[dict[str, Any]]:
        """Describe each process that holds objects: `{"host", "actor", "pid", "bytes", "objects"}`."""
        ...

    async def roster(self) -> list[dict[str, Any]]:
        """List every tenant, where its object is, and when it must wake: see `roster`."""
        ...

    async def figures(self) -> Fleet:
        """Tell the figures of the processes that hold this machine's objects."""
        ...

    async def drain(self, noun: Noun | None = None) -> list[str]:
        """Bring the databases of this machine's objects, or of one, up to date.

        What was acknowledged before the call is then in `tenant.db`, except of those that are named.
        """
        ...

    @property
    def dashboard_url(self) -> str | None:
        """Where Ray's own dashboard is, if this runtime started one."""
        ...


def connect(
    target: str | None = None,
    *,
    data: str | Path | None = None,
    ray: str | None = None,
    cluster: str | None = None,
    key: str | None = None,
    timeout_s: Timeout = CALL_TIMEOUT_S,
    objects: Iterable[str | ModuleType | type] = (),
    on_error: OnError | None = None,
    clock: Clock | None = None,
    outbox: str | Path | None = None,
) -> Connection:
    """Make a connection; it opens by `async with`, or by `with` in synchronous code.

    `connect()` starts or joins Ray on this machine for the folder `RAYDO_DATA` (`./data`);
    `connect(ray="auto")` uses a Ray that runs already, `ray="local"` starts one for `data`;
    `connect(ray="auto", cluster=NAME)` uses the machines that serve there under that name;
    `connect("http://…")` speaks to a gateway, and so does `connect("ws://…")` over one socket that
    stays open; `connect(data="./data")` holds the objects in this process. `key` is what a gateway
    asks for. `objects` names modules, or classes, of durable objects. `outbox` is a file that keeps
    casts until they are known to be durable, also from one process to the next.

    Raises:
        InvalidArgument: the arguments contradict each other.
    """
    if target is not None:
        if any(given is not None for given in (data, ray, cluster, clock)):
            raise InvalidArgument("A gateway has its own data: give an address or a folder.")
        return Connection(
            partial(_gateway, target, key), timeout_s=timeout_s, on_error=on_error, outbox=outbox
        )
    if key is not None:
        raise InvalidArgument("A key is for a gateway: give its address too.")
    given = settings_from()
    settings = replace(
        given,
        data=Path(data) if data is not None else given.data,
        ray=ray or given.ray,
        cluster=cluster or given.cluster,
        objects=(*given.objects, *catalog.modules_of(objects)),
    )
    runtime = _runtime(
        settings,
        embedded=data is not None and ray is None,
        clock=clock,
        guest=settings.cluster is not None and data is None,
    )
    return Connection(runtime.open, timeout_s=timeout_s, on_error=on_error, outbox=outbox)


class Served(NamedTuple):
    """What a gateway serves from."""

    connection: Connection
    runtime: Runtime


async def serve_runtime(settings: Settings, *, embedded: bool = False, **options: Any) -> Served:
    """Open what a gateway serves from; `options` are the connection's own.

    Raises:
        DataInUse: another process has the data folder, in another way.
        ConnectionLost: Ray did not start, or is not where the settings say.
    """
    runtime = _runtime(settings, embedded=embedded, dashboard=True)
    return Served(await Connection(runtime.open, **options).open(), runtime)


def _runtime(
    settings: Settings,
    *,
    embedded: bool,
    clock: Clock | None = None,
    dashboard: bool = False,
    guest: bool = False,
) -> Runtime:
    if settings.cluster is not None and (embedded or settings.ray in {None, "local"}):
        raise InvalidArgument(
            "A cluster's machines share a Ray that runs already: say where it is."
        )
    if embedded:
        from raydo.actors.embedded import Embedded

        return Embedded(settings, clock)
    if clock is not None:
        raise InvalidArgument("Hosts have the machine's clock; only embedded takes another.")
    from raydo.actors.on_ray import OnRay

    return OnRay(settings, dashboard=dashboard, guest=guest)


async def _gateway(url: str, key: str | None) -> Transport:
    if url.startswith(("ws://", "wss://")):
        from raydo.pipelining.websocket import WebSocketTransport

        return WebSocketTransport(url, key)
    return HttpTransport(url, key)
