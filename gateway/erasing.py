"""An erasure on demand: planned by a call, done beside the calls, and waited for here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from raydo.actors.administration import SERVER, Administration
from raydo.actors.analytics import Analytics
from raydo.actors.erasures import DONE
from raydo.actors.tenant import tenants
from raydo.gateway.auditing import CLI
from raydo.gateway.target import Target
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.stub import make_stub

if TYPE_CHECKING:
    from raydo.pipelining.connection import Acting, Connection
    from raydo.pipelining.stub import Stub

_POLL_S: Final = 0.1
_POLL_MAX_S: Final = 2.0


async def erase_now(stub: Stub[Analytics], user_id: str) -> dict[str, Any]:
    """Erase a person and wait for it: `{"n", "state", "hashes", "receipt", …}`.

    Raises:
        InvalidArgument: no user id. Overloaded: too many erasures wait.
    """
    planned = await stub.erase(user_id)
    pause_s = _POLL_S
    while planned["state"] != DONE:
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _POLL_MAX_S)
        [planned] = [each for each in await stub.erasures() if each["n"] == planned["n"]]
    return dict(planned)


async def erase_tenant(
    acting: Acting | Connection, classes: Iterable[str], tenant: str, confirm: str | None
) -> dict[str, Any]:
    """End all objects of a tenant and wait for it; the server's audit log tells it.

    Raises:
        InvalidArgument: the tenant's exact id is not confirmed.
    """
    if confirm != tenant:
        raise InvalidArgument("To erase a tenant, confirm its exact id.")
    names = sorted({*classes, Analytics.__name__} - {Administration.__name__})
    detail = {"tenant": tenant, "objects": names}
    administration: Stub[Administration] = make_stub(Administration, SERVER, acting)
    await administration.audit.record("tenant_erased", detail)
    for name in names:
        stub: Any = make_stub(name, tenant, acting)
        pause_s = _POLL_S
        while await stub.erase_everything(tenant):
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _POLL_MAX_S)
    return detail


async def erase_tenant_at(target: Target, tenant: str) -> dict[str, Any]:
    """End a tenant at a target."""
    if target.url is not None:
        body = {"tenant": tenant, "all": True, "confirm": tenant}
        done: dict[str, Any] = target.ask("POST", "/admin/erase", json=body)
        return done
    assert target.data is not None
    classes = [noun.cls for noun in tenants(target.data) if noun.id == tenant]
    async with target.connect() as connection:
        return await erase_tenant(connection.acting(CLI), classes, tenant, tenant)


async def erase_user(target: Target, tenant: str, user_id: str) -> dict[str, Any]:
    """Erase a person of one tenant at a target."""
    async with target.connect() as connection:
        acting = connection.acting(CLI if target.url is None else "")
        return await erase_now(acting.stub(Analytics, tenant), user_id)
