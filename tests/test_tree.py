from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from raydo.actors.spelling import spell
from raydo.actors.tree import (
    Node,
    both,
    cast,
    compare,
    constant,
    function,
    parse,
    place,
    render,
    walk,
)
from raydo.pipelining.errors import QueryError, QueryForbidden, QueryLimit


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    engine = duckdb.connect()
    yield engine
    engine.close()


def test_a_statement_is_run_as_its_tree(engine: duckdb.DuckDBPyConnection) -> None:
    tree = parse(engine, spell("WITH x AS (SELECT 1 AS a) SELECT a FROM x ORDER BY a LIMIT 1"))
    assert engine.execute(render(engine, tree)).fetchall() == [(1,)]


def test_parts_that_are_made_can_be_run(engine: duckdb.DuckDBPyConnection) -> None:
    tree = parse(engine, spell("SELECT 1"))
    same = compare(
        "COMPARE_EQUAL", constant("it's"), function("concat", constant("it"), constant("'s"))
    )
    other = compare("COMPARE_EQUAL", cast(constant("5"), "BIGINT"), constant(5))
    tree["node"]["select_list"] = [both(same, other), constant(None)]

    assert engine.execute(render(engine, tree)).fetchall() == [(True, None)]


def test_every_part_is_visited_once(engine: duckdb.DuckDBPyConnection) -> None:
    tree = parse(engine, spell("SELECT a FROM (VALUES (1), (2)) t(a) WHERE a IN (3, 4)"))
    constants = [node["literal"]["text"] for node in walk(tree) if node.get("class") == "CONSTANT"]
    assert sorted(constants) == ["1", "2", "3", "4"]


def test_parts_know_their_place(engine: duckdb.DuckDBPyConnection) -> None:
    [column] = [
        node
        for node in walk(parse(engine, spell("SELECT  abc FROM t")))
        if node.get("class") == "COLUMN_REF"
    ]
    assert place(column) == 8
    assert place(constant(1)) is None


def test_what_does_not_parse_has_a_position(engine: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(QueryError, match="syntax error") as raised:
        parse(engine, spell("SELECT 'Zoë' FROM WHERE"))
    assert raised.value.detail == {"position": 18}


@pytest.mark.parametrize("sql", ["SELECT 1; SELECT 2", "DROP TABLE t", "SET x = 1", "", ";"])
def test_only_one_select_is_a_query(engine: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(QueryForbidden):
        parse(engine, spell(sql))


@pytest.mark.parametrize(
    "sql", ["SELECT " + "abs(" * 150 + "1" + ")" * 150, "SELECT 1 IN (" + "1," * 12_000 + "1)"]
)
def test_a_tree_too_deep_or_too_large_is_refused(
    engine: duckdb.DuckDBPyConnection, sql: str
) -> None:
    with pytest.raises(QueryLimit):
        parse(engine, spell(sql))


def test_the_engine_is_asked_no_more_than_the_text_says(engine: duckdb.DuckDBPyConnection) -> None:
    hostile = 'SELECT \'"}; DROP TABLE t; --\' AS "a""b"'
    tree: Node = parse(engine, spell(hostile))
    assert engine.execute(render(engine, tree)).fetchall() == [('"}; DROP TABLE t; --',)]
