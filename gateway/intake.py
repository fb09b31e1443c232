"""The one way in for events over HTTP, whoever's client sends them.

A route says how its body is read and how it is answered; everything between is here: whose data it
is, whether a page may send it, and the very same `Analytics.ingest` for all. A key in the headers or
the address is looked at before the body is read, a key in the body after. The reply leaves when the
events are on disk; requests of one tenant that arrive together share a frame, by their stub.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from starlette.responses import Response
from starlette.types import Receive, Scope

from raydo.actors.event import parse_time
from raydo.actors.tallies import Ingested
from raydo.gateway.access import Access
from raydo.gateway.backend import Backend
from raydo.gateway.body import Bodies, inline
from raydo.gateway.delivery import Asked, Delivery, Told
from raydo.gateway.endpoint import Handler
from raydo.gateway.origins import Origins, key_of
from raydo.gateway.replies import failure, quota_headers
from raydo.gateway.tenancy import parameters
from raydo.pipelining.errors import RaydoError
from raydo.pipelining.method import Needs

_HISTORICAL: Final = {"1", "true"}


class Way(NamedTuple):
    """How one route's body is read, and how it is answered."""

    read: Callable[[bytes, Asked], Delivery]
    reply: Callable[[Told, Delivery], Response]
    historical: bool = False  # whether ?historical=1 makes an import of it


class Intake:
    """Take events in."""

    def __init__(self, backend: Backend, bodies: Bodies, access: Access) -> None:
        self._backend = backend
        self._bodies = bodies
        self._access = access
        self.origins = Origins(backend, access)

    def handler(self, way: Way) -> Handler:
        """Make the handler of one route."""

        async def take(scope: Scope, receive: Receive) -> Response:
            return await self._take(way, scope, receive)

        return take

    async def _take(self, way: Way, scope: Scope, receive: Receive) -> Response:
        query = parameters(scope)
        historical = way.historical and query.get("historical") in _HISTORICAL
        needs: Needs = "admin" if historical else "write"  # who states an event's own receipt
        key = key_of(query)
        known = key is not None or self._access.has_key(scope)
        if known:  # nobody else's body is worth reading first
            tenant = await self._admit(scope, query, needs, key)
        try:
            async with self._bodies.read(scope, receive) as body:
                delivery = await inline(way.read, body, Asked(query, dict(scope["headers"])))
                if not known:
                    tenant = await self._admit(scope, query, needs, delivery.key)
                    known = True
                done = await self._ingest(tenant, delivery, historical=historical)
            response = way.reply(delivery.tell(done), delivery)
        except RaydoError as error:
            if not known:
                raise
            response = failure(error)
        else:
            if "quota" in done:
                response.headers.update(quota_headers(done["quota"]))
        return self.origins.mark(scope, response)

    async def _admit(
        self, scope: Scope, query: dict[str, str], needs: Needs, key: str | None
    ) -> str:
        caller, tenant = await self._access.admitted(scope, query, needs, key)
        await self.origins.check(scope, caller, tenant)
        return tenant

    async def _ingest(self, tenant: str, delivery: Delivery, *, historical: bool) -> Ingested:
        sent_at = delivery.sent_at
        sent_at_ms = None if sent_at in {None, ""} else parse_time(sent_at, "$.sentAt")
        stub = self._backend.analytics(tenant)
        done = await stub.ingest(delivery.items, sent_at_ms=sent_at_ms, historical=historical)
        self._backend.bells.ring(tenant)
        return done
