"""What a history costs to ask: seconds and bytes, beside DuckDB reading the same files directly.

    python -m benchmarks.lake [--events 10000000] [--days 90] [--users 200000] [--keep FOLDER]

The events are archived but for nothing; then each question goes to a pool of processes, as a query
does behind a turn, and to a plain DuckDB in a process of its own with as many threads, over the
files of the same snapshot. A FOLDER that was kept before is asked again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.archive import DAY_MS, END_MS, NOUN, Tenant
from benchmarks.table import report
from raydo.actors.lake import Lake, namespace_of
from raydo.actors.lake_table import opened
from raydo.actors.question import Question
from raydo.actors.workers import Workers
from raydo.pipelining.limits import QUERY_THREADS

DAY = f"timestamp >= {END_MS - 30 * DAY_MS} AND timestamp < {END_MS - 29 * DAY_MS}"
DIRECTLY_DAY = (
    f"timestamp >= make_timestamptz({(END_MS - 30 * DAY_MS) * 1000})"
    f" AND timestamp < make_timestamptz({(END_MS - 29 * DAY_MS) * 1000})"
)
USER = "WHERE user_id = '{user}' ORDER BY seq LIMIT 1000"
QUESTIONS = {
    "DAU by day, all days": (
        "SELECT date, count(DISTINCT user_id) AS dau FROM events GROUP BY date ORDER BY date",
        "SELECT timestamp::DATE::VARCHAR AS date, count(DISTINCT user_id) AS dau FROM f GROUP BY 1 ORDER BY 1",
    ),
    "one day's count": (
        f"SELECT count(*) AS n FROM events WHERE {DAY}",
        f"SELECT count(*) AS n FROM f WHERE {DIRECTLY_DAY}",
    ),
    "one user's history": (
        f"SELECT seq, event, timestamp, properties FROM events {USER}",
        f"SELECT seq, event, epoch_ms(timestamp) AS timestamp, properties FROM f {USER}",
    ),
}
DIRECTLY = """
import json, statistics, sys, time
import duckdb

given = json.load(sys.stdin)
engine = duckdb.connect()
engine.execute(f"SET threads = {given['threads']}")
engine.execute("SET TimeZone = 'UTC'")
engine.execute("SET enable_progress_bar = false")
files = ", ".join(f"'{path}'" for path in given["paths"])
engine.execute(f"CREATE VIEW f AS SELECT * FROM read_parquet([{files}])")
found = {}
for name, sql in given["questions"].items():
    took = []
    for _ in range(given["runs"]):
        began = time.perf_counter()
        rows = engine.execute(sql).fetchall()
        took.append(time.perf_counter() - began)
    found[name] = [len(rows), took]
print(json.dumps(found))
"""


def made(folder: Path, events: int, days: int, users: int) -> None:
    """Fill a tenant and archive all of it."""
    began = time.perf_counter()
    tenant = Tenant(folder)
    tenant.fill(events, days, users)
    filled = time.perf_counter()
    figures = tenant.archive()
    tenant.database.close()
    sys.stdout.write(
        f"filled in {filled - began:.0f} s, archived at {figures['rows/s']:,.0f} rows/s\n"
    )
    sys.stdout.flush()


async def asked(folder: Path, user: str, runs: int) -> dict[str, dict[str, Any]]:
    lake = Lake(folder, namespace_of(NOUN))
    pool = Workers(folder.parent, 2)
    found: dict[str, dict[str, Any]] = {}
    try:
        for name, (sql, _) in QUESTIONS.items():
            question = Question(
                folder / "tenant.db", "UTC", sql.format(user=user), None, None, lake=lake
            )
            took = []
            for _ in range(runs):
                began = time.perf_counter()
                reply = await pool.run(question)
                took.append(time.perf_counter() - began)
            found[name] = {"took": took, "reply": reply}
    finally:
        await pool.close()
    return found


def directly(paths: list[str], user: str, runs: int) -> dict[str, Any]:
    given = {
        "paths": paths,
        "threads": QUERY_THREADS,
        "runs": runs,
        "questions": {name: sql.format(user=user) for name, (_, sql) in QUESTIONS.items()},
    }
    done = subprocess.run(
        [sys.executable, "-c", DIRECTLY],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(folder: Path, runs: int) -> list[dict[str, Any]]:
    with opened(Lake(folder, namespace_of(NOUN))) as table:
        assert table is not None
        files = [task.file for task in table.scan().plan_files()]
    user = f"u_{17:012x}"
    ours = asyncio.run(asked(folder, user, runs))
    theirs = directly([file.file_path.removeprefix("file://") for file in files], user, runs)
    rows = []
    for name, found in ours.items():
        count, took = theirs[name]
        reply = found["reply"]
        assert len(reply["rows"]) == count, name
        warm, plain = statistics.median(found["took"][1:]), statistics.median(took[1:])
        rows.append(
            {
                "question": name,
                "rows": count,
                "first, s": found["took"][0],
                "then, s": warm,
                "DuckDB directly, s": plain,
                "times as long": warm / plain,
                "MB read": reply["read"]["bytes"] / 1e6,
                "of MB": sum(file.file_size_in_bytes for file in files) / 1e6,
                "files": reply["read"]["files"],
                "of files": len(files),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lake", description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--keep", type=Path, help="where the tenant's folder stays, or is already")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as scratch:
        folder = (chosen.keep or Path(scratch) / "large").absolute()
        if not folder.exists():
            made(folder, chosen.events, chosen.days, chosen.users)
        report("lake", measure(folder, chosen.runs))


if __name__ == "__main__":
    main()
