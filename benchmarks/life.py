"""The life of objects: waking, ten thousand tenants, and timers that are due together.

    python -m benchmarks.life [--tenants 10000] [--embedded]

On Ray, by stubs from this process, unless `--embedded`. A first call makes a tenant, on disk; a
call of one asleep opens its database and its log's place. `bytes` are the resident memory of all
hosts over what they hold.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.table import report
from raydo.actors.analytics import Analytics
from raydo.actors.runtime import Served, serve_runtime
from raydo.actors.settings import Settings
from raydo.pipelining.connection import Connection

AT_ONCE = 32  # callers
SAMPLE = 300


def percentiles(times_s: list[float]) -> dict[str, float]:
    times_s = sorted(times_s)
    return {
        "p50 ms": times_s[len(times_s) // 2] * 1000,
        "p99 ms": times_s[min(len(times_s) - 1, len(times_s) * 99 // 100)] * 1000,
    }


async def timed(connection: Connection, tenant: str) -> float:
    started = time.perf_counter()
    await connection.stub(Analytics, tenant).track("PageView", {"userId": "u"})
    return time.perf_counter() - started


async def one_by_one(connection: Connection, tenants: list[str]) -> dict[str, float]:
    return percentiles([await timed(connection, tenant) for tenant in tenants])


async def at_once(connection: Connection, tenants: list[str]) -> dict[str, float]:
    """Call each tenant once, AT_ONCE of them at a time."""
    waiting = iter(tenants)
    times_s: list[float] = []

    async def caller() -> None:
        for tenant in waiting:  # shared by all callers
            took_s = await timed(connection, tenant)
            times_s.append(took_s)

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    took_s = time.perf_counter() - started
    return {"calls/s": len(tenants) / took_s, **percentiles(times_s)}


async def memory(served: Served) -> tuple[int, int, int]:
    """Return the hosts, their bytes, and the objects awake in them."""
    status = await served.runtime.status()
    awake = sum(each["awake"] for host in status for each in host["objects"])
    return len(status), sum(host["bytes"] for host in status), awake


async def until_asleep(served: Served) -> None:
    while (await memory(served))[2]:  # noqa: ASYNC110 - it happens in other processes
        await asyncio.sleep(0.5)


async def run(count: int, *, embedded: bool) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=".") as folder:
        settings = Settings(data=Path(folder), idle_s=5)
        served = await serve_runtime(settings, embedded=embedded)
        connection = served.connection
        await timed(connection, "first")
        await asyncio.sleep(0 if embedded else 10)  # the standbys come up

        small = [f"small-{n}" for n in range(SAMPLE)]
        rows.append({"work": "first call of a new tenant", **await one_by_one(connection, small)})
        await until_asleep(served)
        rows.append({"work": "call of a tenant asleep", **await one_by_one(connection, small)})

        tenants = [f"t-{n}" for n in range(count)]
        rows.append({"work": f"{count:,} new tenants", **await at_once(connection, tenants)})
        await until_asleep(served)
        hosts, asleep, _ = await memory(served)
        rows.append({"work": f"{count:,} tenants asleep", "hosts": hosts, "MB": asleep / 2**20})

        active = random.Random(1).sample(tenants, min(1_000, count))
        rows.append({"work": f"{len(active):,} of them wake", **await at_once(connection, active)})
        hosts, used, awake = await memory(served)
        rows.append(
            {
                "work": f"{awake:,} tenants awake",
                "hosts": hosts,
                "MB": used / 2**20,
                "KB a tenant awake": (used - asleep) / 1024 / max(1, awake),
            }
        )
        rows.append({"work": "the same again", **await at_once(connection, active)})
        await until_asleep(served)
        rows.append(
            {
                "work": f"call of a tenant asleep, {count:,} tenants",
                **await one_by_one(connection, random.Random(2).sample(tenants, SAMPLE)),
            }
        )
        await connection.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.life", description=__doc__)
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--embedded", action="store_true")
    chosen = parser.parse_args()
    rows = asyncio.run(run(chosen.tenants, embedded=chosen.embedded))
    report(f"life-{'embedded' if chosen.embedded else 'ray'}-{chosen.tenants}", rows)


if __name__ == "__main__":
    main()
