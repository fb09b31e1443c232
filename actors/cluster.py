"""Ray in this process: started, joined, or found running; and left again by whoever came last.

Everything here blocks and runs on the keeper's thread. A Ray that we start listens on the loopback
interface only and asks every process for a token that lies in the data folder, readable by this
user alone: whoever can speak to Ray can run code. Nothing is written outside that folder and
Ray's own folder for temporary files.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from raydo.actors.place import NAMESPACE
from raydo.pipelining.errors import ConnectionLost, NotConnected
from raydo.pipelining.limits import OBJECT_STORE_BYTES, REACH_S_MAX, START_ATTEMPTS_MAX

if TYPE_CHECKING:
    from pathlib import Path

# Names as of Ray 2.60. They are set while Ray's processes start and then taken back.
_QUIET: Final = {"RAY_USAGE_STATS_ENABLED": "0"}
_HEAD: Final = {
    **_QUIET,
    "RAY_worker_niceness": "0",  # else a host runs behind everything else on the machine
    "RAY_task_events_report_interval_ms": "0",  # no telemetry of each control call
}
# Ray ends a process whose cluster was gone for this long; ours finds the next one instead.
_PATIENT: Final = {"RAY_gcs_rpc_server_reconnect_timeout_s": str(10**9)}
_FORKED: Final = (
    "This process was forked after Ray had started in its parent, and Ray cannot be shared with a "
    "child. Connect in the children only, or start them by multiprocessing's 'spawn'."
)
_FOR_THE_FILE: Final = "INFO raydo:"  # what a host notes of the object that it is for
_SECRETS: Final = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@dataclass(frozen=True, slots=True)
class Cluster:
    """Name the Ray that this process speaks to."""

    address: str
    dashboard_url: str | None = None
    ours: bool = False  # this process started it, so it ends with this process
    entered: bool = False  # this process connected to it, so it is ours to leave

    def alive(self) -> bool:
        """Tell whether anything still answers there."""
        return reachable(self.address)


_current: Cluster | None = None
_pid = 0


def current() -> Cluster | None:
    """Name the Ray that this process speaks to already, ours or the user's.

    Raises:
        NotConnected: it is the parent's, and this process was forked from it.
    """
    ray: Any = sys.modules.get("ray")  # not imported here: what is set for its start comes first
    if ray is None or not ray.is_initialized():
        return None
    if _current is not None and _pid != os.getpid():
        raise NotConnected(_FORKED)
    address = ray.get_runtime_context().gcs_address
    if not reachable(address):
        leave()
        return None
    return _current if _current and _current.address == address else Cluster(address)


def start(token: Path, *, dashboard: bool = False) -> Cluster:
    """Start Ray on this machine.

    Raises:
        ConnectionLost: it did not start, and says why.
    """
    import ray

    with _environment({**_HEAD, **_secret(token)}), _on_loopback():
        _read_environment_again()
        for attempt in range(1, START_ATTEMPTS_MAX + 1):
            try:
                context = ray.init(
                    address="local",
                    include_dashboard=dashboard and attempt == 1,  # not worth a second failure
                    object_store_memory=OBJECT_STORE_BYTES,
                    **_options(),
                )
            except Exception as error:
                _end_half_started(error)
                if attempt == START_ATTEMPTS_MAX:
                    raise ConnectionLost(f"Ray did not start: {error}") from error
            else:
                break
    return _entered(context, ours=True)


def join(address: str, token: Path | None = None) -> Cluster:
    """Speak to the Ray at `address`; "auto" is wherever Ray itself finds one.

    Raises:
        ConnectionLost: no Ray answers there.
    """
    if address != "auto" and not reachable(address):
        raise ConnectionLost(f"No Ray answers at {address}.")
    import ray

    ours = _secret(token) if token is not None else {}
    loopback = _on_loopback() if token is not None else contextlib.nullcontext()
    with _environment({**_QUIET, **_PATIENT, **ours}), loopback:
        _read_environment_again()
        try:
            context = ray.init(address=address, **_options())
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ConnectionLost(f"No Ray answers at {address}: {error}") from error
    return _entered(context, ours=False)


def leave() -> None:
    """End this process's connection to Ray, and Ray itself if this process started it."""
    global _current  # noqa: PLW0603 - Ray is one to a process, and so is this
    import ray

    _current = None
    ray.shutdown()
    _let_ray_print(allowed=True)
    _read_environment_again()


def reachable(address: str) -> bool:
    """Tell within a bounded time whether anything listens at `host:port`."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S_MAX).close()
    except (OSError, ValueError):
        return False
    return True


def _end_half_started(error: Exception) -> None:
    """End what a failed start left running; Ray itself has forgotten it, but the error has not."""
    from ray._private.node import Node

    for frame, _ in traceback.walk_tb(error.__traceback__):
        node = frame.f_locals.get("self")
        if isinstance(node, Node):
            node.kill_all_processes(check_alive=False, allow_graceful=False)


def _options() -> dict[str, Any]:
    return {"namespace": NAMESPACE, "logging_level": logging.ERROR, "log_to_driver": True}


def _entered(context: Any, *, ours: bool) -> Cluster:
    global _current, _pid  # noqa: PLW0603 - Ray is one to a process, and so is this
    _pid = os.getpid()
    url = context.dashboard_url
    address = context.address_info["gcs_address"]
    _current = Cluster(address, f"http://{url}" if url else None, ours, entered=True)
    _relay_logs()
    return _current


def _relay_logs() -> None:
    """Show what hosts print, on stderr and under the object's name, and nothing of Ray's own.

    Ray would write to stdout, which is the program's, and warn of many processes: ours are many.
    """
    _let_ray_print(allowed=False)
    dispatcher: Any = import_module("ray._private.ray_logging").global_worker_stdstream_dispatcher
    dispatcher.remove_handler("raydo")
    dispatcher.add_handler("raydo", _show)


def _let_ray_print(*, allowed: bool) -> None:
    worker: Any = import_module("ray._private.worker")
    worker._worker_logs_enabled = allowed


def _show(batch: Mapping[str, Any]) -> None:
    if who := batch.get("actor_name"):
        lines = (line for line in batch["lines"] if not line.startswith(_FOR_THE_FILE))
        sys.stderr.writelines(f"{who} (pid {batch['pid']}): {line}\n" for line in lines)


def _secret(token: Path) -> dict[str, str]:
    if any(name in os.environ for name in _SECRETS):
        return {}  # what the user chose stays
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token.resolve())}


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables that the user has not set, for the processes that start inside."""
    ours = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """Have Ray take the loopback address for this machine's, as it does on macOS.

    Its processes read the variable; this one read it when Ray was imported, perhaps long ago.
    """
    constants: Any = import_module("ray._private.ray_constants")
    before, constants.ENABLE_RAY_CLUSTER = constants.ENABLE_RAY_CLUSTER, False
    try:
        with _environment({constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0"}):
            yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before


def _read_environment_again() -> None:
    """Let Ray look at the environment now: it keeps what it saw when it was imported."""
    raylet: Any = import_module("ray._raylet")
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()
