"""raydo beside other servers with the same HTTP API, all up at once and taking turns.

    RAYDO_PEERS=DIR python -m benchmarks peers [--quick]

DIR holds a script for each peer, which is started as `SCRIPT PORT DATA [mode]` and becomes the server:
`run_baseline.sh` (real Durable Objects, by workerd) and `alt/run_sqlite.sh` (FastAPI over one SQLite
file). Machines differ and drift, so what counts are the ratios: each run of a work goes to every
server before the next one begins. A peer that is not there is left out, and named.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.http import Workload, workloads
from benchmarks.load import Load, drive, event, request
from benchmarks.server import free_port, serving, wait_until
from benchmarks.table import spread

WORKERD: Final = "workerd"
PEERS: Final[Mapping[str, tuple[str, ...]]] = {
    WORKERD: ("run_baseline.sh",),
    "FastAPI + SQLite, group commit": ("alt/run_sqlite.sh", "group"),
    "FastAPI + SQLite": ("alt/run_sqlite.sh", "direct"),
}
OURS: Final[Mapping[str, tuple[str, ...]]] = {"raydo": (), "raydo, embedded": ("--embedded",)}


class Server(NamedTuple):
    name: str
    url: str


@contextmanager
def peer(folder: Path, script: str, *mode: str) -> Iterator[str]:
    """Run a peer and give its address."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="raydo-peer-") as data:
        process = subprocess.Popen(
            [str(folder / script), str(port), data, *mode], stdout=subprocess.DEVNULL
        )
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(f"{url}/stats", process)
            yield url
        finally:
            process.kill()
            process.wait()


def measure(*, runs: int, seconds: float) -> list[dict[str, Any]]:
    """Measure every work on every server; one row a work, with the ratio to the first peer."""
    with ExitStack() as stack:
        servers = _open(stack)
        rows = [_row(servers, work, runs, seconds) for work in workloads(tenants=8)]
        return [*rows, _head_of_line(servers, runs, seconds)]


def _open(stack: ExitStack) -> list[Server]:
    servers = [
        Server(name, stack.enter_context(serving(*options))) for name, options in OURS.items()
    ]
    given = os.environ.get("RAYDO_PEERS")
    for name, (script, *mode) in PEERS.items():
        folder = None if given is None else Path(given)
        if folder is None or not (folder / script).exists():
            sys.stdout.write(f"{name} is not here; RAYDO_PEERS names the folder of {script}.\n")
            continue
        try:
            servers.append(Server(name, stack.enter_context(peer(folder, script, *mode))))
        except RuntimeError as error:
            sys.stdout.write(f"{name} did not start: {error}\n")
    return servers


def _row(servers: list[Server], work: Workload, runs: int, seconds: float) -> dict[str, Any]:
    loads: defaultdict[str, list[Load]] = defaultdict(list)
    for run in range(runs + 1):
        for server in servers:
            load = drive(server.url, work.pool, connections=work.connections, seconds=seconds)
            if run:  # the first one warms
                loads[server.name].append(load)
    by_time = work.events == 0 and work.connections == 1
    return _told(
        work.name,
        {name: [_figure(load, work) for load in loads[name]] for name in loads},
        unit="p50 ms" if by_time else "events/s" if work.events > 1 else "requests/s",
    )


def _figure(load: Load, work: Workload) -> float:
    if work.events == 0 and work.connections == 1:
        return load.quantile_ms(0.5)
    return load.requests * max(1, work.events) / load.elapsed_s


def _told(name: str, found: Mapping[str, list[float]], *, unit: str) -> dict[str, Any]:
    row: dict[str, Any] = {"work": name, "unit": unit}
    row.update({server: spread(values) for server, values in found.items()})
    if WORKERD in found:
        ours, theirs = (statistics.median(found[server]) for server in ("raydo", WORKERD))
        row["ahead of workerd"] = theirs / ours if unit == "p50 ms" else ours / theirs
    return row


def _head_of_line(servers: list[Server], runs: int, seconds: float) -> dict[str, Any]:
    """Time one tenant's /stats while another sends batches as fast as it can."""
    r = random.Random(7)
    batches = [
        request("POST", "/track/batch", "busy", [event(r) for _ in range(1000)]) for _ in range(16)
    ]
    reads = [request("GET", "/stats", "quiet")]
    found: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(runs):
        for server in servers:
            found[server.name].append(asyncio.run(_beside(server.url, batches, reads, seconds)))
    return _told("GET /stats of one tenant while another sends batches", found, unit="p50 ms")


async def _beside(url: str, batches: list[bytes], reads: list[bytes], seconds: float) -> float:
    busy = asyncio.create_task(
        asyncio.to_thread(drive, url, batches, connections=4, seconds=seconds)
    )
    started_s = time.perf_counter()
    load = await asyncio.to_thread(drive, url, reads, connections=1, seconds=seconds * 0.8)
    assert time.perf_counter() - started_s <= seconds * 2
    await busy
    return load.quantile_ms(0.5)
