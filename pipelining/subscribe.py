"""`async for change in raydo.subscribe(acme, cursor)`: what happens to a tenant, over any connection.

Each change is `{cursor, events, counters}`; whoever comes again with the last cursor misses nothing
and sees nothing twice. It is read by calls, so a gateway that is down for a while only delays it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from raydo.pipelining.errors import TimedOut, Unavailable
from raydo.pipelining.limits import RETRY_MAX_S, WATCH_LOOK_S


async def subscribe(
    stub: Any,
    since: int | None = None,
    *,
    look_s: float = WATCH_LOOK_S,
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
) -> AsyncIterator[dict[str, Any]]:
    """Yield what comes after the cursor `since`, or after now, as long as somebody asks.

    Only counters that changed are in `counters`, all of them in the first change.

    Raises:
        InvalidArgument: no cursor, or one so old that the archive has the rest.
    """
    told: dict[str, Any] = {}
    while True:
        try:
            change: dict[str, Any] = dict(await stub.changes(since))
        except (Unavailable, TimedOut):
            await sleep(RETRY_MAX_S)
            continue
        since, counters, more = change["cursor"], change["counters"], change.pop("more")
        gone = {key: 0 for key in told if key not in counters}
        new = {key: value for key, value in counters.items() if told.get(key) != value}
        told = counters
        if change["events"] or new or gone:
            yield {**change, "counters": {**gone, **new}}
        if not more:
            await sleep(look_s)
