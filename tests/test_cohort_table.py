"""The table `retention` equals the metric, whenever it is read."""

from __future__ import annotations

from typing import Any

import pytest

from raydo.actors.analytics import Analytics
from raydo.actors.world import World

DAY_MS = 86_400_000
TABLE = "SELECT cohort, week, retained FROM retention ORDER BY cohort, week"


@pytest.fixture
def acme(live: Any) -> Any:
    return live(Analytics)


def visit(acme: Any, user: str, days_ago: int) -> None:
    moment = acme.clock.now_ms() - days_ago * DAY_MS
    acme.call("track", "Visit", {"userId": user}, timestamp=moment)


def told(cohorts: list[Any]) -> list[dict[str, Any]]:
    return [
        {"cohort": cohort["cohort"], "week": week, "retained": count}
        for cohort in cohorts
        for week, count in enumerate(cohort["retained"])
        if count
    ]


def test_the_table_is_right_whenever_it_is_read(acme: Any) -> None:
    for user, days in (("a", (40, 33, 5)), ("b", (40, 39)), ("c", (12, 5))):
        for ago in days:
            visit(acme, user, ago)
    first = acme.call("query", TABLE)["rows"]
    assert first == told(acme.call("retention"))
    assert sum(row["retained"] for row in first if row["week"] == 0) == 3

    visit(acme, "c", 47)  # who came late to tell moves to an earlier cohort
    assert acme.call("query", TABLE)["rows"] == told(acme.call("retention")) != first

    acme.call("set_settings", zone="Pacific/Auckland", week_start="sunday")
    assert acme.call("query", TABLE)["rows"] == told(acme.call("retention"))
    assert acme.call("query", "SELECT count(*) AS n FROM retention")["rows"] != [{"n": 0}]


def test_a_merge_moves_a_person_to_one_cohort(acme: Any) -> None:
    acme.call("track", "Visit", {"anonymousId": "d"}, timestamp=acme.clock.now_ms() - 20 * DAY_MS)
    visit(acme, "u", 0)
    assert [row["week"] for row in acme.call("query", TABLE)["rows"]] == [0, 0]

    acme.call("track", "SignUp", {"userId": "u", "anonymousId": "d"})

    rows = acme.call("query", TABLE)["rows"]
    assert rows == told(acme.call("retention"))
    assert len({row["cohort"] for row in rows}) == 1


def test_an_empty_tenant_has_an_empty_table(acme: Any) -> None:
    assert acme.call("query", TABLE)["rows"] == []


def test_nobody_writes_into_the_table(acme: Any) -> None:
    visit(acme, "u", 0)
    for sql in ("DELETE FROM retention", "DROP TABLE retention"):
        with pytest.raises(Exception, match=r"only read|raydo's own"):
            acme.call("query", sql)


@pytest.mark.slow
@pytest.mark.parametrize("week_start", ["monday", "sunday"])
def test_as_of_a_moment_the_table_is_that_of_then(world: World, week_start: str) -> None:
    stub = world.stub(Analytics, "acme")
    world.wait(stub.set_settings(week_start=week_start, zone="America/New_York"))
    for user, days in (("a", (40, 33, 5)), ("b", (40, 39)), ("c", (12, 5))):
        for ago in days:
            moment = world.now_ms - ago * DAY_MS
            world.wait(stub.track("Visit", {"userId": user}, timestamp=moment))
    then, then_ms = world.wait(stub.query(TABLE))["rows"], world.now_ms
    world.advance(hours=1)
    world.wait(stub.track("Visit", {"userId": "c"}, timestamp=world.now_ms - 50 * DAY_MS))

    assert world.wait(stub.query(TABLE, as_of=then_ms))["rows"] == then
    assert world.wait(stub.query(TABLE))["rows"] != then
