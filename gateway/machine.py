"""The routes about the machine rather than a tenant: its metrics, its costs, its databases brought up to date."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from time import process_time
from typing import Final

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from raydo.actors.clock import SystemClock
from raydo.actors.costs import Prices
from raydo.actors.costs import costs as bill_of
from raydo.actors.figures import EMBEDDED, Fleet
from raydo.actors.ledger import month_of
from raydo.gateway.access import Access
from raydo.gateway.backend import Backend
from raydo.gateway.exposition import CONTENT_TYPE, Exposition
from raydo.gateway.gate import Gate
from raydo.gateway.replies import answer
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.noun import noun

ENOUGH_S: Final = 1.0  # of turns, before what else was used is shared out by them


class DrainRequest(BaseModel):
    """The body of POST /admin/drain: one object, or without a tenant all of them."""

    tenant: str | None = None
    object: str = "Analytics"


def machine(
    backend: Backend,
    access: Access,
    exposition: Exposition,
    data: Path | None,
    prices: Prices,
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

    @router.get("/admin/costs", summary="What tenants used in a month, and what it costs")
    async def costs(
        request: Request, month: str | None = None, tenant: str | None = None
    ) -> Response:
        if tenant is None:
            await gate.server(request)
        else:
            _, tenant = await gate.tenant(request, tenant)
        if data is None:
            raise InvalidArgument("This gateway has no data folder of its own.")
        wanted = month or month_of(SystemClock().now_ms())
        factor = cpu_factor(await backend.figures())
        bill = partial(bill_of, data, wanted, prices, cpu_factor=factor, only=tenant)
        return answer(await asyncio.to_thread(bill))

    return router


def cpu_factor(fleet: Fleet) -> float:
    """Return how much CPU the processes used for each second of turns; 1 while there is too little."""
    turns_s = sum(host["cpu_s"] for host in fleet["hosts"])
    # Embedded, the one host is this very process.
    here_s = 0.0 if any(host["host"] == EMBEDDED for host in fleet["hosts"]) else process_time()
    all_s = here_s + sum(host["process_cpu_s"] for host in fleet["hosts"])
    return max(1.0, all_s / turns_s) if turns_s >= ENOUGH_S else 1.0
