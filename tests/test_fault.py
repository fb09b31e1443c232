from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from raydo.actors.fault import limited, placed
from raydo.pipelining.errors import QueryError, QueryLimit


def complaint(sql: str) -> QueryError:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a, b)")
    try:
        connection.execute(sql)
    except (sqlite3.Error, sqlite3.Warning) as error:
        return QueryError(f"{error}.")
    finally:
        connection.close()
    raise AssertionError(f"{sql} runs")


@pytest.mark.parametrize(
    ("sql", "at"),
    [
        ("SELEKT 1", "SELEKT"),
        ("SELECT a, FROM t", "FROM"),
        ("SELECT a, b FROM t WHERE a = , 1", ", 1"),
        ("SELECT a FROM t WHER a = 1", "a = 1"),
        ("SELECT a\nFROM t\nWHERE (a = 1 AND\n  b == = 2)", "= 2"),
        ("SELECT 'Zoë', nothing FROM t", "nothing"),
        ("SELECT 'nothing', t.nothing FROM t", "nothing FROM"),
        ("SELECT a AS other, x.a FROM t", "a FROM"),
        ('SELECT a FROM "nowhere"', '"nowhere"'),
        ("SELECT nofunction(a) FROM t", "nofunction"),
        ("SELECT a FROM t WHERE", ""),
    ],
)
def test_an_error_of_sqlite_gets_its_place(sql: str, at: str) -> None:
    error = placed(complaint(sql), sql)

    position: Any = error.detail["position"]
    assert sql[position:].startswith(at)
    assert position == (sql.index(at) if at else len(sql))
    line, column = error.detail["line"], error.detail["column"]
    assert sql.split("\n")[line - 1][column - 1 :].startswith(at.split("\n", maxsplit=1)[0])
    assert f"line {line}, column {column}" in str(error)


def test_an_error_without_a_place_stays_as_it_is() -> None:
    error = QueryError("A query is one statement.")
    assert placed(error, "SELECT 1; SELECT 2") is error


@pytest.mark.parametrize(
    "sql", ["PRAGMA hard_heap_limit = 1 ,", "ATTACH 'x' AS y ,", "SELECT 1 ,; DROP TABLE t"]
)
def test_looking_for_the_place_runs_nothing(sql: str) -> None:
    placed(QueryError('near ",": syntax error.'), sql)

    connection = sqlite3.connect(":memory:")
    assert connection.execute("PRAGMA hard_heap_limit").fetchone() == (0,)
    connection.close()


def test_a_limit_is_named() -> None:
    assert limited(QueryLimit("The query ran for more than 5 s.")).detail == {"limit": "time"}
    assert limited(QueryLimit("too big")).detail == {"limit": "size"}
    known = QueryLimit("x", detail={"limit": "memory"})
    assert limited(known) is known
