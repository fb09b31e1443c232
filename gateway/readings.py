"""How a read is answered: its value, which layer had it, how long that took, and what is lost."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from starlette.responses import Response

from raydo.actors.object import Loss
from raydo.gateway.backend import Backend
from raydo.gateway.replies import answer
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.promise import Promise

DEGRADED: Final = "x-raydo-degraded"  # a reply lacks these: the tenant's log was damaged
LAYER: Final = "x-raydo-layer"  # L0 memory, L1 log, L2 SQLite, L3 the archive too
TIMING: Final = "server-timing"
_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}


class Reading:
    """Ask one tenant's object, and answer."""

    def __init__(self, backend: Backend, tenant: str, by: str = "") -> None:
        self.stub = backend.analytics(tenant, by)
        self._started_s = time.perf_counter()

    async def answer(self, promise: Promise[Any], layer: str | None = None) -> Response:
        """Answer the value of a promise; `layer` is what it is from, else it says so itself."""
        value, lost = await asyncio.gather(promise, self.stub.degraded())
        by_name = isinstance(value, dict)
        response = answer({**value, "degraded": lost} if lost and by_name else value)
        if lost:
            response.headers[DEGRADED] = ", ".join(map(_span, lost))
        response.headers[LAYER] = layer or value["layer"]
        elapsed_ms = (time.perf_counter() - self._started_s) * 1000
        response.headers[TIMING] = f"raydo;dur={elapsed_ms:.3f}"
        return response


def whole(query: dict[str, str], name: str) -> dict[str, Any]:
    """Read a whole number, if it is given.

    Raises:
        InvalidArgument: it is none.
    """
    if name not in query:
        return {}
    try:
        return {name: int(query[name])}
    except ValueError:
        raise InvalidArgument(f"{name} must be a whole number, not {query[name]!r:.80}.") from None


def flag(query: dict[str, str], name: str) -> dict[str, Any]:
    """Read a truth, if it is given.

    Raises:
        InvalidArgument: it is none.
    """
    if name not in query:
        return {}
    if query[name] not in _FLAGS:
        raise InvalidArgument(f"{name} is true or false, not {query[name]!r:.80}.")
    return {name: _FLAGS[query[name]]}


def _span(loss: Loss) -> str:
    last = "" if loss["last_seq"] is None else loss["last_seq"]
    return f"seq {loss['first_seq']}-{last}"
