"""One thread, in order, there for good."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from raydo.actors.keeper import Keeper


@pytest.fixture
def keeper() -> Keeper:
    return Keeper("test-keeper")


async def test_every_call_runs_on_the_same_thread_which_is_not_ours(keeper: Keeper) -> None:
    threads = {await keeper.run(threading.get_ident) for _ in range(3)}

    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_the_thread_outlives_the_event_loop_that_used_it(keeper: Keeper) -> None:
    first = asyncio.run(keeper.run(threading.current_thread))
    second = asyncio.run(keeper.run(threading.current_thread))

    assert first is second
    assert first.is_alive()


async def test_calls_run_one_after_the_other_in_their_order(keeper: Keeper) -> None:
    order: list[int] = []

    def step(number: int) -> Callable[[], None]:
        return lambda: order.append(number)

    await asyncio.gather(*(keeper.run(step(number)) for number in range(20)))

    assert order == list(range(20))


async def test_an_error_is_raised_where_it_is_awaited_and_the_next_call_runs(
    keeper: Keeper,
) -> None:
    def fail() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        await keeper.run(fail)

    assert await keeper.run(lambda: 1) == 1


async def test_what_a_caller_gave_up_on_is_undone(keeper: Keeper) -> None:
    begun, gate, undone = threading.Event(), threading.Event(), threading.Event()

    def make() -> str:
        begun.set()
        gate.wait()
        return "made"

    waiting = asyncio.create_task(keeper.run(make, undo=lambda _made: undone.set()))
    await asyncio.to_thread(begun.wait)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.set()

    assert await asyncio.to_thread(undone.wait, 5)


async def test_what_nobody_waits_for_any_more_before_its_turn_never_runs(keeper: Keeper) -> None:
    gate, ran = threading.Event(), threading.Event()
    first = asyncio.create_task(keeper.run(gate.wait))
    second = asyncio.create_task(keeper.run(ran.set))
    await asyncio.sleep(0)

    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    gate.set()

    await first
    await keeper.run(gate.wait)
    assert not ran.is_set()
