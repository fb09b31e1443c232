"""What metrics cost: over some 300,000 events in SQLite, from rollups and from the events.

    python -m benchmarks.metrics [--events 300000] [--users 30000]

The events are of ninety days, each user's near each other in time. Times are from call to answer, by
the wall, in one process; what is answered beside the turns has a process of its own, which runs when
it is first measured.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.table import report, spread
from raydo.actors.analytics import Analytics
from raydo.actors.world import World

END_MS = 1_760_011_200_000
SPAN_MS = 90 * 86_400_000
NAMES = ("PageView", "PageView", "PageView", "FeatureUsed", "SignUp", "Purchase")
PAGES = [f"/page/{n}" for n in range(200)]
BATCH = 5_000
RUNS = 5


def events(count: int, users: int) -> Iterator[bytes]:
    source = random.Random(1)
    begins = [source.randrange(SPAN_MS) for _ in range(users)]
    for n in range(count):
        user = source.randrange(users)
        after = int(source.expovariate(1 / (10 * 86_400_000)))
        yield json.dumps(
            {
                "event": source.choice(NAMES),
                "userId": f"u{user}",
                "messageId": f"m{n}",
                "timestamp": END_MS - SPAN_MS + min(SPAN_MS - 1, begins[user] + after),
                "properties": {"page": source.choice(PAGES), "plan": source.choice("abc")},
            }
        ).encode()


def measure(folder: Path, count: int, users: int) -> list[dict[str, Any]]:
    with World(folder, now_ms=END_MS) as world:
        stub = world.stub(Analytics, "big")
        batch: list[bytes] = []
        for event in events(count, users):
            batch.append(event)
            if len(batch) == BATCH:
                world.wait(stub.ingest(batch))
                batch = []
        world.wait(stub.ingest(batch))
        calls = {
            "30 days of events": stub.timeseries,
            "30 days of events, hourly": lambda: stub.timeseries(
                since="2025-09-10", interval="hour"
            ),
            "90 days of persons by week": lambda: stub.timeseries(
                metric="users", interval="week", since="2025-07-12"
            ),
            "active persons, 30 days": stub.active,
            "retention, 12 weeks": lambda: stub.retention(since="2025-07-20"),
            "top events, 30 days": stub.top,
            "one person's latest 50 events": lambda: stub.timeline("u77"),
            "where an event is": lambda: stub.event("m77"),
            "30 days by page": lambda: stub.timeseries(breakdown="page"),
            "7 days with a filter": lambda: stub.timeseries(since="2025-10-03", filters=["plan:a"]),
            "top pages by persons, 30 days": lambda: stub.top("page", "users"),
            "funnel of 3 steps, 30 days": lambda: stub.funnel(
                ["PageView", "SignUp", "Purchase"], 86_400
            ),
        }
        return [timed(world, name, call) for name, call in calls.items()]


def timed(world: World, name: str, call: Any) -> dict[str, Any]:
    reply = world.wait(call())  # the process beside the turns is there
    values = []
    for _ in range(RUNS):
        began = perf_counter()
        world.wait(call())
        values.append((perf_counter() - began) * 1e3)
    layer = reply["layer"] if isinstance(reply, dict) else "L2"
    return {"what": name, "layer": layer, "ms": spread(values)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metrics", description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--users", type=int, default=30_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), chosen.events, chosen.users)
    report("metrics", rows)


if __name__ == "__main__":
    main()
