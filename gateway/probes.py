"""Probes, and the plain page: what is open to everybody."""

from __future__ import annotations

import html

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from raydo.gateway.backend import Backend
from raydo.gateway.page import page


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

    @router.get("/", include_in_schema=False)
    async def home(request: Request) -> HTMLResponse:
        return HTMLResponse(page(html.escape(str(request.base_url).rstrip("/"))))

    return router
