"""`events.person_id` is who a user is now, wherever the event lies and whatever moment is asked about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.archive import DAY_MS, HOUR_MS, START_MS, Event, Tenant

from raydo.actors.links import Link
from raydo.actors.question import AsOf
from raydo.actors.rollups import RolledEvent
from raydo.pipelining.errors import QueryLimit

PERSONS = "SELECT seq, user_id, person_id FROM events ORDER BY seq"
DAYS = "SELECT date, count(DISTINCT person_id) AS dau, count(*) AS events FROM events GROUP BY date ORDER BY date"
THEN = AsOf(START_MS + 40 * DAY_MS)
USERS = ["a1", "alice", None, "a2", "bob", "alice", "a1", "bob"]


@pytest.fixture
def tenant(tmp_path: Path) -> Iterator[Tenant]:
    """Half of the events in the archive, one a day at noon."""
    tenant = Tenant(tmp_path / "tenant", "UTC")
    tenant.write(
        Event(n, START_MS + (n - 1) // 2 * DAY_MS + 12 * HOUR_MS, "Visit", user, {})
        for n, user in enumerate(USERS, start=1)
    )
    tenant.archive(START_MS + 2 * DAY_MS)
    yield tenant
    tenant.close()


def link(tenant: Tenant, *links: tuple[str, str]) -> None:
    event = RolledEvent(START_MS + 3 * DAY_MS, "$identify", links[-1][1], False)
    tenant.rollups.apply([event], [Link(*pair, explicit=True) for pair in links])
    tenant.database.commit()


def persons(tenant: Tenant, as_of: AsOf | None = None) -> list[str | None]:
    rows = tenant.rows(PERSONS) if as_of is None else tenant.rows(PERSONS, as_of=as_of)
    assert [row["user_id"] for row in rows] == USERS
    return [row["person_id"] for row in rows]


def test_everybody_is_a_person_of_its_own_while_nobody_was_merged(tenant: Tenant) -> None:
    assert persons(tenant) == persons(tenant, THEN) == USERS


def test_a_merge_restates_archived_and_recent_events_and_the_past(tenant: Tenant) -> None:
    link(tenant, ("a1", "alice"))
    now = ["alice" if user == "a1" else user for user in USERS]
    assert persons(tenant) == persons(tenant, THEN) == now
    assert tenant.ask(PERSONS)["layers"] == ["L2", "L3"]
    link(tenant, ("alice", "bob"), ("a2", "bob"))
    assert persons(tenant) == persons(tenant, THEN) == [user and "bob" for user in USERS]


def test_days_of_the_past_count_persons(tenant: Tenant) -> None:
    link(tenant, ("a1", "alice"), ("a2", "bob"))
    rollups = "SELECT date, dau, events FROM daily_metrics ORDER BY date"
    expected = [(1, 2), (1, 2), (2, 2), (2, 2)]
    for sql in (DAYS, rollups):
        rows = tenant.rows(sql, as_of=THEN)
        assert [(row["dau"], row["events"]) for row in rows] == expected
    assert [(row["dau"], row["events"]) for row in tenant.rows(DAYS)] == expected


def test_one_person_is_found_by_any_engine(tenant: Tenant) -> None:
    link(tenant, ("a1", "alice"))
    where = "SELECT count(*) AS n FROM events WHERE person_id = 'alice'"
    assert tenant.rows(where) == tenant.rows(where, as_of=THEN) == [{"n": 4}]
    recent = f"{where} AND timestamp >= {START_MS + 3 * DAY_MS}"
    assert tenant.ask(recent)["layers"] == ["L2"]
    assert tenant.rows(recent) == [{"n": 1}]


def test_both_engines_have_the_same_columns(tenant: Tenant) -> None:
    link(tenant, ("a1", "alice"))
    everything = "SELECT * FROM events ORDER BY seq"
    recent = f"SELECT * FROM events WHERE timestamp >= {START_MS + 3 * DAY_MS} ORDER BY seq"
    old, new = tenant.ask(everything), tenant.ask(recent)
    assert (old["layers"], new["layers"]) == (["L2", "L3"], ["L2"])
    assert list(old["rows"][0]) == list(new["rows"][0])
    assert old["rows"][-2:] == new["rows"]


def test_anybody_may_ask_which_ids_were_merged(tenant: Tenant) -> None:
    link(tenant, ("a1", "alice"))
    assert tenant.rows("SELECT * FROM merged_ids") == [{"id": "a1", "person_id": "alice"}]
    joined = "SELECT count(*) AS n FROM events JOIN merged_ids ON merged_ids.id = user_id"
    assert tenant.rows(joined) == [{"n": 2}]


def test_more_merged_ids_than_a_query_can_hold_are_refused_only_where_they_are_needed(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raydo.actors.recent.QUERY_MERGED_IDS_MAX", 1)
    link(tenant, ("a1", "alice"), ("a2", "bob"))
    with pytest.raises(QueryLimit, match="merged ids"):
        tenant.rows(PERSONS)
    assert tenant.rows("SELECT count(*) AS n FROM events") == [{"n": 8}]
