"""GET /metrics: what Prometheus scrapes, made anew for each scrape; nothing in it names a tenant.

The gateway's own requests are counted as they end (`requests`); the figures of the processes that
hold objects are asked for, and become growing sums here, since such processes come and go. A
scrape that cannot reach them says so by `raydo_hosts_answered` 0 and tells the rest.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from raydo.actors.backup_status import read_status
from raydo.actors.figures import Totals
from raydo.actors.histogram import SYNC_BOUNDS_S, quantile
from raydo.gateway.disk_days import DiskDays
from raydo.gateway.requests import Requests
from raydo.pipelining.errors import RaydoError
from raydo.pipelining.limits import SCRAPE_S_MAX

if TYPE_CHECKING:
    from raydo.actors.figures import Fleet
    from raydo.gateway.backend import Backend

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_NONE: Final[Fleet] = {"hosts": [], "hosts_max": 0, "standbys": 0}
_log = logging.getLogger("raydo.gateway")

# (name without the prefix `raydo_`, the sum it tells, help); all of this machine's folder
_COUNTERS: Final = (
    ("events_accepted", "events", "Events that were acknowledged and are on disk."),
    ("events_duplicate", "duplicates", "Events whose message id was known already."),
    ("events_rejected", "rejected", "Events of batches that broke a rule."),
    ("turns", "turns", "Turns of objects."),
    ("envelopes", "envelopes", "Envelopes that objects were sent."),
    ("frames", "frames", "Frames in those envelopes."),
    ("fsyncs", "syncs", "Syncs of logs, of files of ids, and of folders."),
    ("log_bytes", "log_bytes", "Bytes written into logs."),
    ("turn_cpu_seconds", "cpu_s", "CPU time of the threads that ran turns and drains."),
    ("hosts_cpu_seconds", "process_cpu_s", "CPU time of the processes that hold objects."),
    ("queries_beside", "queries_asked", "Queries that went beside the turns."),
    ("queries_refused", "queries_refused", "Queries that waited too long, or were too many."),
    ("archive_runs_ok", "archived", "Archive runs that are in the archive."),
    ("archive_runs_failed", "archives_failed", "Archive runs that failed, each to be done again."),
)
_SUMS: Final = (
    ("objects", "objects", "Objects placed in a process."),
    ("tenants_awake", "awake", "Objects in memory."),
    ("turn_queue", "waiting", "Envelopes that wait for a turn."),
    ("query_queue", "queries_waiting", "Queries that wait for a process."),
    ("queries_running", "queries_busy", "Queries that processes work on."),
    ("undrained_events", "undrained_events", "Events that logs have and databases have not."),
    ("hosts_resident_bytes", "bytes", "Resident memory of the processes that hold objects."),
)


class Exposition(Collector):
    """Answer scrapes."""

    def __init__(
        self,
        backend: Backend,
        data: Path | None = None,
        inside: Callable[[], int] = lambda: 0,
        now_s: Callable[[], float] = time,
    ) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.requests = Requests(self.registry)
        self._backend = backend
        self._data = data
        self._inside = inside
        self._now_s = now_s
        self._disk = DiskDays()
        self._totals = Totals()
        self._fleet: Fleet | None = None
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    async def scrape(self) -> bytes:
        """Ask for the figures, and write everything down."""
        try:
            async with asyncio.timeout(SCRAPE_S_MAX):
                self._fleet = await self._backend.figures()
        except (RaydoError, TimeoutError) as error:
            _log.warning("No figures of hosts: %s", error)
            self._fleet = None
        if self._fleet is not None:
            self._totals.add(self._fleet["hosts"])
        return await asyncio.to_thread(generate_latest, self.registry)

    def collect(self) -> Iterable[Metric]:
        """See `Collector.collect`."""
        fleet = self._fleet or _NONE
        hosts = fleet["hosts"]
        yield _gauge(
            "hosts_answered", "1 if the hosts' figures are fresh.", self._fleet is not None
        )
        yield _gauge("hosts", "Processes that hold objects, or stand by.", len(hosts))
        yield _gauge("hosts_max", "How many of them there may be.", fleet["hosts_max"])
        yield _gauge("standbys", "Hosts that wait for an object of their own.", fleet["standbys"])
        left = max(0, fleet["hosts_max"] - len(hosts)) + fleet["standbys"]
        yield _gauge("standbys_left", "Objects that could still get a host to themselves.", left)
        yield _gauge("requests_inside", "Requests that the gateway works on.", self._inside())
        lag_s = max((host["drain_lag_ms"] for host in hosts), default=0) / 1000
        yield _gauge("drain_lag_seconds", "Age of the oldest event that is in a log only.", lag_s)
        for name, what, text in _SUMS:
            yield _gauge(name, text, sum(host[what] for host in hosts))
        for name, what, text in _COUNTERS:
            yield CounterMetricFamily(f"raydo_{name}", text, self._totals.sums[what])
        yield from self._syncs()
        yield from self._stored()
        yield from self._backups()

    def _syncs(self) -> Iterable[Metric]:
        counts, total, buckets = self._totals.sync_counts, 0, []
        for bound, count in zip((*SYNC_BOUNDS_S, "+Inf"), counts, strict=True):
            total += count
            buckets.append((str(bound), total))
        text = "How long a sync of a log's file took."
        yield HistogramMetricFamily(
            "raydo_fsync_seconds", text, buckets, sum_value=self._totals.sync_sum_s
        )
        p99 = quantile(SYNC_BOUNDS_S, counts, 0.99)
        yield _gauge("fsync_p99_seconds", "What 99 of 100 of them did not exceed, ever.", p99)

    def _stored(self) -> Iterable[Metric]:
        if self._data is None:
            return
        disk = shutil.disk_usage(self._data)
        days = self._disk.left(self._now_s(), disk.used, disk.free)
        yield _gauge("disk_free_bytes", "Room on the data folder's disk.", disk.free)
        yield _gauge("disk_total_bytes", "Size of that disk.", disk.total)
        yield _gauge("disk_days_left", "Until it is full, as it fills now; +Inf if not.", days)

    def _backups(self) -> Iterable[Metric]:
        status = None if self._data is None else read_status(self._data)
        if status is None:
            return  # nobody makes backups by raydo
        yield _gauge(
            "backup_last_success_timestamp_seconds",
            "The moment of the last backup of all tenants that worked.",
            status.ok_ms / 1000,
        )
        age_s = max(0.0, self._now_s() - status.ok_ms / 1000)
        yield _gauge("backup_age_seconds", "How long that is ago.", age_s)
        yield _gauge("backup_failed", "1 if the last attempt did not work.", status.failed)


def _gauge(name: str, text: str, value: Any) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"raydo_{name}", text, float(value))
