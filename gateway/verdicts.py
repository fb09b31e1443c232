"""Whether keys are good, as the objects that keep them said, believed for a short while.

A gateway asks a key's object once and remembers the verdict for `KEY_VERDICT_S`, good or bad, so a
request costs no more than a hash. A key revoked at this gateway is forgotten here at once; one
revoked anywhere else opens nothing after that time. A refusal leaves `KEY_REFUSAL_S` after the
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

from raydo.gateway.keys import KeyText, read_key, unknown
from raydo.pipelining.errors import Overloaded, RaydoError, Unauthorized, Unavailable
from raydo.pipelining.limits import (
    KEY_CHECKS_MAX,
    KEY_REFUSAL_S,
    KEY_VERDICT_S,
    KEY_VERDICTS_MAX,
)

_NOT_NOW: Final = "Keys cannot be looked at now; send again in a moment."
_log = logging.getLogger("raydo")

Find = Callable[[KeyText], Awaitable[Any]]  # asks the object; gives its `Key`, or None


@dataclass(frozen=True, slots=True)
class _Verdict:
    id: str | None  # of the key, if it is good
    until: float  # the clock's time from which it must be asked again


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

    async def check(self, text: str) -> KeyText:
        """Read a key and make sure that it is good.

        Raises:
            Unauthorized: it is not. Overloaded: too many unknown keys come at once.
            Unavailable: who could tell is not there; why, and where, is not for a stranger.
        """
        came = self._clock()
        try:
            key = read_key(text)
            verdict = self._remembered(key.hashed) or await self._ask(key)
            if verdict.id is None:
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
        return key

    async def _refused(self, came: float) -> None:
        """Let every refusal take the same time."""
        await self._sleep(max(0.0, came + KEY_REFUSAL_S - self._clock()))

    def forget(self, key_id: str) -> None:
        """Ask again about a key that was revoked."""
        for hashed in [each for each, verdict in self._known.items() if verdict.id == key_id]:
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
        found = await self._find(key)
        good = found is not None and (key.tenant is None or found["kind"] == key.kind)
        until = asked + KEY_VERDICT_S
        if good and found["expires_ms"] is not None:
            until = min(until, asked + (found["expires_ms"] - self._now_ms()) / 1_000)
        verdict = self._known[hashed] = _Verdict(found["id"] if good else None, until)
        self._known.move_to_end(hashed)
        while len(self._known) > KEY_VERDICTS_MAX:
            self._known.popitem(last=False)
        return verdict
