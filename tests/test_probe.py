from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from raydo.actors.probe import Probe, explains, probe

MODULES = {"json_each", "pragma_table_info"}


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE raw_events (seq, event, timestamp)")
    connection.execute("CREATE TABLE carts (sku)")
    connection.execute("CREATE TABLE daily_metrics (date, dau)")
    connection.execute("CREATE TABLE _raydo_meta (key)")
    connection.execute("CREATE VIEW names AS SELECT event FROM raw_events")
    connection.execute(
        "CREATE TEMP VIEW events AS SELECT seq, event, 1 AS date FROM main.raw_events"
    )
    yield connection
    connection.close()


def look(connection: sqlite3.Connection, sql: str, params: object = ()) -> Probe | None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    return probe(connection, sql, params, tables, MODULES)


@pytest.mark.parametrize(
    ("sql", "reads", "present"),
    [
        ("SELECT count(*) FROM events", True, set()),
        ("SELECT event FROM events", True, set()),
        ("SELECT 1 WHERE EXISTS (SELECT 1 FROM events)", True, set()),
        ("WITH x AS (SELECT seq FROM EVENTS) SELECT * FROM x;", True, set()),
        ("SELECT sku FROM carts, events -- all", True, {"carts"}),
        ("SELECT count(*) FROM carts", False, {"carts"}),
        ("SELECT count(*) FROM raw_events", False, {"raw_events"}),
        ("SELECT dau FROM daily_metrics", False, {"daily_metrics"}),
        ("SELECT * FROM names", False, {"names"}),
        ("SELECT value FROM json_each('[1]')", False, set()),
        ("WITH events AS (SELECT 1) SELECT * FROM events", False, set()),
    ],
)
def test_what_a_statement_reads_is_known_before_it_runs(
    connection: sqlite3.Connection, sql: str, reads: bool, present: set[str]
) -> None:
    seen = look(connection, sql)

    assert seen is not None
    assert ("events" in seen.tables, seen.present) == (reads, present)


def test_columns_have_the_names_that_sqlite_gives_them(connection: sqlite3.Connection) -> None:
    seen = look(connection, "SELECT count(*), event || ? , 1 AS one FROM events", ["x"])
    assert seen is not None
    assert list(seen.names) == ["count(*)", "event || ?", "one"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT nothing FROM events",
        "SELECT ? FROM events",
        "SELECT * FROM _raydo_meta, events",
        "DELETE FROM events",
        "SELECT 1; SELECT 2",
        "SELECT date_trunc('day', seq) FROM events",
        "",
        "(",
    ],
)
def test_what_sqlite_would_not_run_is_not_known(connection: sqlite3.Connection, sql: str) -> None:
    assert look(connection, sql) is None


def test_a_look_leaves_no_trace(connection: sqlite3.Connection) -> None:
    look(connection, "SELECT count(*) FROM events")
    connection.execute("INSERT INTO carts VALUES (hex(zeroblob(5000000)))")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 99999) SELECT sum(i) FROM n"
    assert connection.execute(endless).fetchone() == (4_999_950_000,)


def test_a_look_at_an_endless_statement_ends(connection: sqlite3.Connection) -> None:
    assert look(
        connection,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n",
    )


def test_explain_is_recognised() -> None:
    assert explains("  -- why\n explain query plan select 1")
    assert not explains("SELECT 'explain'")
