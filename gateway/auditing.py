"""What the commands ask about keys' owners and deeds: the audit log, and tokens."""

from __future__ import annotations

from typing import Any, Final

from raydo.actors.administration import SERVER, Administration
from raydo.actors.analytics import Analytics
from raydo.gateway.target import Target
from raydo.gateway.tokens import Tokens

CLI: Final = "cli"  # who works on a data folder by a command


async def read_audit(target: Target, tenant: str | None, limit: int) -> list[Any]:
    """Read the last rows of a tenant's audit log, or of the server's, the latest first."""
    if target.url is not None:
        asked: dict[str, Any] = {"limit": limit}
        asked |= {"kind": "server"} if tenant is None else {"tenant": tenant}
        rows: list[Any] = target.ask("GET", "/admin/audit", params=asked)["rows"]
        return rows
    async with target.connect() as connection:
        acting = connection.acting(CLI)
        if tenant is None:
            return list(await acting.stub(Administration, SERVER).audit.list(None, limit))
        return list(await acting.stub(Analytics, tenant).audit.list(None, limit))


async def make_token(target: Target, tenant: str, expires_in_s: float | None) -> dict[str, Any]:
    """Make a token for a tenant."""
    if target.url is not None:
        body = {"tenant": tenant, "expires_in_s": expires_in_s}
        made: dict[str, Any] = target.ask("POST", "/admin/tokens", json=body)
        return made
    async with target.connect() as connection:
        acting = connection.acting(CLI)

        async def secret() -> bytes:
            return bytes(await acting.stub(Administration, SERVER).token_secret())

        made = await Tokens(secret).make(tenant, expires_in_s)
        told = {"id": made["id"], "expires_ms": made["expires_ms"]}
        await acting.stub(Analytics, tenant).audit.record("token_made", told)
        return made
