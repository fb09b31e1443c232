from __future__ import annotations

import asyncio
import logging
import os
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from raydo.actors import turns as module
from raydo.actors.activation import Activation
from raydo.actors.alarms import Timer
from raydo.actors.analytics import Analytics
from raydo.actors.clock import FakeClock
from raydo.actors.database import Database
from raydo.actors.disk import OsDisk
from raydo.actors.handlers import Firing
from raydo.actors.lake_runs import weekly_at
from raydo.actors.log import Log
from raydo.actors.object import DurableObject
from raydo.actors.residents import Residents
from raydo.actors.settings import Settings
from raydo.pipelining.errors import ActivationBroken, ConnectionLost, DataInUse, StorageFull
from raydo.pipelining.frame import Call, Entry, Program, encode_envelope
from raydo.pipelining.limits import TIMER_RETRIES_MAX, TIMERS_PER_FIRE
from raydo.pipelining.method import call
from raydo.pipelining.noun import Noun

NOW_MS = FakeClock().now_ms()  # a full hour
HOUR_MS = 3_600_000
SUNDAY_HOUR, SUNDAY_MINUTE = map(int, weekly_at("acme").split(":"))
SUNDAY_MS = NOW_MS + (72 + SUNDAY_HOUR) * HOUR_MS + SUNDAY_MINUTE * 60_000  # the first one
MINUTE_MS = 60_000


class Belfry(DurableObject):
    """An object whose handlers leave an effect each, and a trace outside that nothing undoes."""

    rung: list[tuple[str, Firing]]  # every run of a handler, whatever became of it

    def on_start(self) -> None:
        self.sql("CREATE TABLE IF NOT EXISTS chimes (at INTEGER)")

    @call
    def hourly(self, *names: str) -> None:
        for name in names:
            self.every.hour(getattr(self, name))

    @call
    def daily(self) -> None:
        self.every.day.at("3am")(self.count)

    @call
    def once(self, name: str, seconds: float = 60) -> int:
        return self.alarms.set(timedelta(seconds=seconds), getattr(self, name))

    @call
    def timers(self) -> list[list[Any]]:
        return [list(timer) for timer in self.alarms.timers()]

    @call
    def forget(self, name: str) -> bool:
        return self.alarms.delete(name)

    @call
    def move(self, zone: str) -> None:
        self.zone = zone

    @call
    def chimes(self) -> list[int]:
        return [row["at"] for row in self.sql("SELECT at FROM chimes ORDER BY rowid")]

    @call
    def total(self, key: str) -> int:
        return int(self.counters.get(key))

    # Handlers

    def count(self, firing: Firing) -> None:
        Belfry.rung.append(("count", firing))
        self.counters.incr("counted")

    def chime(self, firing: Firing) -> None:
        Belfry.rung.append(("chime", firing))
        self.sql("INSERT INTO chimes VALUES (?)", self.now_ms)
        self.counters.incr("chimed")

    def jam(self, firing: Firing) -> None:
        Belfry.rung.append(("jam", firing))
        self.chime(firing)
        self.alarms.set(timedelta(days=9), self.never)
        if self.counters.get("mended") == 0:
            raise ValueError("jammed")

    @call
    def mend(self) -> None:
        self.counters.incr("mended")

    def never(self) -> None: ...

    def again(self, firing: Firing) -> None:
        Belfry.rung.append(("again", firing))
        assert self.alarms.get(self.again) is None
        if self.counters.incr("again") < 3:
            self.alarms.set(timedelta(minutes=5), self.again)

    def hush(self) -> None:
        for other in ("count", "chime"):
            self.alarms.delete(other)

    def put_off(self) -> None:
        self.alarms.set(timedelta(minutes=5), self.again)

    def lose_the_transaction(self) -> None:
        self.sql("CREATE TABLE t (x UNIQUE)")
        self.sql("INSERT OR ROLLBACK INTO t VALUES (1), (1)")

    def fill(self) -> None:
        self.sql("INSERT INTO chimes VALUES (?)", "x" * 100_000)

    def exit(self) -> None:
        raise SystemExit


@pytest.fixture(autouse=True)
def rung() -> list[tuple[str, Firing]]:
    Belfry.rung = []
    return Belfry.rung


@pytest.fixture
def bell(live: Any) -> Any:
    return live(Belfry)


def timer(bell: Any, name: str) -> Timer:
    [found] = [Timer(*row) for row in bell.call("timers") if row[0] == f"Belfry.{name}"]
    return found


def on_disk(data: Path, query: str) -> list[tuple[Any, ...]]:
    """What another process finds."""
    [path] = data.glob("*/*/tenant.db")
    connection = sqlite3.connect(path)
    rows = connection.execute(query).fetchall()
    connection.close()
    return rows


# When


def test_a_timer_is_never_early_and_runs_when_it_is_due(bell: Any) -> None:
    bell.call("hourly", "count")
    bell.clock.advance(milliseconds=HOUR_MS - 1)
    assert bell.activation.next_due_ms == NOW_MS + HOUR_MS
    assert bell.activation.fire() == NOW_MS + HOUR_MS
    assert bell.call("total", "counted") == 0

    bell.clock.advance(milliseconds=1)

    assert bell.activation.fire() == NOW_MS + 2 * HOUR_MS
    assert bell.activation.fire() == NOW_MS + 2 * HOUR_MS
    assert bell.call("total", "counted") == 1


def test_after_a_sleep_over_many_times_a_timer_runs_once(bell: Any, rung: Any) -> None:
    bell.call("hourly", "count")
    bell.sleep()
    bell.clock.advance(hours=5, minutes=30)

    assert bell.activation.fire() == NOW_MS + 6 * HOUR_MS

    assert rung == [("count", Firing(NOW_MS + HOUR_MS, 1))]
    assert bell.activation.fire() == NOW_MS + 6 * HOUR_MS
    assert bell.call("total", "counted") == 1


def test_another_zone_moves_what_is_not_due_yet(bell: Any) -> None:
    bell.call("daily")
    assert bell.activation.next_due_ms == NOW_MS + 3 * HOUR_MS
    bell.call("move", "Asia/Tokyo")  # 9 in the morning
    assert bell.activation.next_due_ms == NOW_MS + 18 * HOUR_MS
    bell.clock.advance(hours=18)
    bell.call("move", "UTC")
    assert bell.activation.fire() == NOW_MS + 27 * HOUR_MS
    assert bell.call("total", "counted") == 1


def test_a_tenant_that_does_not_exist_has_no_timers(live: Any) -> None:
    acme = live(Analytics)
    assert acme.call("stats")["events"] == {}
    acme.clock.advance(days=9)
    assert acme.activation.next_due_ms is None
    assert acme.activation.fire() is None
    assert not acme.data.exists()


# One turn, whole or not at all


class Crashed(BaseException):
    """The process is gone."""


class Crashing(OsDisk):
    """Ends the process at the n-th moment that the code names."""

    def __init__(self) -> None:
        super().__init__()
        self.crash_at: int | None = None
        self.steps: list[str] = []

    def step(self, label: str) -> None:
        self.steps.append(label)
        if self.crash_at is not None and len(self.steps) > self.crash_at:
            raise Crashed(label)


def fire(bell: Any, crash_at: int | None = None) -> list[str]:
    """Fire in an activation of its own, and perhaps crash at a step; return all it came to."""
    disk = Crashing()
    bell.activation = Activation(
        bell.noun, Belfry, bell.data, clock=bell.clock, random=os.urandom, disk=disk
    )
    bell.activation.open()
    disk.steps.clear()
    disk.crash_at = crash_at
    try:
        bell.activation.fire()
    except Crashed:
        bell.crash()
        return disk.steps
    steps, disk.crash_at = list(disk.steps), None
    bell.activation.close()
    return steps


@pytest.mark.parametrize(
    ("handler", "step"),
    [("count", "storage.log.after_sync"), ("chime", "storage.commit.before")],
)
def test_a_crash_at_any_step_fires_again_or_not_and_has_its_effects_once(
    live: Any, handler: str, step: str, rung: Any
) -> None:
    def due(tenant: str) -> Any:
        bell = live(Belfry, tenant)
        bell.call("hourly", handler)
        bell.call("once", "again")
        bell.activation.close()
        bell.clock.advance(hours=1)
        return bell

    steps = fire(due("none"))
    assert step in steps

    for at in range(len(steps)):
        bell = due(f"at-{at}")
        rung.clear()
        fire(bell, crash_at=at)
        fire(bell)

        assert bell.call("total", {"count": "counted", "chime": "chimed"}[handler]) == 1, steps[at]
        assert bell.call("total", "again") == 1, steps[at]
        assert [name for name, _ in rung].count(handler) >= 1
        hour_ms = bell.clock.now_ms() + HOUR_MS
        again_ms = bell.clock.now_ms() + 5 * MINUTE_MS
        assert [row[3] for row in bell.call("timers")] == [again_ms, hour_ms], steps[at]


def test_what_a_handler_did_and_its_timers_next_time_survive_a_crash(bell: Any) -> None:
    bell.call("hourly", "count", "chime")
    for hour in (1, 2, 3):
        bell.clock.advance(hours=1)
        assert bell.activation.fire() == NOW_MS + (hour + 1) * HOUR_MS
        bell.crash()
        assert bell.call("total", "counted") == len(bell.call("chimes")) == hour


def test_a_handler_that_only_counts_goes_the_way_of_the_log(bell: Any) -> None:
    bell.call("hourly", "count")
    bell.sleep()
    bell.clock.advance(hours=1)
    bell.activation.fire()
    assert not bell.activation.drained
    assert on_disk(bell.data, "SELECT next_at_ms FROM _raydo_timers") == [(NOW_MS + HOUR_MS,)]
    bell.activation.drain()
    assert on_disk(bell.data, "SELECT next_at_ms FROM _raydo_timers") == [(NOW_MS + 2 * HOUR_MS,)]


def test_each_timer_has_a_turn_of_its_own(bell: Any, rung: Any) -> None:
    bell.call("hourly", "count", "jam", "chime")
    bell.clock.advance(hours=1)
    bell.activation.fire()
    for _ in range(2):
        assert (bell.call("total", "counted"), bell.call("total", "chimed")) == (1, 1)
        assert bell.call("chimes") == [NOW_MS + HOUR_MS]
        bell.crash()
    assert [name for name, _ in rung] == ["chime", "count", "jam", "chime"]


def test_a_timer_that_an_earlier_one_deleted_does_not_run(bell: Any, rung: Any) -> None:
    bell.call("once", "hush", 1)
    bell.call("hourly", "count", "chime")
    bell.clock.advance(hours=1)
    assert bell.activation.fire() is None
    assert rung == []


def test_a_timer_that_an_earlier_one_put_off_waits(bell: Any, rung: Any) -> None:
    bell.call("once", "put_off", 1)
    bell.call("once", "again", 2)
    bell.clock.advance(minutes=1)
    assert bell.activation.fire() == NOW_MS + 6 * MINUTE_MS
    assert rung == []


class Busy(DurableObject):
    """An object with more timers than run at once."""

    for _n in range(TIMERS_PER_FIRE + 4):
        exec(f"def t{_n}(self): self.counters.incr('ran')")

    @call
    def begin(self) -> None:
        for n in range(TIMERS_PER_FIRE + 4):
            self.every.hour(getattr(self, f"t{n}"))

    @call
    def ran(self) -> int:
        return int(self.counters.get("ran"))


def test_only_so_many_timers_run_before_the_callers_turn(live: Any) -> None:
    busy = live(Busy)
    busy.call("begin")
    busy.clock.advance(hours=1)
    assert busy.activation.fire() == NOW_MS + HOUR_MS  # the others are due still
    assert busy.call("ran") == TIMERS_PER_FIRE
    assert busy.activation.fire() == NOW_MS + 2 * HOUR_MS
    assert busy.call("ran") == TIMERS_PER_FIRE + 4


# Failures


def test_a_handler_that_raises_is_tried_again_and_its_error_is_there_to_read(
    bell: Any, rung: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bell.call("hourly", "jam")
    bell.clock.advance(hours=1)
    assert bell.activation.fire() == NOW_MS + HOUR_MS + 2_000
    assert bell.activation.fire() == NOW_MS + HOUR_MS + 2_000
    bell.crash()

    assert timer(bell, "jam")[3:] == (
        NOW_MS + HOUR_MS + 2_000,
        NOW_MS + HOUR_MS,
        1,
        "ValueError: jammed",
    )
    assert "Belfry.jam of Belfry('acme') raised, and is tried again" in caplog.text
    assert len(bell.call("timers")) == 1  # what it had set is taken back

    bell.call("mend")
    bell.clock.advance(seconds=2)
    bell.activation.fire()

    assert timer(bell, "jam")[3:] == (NOW_MS + 2 * HOUR_MS, None, 0, None)
    tries = [firing for name, firing in rung if name == "jam"]
    assert tries == [Firing(NOW_MS + HOUR_MS, 1), Firing(NOW_MS + HOUR_MS, 2)]
    assert bell.call("chimes") == [NOW_MS + HOUR_MS + 2_000]


def test_a_handler_that_raises_on_and_on_misses_its_time_and_keeps_the_next(
    bell: Any, rung: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bell.call("hourly", "jam")
    at_ms = NOW_MS + HOUR_MS
    while at_ms < NOW_MS + 2 * HOUR_MS:
        bell.clock.advance(milliseconds=at_ms - bell.clock.now_ms())
        at_ms = bell.activation.fire()

    tries = [firing for name, firing in rung if name == "jam"]
    assert tries == [Firing(NOW_MS + HOUR_MS, n + 1) for n in range(TIMER_RETRIES_MAX + 1)]
    assert timer(bell, "jam")[3:] == (NOW_MS + 2 * HOUR_MS, None, 0, "ValueError: jammed")
    last = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert ["raised for the last time" in record.message for record in last] == [True]


def test_a_handler_that_exits_ends_nothing(bell: Any) -> None:
    bell.call("once", "exit")
    bell.clock.advance(minutes=1)
    bell.activation.fire()
    assert timer(bell, "exit").last_error == "SystemExit: "


def test_on_a_full_disk_a_timer_stays_due_and_its_object_lives_on(bell: Any) -> None:
    bell.call("once", "fill")
    bell.call("hourly", "count")
    bell.clock.advance(hours=1)
    database = bell.activation._state.database
    [(pages,)] = database.run("PRAGMA page_count")
    database.run(f"PRAGMA max_page_count={pages}")

    for _ in range(TIMER_RETRIES_MAX + 2):  # without end, and without being counted
        with pytest.raises(StorageFull):
            bell.activation.fire()
        assert bell.activation.next_due_ms == NOW_MS + MINUTE_MS
        assert timer(bell, "fill").attempts == 0
    assert bell.call("total", "counted") == 0

    database.run("PRAGMA max_page_count=1000000")
    assert bell.activation.fire() == NOW_MS + 2 * HOUR_MS
    bell.crash()
    assert len(bell.call("chimes")) == bell.call("total", "counted") == 1


def test_a_firing_that_breaks_the_activation_leaves_the_timer_due(bell: Any) -> None:
    bell.call("once", "lose_the_transaction")
    bell.clock.advance(minutes=1)
    for _ in range(2):
        with pytest.raises(ActivationBroken):
            bell.activation.fire()
        with pytest.raises(ActivationBroken, match="is broken"):
            bell.activation.fire()
        bell.crash()
        assert timer(bell, "lose_the_transaction")[3:] == (NOW_MS + MINUTE_MS, None, 0, None)


def test_a_timer_without_its_handler_is_kept_and_harms_no_other(
    bell: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bell.call("once", "never", 1)
    bell.call("once", "count", 2)
    bell.sleep()
    bell.clock.advance(minutes=1)

    with monkeypatch.context() as without:
        without.delattr(Belfry, "never")
        assert bell.activation.fire() is None  # nobody need be woken for it
        assert bell.activation.fire() is None
        assert bell.call("total", "counted") == 1
        assert caplog.text.count("has a timer Belfry.never and no such method: it is kept") == 1
        assert timer(bell, "never").next_at_ms == NOW_MS + 1_000
        bell.sleep()

    assert bell.activation.fire() is None  # it is back, and so was its handler
    assert bell.call("timers") == []
    bell.call("once", "never")
    monkeypatch.delattr(Belfry, "never")
    assert bell.call("forget", "never")


# Once


def test_a_timer_for_once_runs_once_and_is_gone(bell: Any, rung: Any) -> None:
    assert bell.call("once", "chime") == NOW_MS + MINUTE_MS
    bell.crash()
    assert bell.activation.fire() == NOW_MS + MINUTE_MS
    bell.clock.advance(minutes=3)
    assert bell.activation.fire() is None
    assert rung == [("chime", Firing(NOW_MS + MINUTE_MS, 1))]
    for _ in range(2):
        bell.crash()
        assert bell.call("timers") == []
        assert bell.activation.fire() is None
    assert bell.call("chimes") == [NOW_MS + 3 * MINUTE_MS]


def test_a_handler_may_set_itself_again(bell: Any, rung: Any) -> None:
    bell.call("once", "again")
    for _ in range(4):
        bell.clock.advance(minutes=5)
        bell.activation.fire()
        bell.crash()
    assert [firing.scheduled_ms - NOW_MS for _, firing in rung] == [
        1 * MINUTE_MS,
        10 * MINUTE_MS,
        15 * MINUTE_MS,
    ]
    assert bell.call("timers") == []


def test_a_timer_for_once_that_fails_comes_back_and_goes_after_its_last_retry(
    bell: Any, rung: Any
) -> None:
    bell.call("once", "jam")
    at_ms: int | None = NOW_MS + MINUTE_MS
    while at_ms is not None:
        bell.clock.advance(milliseconds=at_ms - bell.clock.now_ms())
        at_ms = bell.activation.fire()
    assert len([name for name, _ in rung if name == "jam"]) == TIMER_RETRIES_MAX + 1
    assert bell.call("timers") == []


# Analytics


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Count SQLite's commits to a file, and the records of the log."""
    counts = {"commits": 0, "records": 0}
    commit, append = Database.commit, Log.append

    def counted_commit(database: Database) -> None:
        counts["commits"] += database.in_transaction and database.path is not None
        commit(database)

    def counted_append(log: Log, *args: Any) -> None:
        counts["records"] += 1
        append(log, *args)

    monkeypatch.setattr(Database, "commit", counted_commit)
    monkeypatch.setattr(Log, "append", counted_append)
    return counts


def roll_ups(acme: Any) -> list[int | None]:
    """When the roll-ups are due: by day, by hour."""
    timers = acme.activation._state.alarms.timers()
    return [timer.next_at_ms for timer in timers if "roll_up" in timer.name]


def test_timers_cost_a_new_tenant_and_its_events_no_transaction(
    live: Any, written: dict[str, int]
) -> None:
    acme = live(Analytics)
    acme.call("track", "A", userId="u1")
    assert written == {"commits": 0, "records": 1}  # its event with the timers
    acme.call("track", "A", userId="u2")
    assert written == {"commits": 0, "records": 2}
    acme.crash()
    acme.activation.open()
    assert roll_ups(acme) == [NOW_MS + 3 * HOUR_MS, NOW_MS + HOUR_MS]
    acme.sleep()
    before = dict(written)
    acme.activation.open()
    assert written == before  # it woke with the timers it had


def test_the_hour_is_rolled_up_into_the_files_tables(live: Any) -> None:
    acme = live(Analytics)
    acme.call("track", "A", userId="u1")
    acme.call("track", "B", userId="u1")
    acme.clock.advance(hours=1)
    acme.activation.fire()
    hours = on_disk(acme.data, "SELECT * FROM hourly_events ORDER BY event")
    assert hours == [("2026-01-01T00:00", "A", 1), ("2026-01-01T00:00", "B", 1)]
    assert on_disk(acme.data, "SELECT * FROM daily_metrics") == [("2026-01-01", 1, 2)]


def test_a_tenant_with_nothing_to_roll_up_is_woken_for_its_archive_only(
    live: Any, written: dict[str, int]
) -> None:
    acme = live(Analytics)
    acme.call("track", "A", userId="u1", messageId="m1")
    acme.clock.advance(hours=1)
    assert acme.activation.fire() == SUNDAY_MS
    acme.sleep()
    acme.clock.advance(hours=6, minutes=30)
    assert acme.activation.fire() == SUNDAY_MS
    assert roll_ups(acme) == [None, None]

    acme.call("track", "A", userId="u1", messageId="m1")  # known, so nothing new
    acme.call("dau", 7)
    assert acme.activation.next_due_ms == SUNDAY_MS

    before = dict(written)
    acme.call("track", "A", userId="u1", messageId="m2")
    assert written == before | {"records": before["records"] + 1}
    assert roll_ups(acme) == [NOW_MS + 27 * HOUR_MS, NOW_MS + 8 * HOUR_MS]
    acme.crash()
    assert acme.activation.fire() == NOW_MS + 8 * HOUR_MS


def test_another_zone_is_a_reason_to_roll_up(live: Any) -> None:
    acme = live(Analytics)
    acme.call("track", "A", userId="u1")
    acme.clock.advance(hours=1)
    assert acme.activation.fire() == SUNDAY_MS
    acme.call("set_settings", zone="UTC")
    assert acme.activation.next_due_ms == SUNDAY_MS
    acme.call("set_settings", zone="Asia/Kolkata")
    acme.clock.advance(minutes=30)  # its hours are full at our half ones
    assert acme.activation.fire() == SUNDAY_MS - 11 * HOUR_MS // 2
    rows = on_disk(acme.data, "SELECT hour FROM hourly_events")
    assert rows == [("2026-01-01T05:00",)]


# In a process with other objects


def noun(tenant: str = "acme") -> Noun:
    return Noun("Belfry", tenant)


async def ask(residents: Residents, who: Noun, *op: Any) -> None:
    program = Program((Call(-1, op[0], list(op[1:]), {}, False),), (0,)).encode()
    await residents.deliver(who, encode_envelope([Entry(random.randbytes(16), 1, 0, program)]))


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop and the threads run until something holds."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest_asyncio.fixture
async def residents(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Residents]:
    monkeypatch.setattr(module, "CLOCK_LOOK_S", 0.002)  # of the loop's time, which is real
    residents = Residents(tmp_path, clock=clock, settings=Settings(idle_s=600))
    yield residents
    await residents.close()
    assert not residents._turns._tasks


async def test_timers_of_an_object_awake_run_by_themselves_when_the_clock_says_so(
    residents: Residents, clock: FakeClock, rung: Any
) -> None:
    await ask(residents, noun(), "hourly", "count")
    clock.advance(milliseconds=HOUR_MS - 1)
    await asyncio.sleep(0.02)
    assert rung == []
    for hour in (1, 2):
        clock.advance(milliseconds=1 if hour == 1 else HOUR_MS)
        await until(lambda: len(rung) == hour)  # noqa: B023
        await until(lambda: not residents._turns._tasks)
        assert residents.next_due() == (NOW_MS + (hour + 1) * HOUR_MS, noun())


async def test_the_loop_sleeps_until_a_timer_is_due(
    residents: Residents, clock: FakeClock, rung: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOCK_LOOK_S", 3_600)
    await ask(residents, noun(), "once", "count", 0.05)
    clock.advance(milliseconds=50)
    await until(lambda: len(rung) == 1)


async def test_a_timer_set_earlier_counts(
    residents: Residents, clock: FakeClock, rung: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOCK_LOOK_S", 3_600)
    await ask(residents, noun(), "once", "chime", 3_600)
    await ask(residents, noun(), "once", "count", 0.05)
    await until(lambda: residents._residents[noun()].alarm_ms == NOW_MS + 50)
    clock.advance(milliseconds=50)
    await until(lambda: [name for name, _ in rung] == ["count"])


async def test_a_sleeping_objects_timers_run_when_it_is_asked(
    residents: Residents, clock: FakeClock, rung: Any
) -> None:
    await ask(residents, noun(), "hourly", "count")
    clock.advance(minutes=50)
    await residents.sweep()
    assert residents.next_due() is None
    assert not residents.awake(noun())
    clock.advance(minutes=10)
    await asyncio.sleep(0.02)
    assert rung == []

    assert await residents.fire(noun()) == NOW_MS + 2 * HOUR_MS
    assert len(rung) == 1
    assert await residents.fire(noun()) == NOW_MS + 2 * HOUR_MS
    assert await residents.fire(noun("nobody")) is None
    assert len(rung) == 1


async def test_timers_wait_ever_longer_while_the_disk_is_full(
    residents: Residents, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOCK_LOOK_S", 3_600)
    await ask(residents, noun(), "once", "fill")
    activation = residents._residents[noun()].activation
    assert activation is not None
    assert activation._state is not None
    database = activation._state.database
    [(pages,)] = database.run("PRAGMA page_count")
    database.run(f"PRAGMA max_page_count={pages}")
    clock.advance(minutes=1)

    for wait_s in (2, 4, 8):
        with pytest.raises(StorageFull):
            await residents.fire(noun())
        await ask(residents, noun(), "total", "counted")  # a turn between changes nothing
        assert residents.next_due() == (clock.now_ms() + wait_s * 1000, noun())

    database.run("PRAGMA max_page_count=1000000")
    assert await residents.fire(noun()) is None
    assert residents._residents[noun()].failures == 0


async def test_an_object_that_broke_is_made_anew_for_its_timers(
    residents: Residents, clock: FakeClock, rung: Any
) -> None:
    await ask(residents, noun(), "hourly", "count")
    await ask(residents, noun(), "once", "lose_the_transaction")
    clock.advance(minutes=1)
    await until(lambda: residents._residents[noun()].failures == 1)
    assert residents.next_due() == (clock.now_ms() + 2_000, noun())
    clock.advance(seconds=2)
    await until(lambda: residents._residents[noun()].failures == 2)
    await ask(residents, noun(), "forget", "lose_the_transaction")
    clock.advance(hours=1)
    await until(lambda: len(rung) == 1)


async def test_timers_of_a_tenant_that_another_process_has_are_its_to_run(
    residents: Residents, clock: FakeClock, tmp_path: Path
) -> None:
    await ask(residents, noun(), "hourly", "count")
    [lost] = await residents.crash()
    other = Activation(noun(), Belfry, tmp_path, clock=clock, random=os.urandom)
    other.open()
    with pytest.raises(DataInUse):
        await residents.fire(noun())
    assert residents.next_due() is None
    other.close()
    lost.abandon()


async def test_an_object_that_crashed_is_not_made_anew_by_its_timers(
    residents: Residents, clock: FakeClock, rung: Any
) -> None:
    await ask(residents, noun(), "once", "count")
    [lost] = await residents.crash()
    clock.advance(minutes=1)
    await asyncio.sleep(0.02)
    assert rung == []
    lost.abandon()


async def test_a_host_that_closes_fires_no_more(residents: Residents, clock: FakeClock) -> None:
    await ask(residents, noun(), "once", "again")
    clock.advance(minutes=1)
    await residents.close()
    with pytest.raises(ConnectionLost):
        await residents.fire(noun())
    assert residents._residents == {}
