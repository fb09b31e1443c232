"""Chained and batched calls a second: both clients against raydo, and npm's against its own server.

    python -m benchmarks.capnweb [--quick]

The official server keeps its events in an array and syncs nothing, so it shows what the protocol
costs in JavaScript; raydo's answers leave when the events are on disk. Needs node and npm; run
`npm ci` in `tests/clients` first. Clients and servers share this machine's cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import raydo
from benchmarks.chain import Work, time_work
from benchmarks.server import serving
from benchmarks.table import report, spread
from raydo import Analytics

CLIENTS: Final = Path(__file__).parents[1] / "tests" / "clients"


async def _chains(count: int) -> int:
    await asyncio.gather(*(Analytics("acme").dau(7) for _ in range(count)))
    return count


async def _tracks() -> int:
    acme = Analytics("acme")
    for n in range(1000):
        acme.track("PageView", {"userId": f"u{n % 500}"})
    await acme.active_users()
    return 1000


WORKS: Final[dict[str, Work]] = {
    "Analytics(t).dau(7), one by one": lambda: _chains(1),
    "100 of them at once": lambda: _chains(100),
    "1,000 track() and one answer": _tracks,
}


async def python_client(url: str, runs: int, seconds: float) -> dict[str, list[float]]:
    """Measure the Python client over one kind of connection."""
    kind = "WebSocket" if url.startswith("ws") else "HTTP"
    rates = defaultdict(list)
    async with raydo.connect(url):
        for name, work in WORKS.items():
            await time_work(work, min(0.5, seconds))
            for _ in range(runs):
                rate, _median = await time_work(work, seconds)
                rates[f"{name}, {kind}"].append(rate)
    return rates


def npm_client(host: str, runs: int, seconds: float) -> dict[str, list[float]]:
    """Measure the official client."""
    rates = defaultdict(list)
    for _ in range(runs):
        done = subprocess.run(
            ["node", str(CLIENTS / "bench.mjs"), host, str(seconds)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        for line in map(json.loads, done.stdout.splitlines()):
            rates[line["work"]].append(line["rate"])
    return rates


@contextmanager
def reference() -> Iterator[str]:
    """Run the official server, and give its address."""
    process = subprocess.Popen(
        ["node", str(CLIENTS / "reference.mjs")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.wait()


def measure(runs: int, seconds: float) -> list[dict[str, Any]]:
    """Measure everything."""
    found: list[tuple[str, dict[str, list[float]]]] = []
    for where, options in (("raydo on Ray", ()), ("raydo, embedded", ("--embedded",))):
        with serving(*options) as url:
            for address in (url, url.replace("http", "ws")):
                rates = asyncio.run(python_client(address, runs, seconds))
                found.append((f"Python, {where}", rates))
            found.append((f"npm, {where}", npm_client(url.split("//")[1], runs, seconds)))
    with reference() as host:
        found.append(("npm, its own server in memory", npm_client(host, runs, seconds)))
    return [
        {"client and server": who, "work": work, "calls/s": spread(values)}
        for who, rates in found
        for work, values in rates.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capnweb")
    parser.add_argument("--quick", action="store_true", help="one short run each")
    runs, seconds = (1, 0.5) if parser.parse_args().quick else (3, 2.0)
    if not (CLIENTS / "node_modules").exists():
        sys.exit("Run `npm ci` in tests/clients first.")
    report("capnweb", measure(runs, seconds))


if __name__ == "__main__":
    main()
