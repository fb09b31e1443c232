"""A host's figures as Ray metrics: calls by the socket, what waits, syncs and memory.

Ray's agent exports them to Prometheus beside its own, by host and never by tenant: ten thousand
tenants would be ten thousand series. Without Ray nothing happens.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

_GAUGES: Final = {
    "objects": "Objects that live in the host.",
    "awake": "Objects of the host that are in memory.",
    "waiting": "Envelopes that wait for a turn.",
    "queries_busy": "Queries that processes of the host work on.",
    "queries_waiting": "Queries that wait for such a process.",
    "bytes": "Resident memory of the host's process.",
    "undrained_events": "Events that the log has and the database has not.",
    "drain_lag_ms": "Since when the oldest of them waits.",
    "sync_p99_s": "What 99 of 100 syncs of the log did not exceed, since the host began.",
}
_COUNTERS: Final = {
    "envelopes": "Envelopes that the host took by its socket.",
    "frames": "Frames in those envelopes.",
    "turns": "Turns that the host ran.",
    "queries_asked": "Queries that went beside the turns.",
    "queries_refused": "Queries that waited too long, or were too many.",
    "queries_ended": "Processes for queries that ended: killed, old or idle.",
    "syncs": "Syncs of the log and of folders.",
    "events": "Events that were accepted.",
    "duplicates": "Events that were known already.",
    "rejected": "Events of batches that were refused.",
    "archived": "Archive runs that are done.",
    "archives_failed": "Archive runs that failed.",
}


class Gauges:
    """Set the metrics of one host."""

    def __init__(self, host: str) -> None:
        metrics: Any = import_module("ray.util.metrics")
        tags = {"host": host}
        self._gauges = {
            name: metrics.Gauge(f"raydo_host_{name}", description=text, tag_keys=("host",))
            for name, text in _GAUGES.items()
        }
        self._counters = {
            name: metrics.Counter(f"raydo_host_{name}_total", description=text, tag_keys=("host",))
            for name, text in _COUNTERS.items()
        }
        for metric in (*self._gauges.values(), *self._counters.values()):
            metric.set_default_tags(tags)
        self._before: dict[str, int] = {}

    def set(self, figures: Mapping[str, Any]) -> None:
        """Show the latest figures; counters are told their sums since the host began."""
        for name, gauge in self._gauges.items():
            gauge.set(figures[name])
        for name, counter in self._counters.items():
            if (more := figures[name] - self._before.get(name, 0)) > 0:
                counter.inc(more)
                self._before[name] = figures[name]
