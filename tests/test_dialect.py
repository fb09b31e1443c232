"""The same statements over the same events, once all in SQLite and once mostly in the archive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.archive import HOUR_MS, START_MS, Event, Tenant, hourly
from support.statements import SAME

from raydo.pipelining.errors import QueryError, QueryForbidden

pytestmark = pytest.mark.slow

ODD = [
    Event(
        500,
        START_MS + 5 * HOUR_MS,
        "Odd",
        None,
        {
            "n": "text",
            "plan": None,
            "half": "12abc",
            "paid": "yes",
            "deep": [1, {"a": 2}],
            "a b": 1,
        },
    ),
    Event(501, START_MS + 6 * HOUR_MS, "Odd%_X", "U1", {"n": -3.5, "plan": "Pro", "half": -7}),
    Event(502, -400 * 86_400_000 - 1, "Old", "u9", {"paid": True, "deep": {"list": []}}),
    Event(
        503, START_MS + 7 * HOUR_MS, "odd", None, {"n": 1e300, "half": 0.1, "plan": "", "q": '"'}
    ),
    Event(504, START_MS + 8 * HOUR_MS, "Zoë", "u1", {"n": 2**53 - 1, "plan": "Zoë", "paid": False}),
]


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tenant, Tenant]]:
    events = [*hourly(60), *ODD]
    tenants = [Tenant(tmp_path_factory.mktemp(name)) for name in ("recent", "archived")]
    for tenant in tenants:
        tenant.write(events)
    tenants[1].archive(START_MS + 40 * HOUR_MS)
    yield tenants[0], tenants[1]
    for tenant in tenants:
        tenant.close()


def _comparable(sql: str, reply: dict[str, Any]) -> str:
    rows = reply["rows"]
    if "order by" not in sql.lower():
        rows = sorted(rows, key=lambda row: json.dumps(row, default=repr))
    return repr((reply["columns"], rows))


@pytest.mark.parametrize(("sql", "params"), SAME, ids=[sql[:60] for sql, _ in SAME])
def test_a_statement_means_the_same_whatever_is_archived(
    tenants: tuple[Tenant, Tenant], sql: str, params: Any
) -> None:
    recent, archived = (tenant.ask(sql, params) for tenant in tenants)

    assert recent["layers"] == ["L2"]
    assert archived["layers"] == ["L2", "L3"]
    assert _comparable(sql, archived) == _comparable(sql, recent)


def test_a_whole_real_out_of_json_is_an_integer(tenants: tuple[Tenant, Tenant]) -> None:
    """The one difference that is left: the archive's engine has one kind of number in JSON."""
    sql = "SELECT properties ->> 'half' AS half FROM events WHERE seq IN (1, 2) ORDER BY seq"
    assert [row["half"] for row in tenants[0].rows(sql)] == [0.5, 1.0]
    assert repr([row["half"] for row in tenants[1].rows(sql)]) == "[0.5, 1]"


NOT_THERE = [
    ("SELECT properties ->> 'n' / 2 FROM events", "needs a type"),
    ("SELECT json_extract(properties, '$.n', '$.plan') FROM events", "takes one path"),
    ("SELECT json_extract(properties, 'n') FROM events", "begins with"),
    ("SELECT properties ->> '$.*' FROM events", "no wildcards"),
    ("SELECT date(timestamp / 1000, 'unixepoch', '+1 month') FROM events", "only after"),
    ("SELECT date(timestamp / 1000, 'unixepoch', 'localtime') FROM events", "does not run"),
    ("SELECT date(timestamp / 1000, event) FROM events", "constant texts"),
    ("SELECT strftime('%J', timestamp / 1000, 'unixepoch') FROM events", "%J does not run"),
    ("SELECT strftime(event, timestamp / 1000, 'unixepoch') FROM events", "constant text"),
    ("SELECT value FROM events, json_each(properties)", "not for queries"),
    ("SELECT user_id, event, count(*) FROM events GROUP BY user_id", "GROUP BY"),
    ("SELECT event + 1 FROM events", "."),
]


@pytest.mark.parametrize(("sql", "why"), NOT_THERE)
def test_where_the_engines_cannot_agree_there_is_an_error(
    tenants: tuple[Tenant, Tenant], sql: str, why: str
) -> None:
    with pytest.raises((QueryError, QueryForbidden), match=why):
        tenants[1].ask(sql)


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("SELECT ? FROM events", []),
        ("SELECT ? FROM events", [1, 2]),
        ("SELECT :a FROM events", {"b": 1}),
        ("SELECT ?, :a FROM events", [1, 2]),
    ],
)
def test_parameters_that_do_not_fit_are_an_error(
    tenants: tuple[Tenant, Tenant], sql: str, params: Any
) -> None:
    with pytest.raises(QueryError):
        tenants[1].ask(sql, params)
