"""An erasure on demand: planned by a call, done beside the calls, and waited for here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from raydo.actors.analytics import Analytics
from raydo.actors.erasures import DONE
from raydo.gateway.auditing import CLI
from raydo.gateway.target import Target

if TYPE_CHECKING:
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


async def erase_user(target: Target, tenant: str, user_id: str) -> dict[str, Any]:
    """Erase a person of one tenant at a target."""
    async with target.connect() as connection:
        acting = connection.acting(CLI if target.url is None else "")
        return await erase_now(acting.stub(Analytics, tenant), user_id)
