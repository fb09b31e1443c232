from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from raydo.actors.alarms import Alarms, Timer
from raydo.actors.database import Database
from raydo.actors.schedule import Every
from raydo.actors.schema import open_database
from raydo.pipelining.errors import InvalidArgument

NOW_MS = 1_767_225_600_000  # Thursday 2026-01-01T00:00:00Z
HOUR_MS = 3_600_000


class Owner:
    def tidy(self) -> None: ...
    def report(self) -> None: ...


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


def keep(database: Database, alarms: Alarms) -> list[Timer]:
    """What a commit does; returns what was written."""
    changes = alarms.changes()
    database.run_many("INSERT OR REPLACE INTO _raydo_timers VALUES (?, ?, ?, ?)", changes)
    database.commit()
    alarms.settle()
    return changes


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


def test_a_handler_must_be_found_again_after_a_restart(database: Database) -> None:
    for handler in (lambda: None, print, Owner().tidy, Owner.tidy):
        with pytest.raises(InvalidArgument, match="a method of the object"):
            every(alarms(database)).hour(handler)
