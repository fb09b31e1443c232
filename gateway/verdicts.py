"""Whether keys are good, as the objects that keep them said, believed for a short while.

A gateway asks a key's object once and remembers the verdict for `KEY_VERDICT_S`, good or bad, so a
request costs no more than a hash. A key revoked at this gateway is forgotten here at once; one
revoked anywhere else opens nothing after that time. A key that was good goes on being so for
`KEY_STALE_S` while its object has too much to do to be asked. A refusal leaves `KEY_REFUSAL_S` after the
request came, whatever it took to find out: a tenant that is not there, one asleep and one awake
cannot be told apart by the time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from raydo.gateway.caller import SERVER_KIND, Caller, caller_of
from raydo.gateway.keys import KeyText, read_key, unknown
from raydo.pipelining.errors import Overloaded, RaydoError, Unauthorized, Unavailable
from raydo.pipelining.limits import (
    KEY_CHECKS_MAX,
    KEY_REFUSAL_S,
    KEY_STALE_S,
    KEY_VERDICT_S,
    KEY_VERDICTS_MAX,
)

_NOT_NOW: Final = "Keys cannot be looked at now; send again in a moment."
_log = logging.getLogger("raydo")

Find = Callable[[KeyText], Awaitable[Any]]  # asks the object; gives its `Key`, or None


@dataclass(frozen=True, slots=True)
class _Verdict:
    caller: Caller | None  # who has the key, if it is good
    until: float  # the clock's time from which it must be asked again
    ends: float  # the time from which it means nothing


class Verdicts:
    """Tell good keys from others; lives in one event loop."""

    def __init__(
        self,
        find: Find,
        *,
        clock: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._find = find
        self._clock = clock
        self._now_ms = now_ms
        self._sleep = sleep
        self._known: OrderedDict[str, _Verdict] = OrderedDict()
        self._asking: dict[str, asyncio.Future[_Verdict]] = {}

    async def check(self, text: str) -> Caller:
        """Read a key, make sure that it is good, and say what it opens.

        Raises:
            Unauthorized: it is not. Overloaded: too many unknown keys come at once.
            Unavailable: who could tell is not there; why, and where, is not for a stranger.
        """
        came = self._clock()
        try:
            key = read_key(text)
            verdict = self._remembered(key.hashed) or await self._ask(key)
            if verdict.caller is None:
                raise unknown()
        except Unauthorized:
            await self._refused(came)
            raise
        except Overloaded:
            raise
        except RaydoError as error:
            await self._refused(came)
            _log.warning("A key could not be looked at: %s", error)
            raise Unavailable(_NOT_NOW, retry_after_s=error.retry_after_s) from None
        return verdict.caller

    async def _refused(self, came: float) -> None:
        """Let every refusal take the same time."""
        await self._sleep(max(0.0, came + KEY_REFUSAL_S - self._clock()))

    def forget(self, key_id: str) -> None:
        """Ask again about a key that was revoked."""
        for hashed, verdict in list(self._known.items()):
            if verdict.caller is not None and verdict.caller.key_id == key_id:
                del self._known[hashed]

    def forget_tenant(self, tenant: str) -> None:
        """Ask again about every key of a tenant that was erased."""
        for hashed, verdict in list(self._known.items()):
            if verdict.caller is not None and verdict.caller.tenant == tenant:
                del self._known[hashed]

    def _remembered(self, hashed: str) -> _Verdict | None:
        verdict = self._known.get(hashed)
        return verdict if verdict is not None and self._clock() < verdict.until else None

    async def _ask(self, key: KeyText) -> _Verdict:
        hashed = key.hashed
        asking = self._asking.get(hashed)
        if asking is None:
            if len(self._asking) >= KEY_CHECKS_MAX:
                raise Overloaded("Too many keys are being looked at; send again in a moment.")
            asking = self._asking[hashed] = asyncio.ensure_future(self._learn(key, hashed))
            asking.add_done_callback(lambda _: self._asking.pop(hashed))
        return await asyncio.shield(asking)

    async def _learn(self, key: KeyText, hashed: str) -> _Verdict:
        asked = self._clock()
        try:
            found = await self._find(key)
        except Overloaded:
            stale = self._known.get(hashed)
            if stale is None or stale.caller is None or asked >= stale.ends:
                raise
            return stale
        # The server's own are kept as those of an administrator.
        kind = "admin" if key.kind == SERVER_KIND else key.kind
        good = found is not None and found["kind"] == kind
        until, ends = asked + KEY_VERDICT_S, asked + KEY_STALE_S
        if good and found["expires_ms"] is not None:
            expires = asked + (found["expires_ms"] - self._now_ms()) / 1_000
            until, ends = min(until, expires), min(ends, expires)
        caller = caller_of(key.tenant, key.kind, found) if good else None
        verdict = self._known[hashed] = _Verdict(caller, until, ends)
        self._known.move_to_end(hashed)
        while len(self._known) > KEY_VERDICTS_MAX:
            self._known.popitem(last=False)
        return verdict
