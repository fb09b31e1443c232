"""The door: who may come in where there are no keys, and nobody before the runtime is up.

Without keys the only protection is that the server speaks to this machine alone. A web page on
another site can still make the user's own browser call `localhost`, or point a name of its own at
127.0.0.1; such calls carry a foreign `Origin` or `Host`, and are refused. With keys
they lack the key, which no browser sends by itself, and any host name may be the server's.
"""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from raydo.gateway.backend import Backend
from raydo.gateway.headers import header
from raydo.gateway.replies import failure
from raydo.gateway.tenancy import host_name
from raydo.pipelining.errors import Forbidden, Overloaded, RaydoError
from raydo.pipelining.limits import REQUESTS_MAX, SOCKETS_MAX

ALWAYS_OPEN: Final = frozenset({"/healthz"})
_INSIDE_MAX: Final = {"http": REQUESTS_MAX, "websocket": SOCKETS_MAX}


class Door:
    """Stand before every route: refuse foreigners, the early, and the one too many."""

    def __init__(self, app: ASGIApp, backend: Backend, *, keyed: bool = False) -> None:
        self._app = app
        self._keyed = keyed
        self._backend = backend
        self._inside = dict.fromkeys(_INSIDE_MAX, 0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        kind = scope["type"]
        try:
            self._admit(scope, kind)
        except RaydoError as error:
            await failure(error)(
                scope, receive, send
            )  # a socket's handshake is answered by it, too
            return
        self._inside[kind] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._inside[kind] -= 1

    def inside(self, kind: str = "http") -> int:
        """Count the requests that are being worked on, or the sockets."""
        return self._inside[kind]

    def _admit(self, scope: Scope, kind: str) -> None:
        if not self._keyed:
            check_local(header(scope, b"host"), header(scope, b"origin"))
        if scope["path"] in ALWAYS_OPEN:
            return
        if self._inside[kind] >= _INSIDE_MAX[kind]:
            raise Overloaded("Too many requests at once; send again in a moment.")
        self._backend.check()


def check_local(host: bytes | None, origin: bytes | None) -> None:
    """Let through what this machine's own programs and pages send.

    Raises:
        Forbidden: the Host header is not this machine's, or a page of another site is calling.
    """
    name = host_name((host or b"").decode("latin-1"))
    if not is_loopback(name):
        raise Forbidden(
            f"Without keys this server answers to localhost only, not to the host {name!r}."
        )
    if origin is not None and not _is_local_origin(origin.decode("latin-1")):
        raise Forbidden("Without keys no page of another site may call this server.")


def _is_local_origin(origin: str) -> bool:
    try:
        name = urlsplit(origin).hostname
    except ValueError:
        return False
    return name is not None and is_loopback(name)


def is_loopback(name: str) -> bool:
    """Tell whether a host name or address can only mean this machine.

    `localhost` and all names under it never leave the machine (RFC 6761).
    """
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
