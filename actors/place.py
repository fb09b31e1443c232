"""How the processes of one data folder find each other: the names of its actors, and its sockets."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any, Final

from raydo.pipelining.errors import Forbidden

NAMESPACE: Final = "raydo"
DIRECTORY: Final = "directory"
HOST: Final = "host-"


def prefix(data: Path) -> str:
    """Return what the names of a data folder's actors begin with."""
    return hashlib.blake2b(os.fsencode(data.resolve()), digest_size=8).hexdigest() + "-"


def actors_named(start: str) -> list[str]:
    """List the actors whose names begin so; blocks."""
    import ray

    return [
        entry["name"]
        for entry in ray.util.list_named_actors(all_namespaces=True)
        if entry["namespace"] == NAMESPACE and entry["name"].startswith(start)
    ]


def actor(name: str) -> Any:
    """Find an actor by its name; ValueError when there is none; blocks."""
    import ray

    return ray.get_actor(name, NAMESPACE)


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


def sweep_sockets(data: Path) -> None:
    """Remove the sockets of hosts that were killed; none may be alive."""
    shutil.rmtree(socket_folder(data), ignore_errors=True)
