"""How a machine becomes one of a cluster that serves together, and how its registry is found.

The first machine that serves under a cluster's name keeps the registry. Each remembers in its folder
who that is, so that a cluster that starts again waits for that machine and never begins a second
registry, which would not know who has which tenant. Every function here blocks.

    data/.raydo/site.json    {"name", "keeper"}
    data/.raydo/registry.db  on the machine that keeps it
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from raydo.actors import tenant
from raydo.actors.actor import cause_of
from raydo.actors.claim import FOLDER
from raydo.actors.disk import OsDisk, write_file
from raydo.actors.place import NAMESPACE, actor, machine, pinned
from raydo.actors.registry import FILE, Registry
from raydo.actors.site import Site
from raydo.pipelining.errors import DataInUse, NodeDown

if TYPE_CHECKING:
    from pathlib import Path

SITE_FILE: Final = "site.json"


class Member(NamedTuple):
    """What a folder remembers of its cluster."""

    name: str  # of its site
    keeper: str  # the site that keeps the registry


def join(cluster: str, data: Path) -> Site:
    """Let the folder's tenants be served by this machine as a part of the cluster.

    Raises:
        NodeDown: the machine that keeps the registry is not there.
        DataInUse: the folder belongs to another cluster, or is the copy of one that is served.
    """
    known = _read(data)
    try:
        registry = registry_of(cluster)
    except NodeDown:
        if known is not None and known.keeper not in {"", known.name}:
            raise
        known = known or _remember(data, Member(_new_name(cluster), ""))
        registry = _begin(cluster, data, known.name)
    keeper = call(registry.keeper)
    if known is None:
        known = Member(_new_name(cluster), keeper)
    elif known.keeper not in {"", keeper}:
        raise DataInUse(
            f"{data} is a part of a cluster whose registry {known.keeper} keeps, and the one that"
            f" runs here as {cluster!r} is kept by {keeper}."
        )
    _remember(data, known._replace(keeper=keeper))
    site = Site(known.name, data.resolve(), machine())
    joined: Site = call(registry.join, site, list(tenant.tenants(data)))
    return joined


def registry_of(cluster: str) -> Any:
    """Find the cluster's registry.

    Raises:
        NodeDown: nobody keeps it now.
    """
    try:
        return actor(_actor_name(cluster))
    except ValueError:
        raise NodeDown(
            f"Nobody keeps the registry of the cluster {cluster!r}: start"
            f" `raydo serve --cluster {cluster}` on the machine where it began."
        ) from None


def call(method: Any, *arguments: Any) -> Any:
    """Call a method of the registry.

    Raises:
        NodeDown: it is not there. RaydoError: what it raised.
    """
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(method.remote(*arguments))
    except RayTaskError as error:
        raise cause_of(error) from None
    except RayError as error:
        raise NodeDown(f"The cluster's registry is not there: {error}") from None


def _begin(cluster: str, data: Path, name: str) -> Any:
    import ray

    options = ray.remote(Registry).options(
        name=_actor_name(cluster),
        namespace=NAMESPACE,
        get_if_exists=True,
        lifetime="detached",
        num_cpus=0,
        max_restarts=-1,
        max_task_retries=0,
        enable_task_events=False,
        **pinned(machine()),
    )
    return options.remote(data.resolve() / FOLDER / FILE, name)


def _actor_name(cluster: str) -> str:
    return f"cluster-{cluster}-registry"


def _new_name(cluster: str) -> str:
    return f"{cluster}-{secrets.token_hex(6)}"


def _read(data: Path) -> Member | None:
    try:
        return Member(**json.loads((data / FOLDER / SITE_FILE).read_text()))
    except FileNotFoundError:
        return None


def _remember(data: Path, member: Member) -> Member:
    folder = data / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_file(OsDisk(), folder / SITE_FILE, json.dumps(member._asdict()).encode())
    return member
