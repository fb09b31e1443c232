"""Seventy thousand real events, late, shuffled and sent again, through the whole path."""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
from collections import defaultdict
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from raydo.actors.analytics import Analytics
from raydo.actors.world import World
from raydo.pipelining.limits import DAYS_MAX
from raydo.pipelining.stub import Stub

DATA = Path(__file__).parents[2] / "shared" / "data" / "git_events_20tenants.csv.gz"
ZONES = ("UTC", "Asia/Kolkata", "America/New_York", "Pacific/Auckland")
BATCH = 1_000
NOW_MS = 1_795_478_400_000  # later than every event

Row = dict[str, str]


def rows() -> list[Row]:
    if not DATA.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{DATA} is missing")
        pytest.skip(f"the data set is not there: {DATA}")
    with gzip.open(DATA, "rt", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def wire(row: Row) -> bytes:
    event = {
        "event": row["event"],
        "userId": row["user_id"],
        "timestamp": row["timestamp"],
        "messageId": row["message_id"],
        "properties": {"kind": row["kind"], "is_bot": row["is_bot"] == "1"},
    }
    return json.dumps(event).encode()


def plain(events: list[Row], zone: str) -> dict[str, tuple[int, int]]:
    """Count users and events by local day, as anybody would."""
    users: defaultdict[str, set[str]] = defaultdict(set)
    counts: defaultdict[str, int] = defaultdict(int)
    for row in events:
        local = datetime.fromisoformat(row["timestamp"]).astimezone(ZoneInfo(zone))
        day = local.date().isoformat()
        counts[day] += 1
        users[day].add(row["user_id"])
    return {day: (len(users[day]), count) for day, count in counts.items()}


def answered(
    world: World, stub: Stub[Analytics], zone: str, first: str, last: str
) -> dict[str, tuple[int, int]]:
    """Ask for every day from `first` to `last`; leave out those without events."""
    found = {}
    to = date.fromisoformat(last)
    while to.isoformat() >= first:
        for day in world.wait(stub.dau(DAYS_MAX, zone, to.isoformat())):
            if day["events"]:
                found[day["date"]] = (day["dau"], day["events"])
        to -= timedelta(days=DAYS_MAX)
    return found


def in_tables(world: World, stub: Stub[Analytics]) -> dict[str, tuple[int, int]]:
    """Read what SQL finds in `daily_metrics`, and hold `hourly_events` against it."""
    days = world.wait(stub.query("SELECT date, dau, events FROM daily_metrics"))["rows"]
    hours = world.wait(
        stub.query(
            "SELECT substr(hour, 1, 10) AS date, sum(count) AS n FROM hourly_events GROUP BY 1"
        )
    )["rows"]
    assert {row["date"]: row["n"] for row in hours} == {row["date"]: row["events"] for row in days}
    return {row["date"]: (row["dau"], row["events"]) for row in days}


@pytest.mark.slow
def test_every_day_of_every_tenant_equals_a_plain_computation_in_four_zones(
    tmp_path: Path,
) -> None:
    tenants: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows():
        tenants[row["tenant"]].append(row)
    source = random.Random(7)
    with World(tmp_path, now_ms=NOW_MS) as world:
        for tenant, events in tenants.items():
            stub = world.stub(Analytics, tenant)
            sent = events + source.sample(events, len(events) // 20)
            source.shuffle(sent)
            counts = [0, 0]
            for start in range(0, len(sent), BATCH):
                done = world.wait(stub.ingest([wire(row) for row in sent[start : start + BATCH]]))
                assert done["rejected"] == []
                counts[0] += done["accepted"]
                counts[1] += done["duplicates"]
                if source.random() < 0.1:
                    world.crash()
            assert counts == [len(events), len(sent) - len(events)]
            for zone in ZONES:
                expected = plain(events, zone)
                days = sorted(expected)
                assert answered(world, stub, zone, days[0], days[-1]) == expected
                if zone == (chosen := ZONES[len(tenant) % len(ZONES)]):
                    world.wait(stub.set_settings(zone=chosen))
                    assert in_tables(world, stub) == expected
