"""POST /track and POST /track/batch: events in, by the very same stubs that everyone else uses.

The reply leaves when the events are on disk. Requests of one tenant that arrive together share
a frame, by their stub.
"""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Receive, Scope

from raydo.actors.event import parse_time
from raydo.actors.tallies import Ingested
from raydo.gateway.access import Access
from raydo.gateway.backend import Backend
from raydo.gateway.body import Batch, Bodies, inline, many_events, one_event
from raydo.gateway.replies import success
from raydo.gateway.tenancy import parameters
from raydo.pipelining.errors import decode_error
from raydo.pipelining.method import Needs


class Tracking:
    """Answer the routes that take events."""

    def __init__(self, backend: Backend, bodies: Bodies, access: Access) -> None:
        self._backend = backend
        self._bodies = bodies
        self._access = access

    async def track(self, scope: Scope, receive: Receive) -> Response:
        """Take one event; its rejection is the reply's error."""
        query = parameters(scope)
        if self._access.has_key(scope):  # nobody else's body is worth reading first
            tenant = await self._access.tenant(scope, query, "write")
        async with self._bodies.read(scope, receive) as body:
            events = one_event(body)
            if not self._access.has_key(scope):
                tenant = await self._access.tenant(scope, query, "write", events.write_key)
            result = await self._ingest(tenant, events, historical=False)
        if rejected := result["rejected"]:
            raise decode_error({"code": rejected[0]["code"], "message": rejected[0]["error"]})
        return success(id=result["ids"][0])

    async def batch(self, scope: Scope, receive: Receive) -> Response:
        """Take many events; each is judged by itself, and the reply lists those refused."""
        query = parameters(scope)
        historical = query.get("historical") in {"1", "true"}
        needs: Needs = "admin" if historical else "write"  # who states an event's own receipt
        if self._access.has_key(scope):
            tenant = await self._access.tenant(scope, query, needs)
        async with self._bodies.read(scope, receive) as body:
            events = await inline(many_events, body)
            if not self._access.has_key(scope):
                tenant = await self._access.tenant(scope, query, needs, events.write_key)
            result = await self._ingest(tenant, events, historical=historical)
        return success(
            accepted=result["accepted"],
            duplicates=result["duplicates"],
            rejected=result["rejected"],
        )

    async def _ingest(self, tenant: str, events: Batch, *, historical: bool) -> Ingested:
        sent_at_ms = None if events.sent_at is None else parse_time(events.sent_at, "$.sentAt")
        stub = self._backend.analytics(tenant)
        done = await stub.ingest(events.items, sent_at_ms=sent_at_ms, historical=historical)
        self._backend.bells.ring(tenant)
        return done
