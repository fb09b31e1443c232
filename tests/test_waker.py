from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from raydo.actors.clock import FakeClock
from raydo.actors.waker import Waker
from raydo.pipelining.errors import StorageFull
from raydo.pipelining.limits import WAKES_MAX
from raydo.pipelining.noun import Noun


def noun(number: int) -> Noun:
    return Noun("Analytics", f"t{number}")


class Sleepers:
    """Objects that note when they were woken, and say when they want to be next."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.woken: list[tuple[Noun, int]] = []
        self.next_ms: dict[Noun, int | None] = {}
        self.failing = 0
        self.at_once = self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.waker = Waker(self.clock, self.wake)

    async def wake(self, noun: Noun) -> int | None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
            if self.failing:
                self.failing -= 1
                raise StorageFull("no room", retry_after_s=2)
            self.woken.append((noun, self.clock.now_ms()))
            return self.next_ms.get(noun)
        finally:
            self.at_once -= 1

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.woken) < count:  # noqa: ASYNC110 - the waker sets no event here
                await asyncio.sleep(0)

    async def move(self, ms: int) -> None:
        """Move the clock, and let the waker look."""
        self.clock.advance(milliseconds=ms)
        self.waker._sooner.set()
        for _ in range(20):
            await asyncio.sleep(0)


@pytest_asyncio.fixture
async def sleepers() -> AsyncIterator[Sleepers]:
    sleepers = Sleepers()
    sleepers.waker.start()
    yield sleepers
    await sleepers.waker.stop()


async def test_an_object_wakes_at_its_time_and_not_before(sleepers: Sleepers) -> None:
    now = sleepers.clock.now_ms()
    sleepers.waker.set(noun(1), now + 1_000)
    await sleepers.move(999)
    assert sleepers.woken == []
    await sleepers.move(1)
    assert sleepers.woken == [(noun(1), now + 1_000)]
    await sleepers.move(10_000)
    assert len(sleepers.woken) == 1


async def test_it_wakes_again_when_it_says_so(sleepers: Sleepers) -> None:
    now = sleepers.clock.now_ms()
    sleepers.next_ms[noun(1)] = now + 5_000
    sleepers.waker.set(noun(1), now)
    await sleepers.until(1)
    sleepers.next_ms[noun(1)] = None
    await sleepers.move(5_000)
    assert [at for _, at in sleepers.woken] == [now, now + 5_000]


async def test_one_that_could_not_wake_is_tried_again_after_the_time_it_named(
    sleepers: Sleepers,
) -> None:
    now = sleepers.clock.now_ms()
    sleepers.failing = 2
    sleepers.waker.set(noun(1), now)
    await sleepers.move(0)
    await sleepers.move(1_999)
    assert sleepers.failing == 1
    await sleepers.move(1)
    await sleepers.move(2_000)
    assert sleepers.woken == [(noun(1), now + 4_000)]


async def test_ten_thousand_due_at_once_all_wake_a_bounded_number_at_a_time(
    sleepers: Sleepers,
) -> None:
    for number in range(10_000):
        sleepers.waker.set(noun(number), sleepers.clock.now_ms())
    sleepers.gate.clear()
    await sleepers.move(0)
    assert sleepers.most_at_once <= WAKES_MAX
    sleepers.gate.set()
    async with asyncio.timeout(20):
        while len(sleepers.woken) < 10_000:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert len({noun for noun, _ in sleepers.woken}) == 10_000
    assert sleepers.most_at_once <= WAKES_MAX
