"""Metrics of seventy thousand real events, in any order and sent again, archived and not."""

from __future__ import annotations

import json
import random
import time
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from support import plain_metrics as plain
from support.plain_metrics import Visit
from test_real_data import BATCH, NOW_MS, ZONES, Row, rows

from raydo.actors.analytics import Analytics
from raydo.actors.world import World
from raydo.pipelining.stub import Stub

pytestmark = pytest.mark.slow

FIRST, LAST = "2024-01-01", "2025-12-31"
WINDOW_S = 3 * 86_400
PLAIN_FUNNEL_EVENTS_MAX = 1_600  # it looks at all pairs of a person's events


def visit(row: Row) -> Visit:
    at = datetime.fromisoformat(row["timestamp"])
    properties = {
        "n_parents": int(row["n_parents"]),
        **({"kind": row["kind"]} if row["kind"] else {}),
    }
    at_ms = round(at.timestamp() * 1000)
    bot = row["is_bot"] == "1"
    return Visit(row["event"], row["user_id"], at_ms, row["message_id"], properties, bot)


def wire(row: Row) -> bytes:
    seen = visit(row)
    event = {
        "event": seen.event,
        "userId": seen.user,
        "timestamp": row["timestamp"],
        "messageId": seen.id,
        "properties": seen.properties,
        "context": {"bot": seen.bot},
    }
    return json.dumps(event).encode()


def ordered(events: list[Row], how: int, source: random.Random) -> list[Row]:
    """The same events as they were received, shuffled, or shuffled with some sent again."""
    if how == 0:
        return sorted(events, key=lambda row: datetime.fromisoformat(row["received_at"]))
    sent = events + (source.sample(events, len(events) // 10) if how == 2 else [])
    source.shuffle(sent)
    return sent


def check(world: World, stub: Stub[Analytics], visits: list[Visit], zone: str) -> None:
    """Hold every metric against a plain computation."""
    humans = [each for each in visits if not each.bot]
    inside = plain.within(visits, zone, FIRST, LAST)
    _check_series(world, stub, inside, zone)
    days = world.wait(stub.active("day", FIRST, LAST, zone, bots=False))["days"]
    expected = plain.active(humans, zone, [day["date"] for day in days])
    assert [(day["dau"], day["wau"], day["mau"]) for day in days] == expected
    for by, metric in (("kind", "events"), ("kind", "users"), ("event", "events")):
        reply = world.wait(stub.top(by, metric, 4, since=FIRST, to=LAST, tz=zone))
        told = {name: reply[name] for name in ("rows", "other", "total")}
        assert told == plain.top(inside, by, metric, 4)
    if len(visits) < PLAIN_FUNNEL_EVENTS_MAX:
        _check_funnel(world, stub, humans, zone)


def _check_series(world: World, stub: Stub[Analytics], inside: list[Visit], zone: str) -> None:
    for interval, metric, filters in (
        ("day", "users", []),
        ("month", "events", ["kind!:fix"]),
        ("month", "users", ["event:merge"]),
    ):
        reply = world.wait(
            stub.timeseries(None, FIRST, LAST, interval, metric=metric, tz=zone, filters=filters)
        )
        kept = [
            each
            for each in inside
            if (filters != ["kind!:fix"] or each.properties.get("kind") != "fix")
            and (filters != ["event:merge"] or each.event == "merge")
        ]
        found = {point["at"]: point["value"] for point in reply["points"] if point["value"]}
        assert found == plain.series(kept, zone, interval, metric)
        assert reply["total"] == plain.measure(kept, metric)


def _check_funnel(world: World, stub: Stub[Analytics], visits: list[Visit], zone: str) -> None:
    steps = ["commit", "merge", "commit"]
    reply = world.wait(stub.funnel(steps, WINDOW_S, FIRST, LAST, tz=zone, bots=False))
    expected = plain.funnel(
        visits,
        [lambda each, name=name: each.event == name for name in steps],  # type: ignore[misc]
        WINDOW_S * 1000,
        lambda each: FIRST <= plain.day_of(each, zone).isoformat() <= LAST,
    )
    told: list[Any] = [
        (step["persons"], step["median_from_previous_ms"], step["median_total_ms"])
        for step in reply["steps"]
    ]
    assert told == expected


def archive(world: World, stub: Stub[Analytics]) -> None:
    world.wait(stub.archive(400 * 86_400))
    deadline = time.monotonic() + 120
    while any(run["state"] != "deleted" for run in world.wait(stub.archive_runs())):
        assert time.monotonic() < deadline
        time.sleep(0.02)  # another thread archives


@pytest.mark.parametrize("how", [0, 1, 2], ids=["as received", "shuffled", "sent again"])
def test_every_metric_of_every_tenant_equals_a_plain_computation(how: int, tmp_path: Path) -> None:
    tenants: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows():
        tenants[row["tenant"]].append(row)
    source = random.Random(how)
    with World(tmp_path, now_ms=NOW_MS) as world:
        for at, (name, events) in enumerate(tenants.items()):
            stub = world.stub(Analytics, name)
            sent = ordered(events, how, source)
            for start in range(0, len(sent), BATCH):
                world.wait(stub.ingest([wire(row) for row in sent[start : start + BATCH]]))
            visits = [visit(row) for row in events]
            check(world, stub, visits, ZONES[(at + how) % 4])
            if at % 3 == how:  # each tenant's archive is asked after one of the three ways
                archive(world, stub)
                check(world, stub, visits, ZONES[(at + how + 1) % 4])
