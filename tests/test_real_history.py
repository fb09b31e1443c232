"""Seventy thousand real events, archived but for a week, asked before, during and after that."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from test_real_data import BATCH, NOW_MS, ZONES, Row, plain, rows, wire

from raydo.actors import archiver, tenant, turns
from raydo.actors.analytics import Analytics
from raydo.actors.lake import Lake, namespace_of
from raydo.actors.world import World
from raydo.pipelining.noun import Noun
from raydo.pipelining.stub import Stub

pytestmark = pytest.mark.slow

WEEK_MS = 7 * 86_400_000
MONDAY_MS = 4 * 86_400_000  # of 1970
DAU = "SELECT date, count(DISTINCT user_id) AS dau, count(*) AS n FROM events GROUP BY date"
USERS = "SELECT count(DISTINCT user_id) AS users, count(*) AS n, count(DISTINCT seq) AS seqs FROM events"
RETENTION = f"""
    WITH seen AS (
        SELECT DISTINCT user_id, CAST((timestamp - {MONDAY_MS}) / {WEEK_MS} AS INTEGER) AS week
        FROM events
    ), first AS (SELECT user_id, min(week) AS cohort FROM seen GROUP BY user_id)
    SELECT cohort, week - cohort AS later, count(*) AS users
    FROM seen JOIN first ON first.user_id = seen.user_id GROUP BY 1, 2"""
Answers = tuple[dict[str, tuple[int, int]], dict[str, int], dict[tuple[int, int], int]]


def at_ms(row: Row) -> int:
    return round(datetime.fromisoformat(row["timestamp"]).timestamp() * 1000)


def computed(events: list[Row], zone: str) -> Answers:
    """Compute all three as anybody would."""
    weeks: defaultdict[str, set[int]] = defaultdict(set)
    for row in events:
        weeks[row["user_id"]].add((at_ms(row) - MONDAY_MS) // WEEK_MS)
    retained = Counter((min(seen), week - min(seen)) for seen in weeks.values() for week in seen)
    users = {"users": len(weeks), "n": len(events), "seqs": len(events)}
    return plain(events, zone), users, dict(retained)


def answered(world: World, stub: Stub[Analytics], as_of: int | None = None) -> Answers:
    def ask(sql: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = world.wait(stub.query(sql, as_of=as_of)["rows"])
        return found

    days = {row["date"]: (row["dau"], row["n"]) for row in ask(DAU)}
    [users] = ask(USERS)
    return days, users, {(row["cohort"], row["later"]): row["users"] for row in ask(RETENTION)}


def settled(world: World, stub: Stub[Analytics]) -> list[Any]:
    deadline = time.monotonic() + 120
    while True:
        runs = world.wait(stub.archive_runs())
        if all(run["state"] == "deleted" for run in runs):
            return runs
        assert time.monotonic() < deadline
        time.sleep(0.02)  # other threads work


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Hold every run when it is in the archive and the database does not know it yet."""
    committed, go_on = threading.Event(), threading.Event()
    run_job: Callable[[archiver.Job], Any] = archiver.run_job

    def held_job(job: archiver.Job) -> Any:
        done = run_job(job)
        committed.set()
        assert go_on.wait(120)
        return done

    monkeypatch.setattr(turns, "run_job", held_job)
    yield committed, go_on
    go_on.set()


def send(world: World, stub: Stub[Analytics], events: list[Row]) -> None:
    for start in range(0, len(events), BATCH):
        part = [wire(row) for row in events[start : start + BATCH]]
        assert world.wait(stub.ingest(part))["accepted"] == len(part)


def test_every_answer_equals_a_plain_computation_before_during_and_after_an_archive_run(
    tmp_path: Path, held: tuple[threading.Event, threading.Event]
) -> None:
    committed, go_on = held
    tenants: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows():
        tenants[row["tenant"]].append(row)
    archived: dict[str, list[Row]] = {}
    with World(tmp_path, now_ms=NOW_MS) as world:
        for name, events in tenants.items():
            stub = world.stub(Analytics, name)
            zone = ZONES[len(name) % len(ZONES)]
            world.wait(stub.set_settings(zone=zone))
            early, late = events[: -len(events) // 10], events[-len(events) // 10 :]
            send(world, stub, early)
            older_than_s = (world.now_ms - max(map(at_ms, events)) + WEEK_MS) / 1000
            before_ms = world.now_ms - round(older_than_s * 1000)
            expected = computed(early, zone)
            assert answered(world, stub) == expected  # before

            committed.clear()
            go_on.clear()
            assert world.wait(stub.archive(older_than_s)) is not None
            assert committed.wait(120)
            assert answered(world, stub) == expected  # during
            go_on.set()
            settled(world, stub)
            assert answered(world, stub) == expected  # after

            then_ms = world.now_ms
            world.advance(seconds=1)
            send(world, stub, late)
            world.wait(stub.archive(older_than_s + 1))
            runs = settled(world, stub)
            everything = computed(events, zone)
            assert answered(world, stub) == everything
            assert answered(world, stub, as_of=then_ms) == expected
            archived[name] = [row for row in events if at_ms(row) < before_ms]
            assert sum(run["rows"] for run in runs) == len(archived[name])
    external_readers_agree(tmp_path, archived)


READER = """
import json, sys
from collections import Counter
import duckdb
from pyiceberg.catalog import load_catalog

duckdb.execute("SET enable_progress_bar = false")  # it would print among the rows
for name, catalog, namespace in json.load(sys.stdin):
    table = load_catalog("raydo", type="sql", uri=f"sqlite:///{catalog}").load_table(f"{namespace}.events")
    columns = ("id", "event", "user_id", "timestamp")
    scanned = [
        (row["id"], row["event"], row["user_id"], round(row["timestamp"].timestamp() * 1000))
        for row in table.scan(selected_fields=columns).to_arrow().to_pylist()
    ]
    paths = [task.file.file_path.removeprefix("file://") for task in table.scan().plan_files()]
    by_duckdb = duckdb.execute(
        "SELECT id, event, user_id, epoch_ms(timestamp) FROM read_parquet(?)", [paths]
    ).fetchall()
    assert Counter(scanned) == Counter(by_duckdb), name
    print(json.dumps([name, sorted(row[1:] for row in scanned)]))
"""


def external_readers_agree(data: Path, archived: dict[str, list[Row]]) -> None:
    """Read the tables as any other engine would, in a process that knows nothing of raydo."""
    where = []
    for name in archived:
        noun = Noun("Analytics", name)
        lake = Lake(tenant.folder(data, noun), namespace_of(noun))
        where.append([name, str(lake.catalog_path), lake.namespace])
    done = subprocess.run(
        [sys.executable, "-P", "-c", READER],
        input=json.dumps(where),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        name, found = json.loads(line)
        expected = sorted([row["event"], row["user_id"], at_ms(row)] for row in archived[name])
        assert found == expected, name
