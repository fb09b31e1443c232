"""The log alone: records appended and synced, one write a sync, on a real disk.

A record holds the events of one frame. `1 x 64` are 64 frames of one event that share a sync, as
they do when they wait for the writer together.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.table import spread
from raydo.actors.disk import OsDisk
from raydo.actors.epoch import Lease
from raydo.actors.log import Log
from raydo.pipelining.noun import Noun

EVENT_BYTES = 220  # a page view with a few properties
CASES = ((1, 1), (1, 64), (64, 1), (1000, 1))  # events in a record, records in a sync


def measure(*, runs: int, seconds: float) -> list[dict[str, Any]]:
    """Return a row a case; each run has a log of its own in the current folder's file system."""
    return [_row(events, records, runs, seconds) for events, records in CASES]


def _row(events: int, records: int, runs: int, seconds: float) -> dict[str, Any]:
    done = [_run(events, records, seconds) for _ in range(runs)]
    return {
        "events x records a sync": f"{events} x {records}",
        **{name: spread([run[name] for run in done]) for name in done[0]},
    }


def _run(events: int, records: int, seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        lease, log = _open(Path(folder))
        payload = os.urandom(events * EVENT_BYTES)
        appending = 0.0
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            before = time.perf_counter()
            for _ in range(records):
                log.append(1, log.last_seq + 1, payload)
            appending += time.perf_counter() - before
            log.sync()
        took = time.perf_counter() - started
        stats = log.stats
        log.close()
        lease.release()

        before = time.perf_counter()
        lease, log = _open(Path(folder))
        read = sum(1 for _ in log.records())
        recovering = time.perf_counter() - before
        lease.release()
    assert read == stats.records
    count = stats.records * events
    return {
        "events/s": count / took,
        "MB/s": stats.bytes / took / 1e6,
        "fsyncs/s": stats.fsyncs / took,
        "fsyncs per 1,000 events": 1000 * stats.fsyncs / count,
        "append us": 1e6 * appending / stats.records,
        "recovered MB/s": stats.bytes / recovering / 1e6,
    }


def _open(folder: Path) -> tuple[Lease, Log]:
    disk = OsDisk()
    lease = Lease.take(disk, folder, host=True)
    log = Log.open(
        *(disk, folder),
        noun=Noun("Analytics", "acme"),
        epoch=lease.epoch,
        drained_seq=0,
        check=lease.check,
        random=os.urandom,
    )
    return lease, log
