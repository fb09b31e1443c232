"""Counters as a child would keep them: every hit is remembered, and a value is a sum over hits.

All moments of windows are whole seconds apart, so that a window of sixty seconds, which keeps sixty
parts, forgets nothing early and the sum is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    mode: str  # plain, sliding, fixed or window
    ttl_ms: int = 0
    value: int = 0
    last: int = 0
    expires: int = 0
    hits: list[tuple[int, int]] = field(default_factory=list)

    def value_at(self, now: int) -> int:
        if self.mode == "window":
            return sum(by for at, by in self.hits if at > now - self.ttl_ms)
        return self.value


class Tallies:
    """The counters of one object."""

    def __init__(self) -> None:
        self._tallies: dict[str, Tally] = {}

    def incr(
        self,
        key: str,
        by: int,
        now: int,
        *,
        ttl: int | None = None,
        mode: str = "sliding",
        at: int | None = None,
    ) -> int:
        """Count; what happened too long ago to matter now changes nothing."""
        if ttl is None:
            tally = self._tallies.setdefault(key, Tally("plain"))
            tally.value += by
            return tally.value
        at, ttl_ms = min(now, now if at is None else at), ttl * 1000
        if at + ttl_ms <= now:
            return self.get(key, now)
        if not self.alive(key, now):
            self._tallies[key] = Tally(mode, ttl_ms, expires=at + ttl_ms)
        tally = self._tallies[key]
        assert (tally.mode, tally.ttl_ms) == (mode, ttl_ms), "a key keeps its mode here"
        tally.value += by
        tally.last = max(tally.last, at)
        if mode == "window":
            tally.hits = [hit for hit in tally.hits if hit[0] > now - ttl_ms] + [(at, by)]
        if mode != "fixed":
            tally.expires = tally.last + ttl_ms
        return tally.value_at(now)

    def delete(self, key: str, now: int) -> bool:
        there = self.alive(key, now)
        self._tallies.pop(key, None)
        return there

    def fold(self, key: str, into: str, now: int) -> None:
        """Count what one sliding key counted as another, at its own moment."""
        if self.alive(key, now):
            tally = self._tallies.pop(key)
            self.incr(into, tally.value, now, ttl=tally.ttl_ms // 1000, at=tally.last)

    def alive(self, key: str, now: int) -> bool:
        tally = self._tallies.get(key)
        return tally is not None and (tally.mode == "plain" or tally.expires > now)

    def get(self, key: str, now: int) -> int:
        return self._tallies[key].value_at(now) if self.alive(key, now) else 0

    def items(self, prefix: str, now: int) -> list[tuple[str, int]]:
        """List what is alive, the largest first, equal ones by key."""
        for key in [key for key in self._tallies if not self.alive(key, now)]:
            del self._tallies[key]
        live = [(k, t.value_at(now)) for k, t in self._tallies.items() if k.startswith(prefix)]
        return sorted(live, key=lambda item: (-item[1], item[0]))

    def recent(self, prefix: str, within_s: int, now: int) -> int:
        """Count the keys that were counted within the last seconds and are alive."""
        since = now - within_s * 1000
        return sum(
            1
            for key, tally in self._tallies.items()
            if key.startswith(prefix) and self.alive(key, now) and tally.last > since
        )
