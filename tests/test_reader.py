from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.hostile import RECENT

from raydo.actors import gate, result
from raydo.actors.reader import query, read
from raydo.actors.rollups import RolledEvent, Rollups
from raydo.actors.schema import open_database, use_calendar
from raydo.actors.zone import Calendar
from raydo.pipelining.errors import InvalidArgument, QueryError, QueryForbidden, QueryLimit
from raydo.pipelining.limits import QUERY_ROWS_MAX, QUERY_S_MAX

NEW_YORK = Calendar("America/New_York")
HOUR_MS = 3_600_000
NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z, still 2025 in New York
Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "tenant.db"
    database = open_database(path)
    rows = [
        (n, f"id{n}", "PageView" if n % 2 else "Signup", f"u{n % 3}", NOW_MS + n * HOUR_MS)
        for n in range(1, 11)
    ]
    database.run_many(
        "INSERT INTO raw_events VALUES (?, ?, ?, ?, NULL, ?, 0, 0, '{\"n\":1}', NULL, 's', 0)", rows
    )
    rollups = Rollups(database)
    rollups.apply(RolledEvent(at_ms, event, user, False) for _, _, event, user, at_ms in rows)
    rollups.materialise(NEW_YORK.name)
    database.run("CREATE TABLE carts (sku TEXT, picture BLOB)")
    database.run("INSERT INTO carts VALUES ('pen', x'00ff')")
    database.run("CREATE VIRTUAL TABLE notes USING fts5(text)")
    database.run("INSERT INTO notes VALUES ('red pen')")
    database.run("INSERT INTO _raydo_meta VALUES ('secret', 'hidden-value')")
    database.commit()
    database.close()
    return path


@pytest.fixture
def path(tmp_path: Path, template: Path) -> Path:
    return Path(shutil.copy(template, tmp_path / "tenant.db"))


@pytest.fixture(params=["read-only file", "the turn's own connection"])
def ask(path: Path, request: pytest.FixtureRequest) -> Iterator[Ask]:
    """Ask in both ways that a query can run."""
    if request.param == "read-only file":
        yield lambda sql, params=None, **more: query(path, NEW_YORK, sql, params, **more)
        return
    database = open_database(path)
    use_calendar(database.connection, NEW_YORK)
    database.begin()

    def ask(sql: str, params: object = None, **more: Any) -> dict[str, Any]:
        with database.lent() as connection:
            return read(connection, sql, params, **more)

    yield ask
    database.close()


def test_a_select_answers_columns_rows_and_what_it_took(ask: Ask) -> None:
    answer = ask("SELECT event, count(*) AS n, avg(seq) AS mean FROM events GROUP BY 1 ORDER BY 1")

    assert answer.pop("elapsed_ms") >= 0
    assert answer == {
        "columns": [
            {"name": "event", "type": "TEXT"},
            {"name": "n", "type": "INTEGER"},
            {"name": "mean", "type": "REAL"},
        ],
        "rows": [
            {"event": "PageView", "n": 5, "mean": 5.0},
            {"event": "Signup", "n": 5, "mean": 6.0},
        ],
        "layer": "L2",
        "layers": ["L2"],
        "truncated": False,
    }


def test_the_rolled_up_tables_count_by_the_tenants_own_days_and_hours(ask: Ask) -> None:
    days = ask("SELECT date, dau, events FROM daily_metrics ORDER BY date DESC LIMIT 7")["rows"]
    assert days == [
        {"date": "2026-01-01", "dau": 3, "events": 6},
        {"date": "2025-12-31", "dau": 3, "events": 4},
    ]
    assert ask("SELECT * FROM hourly_events ORDER BY hour LIMIT 1")["rows"] == [
        {"hour": "2025-12-31T20:00", "event": "PageView", "count": 1}
    ]
    assert ask("SELECT DISTINCT date FROM events WHERE seq = 4")["rows"] == [{"date": "2025-12-31"}]


ALLOWED = [
    "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT * FROM n",
    "SELECT rank() OVER (ORDER BY seq) FROM events",
    "SELECT properties ->> '$.n', json_extract(properties, '$.n') FROM events",
    "SELECT value FROM json_each('[1,2]')",
    "SELECT name FROM sqlite_master",
    "SELECT * FROM carts",
    "SELECT e.event FROM events e JOIN carts c ON c.sku <> e.id",
    "EXPLAIN QUERY PLAN SELECT * FROM events",
    "VALUES (1), (2)",
    "SELECT date('now'), strftime('%Y', timestamp / 1000, 'unixepoch') FROM raw_events",
    "select upper(event) from events -- and a comment",
    "WITH x AS (SELECT 1) SELECT 2 FROM x",
    "SELECT count(*) FROM events",
    "SELECT text, bm25(notes) FROM notes WHERE notes MATCH 'red' ORDER BY rank",
    "SELECT 1;",
]


@pytest.mark.parametrize("statement", ALLOWED)
def test_whatever_only_reads_the_tenants_public_tables_runs(ask: Ask, statement: str) -> None:
    assert ask(statement)["columns"]


@pytest.mark.parametrize("statement", RECENT)
def test_a_hostile_statement_changes_and_shows_nothing(
    ask: Ask, path: Path, statement: str
) -> None:
    before = path.read_bytes()

    # A function or a table that this SQLite lacks is an error in itself.
    with pytest.raises((QueryForbidden, QueryError)) as raised:
        ask(statement)

    assert "hidden-value" not in str(raised.value)
    assert path.read_bytes() == before
    assert ask("SELECT count(*) AS n FROM carts")["rows"] == [{"n": 1}]


GREEDY = [
    "SELECT randomblob(100000000)",
    "SELECT zeroblob(100000000)",
    "SELECT replace(hex(zeroblob(1000000)), '0', 'abcdefgh')",
    "SELECT " + ", ".join("1" for _ in range(200)),
    "SELECT " + "(" * 500 + "1" + ")" * 500,
    "SELECT " + "+".join("1" for _ in range(500)),
    " UNION ALL ".join("SELECT 1" for _ in range(20)),
    f"SELECT 1 WHERE 'x' LIKE '{'%a' * 100}'",
    "SELECT 1 /* " + "x" * 200_000 + " */",
]


@pytest.mark.parametrize("statement", GREEDY, ids=lambda statement: statement[:40])
def test_a_statement_over_a_limit_of_size_is_refused(ask: Ask, statement: str) -> None:
    with pytest.raises((QueryLimit, QueryError)):
        ask(statement)
    assert ask("SELECT 1 AS one")["rows"] == [{"one": 1}]


def test_limits_end_with_the_query(path: Path) -> None:
    database = open_database(path)
    use_calendar(database.connection, NEW_YORK)
    with database.lent() as connection:
        read(connection, "SELECT 1")
    assert len(database.run("SELECT zeroblob(8000000)")[0][0]) == 8_000_000
    database.run("INSERT INTO _raydo_meta VALUES ('still', 'writable')")
    database.close()


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"


def test_an_endless_query_ends_at_its_deadline(ask: Ask) -> None:
    ticks = iter(range(1_000_000))

    with pytest.raises(QueryLimit, match=f"more than {QUERY_S_MAX:g} s"):
        ask(ENDLESS, stopwatch=lambda: next(ticks) / 100)

    assert ask("SELECT 1 AS one")["rows"] == [{"one": 1}]


MANY = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) "


def test_rows_over_the_limit_are_cut_off_and_it_says_so(ask: Ask) -> None:
    answer = ask(MANY + "SELECT i FROM n")
    assert len(answer["rows"]) == QUERY_ROWS_MAX
    assert answer["truncated"]

    three = ask("SELECT seq FROM events ORDER BY seq", limit=3)
    assert [row["seq"] for row in three["rows"]] == [1, 2, 3]
    assert three["truncated"]
    assert not ask("SELECT seq FROM events", limit=10)["truncated"]


def test_bytes_over_the_limit_are_cut_off_and_it_says_so(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result, "QUERY_BYTES_MAX", 10_000)
    answer = ask(MANY + "SELECT hex(zeroblob(500)) AS x FROM n")
    assert len(answer["rows"]) == 10
    assert answer["truncated"]


@pytest.mark.parametrize("limit", [0, -1, QUERY_ROWS_MAX + 1, "5", 2.5])
def test_a_limit_out_of_range_is_refused(ask: Ask, limit: object) -> None:
    with pytest.raises(InvalidArgument, match="limit is a whole number"):
        ask("SELECT 1", limit=limit)


@pytest.mark.parametrize(
    ("statement", "near"),
    [
        ("SELECT dat FROM daily_metrics", "date"),
        ("SELECT e.usr_id FROM events e", "user_id"),
        ("SELECT picturre FROM carts", "picture"),
        ("SELECT * FROM event", "events"),
        ("SELECT * FROM main.cart", "carts"),
        ("SELECT coutn(*) FROM events", "count"),
    ],
)
def test_an_unknown_name_gets_the_names_that_are_near(ask: Ask, statement: str, near: str) -> None:
    with pytest.raises(QueryError, match="no such") as raised:
        ask(statement)
    assert near in raised.value.detail["near"]
    assert f"Did you mean {raised.value.detail['near'][0]}" in str(raised.value)


def test_hidden_names_are_never_suggested(ask: Ask) -> None:
    with pytest.raises(QueryError) as raised:
        ask("SELECT * FROM raydo_meta")
    assert "_raydo" not in str(raised.value)


def test_an_error_carries_sqlites_own_reason(ask: Ask) -> None:
    with pytest.raises(QueryError, match='near "SELEKT": syntax error'):
        ask("SELEKT 1")


@pytest.mark.parametrize("statement", ["", "  ", "-- nothing", ";", None, 7])
def test_nothing_to_run_is_an_error(ask: Ask, statement: object) -> None:
    with pytest.raises(QueryError):
        ask(statement)


def test_parameters_are_bound_by_place_and_by_name(ask: Ask) -> None:
    assert ask("SELECT ? AS a, ? AS b", [1, "x"])["rows"] == [{"a": 1, "b": "x"}]
    assert ask("SELECT :a AS a", {"a": None})["rows"] == [{"a": None}]
    hostile = "'; DROP TABLE carts; --"
    assert ask("SELECT ? AS text", [hostile])["rows"] == [{"text": hostile}]


@pytest.mark.parametrize("params", ["text", 5, [[1]], {"a": {}}])
def test_parameters_of_another_kind_are_refused(ask: Ask, params: object) -> None:
    with pytest.raises(InvalidArgument, match="param"):
        ask("SELECT ?", params)


@pytest.mark.parametrize("params", [[], [1, 2], [1 << 70], ["\ud800"], {"b": 1}])
def test_parameters_that_do_not_fit_are_an_error(ask: Ask, params: object) -> None:
    with pytest.raises(QueryError):
        ask("SELECT :a", params)


def test_columns_of_one_name_are_told_apart(ask: Ask) -> None:
    answer = ask("SELECT 1 AS a, 2 AS a, x'00ff' AS b, NULL AS c")
    assert answer["rows"] == [{"a": 1, "a:1": 2, "b": b"\x00\xff", "c": None}]
    assert [column["type"] for column in answer["columns"]] == [
        "INTEGER",
        "INTEGER",
        "BLOB",
        "NULL",
    ]


def test_a_query_sees_what_was_committed_a_moment_ago(path: Path) -> None:
    database = open_database(path)
    database.begin()
    database.run("INSERT INTO carts VALUES ('ink', NULL)")
    count = "SELECT count(*) AS n FROM carts"
    assert query(path, NEW_YORK, count)["rows"] == [{"n": 1}]
    database.commit()
    assert query(path, NEW_YORK, count)["rows"] == [{"n": 2}]
    database.close()


def test_a_query_cannot_write_even_with_its_authorizer_gone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate.Gate, "_reason", lambda *_: None)
    with pytest.raises(QueryError, match="readonly database"):
        query(path, NEW_YORK, "INSERT INTO carts VALUES ('x', 'y')")


def test_a_query_leaves_no_connection_behind(path: Path) -> None:
    with pytest.raises(QueryError):
        query(path, NEW_YORK, "SELECT nothing")
    with sqlite3.connect(path, timeout=0) as other:
        other.execute("BEGIN EXCLUSIVE")
    other.close()
