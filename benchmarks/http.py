"""What one server does over HTTP: tracks, batches, stats, dau; in requests, events and milliseconds."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from benchmarks.load import Load, drive, event, request
from benchmarks.table import spread


class Workload(NamedTuple):
    name: str
    pool: list[bytes]
    connections: int
    events: int  # that one request brings


def measure(url: str, *, runs: int, seconds: float, tenants: int) -> list[dict[str, Any]]:
    """Return one row a workload, each the median of `runs` runs of `seconds`."""
    return [_row(url, runs, seconds, workload) for workload in workloads(tenants)]


def workloads(tenants: int) -> list[Workload]:
    """Prepare the requests of each workload."""
    r = random.Random(7)
    tracks = [request("POST", "/track", "one", event(r)) for _ in range(4000)]
    spread_tracks = [request("POST", "/track", f"t{i % tenants}", event(r)) for i in range(4000)]
    batches = [
        request("POST", "/track/batch", f"b{i % min(16, tenants)}", [event(r) for _ in range(1000)])
        for i in range(64)
    ]
    return [
        Workload("POST /track, 1 tenant, 1 connection", tracks, 1, 1),
        Workload("POST /track, 1 tenant, 64 connections", tracks, 64, 1),
        Workload(f"POST /track, {tenants} tenants, 64 connections", spread_tracks, 64, 1),
        Workload("POST /track/batch of 1,000, 16 connections", batches, 16, 1000),
        Workload("GET /stats, 1 connection", [request("GET", "/stats", "one")], 1, 0),
        Workload("GET /stats, 8 connections", [request("GET", "/stats", "one")], 8, 0),
        Workload("GET /dau, 1 connection", [request("GET", "/dau", "one")], 1, 0),
        Workload("GET /dau, 8 connections", [request("GET", "/dau", "one")], 8, 0),
    ]


def _row(url: str, runs: int, seconds: float, workload: Workload) -> dict[str, Any]:
    name, pool, connections, events = workload
    drive(url, pool, connections=connections, seconds=min(1.0, seconds))  # warm, not counted
    loads = [drive(url, pool, connections=connections, seconds=seconds) for _ in range(runs)]
    return {
        "work": name,
        "requests/s": spread([load.requests / load.elapsed_s for load in loads]),
        "events/s": spread([load.requests * events / load.elapsed_s for load in loads])
        if events
        else "",
        "p50 ms": spread([load.quantile_ms(0.5) for load in loads]),
        "p99 ms": spread([load.quantile_ms(0.99) for load in loads]),
        "failed": sum(load.failed for load in loads),
        "client cores": spread([_cores(load) for load in loads]),
    }


def _cores(load: Load) -> float:
    return load.client_cpu_s / load.elapsed_s
