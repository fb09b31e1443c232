"""The gateway's FastAPI application: which route is answered by whom.

The hot routes are bare ASGI endpoints (see `endpoint.py`). They stand in FastAPI's router like
any other, and a request for one of them goes straight there, past the middleware that FastAPI
wraps around everything, which would cost as much as the work itself. The door stands before all
of it, and every failure has the one shape of `replies.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from raydo.actors.costs import Prices
from raydo.gateway.access import Access
from raydo.gateway.backend import Backend
from raydo.gateway.body import Bodies
from raydo.gateway.capnweb import CapnWeb
from raydo.gateway.capnweb_socket import CapnWebSocket
from raydo.gateway.dashboard import EMBED, HOME, STATIC, Dashboard, static
from raydo.gateway.docs import serve_docs
from raydo.gateway.door import Door
from raydo.gateway.endpoint import Endpoint, internal
from raydo.gateway.exposition import Exposition
from raydo.gateway.frame_socket import FrameSocket, speaks_frames
from raydo.gateway.governance import governance
from raydo.gateway.intake import Intake
from raydo.gateway.key_routes import key_routes
from raydo.gateway.machine import machine
from raydo.gateway.metrics import Metrics
from raydo.gateway.monitor import SOCKET_PATH, Monitor
from raydo.gateway.operations import operations
from raydo.gateway.preferring import preferring
from raydo.gateway.probes import probes
from raydo.gateway.queries import Queries
from raydo.gateway.replies import failure, http_failure
from raydo.gateway.rpc import Rpc
from raydo.gateway.schema import merge
from raydo.gateway.traces import tracing_from
from raydo.gateway.vendors import routes
from raydo.pipelining.errors import InvalidArgument, RaydoError

_ABOUT: Final = (
    "An analytics backend of its own for every tenant. A request names its tenant in `X-Tenant` "
    "or `?tenant=`; without one it is `default`. Every failure has one shape, with a stable `code`."
)


class Gateway(FastAPI):
    """FastAPI behind the door, with a short way to the hot routes and the sockets."""

    def __init__(
        self,
        hot: dict[tuple[str, str], Endpoint],
        socket: CapnWebSocket,
        frames: FrameSocket,
        door: Callable[[ASGIApp], Door],
    ) -> None:
        routes = [Route(path, hot[method, path], methods=[method]) for method, path in hot]
        super().__init__(
            title="raydo",
            version=version("raydo"),
            description=_ABOUT,
            routes=[*routes],
            docs_url=None,  # FastAPI's own page loads its parts from the internet
            redoc_url=None,
        )
        self.socket = socket
        self._frames = frames
        self._hot = hot
        self.door = door(self._inside)
        self._enter: ASGIApp = self.door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._enter(scope, receive, send)

    def watch(self, monitor: Callable[[ASGIApp, Mapping[Any, str]], Monitor]) -> None:
        """Note every request, those that the door refuses included."""
        hot = {endpoint: path for (_, path), endpoint in self._hot.items()}
        self._enter = monitor(self.door, hot)

    async def _inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == SOCKET_PATH:
            socket = self._frames if speaks_frames(scope) else self.socket
            await socket(scope, receive, send)
            return
        endpoint = self._hot.get((scope.get("method", ""), scope.get("path", "")))
        if endpoint is None:
            await super().__call__(scope, receive, send)
        else:
            await endpoint(scope, receive, send)


def create_app(
    backend: Backend,
    *,
    domain: str | None = None,
    keyed: bool = False,
    data: Path | None = None,
    prices: Prices | None = None,
) -> Gateway:
    """Make the application around a runtime that may still be starting.

    `data` is the folder whose disk and backups `/metrics` tells of, and whose costs are told.
    """
    access = Access(backend, keyed=keyed, domain=domain)
    bodies = Bodies()
    capnweb = CapnWeb(backend, bodies, access)
    app = Gateway(
        _hot_routes(backend, bodies, access, capnweb),
        CapnWebSocket(capnweb),
        FrameSocket(backend, access),
        partial(Door, backend=backend, keyed=keyed),
    )
    app.include_router(probes(backend))
    app.include_router(operations(backend, access))
    exposition = Exposition(backend, data, app.door.inside)
    app.watch(partial(Monitor, requests=exposition.requests, tracing=tracing_from()))
    app.include_router(machine(backend, access, exposition, data, prices or Prices()))
    app.include_router(key_routes(backend, access))
    app.include_router(governance(backend, access))
    app.include_router(preferring(backend, access))
    serve_docs(app)
    app.add_exception_handler(RaydoError, _raydo_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _any_error)
    _document(app)
    return app


def _hot_routes(
    backend: Backend, bodies: Bodies, access: Access, capnweb: CapnWeb
) -> dict[tuple[str, str], Endpoint]:
    queries = Queries(backend, bodies, access)
    metrics = Metrics(backend, bodies, access)
    dashboard = Dashboard(keyed=access.keyed)
    return {
        **routes(Intake(backend, bodies, access)),
        ("GET", "/stats"): Endpoint(queries.stats),
        ("GET", "/dau"): Endpoint(queries.dau),
        ("GET", "/retention"): Endpoint(queries.retention),
        ("POST", "/query"): Endpoint(queries.query),
        ("GET", "/timeseries"): Endpoint(metrics.timeseries),
        ("GET", "/active"): Endpoint(metrics.active),
        ("GET", "/top"): Endpoint(metrics.top),
        ("POST", "/funnel"): Endpoint(metrics.funnel),
        # An id may have slashes.
        ("GET", "/users/{user_id:path}"): Endpoint(metrics.user),
        ("GET", "/events/{message_id:path}"): Endpoint(metrics.event),
        ("GET", HOME): Endpoint(dashboard.home),
        ("GET", EMBED): Endpoint(dashboard.embedded),
        ("GET", STATIC): Endpoint(static),
        ("POST", "/rpc"): Endpoint(Rpc(backend, bodies, access, capnweb).rpc),
    }


def _document(app: FastAPI) -> None:
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        return merge(generate())

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI documents


def _raydo_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RaydoError)
    return failure(error)


def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return http_failure(error)


def _validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return failure(InvalidArgument(f"{place}: {first['msg']}."))


def _any_error(_request: Request, error: Exception) -> Response:
    return failure(internal(error))
