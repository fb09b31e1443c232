"""How processes find each other: Ray's actors by their names, and a data folder's sockets."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from raydo.pipelining.errors import Forbidden

NAMESPACE: Final = "raydo"
DIRECTORY: Final = "directory"
HOST: Final = "host-"


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


def machine() -> str:
    """Return Ray's id of the machine that this process runs on."""
    import ray

    here: str = ray.get_runtime_context().get_node_id()
    return here


def address_here() -> str:
    """Return the address by which other machines reach this one, as Ray has it."""
    util: Any = import_module("ray.util")
    return str(util.get_node_ip_address())


def machines() -> frozenset[str]:
    """List the machines that Ray counts as alive; blocks."""
    ray: Any = import_module("ray")
    return frozenset(node["NodeID"] for node in ray.nodes() if node["Alive"])


def pinned(machine: str | None) -> dict[str, Any]:
    """Return the options of an actor or a task that runs on that machine and nowhere else."""
    if machine is None:
        return {}
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(machine, soft=False)}
