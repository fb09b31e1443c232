"""The routes under /admin: tenants, archive runs and keys, for administrators.

A tenant's admin key operates its own tenant, the server's key all of them.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from raydo.gateway.access import Access
from raydo.gateway.archiving import archive_now
from raydo.gateway.backend import Backend
from raydo.gateway.keyring import Keyring
from raydo.gateway.keys import SERVER_KIND
from raydo.gateway.replies import answer
from raydo.pipelining.errors import Forbidden, InvalidArgument
from raydo.pipelining.limits import KEY_S_MAX


class ArchiveRequest(BaseModel):
    """The body of POST /admin/archive; without an age it takes what the weekly run would."""

    tenant: str | None = None
    older_than_s: float | None = None


class KeyRequest(BaseModel):
    """The body of POST /admin/keys; kind `server` makes a key for the whole server."""

    kind: str
    tenant: str | None = None
    name: str = ""
    expires_in_s: float | None = Field(default=None, ge=1, le=KEY_S_MAX)


class Gate:
    """Let administrators operate what is theirs."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def server(self, request: Request) -> None:
        """Let the server's administrator pass.

        Raises:
            Unauthorized, Forbidden: it is somebody else.
        """
        if (await self._access.caller(request.scope)).tenant is not None:
            raise Forbidden("This needs the server's key; yours is a tenant's.")

    async def tenant(self, request: Request, named: str | None) -> str:
        """Let a tenant's administrator, or the server's, pass, and say whose data is meant.

        Raises:
            Unauthorized, Forbidden: it is somebody else, or of another tenant.
        """
        caller = await self._access.caller(request.scope)
        caller.check("admin")
        return caller.enter(named)

    async def keys_of(self, request: Request, kind: str | None, named: str | None) -> str | None:
        """Let somebody at a tenant's keys, or at the server's, for which None stands.

        Raises:
            InvalidArgument: the server's keys are of no tenant.
        """
        if kind == SERVER_KIND:
            if named is not None:
                raise InvalidArgument("A server key is for all tenants: leave the tenant out.")
            await self.server(request)
            return None
        return await self.tenant(request, named)


def operations(backend: Backend, access: Access) -> APIRouter:
    """Make the router."""
    router = APIRouter(prefix="/admin", tags=["operations"])
    gate = Gate(access)
    keyring = Keyring(access.keeper)

    @router.get("/tenants", summary="Every tenant, and where it lives")
    async def list_tenants(request: Request) -> Response:
        await gate.server(request)
        return answer({"tenants": await backend.roster()})

    @router.post("/archive", summary="Archive a tenant's old events now")
    async def archive(request: Request, what: ArchiveRequest) -> Response:
        stub = backend.analytics(await gate.tenant(request, what.tenant))
        return answer(await archive_now(stub, what.older_than_s))

    @router.post("/keys", summary="Make a key; the reply is the only place where it ever stands")
    async def create_key(request: Request, what: KeyRequest) -> Response:
        tenant = await gate.keys_of(request, what.kind, what.tenant)
        made: dict[str, Any] = await keyring.create(
            what.kind, tenant, name=what.name, expires_in_s=what.expires_in_s
        )
        return answer(made)

    @router.get("/keys", summary="A tenant's keys, or with kind=server the server's")
    async def list_keys(
        request: Request, tenant: str | None = None, kind: str | None = None
    ) -> Response:
        return answer({"keys": await keyring.list(await gate.keys_of(request, kind, tenant))})

    @router.delete("/keys/{key_id}", summary="Revoke a key")
    async def revoke_key(
        request: Request, key_id: str, tenant: str | None = None, kind: str | None = None
    ) -> Response:
        revoked = await keyring.revoke(key_id, await gate.keys_of(request, kind, tenant))
        access.verdicts.forget(key_id)
        return answer(revoked)

    return router
