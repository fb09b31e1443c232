"""A data folder served by Ray, as one process sees it: started by it, or joined.

The first process that connects to a folder starts Ray and holds the folder's claim; a second one
finds its address beside the lock and joins. When the Ray that it joined ends, the next call joins
whichever took its place, or starts one. Every function here blocks and runs on the keeper's
thread, one at a time.

Under a cluster's name (`settings.cluster`) several machines serve together, each its own folder; a
process without a folder, a guest, uses them all.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from raydo.actors import cluster, membership
from raydo.actors.claim import Claim, in_use, server_of, token_path
from raydo.actors.place import machine, sweep_sockets
from raydo.actors.pool import stop_hosts
from raydo.actors.process import running
from raydo.actors.site import alone
from raydo.pipelining.errors import ConnectionLost, DataInUse
from raydo.pipelining.limits import JOIN_POLL_S, JOIN_S_MAX

if TYPE_CHECKING:
    from pathlib import Path

    from raydo.actors.cluster import Cluster
    from raydo.actors.settings import Settings
    from raydo.actors.site import Site

LOCAL: Final = "local"


@dataclass(slots=True)
class Service:
    """One folder that this process serves or uses, and how many connections do."""

    settings: Settings
    dashboard: bool
    cluster: Cluster
    claim: Claim | None  # None for a process that joined: it touches no file
    guest: bool = False  # it uses a cluster and serves no folder
    site: Site | None = None  # where the folder is; a guest has none
    users: int = 1


_services: Final[dict[Path | str, Service]] = {}
os.register_at_fork(after_in_child=_services.clear)  # the parent's, and Ray doesn't survive a fork


def enter(settings: Settings, *, dashboard: bool = False, guest: bool = False) -> Service:
    """Serve the folder by Ray: start it, join who serves it, or share what this process has.

    Raises:
        DataInUse: another process has the folder, and not by a Ray that this one can join.
        ConnectionLost: there is no Ray at the address that the settings give.
        NodeDown: nobody keeps the cluster's registry.
    """
    key = _key(settings, guest=guest)
    service = _services.get(key)
    if service is not None:
        service.users += 1
        return service
    claim, ray = _attach(settings, dashboard=dashboard, guest=guest)
    service = Service(settings, dashboard, ray, claim, guest)
    try:
        service.site = _site(service)
    except BaseException:
        _detach(service)
        raise
    _services[key] = service
    return service


def _key(settings: Settings, *, guest: bool) -> Path | str:
    return str(settings.cluster) if guest else settings.data.resolve()


def _site(service: Service) -> Site | None:
    settings = service.settings
    if service.guest:
        return None
    if settings.cluster is not None:
        return membership.join(settings.cluster, settings.data)
    return alone(settings.data.resolve(), machine())


def leave(service: Service) -> None:
    """Let go; the last connection of the process that started Ray stops its hosts and Ray."""
    service.users -= 1
    if service.users:
        return
    _services.pop(_key(service.settings, guest=service.guest), None)
    _detach(service)


def renew(service: Service) -> None:
    """Attach again if the Ray that served the folder is gone.

    Raises:
        DataInUse, ConnectionLost: as `enter`.
    """
    unserved = service.site is None and not service.guest
    if service.users and (unserved or not service.cluster.alive()):
        if service.claim is not None:
            service.claim.release()
        service.site = None  # until it is known, the next caller tries again
        service.claim, service.cluster = _attach(
            service.settings, dashboard=service.dashboard, guest=service.guest
        )
        service.site = _site(service)


def _detach(service: Service) -> None:
    try:
        if service.cluster.ours and service.site and service.cluster.alive():
            stop_hosts(service.site)
            sweep_sockets(service.site.data)
        if service.cluster.entered and not any(s.cluster.entered for s in _services.values()):
            cluster.leave()
    finally:
        if service.claim is not None:
            service.claim.release()


def _attach(settings: Settings, *, dashboard: bool, guest: bool) -> tuple[Claim | None, Cluster]:
    """Try until it is clear whether to start or to join: both neighbours may be on their way."""
    if guest:
        return None, cluster.current() or cluster.join(str(settings.ray))
    deadline = time.monotonic() + JOIN_S_MAX
    while True:
        try:
            if settings.ray in {None, LOCAL}:
                return _start_or_join(settings.data, dashboard=dashboard)
            return _use(settings.data, str(settings.ray))
        except DataInUse as error:
            if not _passing(error) or time.monotonic() > deadline:
                raise
            time.sleep(JOIN_POLL_S)


def _start_or_join(data: Path, *, dashboard: bool) -> tuple[Claim | None, Cluster]:
    try:
        claim = Claim.alone(data, "starting")
    except DataInUse:
        if (joined := _join(data)) is not None:
            return None, joined
        raise
    try:
        sweep_sockets(data)
        ray = cluster.current() or cluster.start(token_path(data), dashboard=dashboard)
        claim.publish("ray", ray.address)
        claim.share()
    except BaseException:
        claim.release()
        raise
    return claim, ray


def _join(data: Path) -> Cluster | None:
    """Join the Ray that serves the folder, if it is there yet, or still."""
    server = server_of(data)
    if server is None or server.address is None:
        return None
    here = cluster.current()
    if here is not None and here.address != server.address:
        raise DataInUse(
            f"The data folder {data} is served by Ray at {server.address}, and this process speaks "
            f"to another, at {here.address}; use a process of its own.",
        )
    try:
        return here or cluster.join(server.address, token_path(data))
    except ConnectionLost:
        if cluster.reachable(server.address):
            raise  # it is there and refuses, and says why
        return None


def _use(data: Path, address: str) -> tuple[Claim, Cluster]:
    """Serve the folder by a Ray that somebody else runs."""
    ray = cluster.current()
    if ray is not None and address not in {"auto", ray.address}:
        raise ConnectionLost(
            f"No Ray answers at {address} for this process, which speaks to the one at"
            f" {ray.address} already: Ray is one to a process."
        )
    ray = ray or cluster.join(address)
    try:
        claim = Claim.alone(data, "starting")
        claim.publish("ray", ray.address)
        claim.share()
    except DataInUse:
        claim = Claim.shared(data)
        server = server_of(data)
        if server is None or server.address != ray.address:
            claim.release()
            raise in_use(data, server) from None
    return claim, ray


def _passing(error: DataInUse) -> bool:
    """Tell whether waiting may help: somebody starts, or hosts of a dead Ray are ending."""
    detail = error.detail or {}
    address = detail.get("address")
    match detail.get("mode"):
        case "ray":
            return address is not None and not cluster.reachable(address)
        case "embedded":
            return not running(detail["pid"])  # the lock's new holder is about to say so
        case _:
            return True
