"""Every statement of METRICS.md gives the number of its metric, over real events."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_real_data import BATCH, NOW_MS, ZONES, Row, rows

from raydo.actors.analytics import Analytics
from raydo.actors.world import World
from raydo.pipelining.stub import Stub

DOCUMENT = Path(__file__).parents[1] / "METRICS.md"
STATEMENT = re.compile(
    r"^## (?P<heading>[^\n]+)\n(?P<text>[^#]*?)```sql\n(?P<sql>.*?)```", re.MULTILINE | re.DOTALL
)
TENANT = "encode/starlette"
FROM, TO = "2023-01-01", "2023-12-31"
WEEKS = "2023-01-02", "2023-12-31"  # whole ones, from Monday
SUNDAYS = "2023-01-01", "2023-12-30"
HOURS = "2023-03-01", "2023-03-31"

Ask = Callable[[Stub[Analytics]], Any]
Rows = list[dict[str, Any]]


def statements() -> dict[str, str]:
    found = STATEMENT.finditer(DOCUMENT.read_text(encoding="utf-8"))
    return {match["heading"]: match["sql"] for match in found}


def points(reply: dict[str, Any]) -> Rows:
    return [
        {"at": point["at"], "value": point["value"]} for point in reply["points"] if point["value"]
    ]


def retained(cohorts: list[Any]) -> Rows:
    return [
        {"cohort": cohort["cohort"], "week": week, "retained": count}
        for cohort in cohorts
        for week, count in enumerate(cohort["retained"])
        if count
    ]


def funnel(reply: dict[str, Any]) -> Rows:
    names = ("one", "two", "three")
    return [{name: step["persons"] for name, step in zip(names, reply["steps"], strict=True)}]


def by_property(reply: dict[str, Any]) -> Rows:
    return [{"value": each["value"], "total": each["total"]} for each in reply["series"]]


# By heading: the parameters, how the metric is asked for, and what of its reply the rows are.
Case = tuple[dict[str, Any], Ask, Callable[[Any], Rows]]
CASES: dict[str, Case] = {
    "Events by day": (
        {"from": FROM, "to": TO},
        lambda stub: stub.timeseries(since=FROM, to=TO),
        points,
    ),
    "Events by hour": (
        {"from": HOURS[0], "to": HOURS[1], "event": "commit"},
        lambda stub: stub.timeseries("commit", *HOURS, "hour"),
        points,
    ),
    "Persons by week": (
        {"from": WEEKS[0], "to": WEEKS[1]},
        lambda stub: stub.timeseries(None, *WEEKS, "week", metric="users"),
        points,
    ),
    "Persons by week from Sunday": (
        {"from": SUNDAYS[0], "to": SUNDAYS[1]},
        lambda stub: stub.timeseries(None, *SUNDAYS, "week", metric="users", week_start="sunday"),
        points,
    ),
    "Persons by month, in all": (
        {"from": FROM, "to": TO},
        lambda stub: stub.timeseries(None, FROM, TO, "month", metric="users"),
        lambda reply: [{"total": reply["total"]}],
    ),
    "Events by a property": (
        {"from": FROM, "to": TO, "path": '$."kind"'},
        lambda stub: stub.timeseries(None, FROM, TO, "month", breakdown="kind", values=100),
        by_property,
    ),
    "Events with filters": (
        {"from": FROM, "to": TO},
        lambda stub: stub.timeseries(
            None, FROM, TO, "month", filters=["kind:fix", "kind:add", "n_parents!:2"]
        ),
        points,
    ),
    "Active persons": (
        {"from": FROM, "to": TO},
        lambda stub: stub.active("day", FROM, TO),
        lambda reply: [
            {name: day[name] for name in ("date", "dau", "wau", "mau")}
            for day in reply["days"]
            if day["dau"]
        ],
    ),
    "Active now": (
        {"now": NOW_MS},
        lambda stub: stub.stats(),
        lambda reply: [{"active": reply["active"]["5m"]}],
    ),
    "Retention": (
        {"from": FROM, "to": TO},
        lambda stub: stub.retention("week", FROM, TO),
        retained,
    ),
    "Funnel": (
        {"from": FROM, "to": TO},
        lambda stub: stub.funnel(["commit", "merge", "commit"], 604_800, FROM, TO),
        funnel,
    ),
    "Top values": (
        {"from": FROM, "to": TO},
        lambda stub: stub.top("user", "events", 5, since=FROM, to=TO),
        lambda reply: reply["rows"],
    ),
    "Timeline": (
        {"user": "u1"},
        lambda stub: stub.timeline("u1"),
        lambda reply: [
            {name: event[name] for name in ("id", "event", "timestamp")}
            for event in reply["events"]
        ],
    ),
    "Where an event is": (
        {"id": "now-2"},
        lambda stub: stub.event("now-2"),
        lambda reply: [
            {name: event[name] for name in ("seq", "event", "user_id", "timestamp", "received_at")}
            for event in reply["events"]
        ],
    ),
}


def test_every_statement_of_the_document_is_tested() -> None:
    assert set(statements()) == set(CASES)


def wire(row: Row) -> bytes:
    properties = {"n_parents": int(row["n_parents"]), "is_bot": row["is_bot"] == "1"}
    event = {
        "event": row["event"],
        "userId": row["user_id"],
        "timestamp": row["timestamp"],
        "messageId": row["message_id"],
        "properties": {**properties, **({"kind": row["kind"]} if row["kind"] else {})},
    }
    return json.dumps(event).encode()


def send(world: World, stub: Stub[Analytics], events: list[Row]) -> None:
    for start in range(0, len(events), BATCH):
        world.wait(stub.ingest([wire(row) for row in events[start : start + BATCH]]))
    for n in range(5):  # and some that are active now
        world.wait(
            stub.track(
                "commit", {"userId": f"u{n % 3}"}, messageId=f"now-{n}",
                timestamp=NOW_MS - n * 60_000,
            )
        )  # fmt: skip


def in_order(found: Rows) -> list[Any]:
    return sorted((tuple(row.items()) for row in found), key=repr)


@pytest.mark.slow
def test_every_statement_of_the_document_gives_its_metric_in_four_zones(tmp_path: Path) -> None:
    with World(tmp_path, now_ms=NOW_MS) as world:
        stub = world.stub(Analytics, TENANT)
        send(world, stub, [row for row in rows() if row["tenant"] == TENANT])
        for zone in ZONES:
            world.wait(stub.set_settings(zone=zone))
            for heading, sql in statements().items():
                params, ask, project = CASES[heading]
                reply = world.wait(stub.query(sql, params))
                assert reply["rows"], heading
                assert not reply["truncated"]
                told = project(world.wait(ask(stub)))
                assert in_order(told) == in_order(reply["rows"]), (heading, zone)
