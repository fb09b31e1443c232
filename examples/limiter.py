"""A durable rate limiter: one object per customer, exact across processes, machines and restarts.

Serve it beside `Analytics`:   raydo serve --objects examples.limiter
Ask it from Python:            verdict = await RateLimiter("acme").allow("search", limit=100)
"""

from __future__ import annotations

from typing import Any

from raydo import DurableObject, call


class RateLimiter(DurableObject):
    """Let `limit` requests per `window_s` seconds pass for each action of one customer."""

    def on_start(self) -> None:
        self.sql(
            "CREATE TABLE IF NOT EXISTS limits (action TEXT PRIMARY KEY, allowed INTEGER NOT NULL)"
        )

    @call
    def set_limit(self, action: str, allowed: int) -> None:
        """Set another limit for one action; it holds from the next request on."""
        self.sql(
            "INSERT INTO limits VALUES (?, ?) ON CONFLICT DO UPDATE SET allowed = excluded.allowed",
            action,
            allowed,
        )

    @call
    def allow(self, action: str, limit: int = 60, window_s: int = 60) -> dict[str, Any]:
        """Count one request and say whether it may pass, and how many are left.

        The turn is synchronous, so two callers never see the same last free place.
        """
        row = self.sql("SELECT allowed FROM limits WHERE action = ?", action).first()
        allowed = row["allowed"] if row else limit
        used = self.counters.get(f"used:{action}")
        if used >= allowed:
            self.counters.incr(f"refused:{action}")
            return {"allowed": False, "left": 0}
        used = self.counters.incr(f"used:{action}", ttl=window_s, mode="window")
        return {"allowed": True, "left": allowed - used}

    @call
    def refused(self, action: str) -> int:
        """Return how many requests were ever refused."""
        return self.counters.get(f"refused:{action}")
