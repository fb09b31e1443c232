from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from raydo.actors.alarm_clock import AlarmClock
from raydo.actors.alarms import ONCE, Alarms, Timer, retry_ms
from raydo.actors.database import Database
from raydo.actors.disk import OsDisk
from raydo.actors.drain import Ground, write
from raydo.actors.effects import EFFECTS, Effects, decode, encode
from raydo.actors.handlers import Firing, find, name_of, run
from raydo.actors.idset import IdSet
from raydo.actors.rollups import Rollups
from raydo.actors.schedule import Every
from raydo.actors.schema import open_database
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import TIMER_RETRIES_MAX, TIMER_RETRY_MAX_S, TIMERS_PER_FIRE
from raydo.pipelining.method import call

NOW_MS = 1_767_225_600_000  # Thursday 2026-01-01T00:00:00Z
HOUR_MS = 3_600_000
HOURLY = Timer("Owner.tidy", "every hour", "UTC", NOW_MS + HOUR_MS)


class Owner:
    def tidy(self) -> None: ...
    def report(self) -> None: ...
    def needs_two(self, one: int, two: int) -> None: ...
    def needs_a_name(self, *, one: int) -> None: ...
    async def waits(self) -> None: ...
    def yields(self) -> Any:
        yield

    def told(self, firing: Firing) -> None:
        TOLD.append(firing)

    def may_be_told(self, firing: Firing | None = None) -> None:
        TOLD.append(firing)

    @call
    def called(self) -> None:
        TOLD.append(None)


TOLD: list[Firing | None] = []
OWNER = Owner()


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return open_database(tmp_path / "tenant.db")


def alarms(database: Database, now_ms: int = NOW_MS) -> Alarms:
    alarms = Alarms(database)
    alarms.now_ms = now_ms
    return alarms


def every(alarms: Alarms, zone: str = "UTC") -> Every:
    return Every(partial(alarms.register, OWNER, zone))


def keep(database: Database, alarms: Alarms) -> list[Timer | str]:
    """What a turn in the log and a drain do; returns the timers written, and the names deleted."""
    changes = alarms.changes()
    turn = encode(Effects(NOW_MS, 1, 1, [], [], [], [], changes, [], [], [], []))
    folder = database.path.parent if database.path else Path()
    ground = Ground(database, Rollups(database), IdSet(database, OsDisk(), folder))
    write(ground, [decode(turn, EFFECTS)])
    database.commit()
    alarms.settle()
    return [name if timer is None else timer for name, timer in changes]


def test_a_timer_is_a_row_named_after_its_handler(database: Database) -> None:
    timers = alarms(database)
    every(timers).hour(OWNER.tidy)
    every(timers, "Asia/Tokyo").sunday.at("4am")(OWNER.report)

    assert keep(database, timers) == [
        Timer("Owner.tidy", "every hour", "UTC", NOW_MS + HOUR_MS),
        # Sunday 04:00 in Tokyo is Saturday 19:00 in UTC
        Timer(
            "Owner.report", "every sunday at 04:00", "Asia/Tokyo", NOW_MS + (2 * 24 + 19) * HOUR_MS
        ),
    ]
    assert [timer.name for timer in alarms(database).timers()] == ["Owner.report", "Owner.tidy"]


def test_registering_again_changes_nothing_and_keeps_the_time(database: Database) -> None:
    first = alarms(database)
    every(first).hour(OWNER.tidy)
    keep(database, first)

    later = alarms(database, NOW_MS + 5 * HOUR_MS + 1)
    every(later).hour(OWNER.tidy)

    assert later.mark() == 0
    assert keep(database, later) == []
    assert later.timers() == [Timer("Owner.tidy", "every hour", "UTC", NOW_MS + HOUR_MS)]


def test_another_schedule_or_zone_replaces_the_timer(database: Database) -> None:
    timers = alarms(database)
    every(timers).hour(OWNER.tidy)
    keep(database, timers)

    every(timers).day.at("3am")(OWNER.tidy)
    assert keep(database, timers) == [
        Timer("Owner.tidy", "every day at 03:00", "UTC", NOW_MS + 3 * HOUR_MS)
    ]
    timers.use_zone("Asia/Tokyo")
    assert keep(database, timers) == [
        Timer("Owner.tidy", "every day at 03:00", "Asia/Tokyo", NOW_MS + 18 * HOUR_MS)
    ]
    timers.use_zone("Asia/Tokyo")
    assert keep(database, timers) == []


def test_a_call_that_raises_takes_its_timers_back(database: Database) -> None:
    timers = alarms(database)
    every(timers).hour(OWNER.tidy)
    mark = timers.mark()
    every(timers).day(OWNER.tidy)
    every(timers).day(OWNER.report)
    timers.rollback(mark)
    assert keep(database, timers) == [Timer("Owner.tidy", "every hour", "UTC", NOW_MS + HOUR_MS)]


def test_one_handler_with_two_schedules_in_on_start_is_a_mistake(database: Database) -> None:
    timers = alarms(database)
    timers.starting(True)
    every(timers).hour(OWNER.tidy)
    every(timers).hour(OWNER.tidy)
    with pytest.raises(InvalidArgument, match="two schedules, 'every hour' and 'every minute'"):
        every(timers).minute(OWNER.tidy)

    timers.starting(False)
    every(timers).minute(OWNER.tidy)  # a later call may change its mind


def test_what_is_due_already_stays_due_in_another_zone(database: Database) -> None:
    timers = alarms(database)
    every(timers).day.at("3am")(OWNER.tidy)
    timers.set_once("Owner.report", NOW_MS + 9 * HOUR_MS)
    timers.now_ms += 3 * HOUR_MS
    timers.use_zone("Asia/Tokyo")
    assert timers.due() == ["Owner.tidy"]
    assert timers.get("Owner.report") == Timer("Owner.report", ONCE, "UTC", NOW_MS + 9 * HOUR_MS)


def test_what_is_tried_again_keeps_its_retry_in_another_zone(database: Database) -> None:
    timers = alarms(database)
    every(timers).day.at("3am")(OWNER.tidy)
    timers.now_ms += 3 * HOUR_MS
    timers.failed(timers.timers()[0], "ValueError: no")
    [before] = timers.timers()
    timers.use_zone("Asia/Tokyo")
    assert timers.timers() == [before._replace(zone="Asia/Tokyo")]


def test_a_timer_that_passes_goes_on_to_the_first_time_after_now(database: Database) -> None:
    timers = alarms(database)
    every(timers).hour(OWNER.tidy)
    timers.now_ms += 5 * HOUR_MS + 1
    assert timers.due() == ["Owner.tidy"]

    timers.passed(HOURLY)

    assert keep(database, timers) == [HOURLY._replace(next_at_ms=NOW_MS + 6 * HOUR_MS)]
    assert timers.due() == []


def test_a_clock_that_goes_back_lets_no_timer_run_twice(database: Database) -> None:
    timers = alarms(database, NOW_MS + HOUR_MS)
    timers.passed(HOURLY)
    timers.now_ms -= 1
    assert timers.due() == []
    assert timers.next_due_ms == NOW_MS + 2 * HOUR_MS


def test_retries_double_and_end_and_the_regular_times_go_on(database: Database) -> None:
    timers = alarms(database)
    every(timers).hour(OWNER.tidy)
    waits = []
    while (timer := timers.timers()[0]).attempts < TIMER_RETRIES_MAX:
        timers.now_ms = timer.next_at_ms or 0
        timers.failed(timer, f"ValueError: {timer.attempts}")
        [failed] = keep(database, timers)
        assert isinstance(failed, Timer)
        assert failed.scheduled_ms == HOURLY.next_at_ms
        assert alarms(database).timers() == [failed]
        waits.append((failed.next_at_ms or 0) - timers.now_ms)
    assert waits == [2_000, 4_000, 8_000, 16_000, 32_000, 64_000]

    timers.now_ms = timer.next_at_ms or 0
    timers.failed(timer, "ValueError: last")

    again = HOURLY._replace(next_at_ms=NOW_MS + 2 * HOUR_MS)
    assert timers.timers() == [again._replace(last_error="ValueError: last")]
    timers.now_ms = NOW_MS + 2 * HOUR_MS
    timers.passed(timers.timers()[0])
    assert timers.timers() == [again._replace(next_at_ms=NOW_MS + 3 * HOUR_MS)]  # all forgotten


def test_retries_without_end_grow_no_longer_than_their_limit() -> None:
    assert [retry_ms(n) for n in (0, 1, 9)] == [2_000, 4_000, 1_024_000]
    assert retry_ms(10_000) == TIMER_RETRY_MAX_S * 1000


def test_a_timer_that_rests_is_never_due_until_it_is_woken(database: Database) -> None:
    timers = alarms(database)
    every(timers).hour(OWNER.tidy)
    timers.rest("Owner.tidy")
    assert timers.resting
    timers.rollback(1)
    assert not timers.resting
    timers.rest("Owner.tidy")
    assert keep(database, timers) == [HOURLY._replace(next_at_ms=None)]

    later = alarms(database, NOW_MS + 100 * HOUR_MS + 1)
    every(later).hour(OWNER.tidy)  # as each start does
    later.rest("Owner.tidy")
    later.use_zone("UTC")
    assert (later.resting, later.due(), later.next_due_ms, later.mark()) == (True, [], None, 0)

    later.wake("Owner.tidy")
    later.wake("Owner.tidy")
    assert not later.resting
    assert keep(database, later) == [HOURLY._replace(next_at_ms=NOW_MS + 101 * HOUR_MS)]


def test_another_schedule_wakes_a_timer_that_rests(database: Database) -> None:
    timers = alarms(database)
    every(timers).hour(OWNER.tidy)
    timers.rest("Owner.tidy")
    every(timers).day(OWNER.tidy)
    assert timers.next_due_ms == NOW_MS + 24 * HOUR_MS


def test_the_longest_due_are_first_and_only_so_many(database: Database) -> None:
    timers = alarms(database)
    names = [f"Owner.t{n:02}" for n in range(TIMERS_PER_FIRE + 5)]
    for n, name in enumerate(names):
        timers.set_once(name, NOW_MS - n)
    timers.set_once("Owner.later", NOW_MS + 1)
    assert timers.due() == list(reversed(names))[:TIMERS_PER_FIRE]
    assert timers.next_due_ms == NOW_MS - len(names) + 1
    timers.now_ms = NOW_MS - len(names)
    assert timers.due() == []


# Once


def test_a_timer_for_once_goes_when_it_passes(database: Database) -> None:
    timers = alarms(database)
    assert AlarmClock(OWNER, timers).set(timedelta(hours=1), OWNER.tidy) == NOW_MS + HOUR_MS
    assert keep(database, timers) == [HOURLY._replace(spec=ONCE)]
    [timer] = alarms(database).timers()

    timers.now_ms += HOUR_MS
    timers.passed(timer)

    assert keep(database, timers) == ["Owner.tidy"]
    assert alarms(database).timers() == timers.timers() == []


def test_a_timer_for_once_goes_after_its_last_retry(database: Database) -> None:
    timers = alarms(database)
    timers.set_once("Owner.tidy", NOW_MS)
    for _ in range(TIMER_RETRIES_MAX):
        timers.failed(timers.timers()[0], "ValueError")
    keep(database, timers)
    timers.failed(timers.timers()[0], "ValueError")
    assert keep(database, timers) == ["Owner.tidy"]


def test_to_set_a_timer_again_moves_it_and_the_same_again_writes_nothing(
    database: Database,
) -> None:
    timers = alarms(database)
    clock = AlarmClock(OWNER, timers)
    clock.set(NOW_MS + 5, OWNER.tidy)
    keep(database, timers)

    clock.set(NOW_MS + 5, OWNER.tidy)
    assert keep(database, timers) == []
    clock.set(NOW_MS + 3, OWNER.tidy)
    assert keep(database, timers) == [Timer("Owner.tidy", ONCE, "UTC", NOW_MS + 3)]


def test_a_regular_timer_and_one_for_once_cannot_share_a_handler(database: Database) -> None:
    timers = alarms(database)
    every(timers).hour(OWNER.tidy)
    with pytest.raises(InvalidArgument, match="due every hour already"):
        AlarmClock(OWNER, timers).set(NOW_MS, OWNER.tidy)


def test_timers_are_found_and_deleted_by_handler_or_by_name(database: Database) -> None:
    timers = alarms(database)
    clock = AlarmClock(OWNER, timers)
    clock.set(NOW_MS, OWNER.tidy)
    every(timers).hour(OWNER.report)
    timers.set_once("Owner.gone", NOW_MS)
    assert clock.get(OWNER.tidy) == clock.get("tidy") == Timer("Owner.tidy", ONCE, "UTC", NOW_MS)
    assert [timer.name for timer in clock.timers()] == ["Owner.gone", "Owner.report", "Owner.tidy"]

    assert clock.delete("gone")
    assert clock.delete(OWNER.tidy)
    assert clock.delete("Owner.report")
    assert not clock.delete("Owner.report")
    assert clock.get(OWNER.tidy) is None
    with pytest.raises(InvalidArgument, match="a method of the object"):
        clock.get(print)


def test_what_was_set_and_deleted_in_a_call_that_raises_is_as_before(database: Database) -> None:
    timers = alarms(database)
    timers.set_once("Owner.tidy", NOW_MS)
    keep(database, timers)
    timers.delete("Owner.tidy")
    timers.set_once("Owner.tidy", NOW_MS + 1)
    timers.set_once("Owner.report", NOW_MS)
    timers.delete("Owner.report")
    timers.rollback(0)
    assert timers.timers() == [Timer("Owner.tidy", ONCE, "UTC", NOW_MS)]


@pytest.mark.parametrize(
    ("at", "at_ms"),
    [
        (NOW_MS + 1, NOW_MS + 1),
        (0, 0),
        (timedelta(seconds=1.5), NOW_MS + 1_500),
        (timedelta(microseconds=1), NOW_MS + 1),  # never early
        (timedelta(seconds=-1), NOW_MS - 1_000),
        (datetime(2026, 1, 1, 1, tzinfo=UTC), NOW_MS + HOUR_MS),
        (datetime(2026, 1, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")), NOW_MS),
        (datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC), NOW_MS + 1),
    ],
)
def test_a_moment_is_a_datetime_a_span_or_milliseconds(
    database: Database, at: Any, at_ms: int
) -> None:
    assert AlarmClock(OWNER, alarms(database)).set(at, OWNER.tidy) == at_ms


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 1, 1),  # noqa: DTZ001 - a time without a zone is the point
        datetime(1969, 1, 1, tzinfo=UTC),
        timedelta.max,
        True,
        1.5,
        "3am",
        None,
        -1,
        1 << 70,
    ],
)
def test_what_is_no_moment_is_refused(database: Database, at: Any) -> None:
    with pytest.raises(InvalidArgument, match="A timer is set to a datetime with its zone"):
        AlarmClock(OWNER, alarms(database)).set(at, OWNER.tidy)


# Handlers


def test_a_handler_must_be_found_again_after_a_restart(database: Database) -> None:
    alike = type("Owner", (), {"tidy": lambda self: None})()
    for handler in (lambda: None, print, Owner().tidy, Owner.tidy, alike.tidy, None, OWNER):
        with pytest.raises(InvalidArgument, match="a method of the object"):
            every(alarms(database)).hour(handler)  # type: ignore[type-var]


@pytest.mark.parametrize(
    "handler", [OWNER.needs_two, OWNER.needs_a_name, OWNER.waits, OWNER.yields]
)
def test_a_handler_that_no_timer_can_call_is_refused(
    database: Database, handler: Callable[..., Any]
) -> None:
    with pytest.raises(InvalidArgument, match="cannot be a timer's handler"):
        every(alarms(database)).hour(handler)


def test_a_handler_is_told_of_its_firing_when_it_needs_an_argument() -> None:
    TOLD.clear()
    for handler in (OWNER.told, OWNER.may_be_told, OWNER.called):
        found = find(OWNER, name_of(OWNER, handler))
        assert found is not None
        run(found, Firing(NOW_MS, 2))
    assert [Firing(NOW_MS, 2), None, None] == TOLD
