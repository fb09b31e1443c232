"""The routes under /admin that govern data: the audit log, exports, erasures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response, StreamingResponse

from raydo.gateway.access import Access
from raydo.gateway.backend import Backend
from raydo.gateway.caller import SERVER_KIND
from raydo.gateway.erasing import erase_now, erase_tenant
from raydo.gateway.exporting import MEDIA_TYPES, format_of, written
from raydo.gateway.gate import Gate
from raydo.gateway.replies import answer
from raydo.pipelining.errors import InvalidArgument

EVENTS: Final = "x-raydo-events"  # how many an export has, if nobody is erased meanwhile


class EraseRequest(BaseModel):
    """The body of POST /admin/erase: a user of a tenant, or all of it, confirmed by its id."""

    tenant: str | None = None
    user_id: str | None = None
    all: bool = False
    confirm: str | None = None


class Wanted(BaseModel):
    """The parameters of GET /admin/export: days in `tz`, both included, or everything."""

    tenant: str | None = None
    format: str = "ndjson"
    since: str | None = Field(default=None, alias="from")
    to: str | None = None
    tz: str | None = None


def governance(backend: Backend, access: Access) -> APIRouter:
    """Make the router."""
    router = APIRouter(prefix="/admin", tags=["operations"])
    gate = Gate(access)

    @router.get("/audit", summary="Who did what, the latest first; with kind=server to the server")
    async def audit(
        request: Request,
        tenant: str | None = None,
        kind: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Response:
        if kind == SERVER_KIND:
            caller = await gate.server(request)
            rows = await backend.administration(caller.by).audit.list(before, limit)
        else:
            caller, owner = await gate.tenant(request, tenant)
            rows = await backend.analytics(owner, caller.by).audit.list(before, limit)
        return answer({"rows": rows})

    @router.post("/erase", summary="Erase one user everywhere, or a tenant; answers the receipt")
    async def erase(request: Request, what: EraseRequest) -> Response:
        if what.all == (what.user_id is not None):
            raise InvalidArgument("Name a user_id, or say all and confirm the tenant's id.")
        if what.user_id is None:
            caller, owner = await gate.tenant(request, what.tenant)
            there = [each["object"] for each in await backend.roster() if each["tenant"] == owner]
            acting = backend.acting(caller.by)
            done = await erase_tenant(acting, there, owner, what.confirm)
            access.verdicts.forget_tenant(owner)
            return answer(done)
        caller, owner = await gate.tenant(request, what.tenant, "erase")
        return answer(await erase_now(backend.analytics(owner, caller.by), what.user_id))

    @router.get("/erasures", summary="The erasures of a tenant, and how far each of them is")
    async def list_erasures(request: Request, tenant: str | None = None) -> Response:
        caller, owner = await gate.tenant(request, tenant, "erase")
        return answer({"erasures": await backend.analytics(owner, caller.by).erasures()})

    @router.get("/export", summary="A tenant's events as a file: NDJSON or Parquet, streamed")
    async def export(request: Request, wanted: Annotated[Wanted, Query()]) -> Response:
        caller, owner = await gate.tenant(request, wanted.tenant)
        stub = backend.analytics(owner, caller.by)
        made = format_of(wanted.format)
        plan = await stub.export_plan(wanted.since, wanted.to, wanted.tz)
        pieces = written(stub, plan, made)
        first = await anext(pieces)  # what cannot be read at all is refused by its status
        return StreamingResponse(
            _then(first, pieces),
            media_type=MEDIA_TYPES[wanted.format],
            headers={
                "content-disposition": f'attachment; filename="events.{wanted.format}"',
                EVENTS: str(plan["events"]),
            },
        )

    return router


async def _then(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in pieces:
        yield piece
