from __future__ import annotations

from datetime import timedelta

import pytest

from raydo.actors.analytics import Analytics
from raydo.actors.handlers import Firing
from raydo.actors.object import DurableObject
from raydo.actors.world import World
from raydo.pipelining.errors import InvalidArgument, TooLarge
from raydo.pipelining.method import call, cast

MINUTE_MS = 60_000


class Tally(DurableObject):
    @cast
    def add(self, amount: int = 1) -> int:
        self.counters.incr("total", amount)
        self.counters.incr("lately", amount, ttl=60)
        return amount

    @call
    def total(self) -> int:
        return int(self.counters.get("total"))

    @call
    def lately(self) -> int:
        return int(self.counters.get("lately"))


def test_a_synchronous_test_waits_for_promises(world: World) -> None:
    tally = world.stub(Tally, "acme")
    tally.add(2)
    tally.add(3)
    assert world.wait(tally.total()) == 5
    assert world.wait(world.Tally("acme").total()) == 5


async def test_an_asynchronous_test_awaits_them(world: World) -> None:
    tally = world.stub(Tally, "acme")
    tally.add(2)
    assert await tally.total() == 2
    assert await Tally("acme").total() == 2  # the world's connection is the default one


def test_the_clock_moves_when_it_is_told_to(world: World) -> None:
    tally = world.stub(Tally, "acme")
    before_ms = world.now_ms
    tally.add(2)
    assert world.wait(tally.lately()) == 2
    assert world.advance(minutes=1) == before_ms + 60_000
    assert world.wait(tally.lately()) == 0
    assert world.wait(tally.total()) == 2


def test_a_crash_loses_nothing_that_was_acknowledged(world: World) -> None:
    tally = world.stub(Tally, "acme")
    for _ in range(100):
        tally.add()
    world.flush()

    for _ in range(3):
        world.crash()
        assert world.wait(tally.total()) == 100

    world.wait(tally.add())
    assert world.wait(tally.total()) == 101


def test_a_chain_costs_one_envelope_and_a_thousand_casts_a_handful(world: World) -> None:
    acme = world.stub(Analytics, "acme")
    for n in range(1_000):
        acme.track("PageView", {"userId": f"u{n % 10}"})
    world.flush()
    assert world.residents.counts()["envelopes"] <= 20

    before = world.residents.counts()["envelopes"]
    assert world.wait(acme.get_dau(7)[0]["dau"]) == 10
    assert world.residents.counts()["envelopes"] == before + 1


def test_a_world_has_no_other_attributes(world: World) -> None:
    with pytest.raises(AttributeError, match="world has no 'nothing'"):
        world.nothing  # noqa: B018
    with pytest.raises(InvalidArgument):
        world.stub(Tally, "")


class Alarm(DurableObject):
    """Writes down when it rang, and can fail for a while."""

    @call
    def hourly(self) -> None:
        self.every.hour(self.ring)

    @call
    def ring_in(self, minutes: float) -> None:
        self.alarms.set(timedelta(minutes=minutes), self.ring)

    @call
    def fail(self, times: int) -> None:
        self.counters.incr("failures", times)
        self.alarms.set(self.now_ms, self.ring_or_fail)

    @call
    def ring_on_and_on(self) -> None:
        self.alarms.set(self.now_ms, self.ring_on_and_on)

    @call
    def rung(self) -> list[int]:
        return [row["at"] for row in self.sql("SELECT timestamp AS at FROM events ORDER BY seq")]

    def ring(self) -> None:
        RUNG.append((self.tenant, self.now_ms))
        self.pipeline.emit("Rang", "alarms", {})

    def ring_or_fail(self, firing: Firing) -> None:
        RUNG.append((self.tenant, self.now_ms))
        if firing.attempt <= self.counters.get("failures"):
            raise ValueError("out of tune")
        self.ring()


RUNG: list[tuple[str, int]] = []


@pytest.fixture(autouse=True)
def silence() -> None:
    RUNG.clear()


def test_timers_run_in_the_order_of_their_time_with_the_clock_at_it(world: World) -> None:
    start = world.now_ms
    for tenant, minutes in (("late", 50), ("early", 10), ("between", 30)):
        world.wait(world.stub(Alarm, tenant).ring_in(minutes))
    world.wait(world.stub(Alarm, "hourly").hourly())

    assert world.advance(hours=2, minutes=30) == start + 150 * MINUTE_MS

    order = [("early", 10), ("between", 30), ("late", 50), ("hourly", 60), ("hourly", 120)]
    assert [(tenant, start + minutes * MINUTE_MS) for tenant, minutes in order] == RUNG
    hourly = world.stub(Alarm, "hourly")
    assert world.wait(hourly.rung()) == [start + 60 * MINUTE_MS, start + 120 * MINUTE_MS]


def test_timers_fire_after_a_crash_that_nobody_has_called_since(world: World) -> None:
    start = world.now_ms
    alarm = world.stub(Alarm, "acme")
    world.wait(alarm.hourly())
    world.advance(hours=1)
    world.crash()

    world.advance(minutes=59)
    assert len(RUNG) == 1
    world.advance(minutes=1)

    assert world.wait(alarm.rung()) == [start + 60 * MINUTE_MS, start + 120 * MINUTE_MS]


def test_a_timer_that_fails_is_tried_again_on_the_way(world: World) -> None:
    start = world.now_ms
    alarm = world.stub(Alarm, "acme")
    world.wait(alarm.fail(2))
    world.advance(seconds=5)
    assert [now_ms - start for _, now_ms in RUNG] == [0, 2_000]
    world.advance(seconds=1)
    assert world.wait(alarm.rung()) == [start + 6_000]


def test_timers_see_what_was_cast_before(world: World) -> None:
    acme = world.stub(Analytics, "acme")
    acme.track("PageView", {"userId": "u1"})
    world.advance(hours=1)
    due = world.residents.next_due()
    assert due is not None
    assert due[0] - world.now_ms > 24 * 60 * MINUTE_MS  # rolled up: only the weekly timer is left
    assert world.wait(acme.query("SELECT count FROM hourly_events"))["rows"] == [{"count": 1}]


def test_the_clock_may_go_back(world: World) -> None:
    world.wait(world.stub(Alarm, "acme").hourly())
    before = world.now_ms
    assert world.advance(minutes=-5) == before - 5 * MINUTE_MS
    assert RUNG == []


def test_a_timer_that_is_due_without_end_is_told_and_not_waited_for(world: World) -> None:
    world.wait(world.stub(Alarm, "acme").ring_on_and_on())
    with pytest.raises(TooLarge, match="due again and again"):
        world.advance(minutes=1)
