"""Objects that tell each other things across processes that are killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal

import pytest
from support.place import Place, fresh, opened

from raydo.actors.analytics import Analytics
from raydo.actors.object import DurableObject
from raydo.actors.settings import Settings
from raydo.pipelining.errors import RaydoError
from raydo.pipelining.method import call, cast
from raydo.pipelining.noun import Noun

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SIGNUPS = 150
KILLS = 6


class SignupDesk(DurableObject):
    """Takes signups, and has each billed."""

    @cast
    def sign_up(self, number: int) -> None:
        self.counters.incr("signups")
        self.stub(BillingDesk, self.tenant).charge(number)


class BillingDesk(DurableObject):
    """Charges each signup once, and has it counted."""

    def on_start(self) -> None:
        self.sql("CREATE TABLE IF NOT EXISTS charges (number INTEGER)")

    @cast
    def charge(self, number: int) -> None:
        self.sql("INSERT INTO charges VALUES (?)", number)
        self.stub(Analytics, self.tenant).track("Charged", {"userId": f"u{number}"})

    @call
    def charges(self) -> list[int]:
        return [row["number"] for row in self.sql("SELECT number FROM charges ORDER BY rowid")]


async def kill(place: Place, noun: Noun) -> None:
    with contextlib.suppress(RaydoError, ProcessLookupError):
        os.kill((await place.runtime.counts(noun))["pid"], signal.SIGKILL)


async def test_from_signup_to_billing_to_analytics_each_counts_once_whatever_is_killed(
    ray_settings: Settings,
) -> None:
    tenant, chance = fresh("shop"), random.Random(5)
    nouns = [Noun(cls, tenant) for cls in ("SignupDesk", "BillingDesk", "Analytics")]
    async with opened(ray_settings, on_ray=True) as place:
        desk = place.connection.stub(SignupDesk, tenant)
        for number in range(SIGNUPS):
            desk.sign_up(number)
            if number % (SIGNUPS // KILLS) == 0:
                await asyncio.sleep(chance.random() / 3)
                await kill(place, chance.choice(nouns))
        await place.connection.flush()

        charges = place.connection.stub(BillingDesk, tenant).charges
        async with asyncio.timeout(60):
            while (await place.analytics(tenant).stats())["events"].get("Charged") != SIGNUPS:
                assert len(await charges()) <= SIGNUPS
                await asyncio.sleep(0.1)
        assert await charges() == [*range(SIGNUPS)]
        [day] = await place.analytics(tenant).get_dau(1)
        assert (day["dau"], day["events"]) == (SIGNUPS, SIGNUPS)
