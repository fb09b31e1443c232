"""What chains and casts cost from Python: one caller, many callers, pipelined, over each connection."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

import raydo
from benchmarks.table import spread
from raydo import Analytics

Work = Callable[[], Awaitable[int]]


async def _one_chain() -> int:
    await Analytics("acme").dau(7)[0]["dau"]
    return 1


async def _hundred_chains() -> int:
    await asyncio.gather(*(Analytics("acme").dau(7)[0]["dau"] for _ in range(100)))
    return 100


async def _thousand_casts() -> int:
    acme = Analytics("acme")
    for i in range(1000):
        acme.track("PageView", {"userId": f"u{i % 500}", "page": "/pricing"})
    await raydo.flush()
    return 1000


WORKS: list[tuple[str, Work]] = [
    ("dau(7)[0]['dau'], awaited one by one", _one_chain),
    ("100 such chains gathered", _hundred_chains),
    ("1,000 track() and flush()", _thousand_casts),
]


async def time_work(work: Work, seconds: float) -> tuple[float, float]:
    """Return calls per second and the median milliseconds of one round of `work`."""
    rounds_ms, calls, end_s = [], 0, time.perf_counter() + seconds
    start_s = time.perf_counter()
    while (before_s := time.perf_counter()) < end_s:
        calls += await work()
        rounds_ms.append((time.perf_counter() - before_s) * 1e3)
    return calls / (time.perf_counter() - start_s), statistics.median(rounds_ms)


async def _measure(name: str, runs: int, seconds: float, **how: Any) -> list[dict[str, Any]]:
    rows = []
    async with raydo.connect(**how):
        for work_name, work in WORKS:
            await time_work(work, min(1.0, seconds))
            timed = [await time_work(work, seconds) for _ in range(runs)]
            rows.append(
                {
                    "work": f"{work_name}, {name}",
                    "calls/s": spread([rate for rate, _ in timed]),
                    "ms a round": spread([median for _, median in timed]),
                }
            )
    return rows


def measure(*, runs: int, seconds: float) -> list[dict[str, Any]]:
    """Measure in this process without Ray, then with one Ray actor behind a socket."""
    rows: list[dict[str, Any]] = []
    for name, ray in (("embedded", False), ("Ray", True)):
        with tempfile.TemporaryDirectory(prefix="raydo-bench-") as data:
            how: dict[str, Any] = {"data": data, "ray": "local"} if ray else {"data": data}
            rows += asyncio.run(_measure(name, runs, seconds, **how))
    return rows
