"""The Ray actor: one process that holds live objects and answers frames by a Unix socket.

Ray places it, restarts it after a crash, and asks where it listens; frames never pass through
Ray. It decides nothing: `Residents` runs the turns, and what is acknowledged is on disk, so that
a kill at any moment loses nothing that anybody was told.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import secrets
import shutil
import stat
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from raydo.actors import catalog
from raydo.actors.claim import Claim
from raydo.actors.clock import SystemClock
from raydo.actors.listener import Listener
from raydo.actors.residents import Residents
from raydo.pipelining.codec import unpack
from raydo.pipelining.errors import ConnectionLost, Forbidden, InvalidArgument
from raydo.pipelining.noun import Noun

if TYPE_CHECKING:
    from raydo.actors.catalog import Parcel
    from raydo.actors.settings import Settings
    from raydo.pipelining.transport import More

TITLES_AFTER_S: Final = (0.05, 1.0, 10.0)  # Ray names the process too, when a call of its own ends
_log = logging.getLogger("raydo")


class Host:
    """Hold the object `noun`; made by Ray, and made again by Ray after its process died."""

    def __init__(self, settings: Settings, noun: Noun, parcel: Parcel) -> None:
        # Nothing here may fail: Ray reports an actor whose constructor raised as dead for good.
        self._settings = settings
        self._noun = noun
        self._parcel = parcel
        self._opening: asyncio.Task[Path] | None = None
        self._claim: Claim | None = None
        self._residents: Residents | None = None
        self._listener: Listener | None = None

    def __repr__(self) -> str:
        return str(self._noun)  # Ray's logs and dashboard call the actor by this

    async def where(self) -> str:
        """Open on the first call, and say at which socket frames are taken."""
        if self._opening is None or (self._opening.done() and self._opening.exception()):
            self._opening = asyncio.create_task(self._open())
        path = await asyncio.shield(self._opening)
        for after_s in TITLES_AFTER_S:
            asyncio.get_running_loop().call_later(after_s, self._entitle)
        return str(path)

    async def counts(self) -> dict[str, int]:
        """Count what came in by the socket since this process began."""
        counts = self._residents.counts() if self._residents else {}
        return {**counts, "pid": os.getpid()}

    async def health(self) -> bool:
        """Answer while the event loop turns; a tenant's turn runs elsewhere."""
        return True

    async def close(self) -> None:
        """Take no more frames, finish those under way, and close every object."""
        if self._listener is not None:
            await self._listener.close()
        if self._residents is not None:
            await self._residents.close()
        if self._claim is not None:
            self._claim.release()

    async def _open(self) -> Path:
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
        await asyncio.to_thread(catalog.unpack, self._parcel)
        await asyncio.to_thread(catalog.load, self._settings.objects)
        data = self._settings.data
        self._claim = Claim.shared(data)
        self._residents = Residents(data, clock=SystemClock(), settings=self._settings, host=True)
        path = socket_folder(data) / f"{os.getpid()}-{secrets.token_hex(4)}"
        self._listener = Listener(path, self._deliver)
        await self._listener.open()
        _log.info("%s is served by process %d", self._noun, os.getpid())
        return path

    async def _deliver(self, payload: bytes, more: More) -> bytes:
        del more  # nothing streams yet
        noun, envelope = addressed(payload)
        if noun != self._noun:
            raise ConnectionLost(f"{noun} does not live in this process.")
        assert self._residents is not None
        return await self._residents.deliver(noun, envelope)

    def _entitle(self) -> None:
        if (ray := sys.modules.get("ray")) and ray.is_initialized():
            raylet: Any = import_module("ray._raylet")
            raylet.setproctitle(f"raydo {self._noun}")


def addressed(payload: bytes) -> tuple[Noun, bytes]:
    """Read the payload of a request: whom the envelope is for, and the envelope.

    Raises:
        InvalidArgument: it is no such payload.
    """
    match unpack(payload):
        case [str(cls), str(tenant), bytes(envelope)]:
            return Noun(cls, tenant), envelope
    raise InvalidArgument("A request holds a class's name, a tenant and an envelope.")


def sweep_sockets(data: Path) -> None:
    """Remove the sockets of hosts that were killed; none may be alive."""
    shutil.rmtree(socket_folder(data), ignore_errors=True)


def socket_folder(data: Path) -> Path:
    """Find the folder for this data folder's sockets; only this user may enter it.

    Raises:
        Forbidden: somebody else made it first.
    """
    key = hashlib.blake2b(os.fsencode(data.resolve()), digest_size=5).hexdigest()
    folder = Path(tempfile.gettempdir()) / f"raydo-{os.getuid()}-{key}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise Forbidden(f"{folder} is not a folder that only this user may enter; remove it.")
    return folder
