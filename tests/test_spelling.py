from __future__ import annotations

import pytest

from raydo.actors.spelling import spell, tokens
from raydo.pipelining.errors import QueryError

MENDED = [
    ("SELECT :a, @b, $c, ?, ?2", "SELECT $a, $b, $c, ?, $2"),
    (
        "SELECT ':a', \":a\" -- :a\n, /* :a */ 1::text",
        "SELECT ':a', \":a\" -- :a\n, /* :a */ 1::text",
    ),
    ("SELECT p -> 'a'", "SELECT (p @> 'a')"),
    ("SELECT p ->> 'a' + 1", "SELECT (p ->> 'a') + 1"),
    ("SELECT p -> 'a' ->> 'b' = 'c'", "SELECT (p @> 'a' ->> 'b') = 'c'"),
    ("SELECT e.p ->> ?", "SELECT (e.p ->> ?)"),
    ("SELECT json(p) ->> -1", "SELECT (json(p) ->> -1)"),
    ("SELECT x IN (1) AND (p) ->> 'a'", "SELECT x IN (1) AND ((p) ->> 'a')"),
    ("SELECT p ->> lower('A')", "SELECT (p ->> lower('A'))"),
    ("SELECT p ->> e.k", "SELECT (p ->> e.k)"),
    ("SELECT p ->> ('a' || 'b')", "SELECT (p ->> ('a' || 'b'))"),
    ("SELECT f(p ->> 'a') ->> 'b'", "SELECT (f((p ->> 'a')) ->> 'b')"),
    (
        "SELECT date(x), time (y), char(65)",
        "SELECT _raydo_date(x), _raydo_time (y), _raydo_char(65)",
    ),
    ("SELECT date, e.date FROM events", "SELECT date, e.date FROM events"),
    ("SELECT 0xFF, x'FF'", "SELECT 255, x'FF'"),
    ("SELECT [a b] FROM [events]", 'SELECT "a b" FROM "events"'),
    ("SELECT 'it''s ->> no arrow'", "SELECT 'it''s ->> no arrow'"),
]


@pytest.mark.parametrize(("written", "mended"), MENDED)
def test_what_both_engines_spell_differently_is_mended(written: str, mended: str) -> None:
    assert spell(written).text == mended


@pytest.mark.parametrize(
    "sql", ["->", "a ->", "-> 'a'", ") -> 'a'", "(", "a -> (", "'", '"', "/*", ""]
)
def test_whatever_is_no_statement_is_left_to_the_parser(sql: str) -> None:
    spell(sql)


def test_a_nul_is_refused() -> None:
    with pytest.raises(QueryError, match="NUL"):
        spell("SELECT 1\0")


def test_every_place_is_known_in_the_original_too() -> None:
    sql = "SELECT 'Zoë', date(x), p ->> 'a' + 1, wrong FROM events"
    spelling = spell(sql)

    for name in ("date", "wrong", "events"):
        byte = len(spelling.text[: spelling.text.index(name)].encode())
        assert sql[spelling.origin(byte) :].startswith(name)
    assert spelling.origin(10_000) <= len(sql)


def test_tokens_leave_space_and_comments_out() -> None:
    assert [token.text for token in tokens("SELECT 1 /* a */ ; -- b")] == ["SELECT", "1", ";"]
