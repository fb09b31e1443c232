"""What archiving costs: seconds and bytes for a history, for a late run, and for a small tenant.

    python -m benchmarks.archive [--events 1000000] [--days 90] [--users 200000] [--keep FOLDER]

The events lie in SQLite first, in the order of their receipt, a tenth of them late by up to three
days. With `--keep` the tenant's folder stays there, for other benchmarks to ask questions of.
"""

from __future__ import annotations

import argparse
import random
import resource
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.table import report
from raydo.actors import lake_runs
from raydo.actors.lake import Lake, namespace_of
from raydo.actors.lake_archive import archive
from raydo.actors.lake_compaction import compact
from raydo.actors.lake_expiry import expire
from raydo.actors.lake_rows import TenantRows
from raydo.actors.lake_runs import Runs
from raydo.actors.schema import open_database
from raydo.pipelining.noun import Noun

T = TypeVar("T")

DAY_MS = 86_400_000
END_MS = 1_760_000_000_000 // DAY_MS * DAY_MS
NOUN = Noun("Analytics", "bench")
INSERT = """INSERT INTO raw_events (seq, id, event, user_id, anonymous_id, timestamp, received_at,
    properties, context, flags, stream, appended_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
PLANS = ("free", "team", "business")
LATE_ROWS = 1_000
SMALL_ROWS = 1_000


def rows(first_seq: int, count: int, days: int, users: int) -> Iterator[tuple[Any, ...]]:
    """Make events up: 30 names, some users much busier than others."""
    source = random.Random(first_seq)
    begin_ms = END_MS - days * DAY_MS
    for n in range(count):
        received_ms = begin_ms + n * days * DAY_MS // count
        late_ms = source.randrange(3 * DAY_MS) if source.random() < 0.1 else 0
        timestamp_ms = max(begin_ms, received_ms - late_ms)
        user = f"u_{int(users * source.random() ** 2):012x}"
        properties = (
            f'{{"page":"/p/{source.randrange(200)}","plan":"{source.choice(PLANS)}",'
            f'"ms":{source.randrange(3_000)}}}'
        )
        yield (
            *(first_seq + n, str(uuid.UUID(int=source.getrandbits(128))), f"Event {n % 30}"),
            *(user, None, timestamp_ms, received_ms, properties, None, 0, "analytics", received_ms),
        )


class Tenant:
    """A folder with events in SQLite, and its runs."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.lake = Lake(folder, namespace_of(NOUN))
        self.database = open_database(folder / "tenant.db")
        self.runs = Runs(self.database)
        self.rows = 0

    def fill(self, count: int, days: int, users: int) -> None:
        self.database.run("PRAGMA synchronous=OFF")
        self.database.run_many(INSERT, rows(self.rows + 1, count, days, users))
        self.database.commit()
        self.database.checkpoint()
        self.database.run("PRAGMA synchronous=FULL")
        self.rows += count

    def archive(self) -> dict[str, float]:
        """Run all of a run; return its seconds."""
        run, planning = timed(lambda: self.runs.plan(END_MS, END_MS, rows_min=1))
        assert run is not None
        self.database.commit()
        source = TenantRows(self.folder / "tenant.db")
        committed, archiving = timed(lambda: archive(self.lake, run, source))
        pauses = []
        settled = False
        while not settled:
            settled, pause = timed(lambda: self._settle(committed))
            pauses.append(pause)
        return {
            "plan, s": planning,
            "archive, s": archiving,
            "rows/s": committed.rows / archiving,
            "delete all, s": sum(pauses),
            "delete, longest turn, s": max(pauses),
        }

    def _settle(self, committed: lake_runs.Committed) -> bool:
        done = self.runs.settle(committed, END_MS)
        self.database.commit()
        return done

    def parquet(self) -> list[int]:
        return [path.stat().st_size for path in self.lake.home.rglob("*.parquet")]

    def other_bytes(self) -> int:
        every = (path for path in self.lake.home.rglob("*") if path.is_file())
        return sum(path.stat().st_size for path in every if path.suffix != ".parquet")


def measure(folder: Path, events: int, days: int, users: int) -> list[dict[str, Any]]:
    tenant = Tenant(folder)
    tenant.fill(events, days, users)
    sqlite_bytes = (folder / "tenant.db").stat().st_size
    values: dict[str, Any] = {"events": events, "days": days, **tenant.archive()}
    files = tenant.parquet()
    values |= {
        "SQLite, bytes an event": sqlite_bytes / events,
        "Parquet, bytes an event": sum(files) / events,
        "files": len(files),
        "largest file, MB": max(files) / 1e6,
        "metadata, bytes": tenant.other_bytes(),
        "memory at most, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }
    for _ in range(4):
        tenant.fill(LATE_ROWS, days, users)
        late = tenant.archive()
    values[f"{LATE_ROWS:,} late events of all days: archive, s"] = late["archive, s"]
    merged, took = timed(lambda: compact(tenant.lake, settled_run=tenant.runs.settled))
    assert merged is not None
    values |= {
        "compaction, s": took,
        "compaction, files before": merged.before,
        "compaction, files after": merged.after,
        "expiry, s": timed(lambda: expire(tenant.lake, int(time.time() * 1_000)))[1],
    }
    return [{"what": name, "value": value} for name, value in values.items()]


def small(folder: Path) -> list[dict[str, Any]]:
    """Measure the weekly run of a tenant of whom there may be thousands."""
    tenant = Tenant(folder)
    took = []
    for _ in range(3):
        tenant.fill(SMALL_ROWS, 7, 100)
        before = time.process_time()
        took.append({**tenant.archive(), "cpu": time.process_time() - before})
    return [
        {"what": f"{SMALL_ROWS:,} events of a week: first run, s", "value": took[0]["archive, s"]},
        {"what": f"{SMALL_ROWS:,} events of a week: later run, s", "value": took[2]["archive, s"]},
        {"what": f"{SMALL_ROWS:,} events of a week: later run, s of CPU", "value": took[2]["cpu"]},
    ]


def timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.archive", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--keep", type=Path, help="where the tenant's folder shall stay")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as scratch:
        folder = chosen.keep or Path(scratch) / "large"
        values = measure(folder, chosen.events, chosen.days, chosen.users)
        values += small(Path(scratch) / "small")
    report("archive", values)


if __name__ == "__main__":
    main()
