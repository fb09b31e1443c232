"""Who may touch a data folder.

Two processes that write one tenant's file corrupt it, so a data folder has a lock: an embedded
runtime holds it alone, and a Ray runtime shares it with its hosts, each of which holds it while
it lives. The operating system releases it with the process, whatever ended that, so it is never
stale; `server.json` beside it only says whom to ask: pid, mode, and the address of Ray. Processes
that join a running Ray hold nothing, because they touch no file.

    data/.raydo/lock          flock: exclusive = embedded or starting, shared = Ray and its hosts
    data/.raydo/server.json   {"pid", "mode": "embedded" | "starting" | "ray", "address"}
    data/.raydo/token         what a process needs to speak to the Ray that was started here
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import weakref
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Literal, Self

from raydo.pipelining.errors import DataInUse

if TYPE_CHECKING:
    from pathlib import Path

Mode = Literal["embedded", "starting", "ray"]

FOLDER: Final = ".raydo"


@dataclass(frozen=True, slots=True)
class Server:
    """Name the process that serves a data folder."""

    pid: int
    mode: Mode
    address: str | None = None


class Claim:
    """Hold a data folder's lock until `release`."""

    def __init__(self, data: Path, descriptor: int) -> None:
        self.data = data
        self._descriptor = descriptor
        _held.add(self)

    @classmethod
    def alone(cls, data: Path, mode: Mode) -> Claim:
        """Take the folder for this process only.

        Raises:
            DataInUse: another process, or this one, has it.
        """
        claim = cls._take(data, fcntl.LOCK_EX)
        claim.publish(mode)
        return claim

    @classmethod
    def shared(cls, data: Path) -> Claim:
        """Take the folder beside the other processes of one Ray.

        Raises:
            DataInUse: a process has it for itself.
        """
        return cls._take(data, fcntl.LOCK_SH)

    @classmethod
    def _take(cls, data: Path, kind: int) -> Self:
        folder = data / FOLDER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise in_use(data, server_of(data)) from None
        return cls(data, descriptor)

    def publish(self, mode: Mode, address: str | None = None) -> None:
        """Tell others who serves this folder."""
        text = json.dumps(asdict(Server(os.getpid(), mode, address)))
        _write_private(self.data / FOLDER / "server.json", text)

    def share(self) -> None:
        """Let the hosts of this process's Ray in.

        Raises:
            DataInUse: another process took the folder in the instant between.
        """
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise in_use(self.data, server_of(self.data)) from None

    def release(self) -> None:
        """Give the folder up; a second time does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


_held: Final[weakref.WeakSet[Claim]] = weakref.WeakSet()


def _after_fork() -> None:
    """Close what the child inherited: the folder stays its parent's, and free after the parent."""
    for claim in list(_held):
        claim.release()


os.register_at_fork(after_in_child=_after_fork)


def server_of(data: Path) -> Server | None:
    """Read who last said to serve this folder; only the lock tells whether it still does."""
    try:
        wire = json.loads((data / FOLDER / "server.json").read_text())
        return Server(**wire)
    except (OSError, ValueError, TypeError):
        return None


def token_path(data: Path) -> Path:
    """Find the secret that the processes of this folder's Ray share; make it when there is none."""
    path = data / FOLDER / "token"
    if not path.exists():
        _write_private(path, secrets.token_hex(32))
    return path


def admin_key_path(data: Path, make: Callable[[], str]) -> Path:
    """Find where the server's first key was put for its administrator; make it if there is none."""
    path = data / FOLDER / "admin-key"
    if not path.exists():
        _write_private(path, make())
    return path


def in_use(data: Path, server: Server | None) -> DataInUse:
    """Say who has the folder and what to do about it."""
    if server is None:
        return DataInUse(f"The data folder {data} is in use by another process; end that first.")
    if server.pid == os.getpid():
        return DataInUse(
            f"The data folder {data} is already open in this process (pid {server.pid}): "
            "use that connection, or close it first.",
            detail=asdict(server),
        )
    cure = {
        "embedded": "end that process first, or serve the folder by `raydo serve` and connect to it",
        "starting": "it is starting Ray: call again in a few seconds",
        "ray": "join it by `raydo.connect()` with this folder, or stop it first",
    }.get(server.mode, "end that process first")
    where = f", Ray at {server.address}" if server.address else ""
    return DataInUse(
        f"The data folder {data} is in use by process {server.pid} ({server.mode}{where}): {cure}.",
        detail=asdict(server),
    )


def _write_private(path: Path, text: str) -> None:
    """Write for this user only, whole or not at all."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)
