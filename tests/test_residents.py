from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from raydo.actors import residents as module
from raydo.actors.clock import FakeClock
from raydo.actors.object import DurableObject
from raydo.actors.residents import Residents
from raydo.actors.settings import Settings
from raydo.pipelining.errors import (
    ActivationBroken,
    ConnectionLost,
    InvalidArgument,
    InvalidTenant,
    Overloaded,
    UnknownObject,
)
from raydo.pipelining.frame import (
    Call,
    Entry,
    Program,
    Reply,
    decode_answers,
    encode_envelope,
)
from raydo.pipelining.method import call
from raydo.pipelining.noun import Noun

gates: dict[str, threading.Event] = {}
entered: dict[str, threading.Event] = {}


class Door(DurableObject):
    """An object whose turn lasts until the test lets it go."""

    @call
    def knock(self) -> int:
        return int(self.counters.incr("knocks"))

    @call
    def knocks(self) -> int:
        return int(self.counters.get("knocks"))

    @call
    def hold(self) -> str:
        entered[self.tenant].set()
        assert gates[self.tenant].wait(10)
        return threading.current_thread().name

    @call
    def slam(self) -> None:
        self.sql("CREATE TABLE IF NOT EXISTS t (x UNIQUE)")
        self.sql("INSERT OR ROLLBACK INTO t VALUES (1), (1)")


def envelope(*names: str, session: bytes | None = None, n: int = 1) -> bytes:
    ops = tuple(Call(-1, name, [], {}, False) for name in names)
    program = Program(ops, tuple(range(len(ops)))).encode()
    return encode_envelope([Entry(session or os.urandom(16), n, n - 1, program)])


def results(answer: bytes) -> list[Any]:
    [only] = decode_answers(answer)
    assert isinstance(only.payload, bytes)
    return [outcome.value for outcome in Reply.decode(only.payload).results]


def noun(tenant: str = "acme") -> Noun:
    gates[tenant], entered[tenant] = threading.Event(), threading.Event()
    return Noun("Door", tenant)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest_asyncio.fixture
async def residents(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Residents]:
    residents = Residents(tmp_path, clock=clock, settings=Settings(idle_s=600))
    yield residents
    await residents.close()
    assert not residents._turns._tasks


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop and the threads run until something holds."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


async def test_an_envelope_is_answered(residents: Residents) -> None:
    acme = noun()
    assert results(await residents.deliver(acme, envelope("knock", "knocks"))) == [1, 1]
    counts = residents.counts()
    assert counts.items() >= {"envelopes": 1, "frames": 1, "turns": 1, "awake": 1}.items()


async def test_what_waits_for_one_object_shares_one_turn(residents: Residents) -> None:
    acme = noun()
    held = asyncio.create_task(residents.deliver(acme, envelope("hold")))
    await until(entered["acme"].is_set)
    waiting = [asyncio.create_task(residents.deliver(acme, envelope("knock"))) for _ in range(100)]
    await until(lambda: residents.envelopes == 101)
    gates["acme"].set()

    answers = [results(answer) for answer in await asyncio.gather(*waiting)]

    assert answers == [[n] for n in range(1, 101)]  # in the order of their arrival
    assert results(await held)[0].startswith("turn")
    assert residents.counts()["turns"] == 2


async def test_a_busy_object_holds_up_no_other(residents: Residents) -> None:
    acme, globex = noun("acme"), noun("globex")
    held = asyncio.create_task(residents.deliver(acme, envelope("hold")))
    await until(entered["acme"].is_set)
    assert results(await residents.deliver(globex, envelope("knock"))) == [1]
    assert not held.done()
    gates["acme"].set()
    await held


async def test_more_than_may_wait_is_refused_and_can_come_again(
    residents: Residents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUEUE_ENVELOPES_MAX", 3)
    acme = noun()
    held = asyncio.create_task(residents.deliver(acme, envelope("hold")))
    await until(entered["acme"].is_set)
    waiting = [asyncio.create_task(residents.deliver(acme, envelope("knock"))) for _ in range(3)]
    await until(lambda: residents.envelopes == 4)

    with pytest.raises(Overloaded, match="Too much waits") as raised:
        await residents.deliver(acme, envelope("knock"))
    assert raised.value.retryable
    assert raised.value.retry_after_s

    monkeypatch.setattr(module, "QUEUE_ENVELOPES_MAX", 100)
    monkeypatch.setattr(module, "QUEUE_BYTES_MAX", 10)
    with pytest.raises(Overloaded):
        await residents.deliver(acme, envelope("knock"))
    gates["acme"].set()
    await asyncio.gather(held, *waiting)


async def test_no_such_object_tenant_or_envelope_is_refused(residents: Residents) -> None:
    with pytest.raises(UnknownObject, match="Nobody"):
        await residents.deliver(Noun("Nobody", "acme"), envelope("knock"))
    with pytest.raises(InvalidTenant):
        await residents.deliver(Noun("Door", ""), envelope("knock"))
    with pytest.raises(InvalidArgument):
        await residents.deliver(Noun("Door", "acme"), b"garbage")
    assert (
        residents.counts().items() >= {"envelopes": 0, "frames": 0, "turns": 0, "awake": 0}.items()
    )


async def test_a_broken_activation_is_thrown_away_and_the_next_call_makes_another(
    residents: Residents,
) -> None:
    acme = noun()
    await residents.deliver(acme, envelope("knock"))
    held = asyncio.create_task(residents.deliver(acme, envelope("hold")))
    await until(entered["acme"].is_set)
    together = [envelope("knock"), envelope("slam"), envelope("knock")]
    waiting = [asyncio.create_task(residents.deliver(acme, each)) for each in together]
    await until(lambda: residents.envelopes == 5)
    gates["acme"].set()
    await held

    errors = await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(error) for error in errors] == [ActivationBroken] * 3
    assert len({id(error) for error in errors}) == 3
    assert residents.counts()["awake"] == 0
    assert results(await residents.deliver(acme, envelope("knocks"))) == [1]


async def test_a_caller_that_goes_away_disturbs_nobody(residents: Residents) -> None:
    acme = noun()
    held = asyncio.create_task(residents.deliver(acme, envelope("hold")))
    await until(entered["acme"].is_set)
    gone = asyncio.create_task(residents.deliver(acme, envelope("knock")))
    stays = asyncio.create_task(residents.deliver(acme, envelope("knock")))
    await until(lambda: residents.envelopes == 3)
    gone.cancel()
    gates["acme"].set()
    assert results(await stays) == [2]
    await held


async def test_an_idle_object_sleeps_and_wakes_as_it_was(
    residents: Residents, clock: FakeClock
) -> None:
    acme, globex = noun("acme"), noun("globex")
    await residents.deliver(acme, envelope("knock"))
    clock.advance(seconds=599)
    await residents.deliver(globex, envelope("knock"))
    await residents.sweep()
    assert residents.counts()["awake"] == 2

    clock.advance(seconds=1)
    await residents.sweep()
    assert residents.counts()["awake"] == 1

    assert results(await residents.deliver(acme, envelope("knocks"))) == [1]


async def test_the_longest_unused_sleep_when_memory_runs_short_and_nobody_else(
    tmp_path: Path, clock: FakeClock
) -> None:
    used = [0]
    settings = Settings(host_bytes=1_000)
    residents = Residents(tmp_path, clock=clock, settings=settings, memory=lambda: used[0])
    for number in range(8):
        await residents.deliver(noun(f"t{number}"), envelope("knock"))
    await residents.relieve()
    assert residents.counts()["awake"] == 8

    used[0] = 900
    await residents.relieve()
    awake = {each["noun"][1] for each in residents.status()}
    assert awake == {f"t{number}" for number in range(2, 8)}
    assert results(await residents.deliver(noun("t0"), envelope("knocks"))) == [1]
    await residents.close()


async def test_the_longest_unused_sleep_when_too_many_are_awake(
    residents: Residents, clock: FakeClock
) -> None:
    residents._open_max = 3
    nouns = [noun(f"t{n}") for n in range(8)]
    for each in nouns:
        clock.advance(milliseconds=1)
        await residents.deliver(each, envelope("knock"))
        await until(lambda: not residents._turns._tasks)
    assert residents.counts()["awake"] == 3
    assert [each.id for each in residents._residents] == ["t5", "t6", "t7"]
    for each in nouns:
        assert results(await residents.deliver(each, envelope("knocks"))) == [1]


async def test_reads_of_tenants_that_do_not_exist_leave_nothing(
    residents: Residents, tmp_path: Path
) -> None:
    for n in range(10):
        await residents.deliver(noun(f"t{n}"), envelope("knocks"))
    assert names_in(tmp_path) == []


async def test_closing_finishes_what_waits_and_takes_no_more(
    residents: Residents, tmp_path: Path
) -> None:
    acme = noun()
    held = asyncio.create_task(residents.deliver(acme, envelope("hold")))
    await until(entered["acme"].is_set)
    waiting = asyncio.create_task(residents.deliver(acme, envelope("knock")))
    await until(lambda: residents.envelopes == 2)
    closing = asyncio.create_task(residents.close())
    await asyncio.sleep(0)
    with pytest.raises(ConnectionLost):
        await residents.deliver(acme, envelope("knock"))
    gates["acme"].set()
    await closing

    assert held.done()
    assert results(await waiting) == [1]
    [folder] = names_in(tmp_path / "Door")
    assert names_in(tmp_path / "Door" / folder) == ["epoch", "id", "tenant.db"]  # no log is left


async def test_a_crash_keeps_what_was_answered(residents: Residents) -> None:
    acme = noun()
    await residents.deliver(acme, envelope("knock"))
    lost = await residents.crash()
    assert results(await residents.deliver(acme, envelope("knocks"))) == [1]
    for activation in lost:
        activation.abandon()
