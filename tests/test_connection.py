from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.connected import connected, connected_sync, make
from support.receiver import Receiver
from support.shop import Shop

from raydo.pipelining.connection import Connection, flush
from raydo.pipelining.errors import (
    ConnectionLost,
    InvalidArgument,
    NotConnected,
    ObjectFailed,
    PromiseMisused,
    RaydoError,
    TimedOut,
)
from raydo.pipelining.frame import Entry, decode_answers, encode_envelope
from raydo.pipelining.later import Later, gather, wait
from raydo.pipelining.noun import Noun
from raydo.pipelining.state import NeverAwaited

TESTS = Path(__file__).parent


async def test_the_default_connection_is_the_one_entered_last() -> None:
    async with connected() as outer:
        async with connected() as inner:
            await Shop("acme").order("pen")
        await Shop("acme").order("ink")

    assert inner.receiver.calls == outer.receiver.calls == ["order"]


async def test_two_connections_at_once_keep_to_themselves() -> None:
    async with connected() as first, connected() as second:
        found = await asyncio.gather(
            first.shop().order("pen"), second.shop().price("pen"), second.shop().runs()
        )

        assert found == ["order-1", 3, 0]
        assert first.receiver.calls == ["order"]
        assert second.receiver.calls == ["price", "runs"]
        assert first.loopback.envelopes == second.loopback.envelopes == 1


async def test_the_default_serves_tasks_and_threads_that_began_before_it() -> None:
    begin = asyncio.Event()

    async def earlier() -> int:
        await begin.wait()
        return await Shop("acme").price("pen")

    task = asyncio.create_task(earlier())
    async with connected():
        begin.set()

        assert await task == 3
        assert await asyncio.to_thread(lambda: wait(Shop("acme").price("ink!"))) == 4


async def test_a_promise_made_before_connecting_is_awaited_after() -> None:
    promise = Shop("acme").price("pen")

    async with connected():
        assert await promise == 3


async def test_no_connection_is_said_with_the_line_to_add() -> None:
    for use in (lambda: Shop("acme").order("pen"), flush):
        with pytest.raises(NotConnected, match=r"async with raydo\.connect\(\)"):
            use()
    with pytest.raises(NotConnected, match=r"with raydo\.connect\("):
        await Shop("acme").runs()


async def test_a_connection_that_is_not_open_or_closed_says_so() -> None:
    wire = make(Receiver())
    with pytest.raises(NotConnected, match="is not open"):
        await wire.shop().runs()
    with pytest.raises(NotConnected, match="is not open"):
        await wire.connection.deliver(Noun("Shop", "acme"), b"")
    async with wire.connection:
        assert await wire.shop().runs() == 0
        with pytest.raises(NotConnected, match="open already"):
            await wire.connection.open()
    for use in (wire.shop().runs(), wire.connection.flush()):
        with pytest.raises(NotConnected, match="closed"):
            await use
    with pytest.raises(NotConnected, match="closed"):
        wire.shop().order("pen")
    await wire.connection.close()


async def test_a_connection_can_be_opened_by_await() -> None:
    wire = make(Receiver())
    connection = await wire.connection
    try:
        assert await Shop("acme").runs() == 0
    finally:
        await connection.close()


async def test_a_connection_that_cannot_open_raises_why_and_is_no_default() -> None:
    async def transport() -> Any:
        raise ConnectionLost("nothing listens there")

    with pytest.raises(ConnectionLost, match="nothing listens"):
        async with Connection(transport):
            pass
    with pytest.raises(ConnectionLost), Connection(transport):
        pass
    with pytest.raises(NotConnected):
        Shop("acme").order("pen")


async def test_leaving_flushes_what_is_queued() -> None:
    async with connected() as wire:
        for number in range(700):
            wire.shop(str(number % 7)).order("pen")

    assert len(wire.receiver.calls) == 700
    assert wire.connection.stats().casts_waiting == 0


async def test_leaving_by_an_error_flushes_as_well() -> None:
    receiver = Receiver()

    async def fails() -> None:
        async with connected(receiver) as wire:
            wire.shop().order("pen")
            _ = 1 // 0

    with pytest.raises(ZeroDivisionError):
        await fails()

    assert receiver.calls == ["order"]


async def test_stats_count_what_was_sent() -> None:
    async with connected() as wire:
        shop = wire.shop()
        shop.order("pen")
        shop.order("bad", 0)
        await shop.days(1)[0]
        stats = wire.connection.stats()

    assert (stats.envelopes, stats.frames, stats.retries, stats.pulls) == (1, 1, 0, 1)
    assert (stats.casts_queued, stats.casts_sent, stats.casts_failed) == (2, 2, 1)
    assert (stats.casts_waiting, stats.casts_dropped) == (0, 0)


async def test_a_connection_names_classes_and_nothing_else() -> None:
    async with connected() as wire:
        assert await wire.connection.Shop("acme").price("pen") == 3
        with pytest.raises(AttributeError):
            _ = wire.connection.shop
        assert not hasattr(wire.connection, "_repr_html_")


async def test_an_envelope_of_somebody_else_is_passed_on_as_it_is() -> None:
    async with connected() as wire:
        answer = await wire.connection.deliver(
            Noun("Shop", "acme"), encode_envelope([Entry(b"s" * 16, 5, 0, b"")])
        )

        assert decode_answers(answer)[0] == (1, 1)


async def test_many_objects_leave_no_state_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raydo.pipelining.connection.BATCHES_MAX", 10)
    async with connected() as wire:
        for number in range(100):
            await wire.shop(str(number)).order("pen")

        assert len(wire.connection._batches) <= 10
        assert await wire.shop("0").list_orders() == ["pen"]


# Synchronous code and threads


def test_synchronous_code_uses_with_and_wait() -> None:
    with connected_sync() as wire:
        shop = Shop("acme")
        shop.order("pen")

        assert wait(shop.list_orders()[0]) == "pen"
        assert wait(gather(shop.price("pen"), shop.runs())) == (3, 0)
        assert wire.loopback.envelopes <= 3  # the cast may have left before the pull
        for number in range(1000):
            shop.order(str(number))
        wait(flush())
        assert len(wire.receiver.object(shop.noun).ordered) == 1001
    with pytest.raises(NotConnected):
        shop.order("late")
    assert "raydo" not in {thread.name for thread in threading.enumerate()}


def test_wait_raises_the_errors_of_the_call() -> None:
    with connected_sync(), pytest.raises(ObjectFailed):
        wait(Shop("acme").broken())


@pytest.mark.parametrize("timeout_s", [0.05, timedelta(milliseconds=50)])
def test_wait_gives_up_after_its_time(timeout_s: Any) -> None:
    receiver = Receiver()
    with connected_sync(receiver) as wire:
        receiver.gate = asyncio.Event()
        with pytest.raises(TimedOut, match=r"No answer within 0\.05 s"):
            wait(wire.shop().runs(), timeout_s=timeout_s)
        loop = wire.connection._loop
        assert loop is not None
        loop.call_soon_threadsafe(receiver.gate.set)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "1", True, timedelta(0)])
def test_a_timeout_is_a_positive_number_of_seconds_or_a_timedelta(timeout: Any) -> None:
    with connected_sync() as wire:
        promise = wire.shop().runs()
        wait(promise)
        with pytest.raises(InvalidArgument, match="timedelta"):
            wait(promise, timeout_s=timeout)
        with pytest.raises(InvalidArgument):
            make(Receiver(), timeout_s=timeout)


async def test_wait_inside_an_event_loop_says_to_await() -> None:
    async with connected():
        promise = Shop("acme").runs()
        with pytest.raises(PromiseMisused, match="use await here"):
            wait(promise)
        assert await promise == 0


def test_casts_and_waits_from_many_threads_all_arrive_each_threads_in_order() -> None:
    with connected_sync() as wire:
        shop = Shop("acme")

        def work(name: int) -> None:
            for number in range(200):
                shop.order(f"{name}:{number}")
                if number % 50 == 0:
                    assert wait(shop.price("pen")) == 3

        run_threads([lambda name=name: work(name) for name in range(8)])  # type: ignore[misc]
        ordered = wait(shop.list_orders())

    for name in range(8):
        mine = [item for item in ordered if item.startswith(f"{name}:")]
        assert mine == [f"{name}:{number}" for number in range(200)]
    assert wire.connection.stats().casts_waiting == 0


def run_threads(works: list[Callable[[], None]]) -> None:
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_promise_can_be_awaited_in_another_event_loop() -> None:
    async def elsewhere() -> Any:
        shop = Shop("acme")
        return await asyncio.gather(shop.price("pen"), shop.days(1)[0]["dau"])

    with connected_sync():
        assert asyncio.run(elsewhere()) == [3, 0]


def test_a_hung_up_loop_is_not_connected_and_no_hang() -> None:
    wire = make(Receiver())

    async def open_and_leave() -> None:
        await wire.connection.open()

    asyncio.run(open_and_leave())
    try:
        with pytest.raises(NotConnected, match="closed"):
            wait(wire.shop().runs())
        with pytest.raises(NotConnected, match="closed"):
            wire.shop().order("pen")
    finally:
        asyncio.run(wire.connection.close())


# gather and flush


async def test_gather_raises_the_first_error_and_still_fetches_the_rest() -> None:
    async with connected() as wire:
        shop = wire.shop()
        price = shop.price("pen")
        with pytest.raises(ObjectFailed):
            await gather(price, shop.broken())

        assert await price == 3
        assert wire.loopback.envelopes == 1
        assert await gather() == ()
        assert await gather(price, price) == (3, 3)


async def test_gather_reaches_across_objects() -> None:
    async with connected() as wire:
        prices = [wire.shop(str(number)).price("x" * number) for number in range(5)]

        assert await gather(*prices) == (0, 1, 2, 3, 4)


async def test_what_gather_and_flush_return_wants_to_be_awaited_once() -> None:
    async with connected() as wire:
        later: Later[Any] = gather(wire.shop().runs())
        await later
        with pytest.raises(PromiseMisused, match="awaited before"):
            await later
        with pytest.warns(NeverAwaited, match=r"flush\(\) was never awaited"):
            wire.connection.flush()


# Leaving a process

PROGRAM = """
import asyncio, os, signal, sys, time
sys.path.insert(0, {tests!r})
from support.connected import make
from support.receiver import Receiver
from support.shop import Shop
from raydo.pipelining.later import wait

class Writing(Receiver):
    async def deliver(self, noun, envelope):
        # It stands for another process, which this one's signals do not interrupt.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        try:
            answer = await super().deliver(noun, envelope)
            with open({out!r}, "a") as out:
                out.write("".join(name + "\\n" for name in self.calls))
            self.envelopes.clear()
            return answer
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])

connection = make(Writing()).connection
"""


def leave(tmp_path: Path, script: str, *, stop: bool = False) -> tuple[int, list[str], str]:
    out = tmp_path / "out"
    program = PROGRAM.format(tests=str(TESTS), out=str(out)) + textwrap.dedent(script)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    if stop:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    return process.returncode, out.read_text().split() if out.exists() else [], stderr


SYNC = """
with connection:
    for number in range(100):
        Shop("acme").order("pen")
    {end}
"""
ASYNC = """
async def main():
    async with connection:
        for number in range(100):
            Shop("acme").order("pen")
        {end}
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (SYNC.format(end="pass"), 0),
        (SYNC.format(end="sys.exit(3)"), 3),
        ("connection.start()\n[Shop('acme').order('pen') for _ in range(100)]", 0),
        ("connection.start()\n[Shop('acme').order('pen') for _ in range(100)]\n1 / 0", 1),
        (ASYNC.format(end="pass"), 0),
    ],
)
def test_a_normal_exit_sends_what_is_queued(tmp_path: Path, script: str, code: int) -> None:
    returned, calls, stderr = leave(tmp_path, script)

    assert (returned, len(calls)) == (code, 100), stderr


@pytest.mark.parametrize(
    "script",
    [
        SYNC.format(end='print("ready", flush=True); time.sleep(60)'),
        ASYNC.format(end='print("ready", flush=True); await asyncio.sleep(60)'),
    ],
)
def test_sigterm_sends_what_is_queued(tmp_path: Path, script: str) -> None:
    returned, calls, stderr = leave(tmp_path, script, stop=True)

    assert (returned, len(calls)) == (128 + signal.SIGTERM, 100), stderr


def test_a_handler_of_somebody_else_keeps_the_signal() -> None:
    def mine(*_: object) -> None: ...

    before = signal.signal(signal.SIGTERM, mine)
    try:
        with connected_sync():
            assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_signal_is_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with connected_sync():
        pass

    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_is_told_to_connect_again_and_does_not_hang() -> None:
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    with connected_sync() as wire:
        shop = wire.shop()
        assert wait(shop.runs()) == 0

        child = context.Process(target=in_child, args=(shop, results))
        child.start()
        child.join(30)

        assert child.exitcode == 0
        assert wait(shop.runs()) == 0
    said = [results.get() for _ in range(4)]
    assert all("forked after raydo.connect()" in text for text in said[:2]), said
    assert "There is no connection" in said[2]
    assert said[3] == "3"


def in_child(shop: Any, results: Any) -> None:
    for use in (lambda: shop.order("pen"), lambda: wait(shop.runs()), lambda: flush()):  # noqa: PLW0108
        try:
            use()
        except RaydoError as error:
            results.put(str(error))
    with connected_sync():
        results.put(str(wait(Shop("acme").price("pen"))))


async def test_a_stub_in_use_survives_the_end_of_its_idle_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("raydo.pipelining.connection.BATCHES_MAX", 1)
    async with connected() as wire:
        shop = wire.shop()
        before = wire.connection.carrier(shop.noun)
        await wire.shop("other").runs()
        late: Any = shop.price("pen")
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        before.pull(late, lambda state: answer.set_result(state.value))
        assert await answer == 3
        assert wire.connection.carrier(shop.noun) is not before


async def test_what_waits_for_another_object_does_not_outlive_the_connection() -> None:
    receiver = Receiver()
    receiver.gate = asyncio.Event()
    async with connected(receiver) as here, connected(receiver) as there:
        promise = here.shop("here").echo(there.shop("there").runs())
        waiting = asyncio.ensure_future(promise)
        await receiver.arrived.wait()
        await here.connection.close()

        with pytest.raises(ConnectionLost, match="closed before"):
            await waiting
        receiver.gate.set()


def test_a_connection_cannot_be_started_twice() -> None:
    with connected_sync() as wire:
        with pytest.raises(NotConnected, match="open already"):
            wire.connection.start()

        assert wait(Shop("acme").runs()) == 0
