"""GET and PATCH /settings: what a tenant decides about itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from raydo.actors.analytics import Analytics
from raydo.actors.preferences import Wishes
from raydo.gateway.access import Access
from raydo.gateway.backend import Backend
from raydo.gateway.replies import answer
from raydo.gateway.tenancy import parameters
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.method import Needs
from raydo.pipelining.stub import Stub


class Wanted(BaseModel):
    """The body of PATCH /settings: what to change; null goes back to what holds by itself."""

    model_config = ConfigDict(extra="allow")  # the object refuses what there is not

    zone: str | None = None
    week_start: str | None = None
    retention_months: int | None = None
    events_per_second: int | None = None
    events_per_month: int | None = None
    origins: list[str] | None = None


def preferring(backend: Backend, access: Access) -> APIRouter:
    """Make the router."""
    router = APIRouter(prefix="/settings", tags=["operations"])

    async def stub_for(request: Request, needs: Needs) -> Stub[Analytics]:
        caller, tenant = await access.admitted(request.scope, parameters(request.scope), needs)
        return backend.analytics(tenant, caller.by)

    @router.get("", summary="A tenant's settings")
    async def settings(request: Request) -> Response:
        return answer(await (await stub_for(request, "read")).settings())

    @router.patch("", summary="Change some of a tenant's settings")
    async def set_settings(request: Request, wanted: Wanted) -> Response:
        stub = await stub_for(request, "admin")
        changes = wanted.model_dump(exclude_unset=True)
        return answer(await stub.set_settings(**cast("Wishes", changes)))

    return router


def read_changes(pairs: Sequence[str]) -> Wishes:
    """Read `name=value` pairs as a command has them.

    Raises:
        InvalidArgument: one is none.
    """
    changes: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals):
            raise InvalidArgument(f"A setting is NAME=VALUE, not {pair!r}.")
        whole = int(text) if text.isascii() and text.isdigit() else text
        value = [each.strip() for each in text.split(",")] if name == "origins" else whole
        changes[name] = value if text else None
    return cast("Wishes", changes)
