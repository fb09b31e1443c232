"""The routes that FastAPI itself makes: probes, operations, and the plain page."""

from __future__ import annotations

import html

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel
from starlette.responses import Response

from raydo.gateway.archiving import archive_now
from raydo.gateway.backend import Backend
from raydo.gateway.page import page
from raydo.gateway.replies import answer


class ArchiveRequest(BaseModel):
    """The body of POST /admin/archive; without an age it takes what the weekly run would."""

    tenant: str = "default"
    older_than_s: float | None = None


def probes(backend: Backend) -> APIRouter:
    """Make the router."""
    router = APIRouter()

    @router.get("/healthz", tags=["operations"], summary="The process is alive")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", tags=["operations"], summary="It takes requests; 503 until then")
    async def readyz() -> dict[str, str]:
        backend.check()
        return {"status": "ready"}

    @router.get("/admin/tenants", tags=["operations"], summary="Every tenant, and where it lives")
    async def list_tenants() -> Response:
        return answer({"tenants": await backend.roster()})

    @router.post("/admin/archive", tags=["operations"], summary="Archive a tenant's old events now")
    async def archive(request: ArchiveRequest) -> Response:
        stub = backend.analytics(request.tenant)
        return answer(await archive_now(stub, request.older_than_s))

    @router.get("/", include_in_schema=False)
    async def home(request: Request) -> HTMLResponse:
        return HTMLResponse(page(html.escape(str(request.base_url).rstrip("/"))))

    return router
