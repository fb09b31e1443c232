"""GET /stats, GET /dau, GET /retention and POST /query: what a tenant's object knows, as JSON."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope

from raydo.gateway.access import Access
from raydo.gateway.backend import Backend
from raydo.gateway.body import Bodies, decode_json
from raydo.gateway.readings import Reading, flag, whole
from raydo.gateway.tenancy import parameters

_WHEN: Final = {"from": "since", "to": "to", "tz": "tz", "week_start": "week_start"}


class Question(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /query."""

    sql: str
    params: list[Any] | dict[str, Any] | None = None
    limit: int | None = None
    asOf: int | str | dict[str, Any] | None = None  # noqa: N815 - as JSON has it


class Queries:
    """Answer the routes that only read."""

    def __init__(self, backend: Backend, bodies: Bodies, access: Access) -> None:
        self._backend = backend
        self._bodies = bodies
        self._access = access

    async def stats(self, scope: Scope, _receive: Receive) -> Response:
        """Who is active now, events by name, and the declared counters."""
        reading = await self._reading(scope, parameters(scope))
        return await reading.answer(reading.stub.stats(), "L0")

    async def dau(self, scope: Scope, _receive: Receive) -> Response:
        """Daily active users by calendar day, newest first."""
        query = parameters(scope)
        reading = await self._reading(scope, query)
        given: dict[str, Any] = {name: query[name] for name in ("tz", "to") if name in query}
        days = reading.stub.dau(**whole(query, "days"), **given, **flag(query, "bots"))
        return await reading.answer(days, "L2")

    async def retention(self, scope: Scope, _receive: Receive) -> Response:
        """Cohorts by the period in which persons were first seen, oldest first."""
        query = parameters(scope)
        reading = await self._reading(scope, query)
        given: dict[str, Any] = {to: query[name] for name, to in _WHEN.items() if name in query}
        period = query.get("period", "week")
        cohorts = reading.stub.retention(period, **given, **flag(query, "bots"))
        return await reading.answer(cohorts, "L2")

    async def query(self, scope: Scope, receive: Receive) -> Response:
        """Run one read-only SELECT over the tenant's own data."""
        reading = await self._reading(scope, parameters(scope))
        async with self._bodies.read(scope, receive) as body:
            question = decode_json(body, Question)
        asked = question.sql, question.params, question.limit, question.asOf
        return await reading.answer(reading.stub.query(*asked))

    async def _reading(self, scope: Scope, query: dict[str, str]) -> Reading:
        caller, tenant = await self._access.admitted(scope, query, "read")
        return Reading(self._backend, tenant, caller.by)
