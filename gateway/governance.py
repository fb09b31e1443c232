"""The routes under /admin that govern data: the audit log."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from raydo.gateway.access import Access
from raydo.gateway.backend import Backend
from raydo.gateway.caller import SERVER_KIND
from raydo.gateway.gate import Gate
from raydo.gateway.replies import answer


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

    return router
