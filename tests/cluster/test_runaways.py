"""Objects that run away on real hosts, and their neighbours."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.place import Place, opened
from support.rogue import Rogue

from raydo.actors.settings import Settings
from raydo.pipelining.errors import Confined, RaydoError

pytestmark = [pytest.mark.ray, pytest.mark.slow]

TURN_S = 1.0


async def neighbours(place: Place, ended: asyncio.Event) -> list[int]:
    """Let eight neighbours count as long as it lasts, each call once; return how far each came."""
    counts = dict.fromkeys(range(8), 0)

    async def one(number: int) -> None:
        stub = place.connection.stub(Rogue, f"neighbour-{number}")
        while not ended.is_set():
            counts[number] += 1
            assert await stub.count() == counts[number]

    await asyncio.gather(*(one(number) for number in counts))
    return list(counts.values())


async def test_a_runaway_is_ended_its_neighbours_lose_nothing_and_the_third_time_it_rests(
    ray_settings: Settings, tmp_path: Path
) -> None:
    settings = replace(
        ray_settings,
        data=tmp_path / "data",
        objects=("support.rogue",),
        max_actors=2,  # so that it has neighbours
        turn_s=TURN_S,
        host_bytes=500 * 2**20,
    )
    async with opened(settings, on_ray=True) as place:
        rogue: Any = place.connection.stub(Rogue, "rogue")
        assert await rogue.count() == 1
        ended = asyncio.Event()
        watching = asyncio.create_task(neighbours(place, ended))
        for name in ("spin", "eat"):
            with pytest.raises(RaydoError) as told:
                await asyncio.wait_for(getattr(rogue, name)(), 20)
            assert told.value.retryable, told.value
        ended.set()
        assert min(await watching) > 1

        with pytest.raises(Confined, match="stopped 3 times"):
            await asyncio.wait_for(rogue.count(), 20)
