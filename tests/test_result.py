from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal

import pytest

from raydo.actors import result
from raydo.pipelining.errors import QueryError

READ = [
    ("BIGINT", 5, 5),
    ("HUGEINT", 5, 5),
    ("BOOLEAN", True, 1),
    ("DOUBLE", 1.0, 1.0),
    ("DECIMAL(3,1)", Decimal("1.5"), 1.5),
    ("DATE", date(2026, 1, 31), "2026-01-31"),
    ("TIME", time(1, 2, 3), "01:02:03"),
    ("TIMESTAMP", datetime(2026, 1, 31, 1, 2, 3), "2026-01-31 01:02:03"),  # noqa: DTZ001
    ("TIMESTAMP", datetime(2026, 1, 31, 1, 2, 3, 5000), "2026-01-31 01:02:03.005"),  # noqa: DTZ001
    ("INTERVAL", timedelta(days=1), "1 day, 0:00:00"),
    ("UNION(num DOUBLE, str VARCHAR)", 7.0, 7),
    ("UNION(num DOUBLE, str VARCHAR)", 7.5, 7.5),
    ("UNION(num DOUBLE, str VARCHAR)", 1e300, 1e300),
    ("UNION(num DOUBLE, str VARCHAR)", "7", "7"),
    ("INTEGER[]", [1, 2], "[1,2]"),
    ("STRUCT(a DECIMAL(2,1))", {"a": Decimal("1.5")}, '{"a":1.5}'),
    ("JSON", '{"a":1}', '{"a":1}'),
    ("BLOB", b"\x00", b"\x00"),
    ("UUID", 5, "5"),
    ("VARCHAR", None, None),
]


@pytest.mark.parametrize(("kind", "value", "read"), READ)
def test_values_become_what_sqlite_would_have(kind: str, value: object, read: object) -> None:
    [got] = result.reader([kind])([value])
    assert got == read
    assert type(got) is type(read)


def test_a_number_beyond_64_bits_is_an_overflow_as_in_sqlite() -> None:
    with pytest.raises(QueryError, match="integer overflow"):
        result.reader(["HUGEINT"])([2**63])


def test_rows_and_bytes_over_the_limit_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(n, "x" * 100) for n in range(10)]
    assert result.collect(rows, ["n", "x"], 10) == (
        [{"n": n, "x": "x" * 100} for n in range(10)],
        False,
    )
    assert [
        len(result.collect(rows, ["n", "x"], 3)[0]),
        result.collect(rows, ["n", "x"], 3)[1],
    ] == [3, True]
    monkeypatch.setattr(result, "QUERY_BYTES_MAX", 250)
    assert len(result.collect(rows, ["n", "x"], 10)[0]) == 2


def test_columns_are_told_apart_and_typed() -> None:
    assert result.distinct(["a", "b", "a", "a"]) == ["a", "b", "a:1", "a:2"]
    rows = [{"i": 1, "r": 1, "m": 1, "n": None}, {"i": None, "r": 1.5, "m": "x", "n": None}]
    assert [c["type"] for c in result.columns(["i", "r", "m", "n"], rows)] == [
        "INTEGER",
        "REAL",
        "ANY",
        "NULL",
    ]
