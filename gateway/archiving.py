"""An archive run on demand: planned by a call, done beside the calls, and waited for here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from raydo.actors.analytics import Analytics
from raydo.actors.lake_runs import DELETED
from raydo.gateway.target import Target

if TYPE_CHECKING:
    from raydo.pipelining.stub import Stub

_POLL_S: Final = 0.1
_POLL_MAX_S: Final = 2.0


async def archive_now(stub: Stub[Analytics], older_than_s: float | None) -> dict[str, Any]:
    """Archive what is older than so many seconds, or what the weekly run would; wait for it.

    Returns `{"run", "state", "rows", "snapshot_id", …}`; `run` is None when there was nothing.

    Raises:
        InvalidArgument: no length of time.
    """
    planned = await stub.archive(older_than_s)
    if planned is None:
        return {"run": None, "state": DELETED, "rows": 0, "snapshot_id": None}
    pause_s = _POLL_S
    while True:
        for run in await stub.archive_runs():
            if run["run"] == planned["run"] and run["state"] == DELETED:
                return dict(run)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _POLL_MAX_S)


async def archive_tenant(target: Target, tenant: str, older_than_s: float | None) -> dict[str, Any]:
    """Archive one tenant's events at a target."""
    async with target.connect() as connection:
        return await archive_now(connection.stub(Analytics, tenant), older_than_s)
