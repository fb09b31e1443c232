"""Ten thousand objects asleep whose timers are due in one minute, and then in one instant.

    python -m benchmarks.timers [--objects 10000] [--embedded]

Each object sets one timer and falls asleep; somebody in the foreground goes on calling another one.
An object that runs notes when, in a file of its process: that is the lateness below.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.sleeper import Sleeper
from benchmarks.table import report
from raydo.actors.runtime import Served, serve_runtime
from raydo.actors.settings import Settings

AT_ONCE = 64
LEAD_S = 30  # between the last timer that is set and the first that is due


async def foreground(served: Served, ended: asyncio.Event) -> list[float]:
    """Call one object as long as it lasts; return how long each call took."""
    took: list[float] = []
    stub = served.connection.stub(Sleeper, "foreground")
    while not ended.is_set():
        started = time.perf_counter()
        await stub.ping()
        took.append(time.perf_counter() - started)
        await asyncio.sleep(0.02)
    return took


async def ring(served: Served, count: int, spread_s: float) -> dict[str, Any]:
    """Set all timers, wait until all have rung, and describe when."""
    with tempfile.TemporaryDirectory() as folder:
        source = random.Random(count)
        numbers = iter(range(count))
        setting_s = count / 100 + LEAD_S  # more than it takes
        begins_ms = round((time.time() + setting_s) * 1000)

        async def setter() -> None:
            for number in numbers:
                at_ms = begins_ms + round(source.random() * spread_s * 1000)
                stub = served.connection.stub(Sleeper, f"{spread_s}-{number}")
                await stub.sleep_until(at_ms, folder)

        started = time.perf_counter()
        await asyncio.gather(*(setter() for _ in range(AT_ONCE)))
        set_s = time.perf_counter() - started
        await asyncio.sleep(max(0.0, begins_ms / 1000 - time.time()))
        ended = asyncio.Event()
        watching = asyncio.create_task(foreground(served, ended))
        lateness = await rung(Path(folder), count)
        ended.set()
        took = sorted(await watching)
    names = [name for _, name in lateness]
    late = sorted(ms for ms, _ in lateness)
    return {
        "due within": f"{spread_s:g} s" if spread_s else "one instant",
        "objects": count,
        "set /s": count / set_s,
        "rang": len(names),
        "twice": len(names) - len(set(names)),
        "early": sum(ms < 0 for ms in late),
        "late p50 s": late[len(late) // 2] / 1000,
        "late p99 s": late[len(late) * 99 // 100] / 1000,
        "foreground p50 ms": took[len(took) // 2] * 1000,
        "foreground p99 ms": took[len(took) * 99 // 100] * 1000,
    }


async def rung(folder: Path, count: int) -> list[tuple[int, str]]:
    deadline = time.monotonic() + 600
    while True:
        lines = await asyncio.to_thread(_lines, folder)
        if len(lines) >= count or time.monotonic() > deadline:
            pairs = (line.split(" ", 1) for line in lines)
            return [(int(ms), name) for ms, name in pairs]
        await asyncio.sleep(0.5)


def _lines(folder: Path) -> list[str]:
    return [line for path in folder.iterdir() for line in path.read_text().splitlines()]


async def run(count: int, *, embedded: bool) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        settings = Settings(data=Path(folder), idle_s=2, objects=("benchmarks.sleeper",))
        served = await serve_runtime(settings, embedded=embedded)
        rows = [await ring(served, count, spread_s) for spread_s in (60.0, 0.0)]
        await served.connection.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.timers", description=__doc__)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--embedded", action="store_true")
    chosen = parser.parse_args()
    rows = asyncio.run(run(chosen.objects, embedded=chosen.embedded))
    report(f"timers-{'embedded' if chosen.embedded else 'ray'}-{chosen.objects}", rows)


if __name__ == "__main__":
    main()
