"""The routes of keys and tokens: /admin/keys, /admin/tokens.

A tenant's administrator makes the tenant's own, the server's all of them. A service key that may
read makes tokens for its tenants, since that is what it is for.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from raydo.gateway.access import Access
from raydo.gateway.backend import Backend
from raydo.gateway.caller import SERVICE_KIND
from raydo.gateway.gate import Gate
from raydo.gateway.keyring import Keyring
from raydo.gateway.replies import answer
from raydo.pipelining.limits import KEY_S_MAX, TOKEN_S_MAX
from raydo.pipelining.method import Needs


class KeyRequest(BaseModel):
    """The body of POST /admin/keys; kinds `server` and `service` are of no tenant."""

    kind: str
    tenant: str | None = None
    name: str = ""
    expires_in_s: float | None = Field(default=None, ge=1, le=KEY_S_MAX)
    tenants: str | None = None  # the pattern of a service key, such as acme-*
    scopes: list[str] | None = None  # of a service key: ingest, read, erase
    origins: list[str] | None = None  # of a browser key


class TokenRequest(BaseModel):
    """The body of POST /admin/tokens; without a time it is good for an hour."""

    tenant: str | None = None
    expires_in_s: float | None = Field(default=None, ge=1, le=TOKEN_S_MAX)


def key_routes(backend: Backend, access: Access) -> APIRouter:
    """Make the router."""
    router = APIRouter(prefix="/admin", tags=["operations"])
    gate = Gate(access)

    def keyring(by: str) -> Keyring:
        return Keyring(lambda target: access.keeper(target, by))

    @router.post("/keys", summary="Make a key; the reply is the only place where it ever stands")
    async def create_key(request: Request, what: KeyRequest) -> Response:
        caller, tenant = await gate.keys_of(request, what.kind, what.tenant)
        made: dict[str, Any] = await keyring(caller.by).create(
            what.kind,
            tenant,
            name=what.name,
            expires_in_s=what.expires_in_s,
            bounds={"tenants": what.tenants, "scopes": what.scopes, "origins": what.origins},
        )
        return answer(made)

    @router.get("/keys", summary="A tenant's keys, or with kind=server the server's")
    async def list_keys(
        request: Request, tenant: str | None = None, kind: str | None = None
    ) -> Response:
        caller, owner = await gate.keys_of(request, kind, tenant)
        return answer({"keys": await keyring(caller.by).list(owner)})

    @router.delete("/keys/{key_id}", summary="Revoke a key")
    async def revoke_key(
        request: Request, key_id: str, tenant: str | None = None, kind: str | None = None
    ) -> Response:
        caller, owner = await gate.keys_of(request, kind, tenant)
        revoked = await keyring(caller.by).revoke(key_id, owner)
        access.verdicts.forget(key_id)
        return answer(revoked)

    @router.post("/tokens", summary="Make a token that reads one tenant for a short while")
    async def create_token(request: Request, what: TokenRequest) -> Response:
        kind = (await access.caller(request.scope)).kind
        needs: Needs = "read" if kind == SERVICE_KIND else "admin"
        caller, tenant = await gate.tenant(request, what.tenant, needs)
        made = await access.tokens.make(tenant, what.expires_in_s)
        told = {"id": made["id"], "expires_ms": made["expires_ms"]}
        await backend.analytics(tenant, caller.by).audit.record("token_made", told)
        return answer(made)

    @router.delete("/tokens", summary="End every token there is, of all tenants")
    async def revoke_tokens(request: Request) -> Response:
        caller = await gate.server(request)
        await backend.administration(caller.by).rotate_tokens()
        access.tokens.forget()
        return answer({"revoked": True})

    return router
