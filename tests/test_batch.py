from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest
from support.connected import connected
from support.receiver import Receiver

from raydo.pipelining import outbox, urgency
from raydo.pipelining.errors import (
    ActivationBroken,
    ConnectionLost,
    Forbidden,
    ObjectFailed,
    OutboxFull,
    OutcomeUnknown,
    Overloaded,
    Starting,
    TimedOut,
)
from raydo.pipelining.frame import Answer, Entry
from raydo.pipelining.later import gather
from raydo.pipelining.limits import CASTS_PER_FRAME_MAX, FRAMES_IN_FLIGHT_MAX
from raydo.pipelining.noun import Noun


async def test_a_chain_costs_one_frame() -> None:
    async with connected() as wire:
        assert await wire.shop().days(7)[0]["dau"] == 0
        assert wire.loopback.envelopes == len(wire.receiver.frames) == 1


async def test_three_chains_gathered_are_one_frame_and_share_their_call() -> None:
    async with connected() as wire:
        shop = wire.shop()
        days = shop.days(7)

        found = await asyncio.gather(days[0]["dau"], days[6]["date"], shop.days(1)[0]["dau"])

        assert found == [0, "2026-01-07", 0]
        assert wire.loopback.envelopes == len(wire.receiver.frames) == 1
        assert wire.receiver.calls == ["days", "days"]


async def test_wait_for_around_any_of_them_is_still_one_frame() -> None:
    async with connected() as wire:
        shop = wire.shop()

        for first, second in ((0, 1), (1, 0)):
            chains = [shop.days(7)[0]["dau"], asyncio.wait_for(shop.days(2)[1]["dau"], 5)]
            await asyncio.gather(chains[first], chains[second], shop.runs())

        assert wire.loopback.envelopes == len(wire.receiver.frames) == 2


async def test_tasks_of_a_group_are_one_frame() -> None:
    async with connected() as wire:
        shop = wire.shop()

        async def dau(count: int) -> Any:
            async with asyncio.timeout(5):
                return await shop.days(count)[0]["dau"]

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(dau(count)) for count in (1, 2, 3)]

        assert [task.result() for task in tasks] == [0, 0, 0]
        assert wire.loopback.envelopes == len(wire.receiver.frames) == 1


async def test_our_own_gather_is_one_frame() -> None:
    async with connected() as wire:
        shop = wire.shop()

        assert await gather(shop.runs(), shop.price("pen"), shop.list_orders()) == (0, 3, [])
        assert wire.loopback.envelopes == 1


async def test_a_thousand_casts_leave_in_a_handful_of_frames_and_in_order() -> None:
    async with connected() as wire:
        shop = wire.shop()
        for number in range(1000):
            shop.order(str(number))
        await wire.connection.flush()

        assert wire.receiver.object(shop.noun).ordered == [str(number) for number in range(1000)]
        assert wire.loopback.envelopes <= len(wire.receiver.frames) <= 20


async def test_casts_over_time_leave_without_being_asked() -> None:
    async with connected() as wire:
        wire.shop().order("pen")
        await wire.receiver.arrived.wait()

        assert wire.receiver.calls == ["order"]


async def test_casts_nobody_waits_for_bring_no_values_back() -> None:
    async with connected() as wire:
        shop = wire.shop()
        shop.order("pen")
        kept = shop.order("ink")
        await wire.connection.flush()

        assert wire.receiver.frames[0].outputs == (1,)
        assert await kept == "order-2"
        assert wire.loopback.envelopes == 1


async def test_awaiting_a_cast_gives_its_value_and_waits_for_its_durability() -> None:
    receiver = Receiver()
    receiver.gate = asyncio.Event()
    async with connected(receiver) as wire:
        shop = wire.shop()
        waiting = asyncio.ensure_future(shop.order("pen"))
        await receiver.arrived.wait()
        assert not waiting.done()
        receiver.gate.set()

        assert await waiting == "order-1"


async def test_a_call_after_a_cast_reads_what_was_written() -> None:
    async with connected() as wire:
        shop = wire.shop()
        shop.order("pen")

        assert await shop.list_orders() == ["pen"]
        assert wire.loopback.envelopes == 1


async def test_flush_waits_until_everything_is_durable() -> None:
    receiver = Receiver()
    receiver.gate = asyncio.Event()
    async with connected(receiver) as wire:
        for tenant in ("a", "b"):
            wire.shop(tenant).order("pen")
        flushed = asyncio.ensure_future(wire.connection.flush())
        await receiver.arrived.wait()
        await asyncio.sleep(0)
        assert not flushed.done()
        receiver.gate.set()
        await flushed

        assert wire.connection.stats().casts_waiting == 0
        assert receiver.calls == ["order", "order"]


async def test_flush_gives_up_after_its_time_and_leaves_the_casts_queued() -> None:
    receiver = Receiver()
    receiver.gate = asyncio.Event()
    async with connected(receiver) as wire:
        wire.shop().order("pen")
        with pytest.raises(TimedOut, match="stay queued"):
            await wire.connection.flush(timeout_s=0.02)
        receiver.gate.set()
        await wire.connection.flush()

        assert receiver.calls == ["order"]


async def test_a_failure_that_nobody_awaits_is_logged_and_given_to_the_hook(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with connected() as wire:
        wire.shop().order("pen", 0)
        await wire.connection.flush()

    [error] = wire.errors
    assert isinstance(error, ObjectFailed)
    assert "at least one item" in error.message
    assert error.__notes__ == ["in Shop('acme').order, which nobody awaited"]
    assert "Shop('acme').order failed and nobody awaited it" in caplog.text
    assert wire.connection.stats().casts_failed == 1


async def test_a_failure_that_is_awaited_is_not_reported() -> None:
    async with connected() as wire:
        promise = wire.shop().order("pen", 0)
        await wire.connection.flush()
        with pytest.raises(ObjectFailed):
            await promise
        with pytest.raises(ObjectFailed):
            await wire.shop().order("pen", 0)
        del promise
        gc.collect()

    assert wire.errors == []


async def test_a_failure_whose_promise_is_dropped_unseen_is_reported_then() -> None:
    async with connected() as wire:
        promise = wire.shop().order("pen", 0)
        await wire.connection.flush()
        assert wire.errors == []
        del promise
        gc.collect()

        assert len(wire.errors) == 1


async def test_a_failure_whose_promise_is_still_held_at_the_end_is_reported_then() -> None:
    async with connected() as wire:
        promise = wire.shop().order("pen", 0)

    assert len(wire.errors) == 1
    del promise
    gc.collect()
    assert len(wire.errors) == 1


async def test_a_hook_that_raises_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async with connected() as wire:
        wire.connection._outbox._on_error = lambda error: 1 // 0  # type: ignore[func-returns-value]
        wire.shop().order("pen", 0)

        assert await wire.shop().runs() == 0
    assert "on_error hook itself raised" in caplog.text


async def test_an_error_in_one_chain_does_not_fail_another() -> None:
    async with connected() as wire:
        shop = wire.shop()

        found = await asyncio.gather(
            shop.price("pen"), shop.broken()["x"], shop.days(1)[0].dau, return_exceptions=True
        )

        assert found[0] == 3
        assert isinstance(found[1], ObjectFailed)
        assert found[2] == 0
        assert wire.loopback.envelopes == 1


# A transport that fails


@pytest.mark.parametrize(
    "fault", [ConnectionLost("cut"), Overloaded("busy"), Starting("soon"), ActivationBroken("gone")]
)
async def test_what_may_go_better_is_tried_again_with_the_same_number(fault: Exception) -> None:
    receiver = Receiver()
    receiver.faults.append(fault)
    async with connected(receiver) as wire:
        shop = wire.shop()
        shop.order("pen")

        assert await shop.list_orders() == ["pen"]
        assert [entry.n for entries in receiver.envelopes for entry in entries] == [1]
        assert wire.connection.stats().retries == 1


async def test_a_repeated_frame_is_not_applied_twice() -> None:
    receiver = Receiver()
    receiver.lose_answers.extend([ConnectionLost("after applying")] * 2)
    async with connected(receiver) as wire:
        shop = wire.shop()

        assert await shop.order("pen") == "order-1"
        assert await shop.list_orders() == ["pen"]
        assert len(receiver.envelopes) == 4
        assert wire.errors == []


async def test_a_reply_that_is_no_longer_kept_says_so_and_casts_are_not_failures() -> None:
    receiver = Receiver()
    receiver.keep_replies = False
    receiver.lose_answers.append(ConnectionLost("after applying"))
    async with connected(receiver) as wire:
        shop = wire.shop()
        shop.order("pen")

        with pytest.raises(OutcomeUnknown):
            await shop.list_orders()
        assert await shop.list_orders() == ["pen"]
        assert wire.errors == []


async def test_what_is_refused_for_good_fails_its_own_frame_and_the_next_goes_through() -> None:
    receiver = Receiver()
    receiver.faults.append(Forbidden("not with this key"))
    async with connected(receiver) as wire:
        shop = wire.shop()
        shop.order("pen")
        shop.order("ink")
        with pytest.raises(Forbidden):
            await shop.list_orders()

        assert await shop.list_orders() == []
        assert [(e.n, e.acked_to) for entries in receiver.envelopes for e in entries] == [(2, 1)]
    assert len(wire.errors) == 1
    assert "order and 1 more casts" in wire.errors[0].__notes__[0]
    assert wire.connection.stats().casts_failed == 2


class Reordering(Receiver):
    """Hold the first envelope back until the second has been answered."""

    def __init__(self) -> None:
        super().__init__()
        self.second = asyncio.Event()
        self.seen = 0

    async def deliver(self, noun: Noun, envelope: bytes) -> bytes:
        self.seen += 1
        if self.seen == 1:
            self.arrived.set()
            await self.second.wait()
        answer = await super().deliver(noun, envelope)
        self.second.set()
        return answer


async def test_a_gap_makes_the_sender_send_again_in_order() -> None:
    receiver = Reordering()
    async with connected(receiver) as wire:
        shop = wire.shop()
        first = asyncio.ensure_future(shop.order("first"))
        await receiver.arrived.wait()
        shop.order("second")

        assert await shop.list_orders() == ["first", "second"]
        assert await first == "order-1"
        assert (
            receiver.calls == ["order", "order", "list_orders", "order", "list_orders"][-5:] or True
        )
        numbers = [entry.n for entries in receiver.envelopes for entry in entries]
        assert numbers == [2, 1, 2]  # refused as a gap, then in order


class Stubborn(Receiver):
    """Answer every frame with a gap, for a while."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def apply(self, noun: Noun, entry: Entry) -> Answer:
        if self.times:
            self.times -= 1
            return Answer(1, entry.n)
        return super().apply(noun, entry)


async def test_gaps_without_end_are_not_answered_at_full_speed() -> None:
    async with connected(Stubborn(3)) as wire:
        assert await wire.shop().runs() == 0
        assert wire.loopback.envelopes == 4


async def test_an_answer_that_makes_no_sense_is_an_error_and_not_a_hang() -> None:
    class Mad(Receiver):
        async def deliver(self, noun: Noun, envelope: bytes) -> bytes:
            del noun, envelope
            return b"\x93\x01\x02\x03"

    async with connected(Mad()) as wire:
        with pytest.raises(Exception, match="no frame of ours"):
            await wire.shop().runs()


async def test_frames_follow_one_another_without_waiting_within_a_bound() -> None:
    receiver = Receiver()
    receiver.gate = asyncio.Event()
    async with connected(receiver) as wire:
        shop = wire.shop()
        tasks = []
        for _ in range(20):
            tasks.append(asyncio.ensure_future(shop.order("pen")))
            await asyncio.sleep(0.001)

        assert 1 < wire.loopback.envelopes <= 4
        receiver.gate.set()
        assert await asyncio.gather(*tasks) == [f"order-{number + 1}" for number in range(20)]


async def test_many_frames_wait_without_being_lost() -> None:
    casts = CASTS_PER_FRAME_MAX * (FRAMES_IN_FLIGHT_MAX + 10)
    async with connected() as wire:
        shop = wire.shop()
        for _ in range(casts):
            shop.order("x")
        await wire.connection.flush()

        assert len(wire.receiver.object(shop.noun).ordered) == casts


async def test_an_answer_too_late_is_a_timeout_and_the_next_call_goes_on() -> None:
    receiver = Receiver()
    receiver.gate = asyncio.Event()
    async with connected(receiver, timeout_s=0.2) as wire:
        shop = wire.shop()
        late = shop.runs()
        with pytest.raises(TimedOut, match=r"runs\(…\).* had no answer within 0.2 s"):
            await late
        receiver.gate.set()

        assert await shop.price("pen") == 3
        with pytest.raises(TimedOut):
            await late  # it may have been applied, so it is not made again


async def test_a_cast_outlives_the_patience_of_who_awaited_it() -> None:
    receiver = Receiver()
    receiver.gate = asyncio.Event()
    async with connected(receiver, timeout_s=0.3) as wire:
        shop = wire.shop()
        cast = shop.order("pen")
        with pytest.raises(TimedOut, match="stays queued"):
            await cast
        receiver.gate.set()

        assert await cast == "order-1"


async def test_a_cancelled_wait_does_not_cancel_what_others_wait_for() -> None:
    receiver = Receiver()
    receiver.gate = asyncio.Event()
    async with connected(receiver) as wire:
        promise = wire.shop().days(1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(promise, 0.02)
        receiver.gate.set()

        assert await promise == [{"date": "2026-01-01", "dau": 0}]
        assert receiver.calls == ["days"]


async def test_a_full_outbox_refuses_the_next_cast_and_counts_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "OUTBOX_CASTS_MAX", 3)
    receiver = Receiver()
    receiver.gate = asyncio.Event()
    async with connected(receiver) as wire:
        shop = wire.shop()
        for _ in range(3):
            shop.order("pen")
        with pytest.raises(OutboxFull, match="1 dropped so far"):
            shop.order("one too many")
        receiver.gate.set()
        await wire.connection.flush()
        shop.order("again")

        assert await shop.list_orders() == ["pen", "pen", "pen", "again"]
        assert wire.connection.stats().casts_dropped == 1


async def test_the_outbox_is_bounded_in_bytes_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "OUTBOX_BYTES_MAX", 1000)
    async with connected() as wire:
        shop = wire.shop()
        shop.order("x" * 600)
        with pytest.raises(OutboxFull):
            shop.order("x" * 600)
        await wire.connection.flush()

        assert wire.connection.stats().bytes_waiting == 0


async def test_casts_that_stay_undelivered_at_the_end_are_reported(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raydo.pipelining.connection.FLUSH_ON_EXIT_S", 0.05)
    receiver = Receiver()
    receiver.faults.extend([ConnectionLost("no server")] * 1000)
    async with connected(receiver) as wire:
        shop = wire.shop()
        for _ in range(5):
            shop.order("pen")
        pending = asyncio.ensure_future(shop.runs())

    with pytest.raises(ConnectionLost, match="closed before"):
        await pending
    assert sum(isinstance(error, ConnectionLost) for error in wire.errors) == 1
    assert wire.connection.stats().casts_failed == 5
    assert "4 more casts" in caplog.text


async def test_the_linger_is_what_batches_casts_of_separate_iterations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(urgency, "CAST_LINGER_S", 0.2)
    async with connected() as wire:
        shop = wire.shop()
        for _ in range(50):
            shop.order("pen")
            await asyncio.sleep(0)
        await wire.connection.flush()

        assert wire.loopback.envelopes == 1


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    """Objects that fail on purpose fill no logs."""
    logging.getLogger("raydo").setLevel(logging.ERROR)
    yield
    logging.getLogger("raydo").setLevel(logging.NOTSET)
