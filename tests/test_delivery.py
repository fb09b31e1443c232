"""Whatever a transport does, each frame is applied once and in order."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from support.connected import connected
from support.receiver import Receiver

from raydo.pipelining import delivery
from raydo.pipelining.errors import ActivationBroken, ConnectionLost, Overloaded
from raydo.pipelining.noun import Noun


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
        seen.append((sent, await shop.list_orders()))

    async with connected(receiver) as wire:
        shop = wire.shop()
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
