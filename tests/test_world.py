from __future__ import annotations

import pytest

from raydo.actors.analytics import Analytics
from raydo.actors.object import DurableObject
from raydo.actors.world import World
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.method import call, cast


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
