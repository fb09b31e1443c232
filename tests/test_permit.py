from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.hostile import HISTORICAL, RECENT, filled

from raydo.actors.permit import Named
from raydo.actors.question import Question
from raydo.actors.sandbox import Sandbox
from raydo.actors.statement import understand
from raydo.actors.zone import Calendar
from raydo.pipelining.errors import QueryError, QueryForbidden, QueryLimit

TABLES = {"events", "raw_events", "daily_metrics", "carts"}
UTC = Calendar("UTC")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox()
    yield sandbox
    sandbox.close()


def named(sandbox: Sandbox, sql: str) -> Named:
    return understand(sandbox, Question(Path("x"), "UTC", sql), UTC, TABLES).named


@pytest.mark.parametrize("statement", [*HISTORICAL, *RECENT])
def test_a_hostile_statement_is_refused_before_the_engine_sees_it(
    sandbox: Sandbox, statement: str
) -> None:
    with pytest.raises((QueryForbidden, QueryError)):
        named(sandbox, filled(statement, Path("/x.parquet"), Path("/c.db"), Path("/t.db")))


@pytest.mark.parametrize(
    ("sql", "tables", "columns"),
    [
        ("SELECT count(*) FROM events", {"events"}, set()),
        (
            "SELECT event, e.user_id FROM Events e WHERE seq > 1",
            {"events"},
            {"e", "event", "seq", "user_id"},
        ),
        ("SELECT * FROM events", {"events"}, None),
        ("SELECT e FROM events e", {"events"}, None),
        ("SELECT seq FROM events NATURAL JOIN carts", {"carts", "events"}, None),
        ("SELECT 1 FROM events JOIN carts USING (sku)", {"carts", "events"}, {"sku"}),
        ("WITH x AS (SELECT seq FROM events) SELECT count(*) FROM x", {"events"}, {"seq"}),
        ("WITH events AS (SELECT 1 AS a) SELECT a FROM events", set(), {"a"}),
        (
            "WITH events AS (SELECT seq FROM main.events) SELECT seq FROM events",
            {"events"},
            {"seq"},
        ),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
            set(),
            {"i"},
        ),
        (
            "SELECT (SELECT max(dau) FROM daily_metrics) FROM events",
            {"daily_metrics", "events"},
            {"dau"},
        ),
        ("VALUES (1)", set(), None),
    ],
)
def test_what_a_statement_names_is_known(
    sandbox: Sandbox, sql: str, tables: set[str], columns: set[str] | None
) -> None:
    assert named(sandbox, sql) == (tables, columns)


@pytest.mark.parametrize(
    ("sql", "near", "position"),
    [
        ("SELECT 1 FROM evnts", ["events"], 14),
        ("SELECT 'Zoë', coutn(*) FROM events", ["count"], 14),
        ("SELECT p ->> 'a', date(seq), rnk() OVER () FROM events", ["rank"], 29),
    ],
)
def test_an_unknown_name_gets_its_place_and_what_is_near(
    sandbox: Sandbox, sql: str, near: list[str], position: int
) -> None:
    with pytest.raises(QueryError, match="Did you mean") as raised:
        named(sandbox, sql)
    assert raised.value.detail["position"] == position
    assert raised.value.detail["near"][: len(near)] == near


def test_a_function_that_only_sqlite_has_says_so(sandbox: Sandbox) -> None:
    with pytest.raises(QueryError, match=r"soundex\(\) does not run over archived events"):
        named(sandbox, "SELECT soundex(event) FROM events")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 2_000 + "1" + ")" * 2_000,
        "SELECT " + " + ".join("1" for _ in range(2_000)),
        "SELECT " + "abs(" * 200 + "1" + ")" * 200,
        "SELECT " + ", ".join("1" for _ in range(200)),
        "SELECT 1 FROM " + ", ".join("events" for _ in range(50)),
        "SELECT 1 IN (" + ", ".join("1" for _ in range(20_000)) + ")",
    ],
    ids=lambda sql: sql[:20],
)
def test_a_statement_over_a_limit_of_size_is_refused(sandbox: Sandbox, sql: str) -> None:
    with pytest.raises((QueryLimit, QueryError)):
        named(sandbox, sql)
