"""GET /timeseries, /active, /top, /users/…, /events/… and POST /funnel: metrics over HTTP.

Parameters are named as in METRICS.md; a filter may be given several times. What a parameter means
is the object's business: here texts only become numbers and flags.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope

from raydo.gateway.access import Access
from raydo.gateway.backend import Backend
from raydo.gateway.body import Bodies, decode_json
from raydo.gateway.readings import Reading, flag, whole
from raydo.gateway.tenancy import parameters, repeated
from raydo.pipelining.limits import FUNNEL_WINDOW_S
from raydo.pipelining.promise import Promise

FILTER: Final = "filter"


class Funnel(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /funnel."""

    steps: list[str | dict[str, Any]]
    window_s: float = FUNNEL_WINDOW_S
    since: str | None = msgspec.field(name="from", default=None)
    to: str | None = None
    tz: str | None = None
    filters: list[str] | None = None
    bots: bool = True


class Metrics:
    """Answer the routes that ask for a metric."""

    def __init__(self, backend: Backend, bodies: Bodies, access: Access) -> None:
        self._backend = backend
        self._bodies = bodies
        self._access = access

    async def timeseries(self, scope: Scope, _receive: Receive) -> Response:
        """Events or persons over time."""
        query = parameters(scope, FILTER)
        names = ("event", "interval", "breakdown", "metric", "compare", "week_start")
        given: dict[str, Any] = {name: query[name] for name in names if name in query}
        return await self._read(
            scope,
            query,
            "timeseries",
            {**given, **_common(scope, query), **whole(query, "values")},
        )

    async def active(self, scope: Scope, _receive: Receive) -> Response:
        """Persons of each day, of 7 days and of 30."""
        query = parameters(scope)
        window = {"window": query["window"]} if "window" in query else {}
        return await self._read(scope, query, "active", {**window, **_when(query)})

    async def top(self, scope: Scope, _receive: Receive) -> Response:
        """The most frequent values of a property."""
        query = parameters(scope, FILTER)
        given: dict[str, Any] = {name: query[name] for name in ("by", "metric") if name in query}
        return await self._read(
            scope, query, "top", {**given, **_common(scope, query), **whole(query, "limit")}
        )

    async def funnel(self, scope: Scope, receive: Receive) -> Response:
        """Steps in order, within a time."""
        query = parameters(scope)
        caller, tenant = await self._access.admitted(scope, query, "read")
        reading = Reading(self._backend, tenant, caller.by)
        async with self._bodies.read(scope, receive) as body:
            asked = decode_json(body, Funnel)
        return await reading.answer(reading.stub.funnel(**msgspec.structs.asdict(asked)))

    async def user(self, scope: Scope, _receive: Receive) -> Response:
        """One person's events, newest first."""
        query = parameters(scope)
        before = {"before": query["before"]} if "before" in query else {}
        named = {"user_id": scope["path_params"]["user_id"]}
        return await self._read(
            scope, query, "timeline", {**named, **before, **whole(query, "limit")}
        )

    async def event(self, scope: Scope, _receive: Receive) -> Response:
        """Where an event is."""
        named = {"message_id": scope["path_params"]["message_id"]}
        return await self._read(scope, parameters(scope), "event", named)

    async def _read(
        self, scope: Scope, query: dict[str, str], method: str, arguments: dict[str, Any]
    ) -> Response:
        caller, tenant = await self._access.admitted(scope, query, "read")
        reading = Reading(self._backend, tenant, caller.by)
        promise: Promise[Any] = getattr(reading.stub, method)(**arguments)
        return await reading.answer(promise)


def _when(query: dict[str, str]) -> dict[str, Any]:
    """Read what days are asked for, and whether bots count."""
    names = {"from": "since", "to": "to", "tz": "tz"}
    found = {to: query[name] for name, to in names.items() if name in query}
    return {**found, **flag(query, "bots")}


def _common(scope: Scope, query: dict[str, str]) -> dict[str, Any]:
    return {**_when(query), "filters": repeated(scope, FILTER)}
