"""Ten million events a day, at ten times their speed: what that costs this machine, and in dollars.

    python -m benchmarks.replay [--minutes 10] [--speed 10] [--embedded]

Twenty tenants, the largest with a third of all, send batches as SDKs do: up to 50 events, twice a
second. CPU is what all of the server's processes used, over all cores; a day's and a month's costs
follow from what was measured by the arithmetic that is printed. The ledger's own sum stands beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.load import event
from benchmarks.server import running
from benchmarks.table import report

DAY_EVENTS: Final = 10_000_000
DAY_S: Final = 86_400
TENANTS: Final = 20
STEP_S: Final = 0.5
BATCH: Final = 50
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def shares() -> list[float]:
    """Give each tenant's share of the events: half of what the one before has, down to a floor."""
    raw = [max(0.01, 0.33 * 0.5**at) for at in range(TENANTS)]
    return [each / sum(raw) for each in raw]


async def send(url: str, rate: float, seconds: float) -> tuple[int, float]:
    """Send `rate` events a second; give how many were taken, and the longest wait for a reply."""
    r = random.Random(7)
    accepted, slowest_s, owed = 0, 0.0, [0.0] * TENANTS
    begun_s = time.monotonic()
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:

        async def post(tenant: int, count: int) -> int:
            nonlocal slowest_s
            body = json.dumps([event(r) for _ in range(count)])
            sent_s = time.monotonic()
            reply = await client.post(
                "/track/batch", content=body, headers={"x-tenant": f"tenant-{tenant}"}
            )
            slowest_s = max(slowest_s, time.monotonic() - sent_s)
            taken: int = reply.raise_for_status().json()["accepted"]
            return taken

        while (elapsed_s := time.monotonic() - begun_s) < seconds:
            calls = []
            for tenant, share in enumerate(shares()):
                owed[tenant] += rate * share * STEP_S
                while owed[tenant] >= 1:
                    count = min(BATCH, int(owed[tenant]))
                    owed[tenant] -= count
                    calls.append(post(tenant, count))
            accepted += sum(await asyncio.gather(*calls))
            await asyncio.sleep(max(0.0, STEP_S - (time.monotonic() - begun_s - elapsed_s)))
    return accepted, slowest_s


def used(pid: int) -> tuple[float, int]:
    """Tell the CPU seconds and the resident bytes of a process and its descendants."""
    children: dict[int, list[int]] = {}
    fields: dict[int, list[str]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue  # it has ended meanwhile
            fields[int(folder.name)] = stat
            children.setdefault(int(stat[1]), []).append(int(folder.name))
    cpu_s, memory_bytes, todo = 0.0, 0, [pid]
    while todo:
        each = todo.pop()
        todo += children.get(each, [])
        if each in fields:
            cpu_s += (int(fields[each][11]) + int(fields[each][12])) / _TICKS
            memory_bytes += int(fields[each][21]) * _PAGE
    return cpu_s, memory_bytes


def on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure(options: list[str], minutes: float, speed: float) -> list[dict[str, Any]]:
    """Replay, and tell what it took."""
    rate = DAY_EVENTS / DAY_S * speed
    with running(*options) as (url, pid, data):
        before_s, _ = used(pid)
        accepted, slowest_s = asyncio.run(send(url, rate, minutes * 60))
        after_s, memory_bytes = used(pid)
        with urllib.request.urlopen(f"{url}/admin/costs") as reply:
            costs = json.load(reply)
        disk_bytes = on_disk(data)
    cpu_s = after_s - before_s
    day = DAY_EVENTS / accepted
    share = cpu_s * day / DAY_S
    prices = costs["prices"]
    month_disk = disk_bytes * day * 7  # rows are in SQLite for a week; the archive is smaller
    return [
        {"what": "events", "value": accepted},
        {"what": "events/s", "value": accepted / (minutes * 60)},
        {"what": "slowest reply, s", "value": slowest_s},
        {"what": "CPU s per million events", "value": cpu_s / accepted * 1e6},
        {"what": "CPU share of one core at 10M a day", "value": share},
        {"what": "memory of all processes, MB", "value": memory_bytes / 1e6},
        {"what": "bytes on disk an event, before the archive", "value": disk_bytes / accepted},
        {"what": "a week of rows on disk, GB", "value": month_disk / 1e9},
        {
            "what": "$ a month of CPU",
            "value": share / prices["cores"] * prices["month_usd"] * prices["cpu_share"],
        },
        {
            "what": "$ a month of disk",
            "value": month_disk
            / 1e9
            / prices["disk_gb"]
            * prices["month_usd"]
            * (1 - prices["cpu_share"]),
        },
        {"what": "$ so far, by the ledger", "value": sum(each["usd"] for each in costs["tenants"])},
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--speed", type=float, default=10)
    parser.add_argument("--embedded", action="store_true")
    chosen = parser.parse_args()
    options = ["--embedded"] if chosen.embedded else []
    sys.stdout.write(
        f"{DAY_EVENTS:,} events a day are {DAY_EVENTS / DAY_S:.0f} a second; {chosen.speed:g} times "
        f"that for {chosen.minutes:g} minutes.\n"
    )
    name = "replay-embedded" if chosen.embedded else "replay"
    report(name, measure(options, chosen.minutes, chosen.speed))


if __name__ == "__main__":
    main()
