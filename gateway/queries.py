"""GET /stats, GET /dau, GET /retention and POST /query: what a tenant's object knows, as JSON."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope

from raydo.actors.object import Loss
from raydo.gateway.access import Access
from raydo.gateway.backend import Backend
from raydo.gateway.body import Bodies, decode_json
from raydo.gateway.replies import answer
from raydo.gateway.tenancy import parameters
from raydo.pipelining.errors import InvalidArgument

DAYS_DEFAULT: Final = 7
DEGRADED: Final = "x-raydo-degraded"  # a reply lacks these: the tenant's log was damaged


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
        tenant = await self._access.tenant(scope, parameters(scope), "read")
        stub = self._backend.analytics(tenant)
        stats, lost = await asyncio.gather(stub.stats(), stub.degraded())
        return _marked(stats, lost, inside=True)

    async def dau(self, scope: Scope, _receive: Receive) -> Response:
        """Daily active users by calendar day, newest first."""
        query = parameters(scope)
        tenant = await self._access.tenant(scope, query, "read")
        days = _whole(query, "days", DAYS_DEFAULT)
        stub = self._backend.analytics(tenant)
        metrics = stub.dau(days, query.get("tz"), query.get("to"))
        return _marked(*await asyncio.gather(metrics, stub.degraded()))

    async def retention(self, scope: Scope, _receive: Receive) -> Response:
        """Cohorts by the period in which persons were first seen, oldest first."""
        query = parameters(scope)
        tenant = await self._access.tenant(scope, query, "read")
        stub = self._backend.analytics(tenant)
        period = query.get("period", "week")
        cohorts = stub.retention(period, query.get("from"), query.get("to"), query.get("tz"))
        return _marked(*await asyncio.gather(cohorts, stub.degraded()))

    async def query(self, scope: Scope, receive: Receive) -> Response:
        """Run one read-only SELECT over the tenant's own data."""
        caller, tenant = await self._access.admitted(scope, parameters(scope), "read")
        async with self._bodies.read(scope, receive) as body:
            question = decode_json(body, Question)
        stub = self._backend.analytics(tenant, caller.by)
        reply = stub.query(question.sql, question.params, question.limit, question.asOf)
        return _marked(*await asyncio.gather(reply, stub.degraded()), inside=True)


def _marked(value: Any, lost: list[Loss], *, inside: bool = False) -> Response:
    """Answer `value`, and say when acknowledged events are missing from it."""
    if not lost:
        return answer(value)
    response = answer({**value, "degraded": lost} if inside else value)
    response.headers[DEGRADED] = ", ".join(_span(loss) for loss in lost)
    return response


def _span(loss: Loss) -> str:
    last = "" if loss["last_seq"] is None else loss["last_seq"]
    return f"seq {loss['first_seq']}-{last}"


def _whole(query: dict[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    try:
        return int(text)
    except ValueError:
        raise InvalidArgument(f"{name} must be a whole number, not {text!r}.") from None
