"""The routes about the machine rather than a tenant: its metrics, its costs, its databases brought up to date."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from raydo.gateway.access import Access
from raydo.gateway.backend import Backend
from raydo.gateway.exposition import CONTENT_TYPE, Exposition
from raydo.gateway.gate import Gate
from raydo.gateway.replies import answer
from raydo.pipelining.noun import noun


class DrainRequest(BaseModel):
    """The body of POST /admin/drain: one object, or without a tenant all of them."""

    tenant: str | None = None
    object: str = "Analytics"


def machine(
    backend: Backend, access: Access, exposition: Exposition, data: Path | None
) -> APIRouter:
    """Make the router."""
    router = APIRouter(tags=["operations"])
    gate = Gate(access)
    where = None if data is None else str(data.resolve())

    @router.get("/metrics", summary="What Prometheus scrapes; with keys it takes the server's")
    async def metrics(request: Request) -> Response:
        await gate.server(request)
        return Response(await exposition.scrape(), media_type=CONTENT_TYPE)

    @router.post("/admin/drain", summary="Bring databases up to date, before files are copied")
    async def drain(request: Request, what: DrainRequest) -> Response:
        if what.tenant is None:
            await gate.server(request)
            return answer({"failed": await backend.drain(), "data": where})
        _, tenant = await gate.tenant(request, what.tenant)
        return answer({"failed": await backend.drain(noun(what.object, tenant)), "data": where})

    return router
