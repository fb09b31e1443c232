"""Two indexes over counters' keys, so that nobody ever looks through all of them.

`Group` holds the keys that share a prefix, up to and with their first colon, and sorts those that
expire by the second of their last increment: how many were active within the last n seconds is a
sum over n lengths, and only the second at the edge is looked at key by key.

`Deadlines` sorts keys by the second in which they might expire. A key that lives on is found there
once too early and put back, so an increment never touches it.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop, heappush
from typing import Final

from raydo.actors.counter_values import TIMED, State, Timed

SECOND_MS: Final = 1_000
_STALE_MAX: Final = 64  # seconds without keys that the heap may hold, beside as many as it uses


def prefix_of(key: str) -> str:
    """Return the prefix that decides a key's group: `active:` of `active:alice`, or nothing."""
    return key[: key.find(":") + 1]


class Group:
    """The keys under one prefix."""

    __slots__ = ("_newest", "_seconds", "_timed", "keys", "keys_max", "other", "ttl_ms_max")

    def __init__(self) -> None:
        self.keys: dict[str, None] = {}
        self.keys_max: int | None = None
        self.other = ""
        self.ttl_ms_max = 0
        self._seconds: dict[int, dict[str, None]] = {}
        self._newest = 0
        self._timed = 0

    def add(self, key: str, state: State) -> None:
        self.keys[key] = None
        if isinstance(state, TIMED):
            self._timed += 1
            self.ttl_ms_max = max(self.ttl_ms_max, state.ttl_ms)
            self._put(key, state.last_ms // SECOND_MS)

    def discard(self, key: str, state: State) -> None:
        del self.keys[key]
        if isinstance(state, TIMED):
            self._timed -= 1
            self._take(key, state.last_ms // SECOND_MS)

    def move(self, key: str, old: Timed, new: Timed) -> None:
        """Note a later increment of a key that is here."""
        self.ttl_ms_max = max(self.ttl_ms_max, new.ttl_ms)
        second, before = new.last_ms // SECOND_MS, old.last_ms // SECOND_MS
        if second != before:
            self._take(key, before)
            self._put(key, second)

    def active(self, now_ms: int, within_ms: int, states: Mapping[str, State]) -> int:
        """Count the keys incremented within the last `within_ms`; none may have expired."""
        if within_ms >= self.ttl_ms_max:
            return self._timed  # whatever lives was incremented within its ttl
        since_ms = now_ms - within_ms
        edge, seconds = since_ms // SECOND_MS, self._seconds
        if self._newest - edge < len(seconds):
            later = range(edge + 1, self._newest + 1)
            whole = sum(len(seconds[second]) for second in later if second in seconds)
        else:
            whole = sum(len(keys) for second, keys in seconds.items() if second > edge)
        return whole + sum(1 for key in seconds.get(edge, ()) if _last_ms(states[key]) > since_ms)

    def _put(self, key: str, second: int) -> None:
        keys = self._seconds.get(second)
        if keys is None:
            keys = self._seconds[second] = {}
        keys[key] = None
        self._newest = max(self._newest, second)

    def _take(self, key: str, second: int) -> None:
        keys = self._seconds[second]
        del keys[key]
        if not keys:
            del self._seconds[second]


class Deadlines:
    """Keys by the second in which they might expire, never later than they do."""

    __slots__ = ("_order", "_second_of", "_seconds")

    def __init__(self) -> None:
        self._seconds: dict[int, dict[str, None]] = {}
        self._second_of: dict[str, int] = {}
        self._order: list[int] = []  # a heap of the seconds in use, and some that no longer are

    def watch(self, key: str, expires_ms: int) -> None:
        """Make sure that `key` comes up no later than `expires_ms`."""
        second, known = expires_ms // SECOND_MS, self._second_of.get(key)
        if known is not None:
            if known <= second:
                return
            self.forget(key)
        keys = self._seconds.get(second)
        if keys is None:
            keys = self._seconds[second] = {}
            heappush(self._order, second)
        keys[key] = None
        self._second_of[key] = second

    def forget(self, key: str) -> None:
        second = self._second_of.pop(key, None)
        if second is None:
            return
        keys = self._seconds[second]
        del keys[key]
        if not keys:
            del self._seconds[second]
            if len(self._order) > 2 * len(self._seconds) + _STALE_MAX:
                self._order = list(self._seconds)
                heapify(self._order)

    def due(self, second: int) -> list[str]:
        """Take out every key of this second or an earlier one."""
        keys: list[str] = []
        while self._order and self._order[0] <= second:
            keys.extend(self._seconds.pop(heappop(self._order), ()))
        for key in keys:
            del self._second_of[key]
        return keys


def _last_ms(state: State) -> int:
    assert isinstance(state, TIMED), "only keys that expire are sorted by second"
    return state.last_ms
