"""Timers of objects asleep, on real hosts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from support.egg import Egg
from support.place import opened

from raydo.actors import tenant
from raydo.actors.disk import OsDisk
from raydo.actors.due import read_due
from raydo.actors.settings import Settings
from raydo.pipelining.noun import Noun

pytestmark = [pytest.mark.ray, pytest.mark.slow]


async def test_a_server_runs_what_became_due_while_it_was_down_though_nobody_calls_it(
    ray_settings: Settings, tmp_path: Path
) -> None:
    settings = replace(ray_settings, data=tmp_path / "data", objects=("support.egg",))
    folder = tenant.folder(settings.data, Noun("Egg", "acme"))
    async with opened(settings, on_ray=False) as place:
        await place.connection.stub(Egg, "acme").boil(0.2)
        due_ms = read_due(OsDisk(), folder)
    assert due_ms is not None

    async with opened(settings, on_ray=True) as place:
        async with asyncio.timeout(30):
            while read_due(OsDisk(), folder) is not None:  # noqa: ASYNC110 - another process rings
                await asyncio.sleep(0.05)
        assert await place.connection.stub(Egg, "acme").rung() == 1
