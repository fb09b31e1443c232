"""What the directory and the hosts have in common: Ray actors that others reach by a socket.

Ray makes them and asks where they listen; everything else goes by the socket. Nothing may fail in
a constructor, since Ray reports an actor whose constructor raised as dead for good; so an actor
opens with the first call of `where`, and tries again with the next one when that failed.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from raydo.actors import logs
from raydo.actors.listener import Listener
from raydo.actors.place import address_here, socket_folder
from raydo.pipelining.errors import ObjectFailed, RaydoError

if TYPE_CHECKING:
    from raydo.actors.address import Sockets
    from raydo.actors.settings import Settings
    from raydo.actors.site import Site
    from raydo.pipelining.transport import More


class Actor:
    """Open once, answer at a socket, and keep tasks of its own."""

    def __init__(self, settings: Settings, site: Site, paths: tuple[str, ...]) -> None:
        self._settings = settings
        self._site = site
        self._paths = paths  # where the modules of objects are found
        self._opening: asyncio.Task[Sockets] | None = None
        self._listener: Listener | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def where(self) -> Sockets:
        """Open on the first call, and say where requests are taken."""
        if self._opening is None or (self._opening.done() and self._opening.exception()):
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def health(self) -> bool:
        """Answer while the event loop turns; a tenant's turn runs elsewhere."""
        return True

    async def _open(self) -> Sockets:
        """Begin, and return where requests are taken."""
        raise NotImplementedError

    async def _run(self, payload: bytes, more: More) -> bytes:
        """Do what a request asks for, and answer."""
        raise NotImplementedError

    async def _listen(self, kind: str = "") -> Sockets:
        """Take requests at sockets that no other process had before."""
        logs.use(self._settings.log_format)
        name = f"{kind}{os.getpid()}-{secrets.token_hex(4)}"
        path, secret = socket_folder(self._site.data) / name, self._site.secret
        host = address_here() if secret is not None else ""
        self._listener = Listener(path, self._run, host=host, secret=secret)
        await self._listener.open()
        return self._listener.sockets

    def _task(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something go on beside the requests."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def cause_of(error: Exception) -> RaydoError:
    """Return what an actor's method raised."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, RaydoError):
        return cause
    kind = type(cause).__name__
    return ObjectFailed(f"A host cannot open: {kind}: {cause}", detail={"type": kind})
