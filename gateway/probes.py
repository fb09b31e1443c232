"""Probes, which are open to everybody."""

from __future__ import annotations

from fastapi import APIRouter

from raydo.gateway.backend import Backend


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

    return router
