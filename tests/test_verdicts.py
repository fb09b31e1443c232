"""Keys are asked about once, believed for a stated time, and refused in a time that tells nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from raydo.gateway import verdicts as module
from raydo.gateway.keys import KeyText, new_key
from raydo.gateway.verdicts import Verdicts
from raydo.pipelining.errors import Overloaded, Unauthorized
from raydo.pipelining.limits import KEY_REFUSAL_S, KEY_VERDICT_S

WRITE = new_key("write", "acme")


class Keeper:
    """Keep keys in memory, count the questions, and let the time pass."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0
        self.takes_s = 0.0
        self.slept: list[float] = []
        self.gate: asyncio.Event | None = None
        self.keys: dict[str, Any] = {}

    def add(self, key: KeyText, expires_ms: int | None = None) -> None:
        self.keys[key.hashed] = {"id": key.hashed[:12], "kind": key.kind, "expires_ms": expires_ms}

    async def find(self, key: KeyText) -> Any:
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        self.now += self.takes_s
        return self.keys.get(key.hashed)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


@pytest.fixture
def verdicts(keeper: Keeper) -> Verdicts:
    return Verdicts(
        keeper.find,
        clock=lambda: keeper.now,
        now_ms=lambda: int(keeper.now * 1_000),
        sleep=keeper.sleep,
    )


async def test_a_key_is_asked_about_once_within_the_stated_time(
    keeper: Keeper, verdicts: Verdicts
) -> None:
    keeper.add(WRITE)
    for _ in range(1_000):
        assert (await verdicts.check(WRITE.text)).tenant == "acme"
    assert keeper.asked == 1

    keeper.now += KEY_VERDICT_S
    await verdicts.check(WRITE.text)
    assert keeper.asked == 2


async def test_requests_that_come_together_ask_once(keeper: Keeper, verdicts: Verdicts) -> None:
    keeper.add(WRITE)
    keeper.gate = asyncio.Event()
    waiting = [asyncio.create_task(verdicts.check(WRITE.text)) for _ in range(10)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    keeper.gate.set()

    assert [(await each).kind for each in waiting[1:]] == ["write"] * 9
    assert keeper.asked == 1


async def test_a_revoked_key_opens_nothing_at_once_here_and_elsewhere_after_the_stated_time(
    keeper: Keeper, verdicts: Verdicts
) -> None:
    keeper.add(WRITE)
    await verdicts.check(WRITE.text)
    keeper.keys.clear()

    await verdicts.check(WRITE.text)
    verdicts.forget(WRITE.hashed[:12])
    with pytest.raises(Unauthorized):
        await verdicts.check(WRITE.text)

    keeper.add(WRITE)
    keeper.now += KEY_VERDICT_S
    await verdicts.check(WRITE.text)
    keeper.keys.clear()
    keeper.now += KEY_VERDICT_S
    with pytest.raises(Unauthorized):
        await verdicts.check(WRITE.text)


async def test_a_key_ends_on_time_although_its_verdict_is_fresh(
    keeper: Keeper, verdicts: Verdicts
) -> None:
    keeper.add(WRITE, expires_ms=2_000)
    await verdicts.check(WRITE.text)
    keeper.keys.clear()
    keeper.now = 2.0

    with pytest.raises(Unauthorized):
        await verdicts.check(WRITE.text)


@pytest.mark.parametrize("takes_s", [0.0, 0.2, 1.0])
async def test_a_refusal_takes_as_long_whatever_it_took_to_find_out(
    keeper: Keeper, verdicts: Verdicts, takes_s: float
) -> None:
    keeper.takes_s = takes_s
    for text in ("nonsense", WRITE.text, WRITE.text):
        came = keeper.now
        with pytest.raises(Unauthorized, match="unknown, or no longer good"):
            await verdicts.check(text)
        spent = keeper.now - came
        assert spent + keeper.slept[-1] == pytest.approx(max(KEY_REFUSAL_S, spent))
    assert keeper.asked == 1


async def test_what_a_key_says_of_itself_is_not_believed(
    keeper: Keeper, verdicts: Verdicts
) -> None:
    keeper.add(WRITE)
    for text in (
        WRITE.text.replace("write", "admin"),
        WRITE.text.replace("_write_", "_server_"),
        new_key("write", "globex").text,
        WRITE.text[:-1],
        WRITE.text + "0",
        "",
        "raydo_write__",
        "raydo_write_!!!_00",
        "raydo_read_" + "A" * 5_000 + "_00",
        "räydo_write_YQ_00",
    ):
        with pytest.raises(Unauthorized):
            await verdicts.check(text)


async def test_unknown_keys_are_looked_at_so_many_at_once(
    keeper: Keeper, verdicts: Verdicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEY_CHECKS_MAX", 2)
    monkeypatch.setattr(module, "KEY_VERDICTS_MAX", 2)
    keeper.gate = asyncio.Event()
    waiting = [asyncio.create_task(verdicts.check(new_key("read", "acme").text)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await verdicts.check(WRITE.text)
    keeper.gate.set()
    await asyncio.gather(*waiting, return_exceptions=True)

    keeper.add(WRITE)
    await verdicts.check(WRITE.text)
    assert len(verdicts._known) == 2
