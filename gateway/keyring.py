"""Making, listing and revoking keys, at whatever object keeps them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from raydo.actors.claim import admin_key_path
from raydo.gateway.caller import SERVER_KIND
from raydo.gateway.keys import SERVER_KINDS, KeyText, keeper, new_key, read_key
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import KEY_S_MAX
from raydo.pipelining.noun import Noun


class Keyring:
    """Manage keys by stubs of the objects that keep them; `keeper` gives the stub of one's keys."""

    def __init__(
        self,
        keeper: Callable[[Noun], Any],
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._keeper = keeper
        self._now_ms = now_ms

    async def create(
        self,
        kind: str,
        tenant: str | None,
        *,
        name: str = "",
        expires_in_s: float | None = None,
        bounds: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Make a key and give it, with what is listed of it; nobody can give it again.

        `bounds`: see `Keys.add`.

        Raises:
            InvalidArgument: no such kind, tenant, name, length of time or bounds.
        """
        if kind in SERVER_KINDS and tenant is not None:
            raise InvalidArgument(f"A {kind} key is of no tenant: leave the tenant out.")
        if expires_in_s is not None and not 1 <= expires_in_s <= KEY_S_MAX:
            raise InvalidArgument(f"A key is good for 1 to {KEY_S_MAX:,.0f} seconds, or for ever.")
        key = new_key(kind, tenant)
        expires_ms = None if expires_in_s is None else self._now_ms() + int(expires_in_s * 1_000)
        return {"key": key.text, **await self._add(key, name, expires_ms, bounds)}

    async def list(self, tenant: str | None) -> Any:
        """List a tenant's keys, or the server's."""
        return await self._keeper(keeper(tenant)).list()

    async def revoke(self, key_id: str, tenant: str | None) -> Any:
        """Let a key open nothing any more.

        Raises:
            InvalidArgument: there is no such key.
        """
        return await self._keeper(keeper(tenant)).revoke(key_id)

    async def begin(self, data: Path) -> Path | None:
        """See to it that a new server has a key; give the file where it stands, if it made one."""
        if await self.list(None):
            return None
        path = admin_key_path(data, lambda: new_key(SERVER_KIND, None).text)
        await self._add(read_key(path.read_text().strip()), FIRST, None)
        return path

    async def _add(
        self,
        key: KeyText,
        name: str,
        expires_ms: int | None,
        bounds: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        kind = "admin" if key.kind == SERVER_KIND else key.kind
        added: dict[str, Any] = await self._keeper(key.keeper).add(
            key.hashed, kind, name, expires_ms, bounds
        )
        return {**added, "kind": key.kind, "tenant": key.tenant}


FIRST: Final = "the server's first"
