"""Where a command works: a running gateway, or a data folder that it opens itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from raydo.actors.runtime import connect
from raydo.pipelining.connection import Connection
from raydo.pipelining.errors import ConnectionLost, InvalidArgument, RaydoError, decode_error
from raydo.pipelining.limits import COMMAND_TIMEOUT_S, STARTUP_WAIT_S

DEFAULT_URL: Final = "http://127.0.0.1:8000"
_PROBE_TIMEOUT_S: Final = 5.0
_POLL_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Target:
    """Name exactly one of a gateway's address and a data folder."""

    url: str | None = None
    data: Path | None = None
    key: str | None = None

    def __str__(self) -> str:
        return self.url if self.url is not None else str(self.data)

    def connect(self) -> Connection:
        """Return a connection, for `async with`; a gateway that still starts is waited for.

        Raises:
            ConnectionLost: no gateway answers there.
        """
        if self.url is None:
            return connect(data=self.data, timeout_s=COMMAND_TIMEOUT_S)
        wait_until_ready(self.url)
        return connect(self.url, key=self.key, timeout_s=COMMAND_TIMEOUT_S)

    def ask(self, method: str, path: str, **request: Any) -> Any:
        """Ask the gateway over HTTP, and give the JSON of its answer.

        Raises:
            RaydoError: what it refuses.
        """
        assert self.url is not None
        wait_until_ready(self.url)
        headers = {} if self.key is None else {"authorization": f"Bearer {self.key}"}
        response = httpx.request(
            method, self.url + path, headers=headers, timeout=COMMAND_TIMEOUT_S, **request
        )
        if not response.is_success:
            raise decode_error(response.json())
        return response.json()


def target(url: str | None, data: Path | None, key: str | None = None) -> Target:
    """Choose by what was given; with nothing given it is the gateway on this machine.

    Raises:
        InvalidArgument: both were given.
    """
    if url is not None and data is not None:
        raise InvalidArgument("Give --url for a running gateway or --data for a folder, not both.")
    if data is not None:
        return Target(data=data)
    return Target(url=(url or DEFAULT_URL).rstrip("/"), key=key)


def wait_until_ready(url: str, sleep: Callable[[float], None] = time.sleep) -> None:
    """Return when the gateway takes requests.

    Raises:
        ConnectionLost: nothing listens there. RaydoError: it refuses, or takes too long to start.
    """
    waited_s = 0.0
    while (error := _probe(url)) is not None:
        if error.code != "starting" or waited_s >= STARTUP_WAIT_S:
            raise error
        sleep(_POLL_S)
        waited_s += _POLL_S


def _probe(url: str) -> RaydoError | None:
    """Ask the gateway whether it is ready; None means yes."""
    try:
        response = httpx.get(f"{url}/readyz", timeout=_PROBE_TIMEOUT_S)
    except (httpx.TransportError, httpx.InvalidURL):
        return ConnectionLost(
            f"No gateway answers at {url}. Start one with `raydo serve`, name another with --url, "
            "or work on a folder with --data DIR."
        )
    if response.is_success:
        return None
    try:
        return decode_error(response.json())
    except ValueError:
        return ConnectionLost(f"What answers at {url} is not raydo (HTTP {response.status_code}).")


def is_up(url: str) -> bool:
    """Tell whether a gateway answers there, be it still starting."""
    error = _probe(url)
    return error is None or error.code == "starting"
