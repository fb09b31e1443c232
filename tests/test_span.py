from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raydo.actors.question import Question
from raydo.actors.sandbox import Sandbox
from raydo.actors.span import ALWAYS, DAY_MS, Span
from raydo.actors.statement import understand
from raydo.actors.zone import Calendar

FAR = 2**62
TABLES = {"events", "carts"}
DAY_START_MS = 1_767_225_600_000 + 5 * 3_600_000  # 2026-01-01 in New York


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox()
    yield sandbox
    sandbox.close()


def span(sandbox: Sandbox, sql: str, params: Any = None) -> Span:
    question = Question(Path("x"), "America/New_York", sql, params)
    return understand(sandbox, question, Calendar(question.zone), TABLES).span


BOUNDED: list[tuple[str, Any, tuple[int, int]]] = [
    ("timestamp >= 5", None, (5, FAR)),
    ("timestamp > 5 AND timestamp < 9", None, (6, 8)),
    ("timestamp <= 9.5 AND timestamp >= 4.5", None, (5, 9)),
    ("9 > timestamp AND 5 <= timestamp AND event = 'x'", None, (5, 8)),
    ("timestamp = 5", None, (5, 5)),
    ("timestamp BETWEEN 5 AND 9", None, (5, 9)),
    ("timestamp >= ?", [5], (5, FAR)),
    ("timestamp >= :from AND timestamp < :to", {"from": 5, "to": 9}, (5, 8)),
    ("timestamp >= 1000 * 5 + 1 - 2", None, (4_999, FAR)),
    ("timestamp >= strftime('%s', '1970-01-02') * 1000", None, (DAY_MS, FAR)),
    ("timestamp >= unixepoch('1970-01-02') * 1000", None, (DAY_MS, FAR)),
    ("events.timestamp >= 5", None, (5, FAR)),
    ("timestamp < 9 AND (seq = 1 OR timestamp > 5)", None, (-FAR, 8)),
]
UNBOUNDED = [
    "timestamp >= 5 OR seq = 1",
    "NOT timestamp >= 5",
    "received_at >= 5",
    "timestamp + 1 >= 5",
    "timestamp >= seq",
    "timestamp >= (SELECT 5)",
    "timestamp <> 5",
    "date >= 'x'",
    "date >= event",
    "1",
]


@pytest.mark.parametrize(("condition", "params", "bounds"), BOUNDED)
def test_conditions_beside_events_bound_what_is_read(
    sandbox: Sandbox, condition: str, params: Any, bounds: tuple[int, int]
) -> None:
    assert span(sandbox, f"SELECT count(*) FROM events WHERE {condition}", params) == bounds


@pytest.mark.parametrize("condition", UNBOUNDED)
def test_what_is_not_understood_bounds_nothing(sandbox: Sandbox, condition: str) -> None:
    assert span(sandbox, f"SELECT count(*) FROM events WHERE {condition}") == ALWAYS


def test_a_local_date_bounds_with_a_day_to_spare(sandbox: Sandbox) -> None:
    found = span(sandbox, "SELECT 1 FROM events WHERE date = '2026-01-01'")
    assert found == (DAY_START_MS - DAY_MS, DAY_START_MS + 2 * DAY_MS)
    found = span(sandbox, "SELECT 1 FROM events WHERE date >= '2026-01-01' AND date < '2026-01-08'")
    assert found == (DAY_START_MS - DAY_MS, DAY_START_MS + 9 * DAY_MS - 1)


@pytest.mark.parametrize(
    ("sql", "bounds"),
    [
        ("SELECT 1 FROM events a JOIN events b ON a.seq = b.seq WHERE a.timestamp >= 5", ALWAYS),
        (
            "SELECT 1 FROM events a JOIN events b ON TRUE WHERE a.timestamp > 5 AND b.timestamp > 8",
            (6, FAR),
        ),
        ("SELECT 1 FROM events JOIN carts ON TRUE WHERE timestamp >= 5", ALWAYS),
        ("SELECT 1 FROM events e LEFT JOIN carts ON TRUE WHERE e.timestamp >= 5", (5, FAR)),
        ("SELECT 1 FROM events WHERE timestamp > 5 UNION SELECT 1 FROM events", ALWAYS),
        (
            "SELECT 1 FROM events WHERE timestamp = 5 UNION SELECT 1 FROM events WHERE timestamp = 9",
            (5, 9),
        ),
        ("WITH x AS (SELECT * FROM events) SELECT 1 FROM x WHERE timestamp >= 5", ALWAYS),
        ("WITH x AS (SELECT * FROM events WHERE timestamp > 5) SELECT 1 FROM x", (6, FAR)),
        ("SELECT 1 FROM events WHERE timestamp > 5 AND seq IN (SELECT seq FROM events)", ALWAYS),
        ("SELECT 1 FROM events AS e (timestamp) WHERE timestamp > 5", ALWAYS),
        ("SELECT seq AS timestamp FROM events WHERE timestamp > 5", (6, FAR)),
        ("WITH events AS (SELECT 1 AS timestamp) SELECT 1 FROM events WHERE timestamp > 5", ALWAYS),
    ],
)
def test_every_time_that_events_is_named_counts(
    sandbox: Sandbox, sql: str, bounds: tuple[int, int]
) -> None:
    assert span(sandbox, sql) == bounds
