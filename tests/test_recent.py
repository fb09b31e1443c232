from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from raydo.actors import recent
from raydo.actors.pin import Run
from raydo.actors.recent import recent_events, table_of
from raydo.pipelining.errors import QueryError, QueryLimit

FAR = 2**62


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(
        "CREATE TABLE raw_events (seq INTEGER, id, event, user_id, anonymous_id, timestamp INTEGER,"
        " received_at, properties, context, stream, flags, appended_at)"
    )
    connection.executemany(
        "INSERT INTO raw_events VALUES (?, 'i', 'e', NULL, NULL, ?, 0, '{}', NULL, 's', 0, ?)",
        [(n, n * 10, n * 100) for n in range(1, 11)],
    )
    yield connection
    connection.close()


def seqs(connection: sqlite3.Connection, *runs: Run, **more: int | None) -> list[int]:
    bounds: dict[str, int | None] = {"first_ms": -FAR, "last_ms": FAR, "as_of_ms": None, **more}
    table = recent_events(connection, {"seq"}, runs, **bounds)  # type: ignore[arg-type]
    assert table.column_names == ["seq"]
    found: list[int] = table["seq"].to_pylist()
    return found


def run(number: int, cut_seq: int, before_ms: int) -> Run:
    return Run(number, cut_seq, before_ms, "committed", 1, before_ms - 1)


def test_rows_that_a_run_has_taken_are_left_out(connection: sqlite3.Connection) -> None:
    assert seqs(connection) == list(range(1, 11))
    assert seqs(connection, run(1, 5, 40)) == [4, 5, 6, 7, 8, 9, 10]
    assert seqs(connection, run(1, 2, 999)) == [3, 4, 5, 6, 7, 8, 9, 10]
    assert seqs(connection, run(1, 5, 40), run(2, 9, 80)) == [8, 9, 10]


def test_only_what_is_needed_is_read(connection: sqlite3.Connection) -> None:
    assert seqs(connection, first_ms=30, last_ms=50) == [3, 4, 5]
    assert seqs(connection, as_of_ms=250) == [1, 2]


def test_all_columns_have_their_types(connection: sqlite3.Connection) -> None:
    table = recent_events(connection, recent.COLUMNS, [], first_ms=0, last_ms=FAR, as_of_ms=None)
    assert {field.name: str(field.type) for field in table.schema} == {
        **recent.COLUMNS,
    }
    none = recent_events(connection, set(), [], first_ms=0, last_ms=FAR, as_of_ms=None)
    assert none.num_rows == 10


def test_too_many_rows_for_one_query_are_refused(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "QUERY_RECENT_ROWS_MAX", 9)
    with pytest.raises(QueryLimit, match="more than 9 events") as raised:
        seqs(connection)
    assert raised.value.detail == {"limit": "rows", "max": 9}
    monkeypatch.setattr(recent, "QUERY_TABLE_ROWS_MAX", 9)
    with pytest.raises(QueryLimit, match="rows of raw_events"):
        table_of(connection, "raw_events")


def test_an_objects_own_table_takes_its_types_from_its_values(
    connection: sqlite3.Connection,
) -> None:
    connection.execute('CREATE TABLE "my ""carts" (i, r, t, b, n)')
    connection.execute("INSERT INTO \"my \"\"carts\" VALUES (1, 1.5, 'x', x'00', NULL)")
    connection.execute('INSERT INTO "my ""carts" (i, r) VALUES (2, 2)')

    table = table_of(connection, 'my "carts')

    assert [str(kind) for kind in table.schema.types] == [
        "int64",
        "double",
        "string",
        "binary",
        "string",
    ]
    assert table.to_pylist()[1] == {"i": 2, "r": 2.0, "t": None, "b": None, "n": None}


def test_an_empty_table_can_be_read(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE empty (a, b)")
    assert table_of(connection, "empty").to_pylist() == []


def test_a_column_of_several_types_is_refused(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE mixed (a)")
    connection.execute("INSERT INTO mixed VALUES (1), ('x')")
    with pytest.raises(QueryError, match="column a of mixed"):
        table_of(connection, "mixed")
