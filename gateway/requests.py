"""What became of the requests of this gateway, as Prometheus counts it."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

LATENCY_BOUNDS_S: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0),
)
_SOCKET: Final = 101  # a socket lives for days: its length is no latency


class Requests:
    """Count requests by route and status, and how long each route takes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._count = Counter(
            "raydo_http_requests",
            "Requests answered, sockets ended.",
            ("route", "method", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "raydo_http_request_seconds",
            "From a request's first byte to the end of its answer.",
            ("route",),
            buckets=LATENCY_BOUNDS_S,
            registry=registry,
        )
        self._counters: dict[tuple[str, str, int], Counter] = {}  # `labels` takes a lock and a sort
        self._histograms: dict[str, Histogram] = {}

    def ended(self, route: str, method: str, status: int, took_s: float) -> None:
        """Count one."""
        key = (route, method, status)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._count.labels(route, method, str(status))
        counter.inc()
        if status == _SOCKET:
            return
        histogram = self._histograms.get(route)
        if histogram is None:
            histogram = self._histograms[route] = self._seconds.labels(route)
        histogram.observe(took_s)
