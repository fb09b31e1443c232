"""Around every request: its id, how long it took, what became of it.

It stands before the door, so that refusals count too, and looks at no body. What it measures goes
to `Requests`, slow and failed requests go to the log, and spans to a tracer, if there is one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from time import perf_counter
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from raydo.actors.logs import request_id
from raydo.gateway.request_id import HEADER, id_of
from raydo.gateway.requests import Requests
from raydo.gateway.traces import Tracing
from raydo.pipelining.limits import SLOW_REQUEST_S

NO_ROUTE: Final = "(none)"
SOCKET_PATH: Final = "/rpc"
SOCKET: Final = "SOCKET"  # instead of a method
_NOT_NOW: Final = 503
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_log = logging.getLogger("raydo.gateway")


class Monitor:
    """Pass requests on, and note them."""

    def __init__(
        self,
        app: ASGIApp,
        hot: Mapping[Any, str],
        requests: Requests,
        tracing: Tracing | None = None,
    ) -> None:
        self._app = app
        self._hot = hot  # the routes' endpoints and paths
        self._paths = frozenset({SOCKET_PATH, *hot.values()})
        self._requests = requests
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        given = id_of(scope)
        token = request_id.set(given)
        began_s = perf_counter()
        noted = _Noted(send, given)
        try:
            if self._tracing is None:
                await self._app(scope, receive, noted)
            else:
                with self._tracing.span(scope, given) as span:
                    await self._app(scope, receive, noted)
                    span.end(self._route(scope), noted.status)
        finally:
            self._note(scope, noted.status, perf_counter() - began_s)
            request_id.reset(token)

    def _note(self, scope: Scope, status: int, took_s: float) -> None:
        route, method = self._route(scope), _method(scope)
        self._requests.ended(route, method, status, took_s)
        slow = took_s >= SLOW_REQUEST_S and method != SOCKET
        failed = status >= 500 and status != _NOT_NOW  # a server that starts would fill the log
        if failed or slow:
            text = "%s %s: %d after %.0f ms"
            more = {"route": route, "status": status, "duration_ms": round(took_s * 1000, 1)}
            _log.warning(text, method, route, status, took_s * 1000, extra=more)

    def _route(self, scope: Scope) -> str:
        """Name a request by its route: paths hold ids, and anybody may make them up."""
        path: str = scope["path"]
        if path in self._paths:
            return path
        if (named := self._hot.get(scope.get("endpoint"))) is not None:
            return named
        return str(getattr(scope.get("route"), "path", NO_ROUTE))


class _Noted:
    """Send a response on, with the request's id, and remember its status."""

    def __init__(self, send: Send, given: str) -> None:
        self.status = 499  # nothing was sent: the caller went away
        self._send = send
        self._header = (HEADER, given.encode())

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers: list[Any] = [*message.get("headers", ()), self._header]
            message = {**message, "headers": headers}
        elif message["type"] == "websocket.accept":
            self.status = 101
        await self._send(message)


def _method(scope: Scope) -> str:
    if scope["type"] == "websocket":
        return SOCKET
    method: str = scope["method"]
    return method if method in _METHODS else "OTHER"
