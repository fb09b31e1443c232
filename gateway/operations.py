"""The routes under /admin that operate tenants: which there are, and their archive runs.

A tenant's admin key operates its own tenant, the server's key all of them.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from raydo.gateway.access import Access
from raydo.gateway.archiving import archive_now
from raydo.gateway.backend import Backend
from raydo.gateway.gate import Gate
from raydo.gateway.replies import answer


class ArchiveRequest(BaseModel):
    """The body of POST /admin/archive; without an age it takes what the weekly run would."""

    tenant: str | None = None
    older_than_s: float | None = None


def operations(backend: Backend, access: Access) -> APIRouter:
    """Make the router."""
    router = APIRouter(prefix="/admin", tags=["operations"])
    gate = Gate(access)

    @router.get("/tenants", summary="Every tenant, and where it lives")
    async def list_tenants(request: Request) -> Response:
        await gate.server(request)
        return answer({"tenants": await backend.roster()})

    @router.post("/archive", summary="Archive a tenant's old events now")
    async def archive(request: Request, what: ArchiveRequest) -> Response:
        caller, tenant = await gate.tenant(request, what.tenant)
        return answer(await archive_now(backend.analytics(tenant, caller.by), what.older_than_s))

    return router
