"""Whatever a transport does, each frame is applied once and in order."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from support.connected import connected
from support.receiver import Receiver
from support.shop import Shop

from raydo.pipelining import delivery
from raydo.pipelining.errors import ActivationBroken, ConnectionLost, NodeDown, Overloaded
from raydo.pipelining.method import call
from raydo.pipelining.noun import Noun


class Bazaar(Shop):
    @call(aside=True)
    def audit(self) -> list[str]:
        return list(self.ordered)


class Slow(Receiver):
    """Let answers that go aside wait, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.audits = asyncio.Event()

    async def deliver(self, noun: Noun, envelope: bytes) -> bytes:
        answer = await super().deliver(noun, envelope)
        if "audit" in self.calls[-1:]:
            await self.audits.wait()
        return answer


class Storm(Receiver):
    """Lose, delay, reorder, refuse and repeat envelopes, by a seed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = random.Random(seed)

    async def deliver(self, noun: Noun, envelope: bytes) -> bytes:
        await self.pause()
        fate = self.random.random()
        if fate < 0.15:
            raise ConnectionLost("before arriving")
        if fate < 0.25:
            raise self.random.choice([Overloaded("busy"), ActivationBroken("gone")])
        answer = await super().deliver(noun, envelope)
        if fate < 0.35:
            await super().deliver(noun, envelope)  # the network repeats itself
        await self.pause()
        if fate < 0.5:
            raise ConnectionLost("after arriving")
        return answer

    async def pause(self) -> None:
        for _ in range(self.random.choice([0, 0, 1, 3, 20])):
            await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(25))
async def test_in_any_storm_each_cast_is_applied_once_and_in_order(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "RETRY_FIRST_S", 0.0002)
    monkeypatch.setattr(delivery, "RETRY_MAX_S", 0.002)
    receiver = Storm(seed)
    storm = receiver.random
    seen: list[tuple[int, list[str]]] = []

    async def look(shop: Any, sent: int) -> None:
        reads = storm.choice([shop.list_orders, shop.audit])
        seen.append((sent, await reads()))

    async with connected(receiver) as wire:
        shop = wire.connection.stub(Bazaar, "acme")
        looks = []
        awaited = []
        for number in range(120):
            promise = shop.order(str(number))
            if storm.random() < 0.2:
                awaited.append((number, asyncio.ensure_future(promise)))
            if storm.random() < 0.1:
                looks.append(asyncio.create_task(look(shop, number + 1)))
            for _ in range(storm.choice([0, 0, 0, 2, 10])):
                await asyncio.sleep(0)
        await wire.connection.flush()
        await asyncio.gather(*looks)
        ids = [(number, await waiting) for number, waiting in awaited]

    assert receiver.object(shop.noun).ordered == [str(number) for number in range(120)]
    assert ids == [(number, f"order-{number + 1}") for number, _ in ids]
    for sent, orders in seen:
        assert orders[:sent] == [str(number) for number in range(sent)]
    assert wire.errors == []
    assert wire.connection.stats().casts_waiting == 0


async def test_calls_that_go_aside_hold_nothing_back_however_many_there_are() -> None:
    receiver = Slow()
    async with connected(receiver) as wire:
        shop = wire.connection.stub(Bazaar, "acme")
        audits = []
        for number in range(12):
            shop.order(str(number))
            audits.append(asyncio.ensure_future(shop.audit()))
            await asyncio.sleep(0.001)
        async with asyncio.timeout(5):
            assert await shop.order("last") == "order-13"
            assert await shop.days(1)[0]["dau"] == 0
        assert not any(audit.done() for audit in audits)
        receiver.audits.set()
        found = await asyncio.gather(*audits)

    assert [len(orders) for orders in found] == sorted(len(orders) for orders in found)
    assert all(str(number) in orders for number, orders in enumerate(found))


async def test_a_call_that_goes_aside_has_its_envelope_to_itself_and_one_for_its_chains() -> None:
    receiver = Receiver()
    async with connected(receiver) as wire:
        shop = wire.connection.stub(Bazaar, "acme")
        shop.order("one")
        audit = shop.audit()
        first, same, orders = await asyncio.gather(
            audit[0], audit.map(lambda order: order), shop.list_orders()
        )

    assert (first, same, orders) == ("one", ["one"], ["one"])
    assert [len(entries) for entries in receiver.envelopes] == [1, 1, 1]
    assert receiver.calls == ["order", "audit", "list_orders"]


class Away(Receiver):
    """Be away for the first few envelopes, as a machine is that starts again."""

    def __init__(self) -> None:
        super().__init__()
        self.away = 3

    async def deliver(self, noun: Noun, envelope: bytes) -> bytes:
        if self.away:
            self.away -= 1
            raise NodeDown("The machine is away.")
        return await super().deliver(noun, envelope)


async def test_while_a_machine_is_away_casts_wait_and_whoever_asks_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "RETRY_FIRST_S", 0.0002)
    receiver = Away()
    async with connected(receiver) as wire:
        shop = wire.connection.stub(Bazaar, "acme")
        with pytest.raises(NodeDown):
            await shop.list_orders()
        shop.order("one")
        await wire.connection.flush()
        assert await shop.list_orders() == ["one"]
    assert receiver.away == 0
    assert wire.errors == []
