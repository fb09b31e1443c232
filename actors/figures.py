"""The figures of one process that holds objects, and of all of a folder: for monitoring.

Sums over objects only, and never one object's own: ten thousand tenants would be ten thousand
series. `Totals` makes one growing sum of the counters of processes that come and go.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, TypedDict

from raydo.actors.histogram import SYNC_BOUNDS_S, Histogram, quantile

if TYPE_CHECKING:
    from raydo.actors.ledger import Usage
    from raydo.actors.resident import Resident

COUNTERS: Final = (
    *("envelopes", "frames", "turns", "syncs", "queries_asked", "queries_refused", "queries_ended"),
    *("events", "duplicates", "rejected", "log_bytes", "cpu_s", "process_cpu_s"),
    *("archived", "archives_failed"),
)
EMBEDDED: Final = "embedded"  # the name of the one host where there is no Ray


class Fleet(TypedDict):
    """Every process that holds objects of one folder, and how many more there may be."""

    hosts: list[dict[str, Any]]
    hosts_max: int
    standbys: int


def figures(
    usage: Usage, sync_s: Histogram, residents: Iterable[Resident], now_ms: int
) -> dict[str, Any]:
    """Tell what a process's objects have used, and how far its databases are behind its logs."""
    used = asdict(usage)
    del used["turns"], used["syncs"]  # `Residents.counts` has those of the process
    lags = [each.activation.lag() for each in residents if each.activation is not None]
    since_ms = min((ms for _, ms in lags if ms is not None), default=now_ms)
    return {
        **used,
        "undrained_events": sum(events for events, _ in lags),
        "drain_lag_ms": max(0, now_ms - since_ms),
        "sync_counts": list(sync_s.counts),
        "sync_sum_s": sync_s.sum,
        "sync_p99_s": quantile(sync_s.bounds, sync_s.counts, 0.99),
        "process_cpu_s": time.process_time(),
    }


class Totals:
    """Sums of counters over processes that start and end; they only grow."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = dict.fromkeys(COUNTERS, 0)
        self.sync_counts = [0] * (len(SYNC_BOUNDS_S) + 1)
        self.sync_sum_s = 0.0
        self._seen: dict[str, Mapping[str, Any]] = {}  # by host, as it was last

    def add(self, hosts: Iterable[Mapping[str, Any]]) -> None:
        """Count what has come since the last time."""
        seen = {host["host"]: host for host in hosts}
        for name, host in seen.items():
            before = self._seen.get(name, {})
            for counter in COUNTERS:
                self.sums[counter] += host[counter] - before.get(counter, 0)
            earlier = before.get("sync_counts", [0] * len(self.sync_counts))
            self.sync_counts = [
                total + now - then
                for total, now, then in zip(
                    self.sync_counts, host["sync_counts"], earlier, strict=True
                )
            ]
            self.sync_sum_s += host["sync_sum_s"] - before.get("sync_sum_s", 0)
        self._seen = seen
