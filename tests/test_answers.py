"""`events` is one table, whatever is archived, at every moment of an archive run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.archive import DAY_MS, HOUR_MS, START_MS, Event, Tenant, hourly
from support.hostile import HARMLESS_IN_SQLITE, HISTORICAL, RECENT, filled

from raydo.actors.question import AsOf
from raydo.actors.stop import Stop
from raydo.pipelining.errors import (
    DataUnreadable,
    InvalidArgument,
    QueryError,
    QueryForbidden,
    QueryLimit,
    Unavailable,
)

ALL = "SELECT count(*) AS n, count(DISTINCT seq) AS seqs, sum(seq) AS sum FROM events"
DAU = "SELECT date, count(DISTINCT user_id) AS dau, count(*) AS events FROM events GROUP BY date ORDER BY date"


@pytest.fixture
def tenant(tmp_path: Path) -> Iterator[Tenant]:
    tenant = Tenant(tmp_path / "tenant")
    tenant.write(hourly(100))
    yield tenant
    tenant.close()


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenant]:
    tenant = Tenant(tmp_path_factory.mktemp("archived"))
    tenant.write(hourly(100))
    tenant.database.run("CREATE TABLE carts (sku TEXT, n INTEGER)")
    tenant.database.run("INSERT INTO carts VALUES ('u1', 5)")
    tenant.database.run("CREATE TABLE mixed (a)")
    tenant.database.run("INSERT INTO mixed VALUES (1), ('x')")
    tenant.database.run("INSERT INTO _raydo_meta VALUES ('secret', 'hidden-value')")
    tenant.database.commit()
    tenant.archive(START_MS + 2 * DAY_MS)
    yield tenant
    tenant.close()


def whole(count: int) -> list[dict[str, int]]:
    return [{"n": count, "seqs": count, "sum": count * (count + 1) // 2}]


def test_before_during_and_after_a_run_nothing_is_missing_and_nothing_comes_twice(
    tenant: Tenant,
) -> None:
    before = tenant.rows(DAU)
    assert tenant.ask(ALL)["layers"] == ["L2"]

    run = tenant.plan(START_MS + 2 * DAY_MS)
    assert tenant.rows(ALL) == whole(100)
    committed = tenant.commit(run)
    assert tenant.rows(ALL) == whole(100)
    tenant.settle(committed, rows=10)  # only some of its rows are deleted yet
    left = tenant.database.run("SELECT count(*) FROM raw_events")[0][0]
    assert left == 90
    reply = tenant.ask(ALL)
    assert reply["rows"] == whole(100)
    assert reply["layers"] == ["L2", "L3"]
    while not tenant.runs.clear(10):
        tenant.database.commit()
        assert tenant.rows(ALL) == whole(100)
    tenant.database.commit()

    assert tenant.rows(ALL) == whole(100)
    assert tenant.rows(DAU) == before
    assert tenant.rows("SELECT date, dau, events FROM daily_metrics ORDER BY date") == before


def test_late_events_of_archived_days_are_there_before_and_after_their_own_run(
    tenant: Tenant,
) -> None:
    tenant.archive(START_MS + 2 * DAY_MS)
    tenant.write([Event(101, START_MS + 3 * HOUR_MS, "Late", "u9", {})])
    late = "SELECT seq, date FROM events WHERE event = 'Late'"

    assert tenant.rows(late) == [{"seq": 101, "date": "2025-12-31"}]
    assert tenant.rows(ALL) == whole(101)
    tenant.archive(START_MS + 2 * DAY_MS)
    assert tenant.rows(late) == [{"seq": 101, "date": "2025-12-31"}]
    assert tenant.rows(ALL) == whole(101)


def test_a_run_that_ends_while_a_query_begins_makes_it_begin_again(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant.archive(START_MS + DAY_MS)
    pin = tenant.answers.pin
    ends = [
        lambda: tenant.archive(START_MS + 2 * DAY_MS),
        lambda: tenant.archive(START_MS + 3 * DAY_MS),
    ]

    def pin_late(*args: Any) -> Any:
        if ends:
            ends.pop(0)()
        return pin(*args)

    monkeypatch.setattr(tenant.answers, "pin", pin_late)
    assert tenant.rows(ALL) == whole(100)
    assert not ends


def test_runs_that_always_end_are_given_up(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant.archive(START_MS + HOUR_MS * 5)
    pin, hours = tenant.answers.pin, iter(range(6, 99))

    def pin_late(*args: Any) -> Any:
        tenant.archive(START_MS + next(hours) * HOUR_MS)
        return pin(*args)

    monkeypatch.setattr(tenant.answers, "pin", pin_late)
    with pytest.raises(Unavailable, match="faster"):
        tenant.ask(ALL)


@pytest.mark.slow
def test_as_of_any_moment_is_what_was_known_then(tmp_path: Path) -> None:
    tenant = Tenant(tmp_path / "tenant")
    moments = []
    for batch in range(4):
        day_ms = START_MS + (batch + 1) * DAY_MS
        events = [
            Event(
                e.seq,
                e.at_ms - 30 * DAY_MS if e.seq % 7 == 0 else e.at_ms,
                e.event,
                e.user,
                {},
                day_ms,
            )
            for e in hourly(20, first=1 + 20 * batch)
        ]
        tenant.write(events)
        moments.append((day_ms, 20 * (batch + 1), tenant.rows(DAU)))
        if batch in (1, 2):
            tenant.archive(day_ms - 2 * DAY_MS)

    for day_ms, count, dau in moments:
        assert tenant.rows(ALL, as_of=AsOf(ms=day_ms)) == whole(count)
        assert tenant.rows(ALL, as_of=AsOf(ms=day_ms + DAY_MS - 1)) == whole(count)
        assert tenant.rows(DAU, as_of=AsOf(ms=day_ms)) == dau
        metrics = "SELECT date, dau, events FROM daily_metrics ORDER BY date"
        assert tenant.rows(metrics, as_of=AsOf(ms=day_ms)) == dau
        hours = "SELECT sum(count) AS n, min(hour) AS first FROM hourly_events"
        [row] = tenant.rows(hours, as_of=AsOf(ms=day_ms))
        assert row["n"] == count
        assert row["first"].startswith(dau[0]["date"])
    assert tenant.rows("SELECT count(*) AS n FROM events", as_of=AsOf(ms=START_MS)) == [{"n": 0}]
    tenant.close()


def test_as_of_works_before_anything_is_archived(tenant: Tenant) -> None:
    then = AsOf(ms=START_MS + 10 * HOUR_MS)
    reply = tenant.ask(ALL, as_of=then)
    assert (reply["rows"], reply["layers"]) == (whole(10), ["L2"])
    assert tenant.rows("SELECT sum(events) AS n FROM daily_metrics", as_of=then) == [{"n": 10}]
    assert tenant.rows("SELECT sum(count) AS n FROM hourly_events", as_of=then) == [{"n": 10}]


@pytest.mark.slow
def test_a_snapshot_is_what_was_archived_then(tenant: Tenant) -> None:
    with pytest.raises(QueryError, match="no archive"):
        tenant.ask(ALL, as_of=AsOf(snapshot_id=1))
    tenant.archive(START_MS + DAY_MS)
    first = tenant.ask(ALL)["snapshot_id"]
    tenant.archive(START_MS + 2 * DAY_MS)

    reply = tenant.ask(ALL, as_of=AsOf(snapshot_id=int(first)))
    assert (reply["rows"], reply["layers"]) == (whole(23), ["L3"])
    assert reply["snapshot_id"] == first
    second = tenant.ask(ALL)["snapshot_id"]
    assert tenant.rows(ALL, as_of=AsOf(snapshot_id=int(second))) == whole(47)
    with pytest.raises(QueryError, match="keeps no snapshot 5"):
        tenant.ask(ALL, as_of=AsOf(snapshot_id=5))


@pytest.mark.parametrize("sql", ["SELECT * FROM carts", "SELECT count(*) FROM raw_events"])
@pytest.mark.parametrize("archive", [False, True])
def test_what_keeps_no_past_says_so(archived: Tenant, sql: str, archive: bool) -> None:
    with pytest.raises(QueryError, match="keeps no past"):
        archived.ask(sql, as_of=AsOf(ms=START_MS), archive=archive)


RECENT_ENOUGH = [
    "SELECT count(*) FROM daily_metrics",
    "SELECT * FROM hourly_events",
    "SELECT * FROM carts",
    "SELECT count(*) FROM raw_events",
    "SELECT 1 AS one",
    "EXPLAIN QUERY PLAN SELECT * FROM events",
    f"SELECT count(*) FROM events WHERE timestamp >= {START_MS + 2 * DAY_MS}",
    "SELECT count(*) FROM events WHERE date >= '2026-01-04'",
    "SELECT count(*) FROM events WHERE timestamp > strftime('%s', '2026-01-03') * 1000",
]


@pytest.mark.parametrize("sql", RECENT_ENOUGH)
def test_what_needs_no_archive_is_answered_by_sqlite(archived: Tenant, sql: str) -> None:
    assert archived.ask(sql)["layers"] == ["L2"]


def test_files_that_cannot_matter_are_not_opened(archived: Tenant) -> None:
    everything = archived.ask("SELECT count(*) FROM events")["read"]
    day = archived.ask(f"SELECT count(*) FROM events WHERE timestamp < {START_MS + DAY_MS}")["read"]
    hour = archived.ask(f"SELECT count(*) FROM events WHERE timestamp < {START_MS}")["read"]

    assert (everything["files"], everything["files_pruned"]) == (2, 0)
    assert (day["files"], day["files_pruned"], day["row_groups"]) == (1, 1, 1)
    assert 0 < day["bytes"] < everything["bytes"]
    assert (hour["files"], hour["bytes"]) == (0, 0)


def test_only_the_columns_that_matter_are_read(archived: Tenant) -> None:
    few = archived.ask("SELECT count(event) FROM events")["read"]["bytes"]
    all_ = archived.ask("SELECT * FROM events")["read"]["bytes"]
    assert few < all_


def test_files_that_arrow_has_to_read_give_the_same(tmp_path: Path) -> None:
    """Files elsewhere are read by Arrow, and so are those whose names the engine would expand."""
    tenant = Tenant(tmp_path / "it's [odd]")
    tenant.write(hourly(100))
    tenant.archive(START_MS + 2 * DAY_MS)

    assert tenant.rows(ALL) == whole(100)
    then = AsOf(ms=START_MS + 30 * HOUR_MS)
    assert tenant.rows(ALL, as_of=then) == whole(30)
    day = tenant.ask(f"{ALL} WHERE timestamp < {START_MS + DAY_MS} AND user_id = 'u1'")
    assert day["rows"] == [{"n": 8, "seqs": 8, "sum": 92}]
    assert day["read"]["files"] == 1
    assert day["read"]["bytes"] > 0
    tenant.close()


def test_own_tables_can_be_read_together_with_archived_events(archived: Tenant) -> None:
    sql = "SELECT c.n, count(*) AS events FROM events e JOIN carts c ON c.sku = e.user_id GROUP BY c.n"
    assert archived.rows(sql) == [{"n": 5, "events": 34}]
    with pytest.raises(QueryError, match="column a of mixed"):
        archived.ask("SELECT * FROM events, mixed")


def test_a_statement_that_only_the_archives_engine_knows_runs(archived: Tenant) -> None:
    sql = "SELECT date_trunc('day', make_timestamp(timestamp * 1000)) AS day, count(*) AS n FROM events GROUP BY ALL ORDER BY day LIMIT 1"
    assert archived.rows(sql) == [{"day": "2026-01-01 00:00:00", "n": 23}]


def test_rows_over_the_limit_are_cut_off_and_it_says_so(archived: Tenant) -> None:
    reply = archived.ask("SELECT seq FROM events ORDER BY seq", limit=3)
    assert [row["seq"] for row in reply["rows"]] == [1, 2, 3]
    assert reply["truncated"]
    assert not archived.ask("SELECT seq FROM events", limit=100)["truncated"]


HOSTILE = [(statement, True) for statement in (*RECENT, *HISTORICAL)]
HOSTILE += [(statement, False) for statement, _ in HOSTILE if statement not in HARMLESS_IN_SQLITE]


@pytest.mark.parametrize(("statement", "archive"), HOSTILE)
def test_a_hostile_statement_changes_and_shows_nothing_in_either_engine(
    archived: Tenant, statement: str, archive: bool
) -> None:
    before = _files(archived.folder)
    parquet = next(path for path in before if path.suffix == ".parquet")
    sql = filled(statement, parquet, archived.lake.home / "catalog.db", archived.path)

    with pytest.raises((QueryForbidden, QueryError, QueryLimit)) as raised:
        pytest.fail(f"it ran: {archived.ask(sql, archive=archive)}")

    assert "hidden-value" not in str(raised.value)
    assert _files(archived.folder) == before


def _files(folder: Path) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith("-shm")
    }


@pytest.mark.parametrize(
    ("sql", "near", "position"),
    [
        ("SELECT dat FROM events", ["date"], 7),
        ("SELECT 'Zoë', p.dat, 0x10 FROM events p", ["date"], 14),
        ("SELECT properties ->> 'a', date(seq, 'unixepoch'), usr_id FROM events", ["user_id"], 51),
        ("SELECT seq FROM evnts, events", ["events"], 16),
    ],
)
def test_an_unknown_name_gets_its_place_and_what_is_near(
    archived: Tenant, sql: str, near: list[str], position: int
) -> None:
    with pytest.raises(QueryError, match=f"at line 1, column {position + 1}") as raised:
        archived.ask(sql)
    assert raised.value.detail["near"][: len(near)] == near
    assert raised.value.detail["position"] == position


def test_an_error_of_types_gets_its_place(archived: Tenant) -> None:
    sql = "SELECT properties ->> 'n' AS n\nFROM events\nWHERE user_id > 5"
    with pytest.raises(QueryError, match="line 3") as raised:
        archived.ask(sql)
    assert raised.value.detail["position"] == sql.index("user_id > 5")


@pytest.mark.parametrize("limit", [0, -1, 10_001, "5", 2.5])
def test_a_limit_out_of_range_is_refused(archived: Tenant, limit: Any) -> None:
    with pytest.raises(InvalidArgument, match="limit is a whole number"):
        archived.ask("SELECT count(*) FROM events", limit=limit)


@pytest.mark.parametrize("sql", ["", " ", None, 7])
def test_nothing_to_run_is_an_error(archived: Tenant, sql: Any) -> None:
    with pytest.raises(QueryError):
        archived.ask(sql)


def test_a_statement_too_long_is_refused(archived: Tenant) -> None:
    with pytest.raises(QueryLimit, match="limit of size"):
        archived.ask(f"SELECT count(*) FROM events -- {'x' * 200_000}")


@pytest.mark.parametrize("sql", [ALL, "SELECT 1 AS one"])
def test_a_question_whose_time_is_over_does_not_begin(archived: Tenant, sql: str) -> None:
    stop = Stop(5)
    stop.request()
    with pytest.raises(QueryLimit, match="more than 5 s"):
        archived.answers.answer(archived.question(sql), stop)
    assert archived.rows(ALL) == whole(100)


def test_a_database_that_is_not_there_is_for_later(archived: Tenant, tmp_path: Path) -> None:
    (tmp_path / "tenant.db").touch()
    archived.path, path = tmp_path / "nothing.db", archived.path
    with pytest.raises(Unavailable, match="cannot be read now"):
        archived.ask("SELECT 1")
    archived.path = path


def test_an_archive_that_lost_its_catalog_is_an_error_and_not_an_answer(tenant: Tenant) -> None:
    tenant.archive(START_MS + DAY_MS)
    (tenant.lake.home / "catalog.db").unlink()
    with pytest.raises(DataUnreadable):
        tenant.ask(ALL)
