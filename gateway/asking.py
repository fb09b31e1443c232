"""What the commands ask of a target: one query, the tenants, one tenant's settings."""

from __future__ import annotations

from typing import Any

from raydo.actors.analytics import Analytics
from raydo.actors.preferences import Preferences, Wishes
from raydo.actors.roster import roster
from raydo.gateway.target import Target


async def ask(
    target: Target, tenant: str, sql: str, limit: int | None, as_of: str | None = None
) -> dict[str, Any]:
    """Run one SELECT over a tenant's data."""
    async with target.connect() as connection:
        return await connection.stub(Analytics, tenant).query(sql, None, limit, as_of)


def list_tenants(target: Target) -> list[dict[str, Any]]:
    """List the tenants of a gateway, or of a folder, which need not be free for this."""
    if target.data is not None:
        return roster(target.data, [])
    found: list[dict[str, Any]] = target.ask("GET", "/admin/tenants")["tenants"]
    return found


async def settings_of(target: Target, tenant: str, changes: Wishes) -> Preferences:
    """Change some of a tenant's settings, or none, and tell them all."""
    async with target.connect() as connection:
        stub = connection.stub(Analytics, tenant)
        return await (stub.set_settings(**changes) if changes else stub.settings())
