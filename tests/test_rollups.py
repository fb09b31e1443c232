"""Rollups equal the same query over the raw events: late, doubled, shuffled, rolled back."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raydo.actors import event_names, people, usersets
from raydo.actors.buckets import BUCKET_MS
from raydo.actors.database import Database
from raydo.actors.rollups import RolledEvent, Rollups
from raydo.pipelining.errors import InvalidArgument

DATA = Path(__file__).parents[2] / "shared" / "data" / "git_events_20tenants.csv.gz"
ZONES = ("UTC", "Asia/Kolkata", "America/New_York", "Pacific/Auckland")
DAY_MS = 86_400_000
NOON = 1_760_011_200_000  # 2025-10-09T12:00Z


class Opened:
    """Rollups with their database, and the plain computation next to them."""

    def __init__(self, database: Database | None = None) -> None:
        self.database = database or Database(None)
        self.rollups = Rollups(self.database)
        self.database.begin()
        self.rollups.create()
        self.database.commit()
        self.raw: list[RolledEvent] = []

    def apply(self, *events: RolledEvent) -> None:
        self.rollups.apply(events)
        self.database.commit()
        self.raw += events

    def materialise(self, zone: str) -> int:
        written = self.rollups.materialise(zone)
        self.database.commit()
        return written

    def check(self, zone: str) -> None:
        """Compare tables and answers with the plain computation over the raw events."""
        plain = plain_days(self.raw, zone)
        self.check_days(zone, plain)
        self.check_tables(zone, plain)
        self.check_days(zone, plain)

    def check_tables(self, zone: str, plain: dict[date, tuple[int, int]]) -> None:
        self.materialise(zone)
        written = self.database.run("SELECT date, dau, events FROM daily_metrics ORDER BY date")
        assert written == [(day.isoformat(), *total) for day, total in sorted(plain.items())]
        hours = self.database.run("SELECT hour, event, count FROM hourly_events")
        assert {row[:2]: row[2] for row in hours} == plain_hours(self.raw, zone)

    def check_days(self, zone: str, plain: dict[date, tuple[int, int]]) -> None:
        if not plain:
            return
        last, span = max(plain), (max(plain) - min(plain)).days + 3
        answer = self.rollups.days(span, zone, last + timedelta(days=1), NOON)
        for at, row in enumerate(answer):
            day = last + timedelta(days=1 - at)
            assert row["date"] == day.isoformat()
            assert (row["dau"], row["events"]) == plain.get(day, (0, 0)), (zone, day)


def plain_days(events: Iterable[RolledEvent], zone: str) -> dict[date, tuple[int, int]]:
    users: defaultdict[date, set[str]] = defaultdict(set)
    counts: Counter[date] = Counter()
    where = ZoneInfo(zone)
    for event in events:
        day = datetime.fromtimestamp(event.timestamp_ms / 1000, where).date()
        counts[day] += 1
        if event.user_id is not None:
            users[day].add(event.user_id)
    return {day: (len(users[day]), count) for day, count in counts.items()}


def plain_hours(events: Iterable[RolledEvent], zone: str) -> dict[tuple[str, str], int]:
    counts: Counter[tuple[str, str]] = Counter()
    for event in events:
        local = datetime.fromtimestamp(event.timestamp_ms / 1000, ZoneInfo(zone))
        counts[f"{local:%Y-%m-%dT%H}:00", event.event] += 1
    return dict(counts)


def event(
    at_ms: int = NOON, user: str | None = "alice", name: str = "PageView", *, bot: bool = False
) -> RolledEvent:
    return RolledEvent(at_ms, name, user, bot)


def made_up(source: random.Random, count: int, days: int = 40) -> list[RolledEvent]:
    return [
        event(
            NOON - source.randrange(days * DAY_MS),
            source.choice([None, *(f"user {n}" for n in range(12))]),
            source.choice(["a", "b", "c"]),
            bot=source.random() < 0.2,
        )
        for _ in range(count)
    ]


def test_an_event_counts_on_its_day_and_its_user_once() -> None:
    opened = Opened()
    opened.apply(event(), event(NOON + 1), event(user="bob"), event(user=None))
    assert opened.rollups.days(2, "UTC", None, NOON) == [
        {"date": "2025-10-09", "dau": 2, "events": 4, "partial": True},
        {"date": "2025-10-08", "dau": 0, "events": 0, "partial": False},
    ]


def test_the_zone_decides_the_day_and_when_it_is_over() -> None:
    opened = Opened()
    opened.apply(event(NOON - DAY_MS // 12))
    newest = opened.rollups.days(1, "Pacific/Auckland", None, NOON)
    assert newest == [{"date": "2025-10-10", "dau": 0, "events": 0, "partial": True}]
    day = opened.rollups.days(1, "Pacific/Auckland", date(2025, 10, 10), NOON + DAY_MS)
    assert day[0]["partial"] is False


def test_bots_count_and_can_be_left_out() -> None:
    opened = Opened()
    opened.apply(event(), event(user="crawler", bot=True), event(bot=True))
    every, humans = (
        opened.rollups.days(1, "UTC", None, NOON, bots=bots)[0] for bots in (True, False)
    )
    assert (every["dau"], every["events"]) == (2, 3)
    assert (humans["dau"], humans["events"]) == (1, 1)
    opened.materialise("UTC")
    assert opened.rollups.days(1, "UTC", None, NOON, bots=False)[0] == humans


def test_an_unknown_zone_is_the_callers_fault() -> None:
    opened = Opened()
    for zone in ("Mars/Olympus", "", "../etc/passwd"):
        with pytest.raises(InvalidArgument, match="time zone"):
            opened.rollups.days(1, zone, None, NOON)
        with pytest.raises(InvalidArgument, match="time zone"):
            opened.rollups.materialise(zone)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Niue"])
def test_days_outside_the_calendar_are_the_callers_fault(zone: str) -> None:
    days = Opened().rollups.days
    for last in (date.min, date.max, date(1, 1, 4)):
        with pytest.raises(InvalidArgument, match="9999"):
            days(2, zone, last, NOON)
    assert days(2, zone, date(1, 1, 5), NOON)[1]["date"] == "0001-01-04"
    assert days(2, zone, date(9999, 12, 28), NOON)[0]["partial"]


def test_nothing_applied_changes_nothing() -> None:
    opened = Opened()
    before = opened.database.connection.total_changes
    opened.apply()
    assert opened.materialise("UTC") == 0
    assert opened.materialise("UTC") == 0
    assert opened.database.connection.total_changes - before == 1  # the zone, once


def test_a_user_was_first_seen_in_the_earliest_bucket_however_late_it_came() -> None:
    opened = Opened()
    opened.apply(event(NOON), event(NOON, "bob"))
    opened.apply(event(NOON - 400 * DAY_MS))
    assert opened.rollups.first_seen("alice") == NOON - 400 * DAY_MS
    assert opened.rollups.first_seen("bob") == NOON
    assert opened.rollups.first_seen("eve") is None


def test_moments_before_1970_count_as_well() -> None:
    opened = Opened()
    opened.apply(event(-1), event(-DAY_MS * 400, "bob"))
    assert opened.rollups.first_seen("alice") == -BUCKET_MS
    opened.check("Asia/Kolkata")


def test_users_of_a_span_are_persons_of_its_buckets() -> None:
    opened = Opened()
    opened.apply(event(), event(NOON + BUCKET_MS, "bob"), event(NOON, "crawler", bot=True))
    between, person = opened.rollups.users_between, opened.rollups.person
    assert set(between(NOON, NOON + 1)) == {person("alice"), person("crawler")}
    assert set(between(NOON, NOON + BUCKET_MS + 1, bots=False)) == {person("alice"), person("bob")}
    assert not between(NOON - DAY_MS, NOON)


def test_event_names_over_the_limit_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_names, "EVENT_NAMES_MAX", 3)
    opened = Opened()
    opened.apply(*(event(name=f"event {n}") for n in range(5)))
    opened.apply(event(name="event 9"), event(name="event 0"), event(name="(other)"))
    opened.materialise("UTC")
    counts = dict(opened.database.run("SELECT event, count FROM hourly_events"))
    assert counts == {"event 0": 2, "event 1": 1, "event 2": 1, "(other)": 4}


def test_only_changed_days_and_hours_are_written_again() -> None:
    opened = Opened()
    opened.apply(*(event(NOON - day * DAY_MS, name=f"{n}") for day in range(50) for n in range(9)))
    assert opened.materialise("UTC") == 50

    opened.apply(event(NOON - 30 * DAY_MS, "bob", "1"), event(NOON, "bob", "1"))
    before = opened.database.connection.total_changes
    assert opened.materialise("UTC") == 2
    changes = opened.database.connection.total_changes - before
    assert changes <= 2 * (2 + 2 * 9) + 2  # two days, two hours of nine names, what had changed
    opened.check("UTC")


def test_another_zone_or_other_rules_of_it_write_everything_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = Opened()
    opened.apply(*(event(NOON - hour * 3_600_000, f"{hour % 7}") for hour in range(100)))
    opened.check("America/New_York")
    opened.check("Asia/Kolkata")
    assert opened.materialise("Asia/Kolkata") == 0

    opened.database.run("UPDATE _raydo_rollups SET zone = 'Asia/Kolkata older'")
    opened.database.run("UPDATE daily_metrics SET dau = 0")
    opened.check("Asia/Kolkata")


def test_a_day_that_changed_since_is_computed_and_not_read_from_the_table() -> None:
    opened = Opened()
    opened.apply(event(), event(NOON - DAY_MS))
    opened.materialise("UTC")
    opened.apply(event(NOON - DAY_MS, "bob"))
    assert [row["dau"] for row in opened.rollups.days(3, "UTC", None, NOON)] == [1, 2, 0]


@pytest.mark.parametrize("undo", ["ROLLBACK", "ROLLBACK TO before"])
def test_what_was_rolled_back_is_not_remembered(undo: str) -> None:
    opened = Opened()
    opened.apply(event(), event(user="bob"))
    opened.database.begin()
    opened.database.run("SAVEPOINT before")
    opened.rollups.apply([event(user="eve", name="Other"), event(user="alice"), event(user="dan")])
    opened.database.run(undo)

    opened.apply(
        event(user="dan", name="Third"), event(user="eve"), event(NOON + 1, "dan", "Other")
    )

    opened.check("UTC")
    assert opened.rollups.first_seen("eve") == NOON
    names = dict(opened.database.run("SELECT name, person FROM _raydo_users"))
    assert names == {"alice": 1, "bob": 2, "dan": 3, "eve": 4} or len(set(names.values())) == 4


@pytest.mark.parametrize("undo", ["ROLLBACK", "ROLLBACK TO before"])
def test_days_told_inside_a_transaction_that_is_undone_are_not_told_again(undo: str) -> None:
    opened = Opened()
    opened.apply(event(user="ann"))
    opened.database.begin()
    opened.database.run("SAVEPOINT before")
    opened.rollups.apply([event(user="bob"), event(user="eve")])
    assert opened.rollups.days(1, "UTC", None, NOON)[0]["dau"] == 3
    opened.database.run(undo)
    assert opened.rollups.days(1, "UTC", None, NOON)[0]["dau"] == 1

    opened.apply(event(user="dan"))

    assert opened.rollups.days(1, "UTC", None, NOON)[0]["dau"] == 2


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(ZONES))
def test_any_order_of_drains_rollbacks_and_restarts_gives_the_plain_numbers(
    seed: int, zone: str
) -> None:
    source = random.Random(seed)
    opened = Opened()
    for _ in range(12):
        batch = made_up(source, source.randrange(1, 40))
        if source.random() < 0.3:
            opened.rollups.apply(batch)
            opened.database.rollback()
        if source.random() < 0.2:
            opened.rollups = Rollups(opened.database)
        opened.apply(*batch)
        if source.random() < 0.2:
            opened.materialise(source.choice(ZONES))
    opened.check(zone)
    for user in (f"user {n}" for n in range(12)):
        seen = [e.timestamp_ms // BUCKET_MS * BUCKET_MS for e in opened.raw if e.user_id == user]
        assert opened.rollups.first_seen(user) == min(seen, default=None)


def test_memory_that_holds_nothing_gives_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usersets, "USER_SETS_BYTES_MAX", 0)
    monkeypatch.setattr(people, "USERS_CACHED_MAX", 0)
    opened, source = Opened(), random.Random(4)
    for _ in range(10):
        opened.apply(*made_up(source, 50))
    opened.check("Pacific/Auckland")


def test_a_drain_writes_what_it_touches_and_not_the_history() -> None:
    opened, source = Opened(), random.Random(3)
    touched = [event(NOON, f"user {n}", "a") for n in range(5)]
    changes = []
    for _ in range(4):
        opened.apply(*made_up(source, 2_000, days=400))
        before = opened.database.connection.total_changes
        opened.apply(*touched)
        changes.append(opened.database.connection.total_changes - before)
    assert (
        max(changes) <= 1 + 2 + 1 + 5 + 1
    )  # generation, bucket and count, its set, users, changed


def test_a_day_lived_twice_and_a_day_left_out_are_right() -> None:
    opened, source = Opened(), random.Random(9)
    apia = int(datetime.fromisoformat("2011-12-28T00:00+00:00").timestamp() * 1000)
    new_york = int(datetime.fromisoformat("2025-11-01T00:00+00:00").timestamp() * 1000)
    # Here the clock went back from 02:00 to 23:00 of the day before.
    casey = int(datetime.fromisoformat("2010-03-03T12:00+00:00").timestamp() * 1000)
    for start in (apia, new_york, casey):
        opened.apply(*(event(start + source.randrange(4 * DAY_MS), f"{n % 9}") for n in range(500)))
    opened.check("Pacific/Apia")
    opened.check("America/New_York")
    opened.check("Antarctica/Casey")
