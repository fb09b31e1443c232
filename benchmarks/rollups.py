"""What rollups cost: time to roll up 1,000 events, bytes written for them, size on disk, reads.

    python -m benchmarks.rollups [--events 300000] [--users 200000] [--per-drain 1000]

A tenant's events arrive in the order of time, visits of about eight events each, a tenth of them
late by up to three days, and are rolled up in drains of `--per-drain`, each a transaction. Bytes
written are what SQLite's write-ahead log grew by. Times are of the processor.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import Any

from benchmarks.table import report, spread
from raydo.actors.database import Database
from raydo.actors.rollups import RolledEvent, Rollups

END_MS = 1_760_011_200_000
SPAN_MS = 7 * 86_400_000
NAMES = [f"Event {n}" for n in range(30)]
READS = 5


def visits(count: int, users: int) -> Iterator[RolledEvent]:
    """Make events up: each user comes for a few minutes, some of them are heard of late."""
    source = random.Random(7)
    for at in range(0, count, 8):
        user = f"u_{int(users * source.random() ** 2):012x}"
        start_ms = END_MS - SPAN_MS + at * SPAN_MS // count
        late_ms = source.randrange(3 * 86_400_000) if source.random() < 0.1 else 0
        for n in range(min(8, count - at)):
            moment_ms = start_ms + n * 20_000 - late_ms
            yield RolledEvent(moment_ms, source.choice(NAMES), user, source.random() < 0.01)


def measure(folder: Path, count: int, users: int, per_drain: int) -> list[dict[str, Any]]:
    database = Database(folder / "tenant.db")
    for pragma in ("synchronous=NORMAL", "wal_autocheckpoint=0", "journal_size_limit=-1"):
        database.run(f"PRAGMA {pragma}")
    rollups = Rollups(database)
    database.begin()
    rollups.create()
    database.commit()
    events = list(visits(count, users))
    drains = [events[start : start + per_drain] for start in range(0, count, per_drain)]
    apply_ms = [roll_up(rollups, database, drain) * 1e3 * 1_000 / len(drain) for drain in drains]
    written = (folder / "tenant.db-wal").stat().st_size
    database.run("PRAGMA wal_checkpoint(TRUNCATE)")
    persons, pairs = database.run("SELECT count(*), sum(length(buckets)) FROM _raydo_seen")[0]
    values = {
        "events": count,
        "users seen": persons,
        "events a drain": per_drain,
        "roll up 1,000 events, ms": spread(apply_ms),
        "ms per 1,000, last tenth": statistics.median(apply_ms[-max(1, len(drains) // 10) :]),
        "bytes written an event": written / count,
        "bytes on disk an event": (folder / "tenant.db").stat().st_size / count,
        "bytes a user for its buckets": pairs / persons,
        "materialise all, ms": milliseconds(lambda: write_tables(rollups, database, "UTC"), 1),
        **changed(rollups, database, drains[-1]),
        "7 days of the tables' zone, ms": milliseconds(lambda: days(rollups, "UTC")),
        "7 days of another zone, ms": milliseconds(lambda: days(rollups, "Asia/Tokyo")),
        "users of a day, ms": milliseconds(
            lambda: rollups.users_between(END_MS - 2 * 86_400_000, END_MS - 86_400_000)
        ),
    }
    return [{"what": name, "value": value} for name, value in values.items()]


def roll_up(rollups: Rollups, database: Database, events: list[RolledEvent]) -> float:
    began = process_time()
    rollups.apply(events)
    database.commit()
    return process_time() - began


def changed(rollups: Rollups, database: Database, events: list[RolledEvent]) -> dict[str, Any]:
    rollups.apply(events)
    return {
        "materialise after a drain, ms": milliseconds(
            lambda: write_tables(rollups, database, "UTC"), 1
        )
    }


def write_tables(rollups: Rollups, database: Database, zone: str) -> None:
    rollups.materialise(zone)
    database.commit()


def days(rollups: Rollups, zone: str) -> None:
    rollups.days(7, zone, None, END_MS)


def milliseconds(work: Callable[[], object], times: int = READS) -> dict[str, float]:
    values = []
    for _ in range(times):
        began = process_time()
        work()
        values.append((process_time() - began) * 1e3)
    return spread(values)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollups", description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--per-drain", type=int, default=1_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), chosen.events, chosen.users, chosen.per_drain)
    report("rollups", rows)


if __name__ == "__main__":
    main()
