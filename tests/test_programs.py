"""Programs carried to their objects: in order, merged, each applied once, and bounded."""

from __future__ import annotations

import asyncio

import pytest
from support.receiver import Receiver
from support.shop import Shop

from raydo.gateway import programs as module
from raydo.gateway.programs import Programs
from raydo.pipelining.errors import ActivationBroken, ConnectionLost, Overloaded
from raydo.pipelining.frame import Call, Program
from raydo.pipelining.noun import Noun

ACME = Noun(Shop.__name__, "acme")


def order(item: str) -> bytes:
    return Program((Call(-1, "order", [item], {}, False),), (0,)).encode()


async def test_programs_of_one_object_are_applied_in_the_order_of_their_start() -> None:
    receiver = Receiver()
    programs = Programs(receiver.deliver)

    replies = await asyncio.gather(*[programs.start(ACME, order(f"{n}")) for n in range(200)])

    assert [reply.results[0].value for reply in replies] == [f"order-{n + 1}" for n in range(200)]
    assert receiver.object(ACME).ordered == [str(n) for n in range(200)]


async def test_what_waits_while_envelopes_are_under_way_travels_together() -> None:
    receiver = Receiver()
    receiver.gate = asyncio.Event()
    programs = Programs(receiver.deliver)
    waiting = [programs.start(ACME, order(f"{n}")) for n in range(50)]
    await receiver.arrived.wait()
    receiver.gate.set()

    await asyncio.gather(*waiting)

    assert len(receiver.envelopes) < 10
    assert len({entry.session for entries in receiver.envelopes for entry in entries}) == 1


@pytest.mark.parametrize("fault", [ConnectionLost("cut"), ActivationBroken("broken")])
async def test_a_lost_answer_is_asked_for_again_and_applied_once(fault: Exception) -> None:
    receiver = Receiver()
    receiver.lose_answers.append(fault)
    programs = Programs(receiver.deliver)

    reply = await programs.start(ACME, order("pen"))

    assert reply.results[0].value == "order-1"
    assert receiver.object(ACME).ordered == ["pen"]
    assert len(receiver.envelopes) == 2


async def test_an_object_that_is_too_busy_is_told_to_the_caller_at_once() -> None:
    receiver = Receiver()
    receiver.faults.append(Overloaded("Too much waits."))
    programs = Programs(receiver.deliver)

    with pytest.raises(Overloaded):
        await programs.start(ACME, order("pen"))
    assert (await programs.start(ACME, order("ink"))).results[0].value == "order-1"


async def test_what_waits_for_one_object_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUEUE_BYTES_MAX", 100)
    receiver = Receiver()
    receiver.gate = asyncio.Event()
    programs = Programs(receiver.deliver)
    first = programs.start(ACME, order("x" * 60))

    with pytest.raises(Overloaded):
        programs.start(ACME, order("x" * 60))

    receiver.gate.set()
    await first
    await programs.start(ACME, order("x" * 60))


async def test_nobody_waiting_any_more_ends_the_retries() -> None:
    receiver = Receiver()
    receiver.faults.extend([ConnectionLost("cut")] * 5)
    programs = Programs(receiver.deliver)
    future = programs.start(ACME, order("pen"))
    await receiver.arrived.wait()
    future.cancel()

    await programs.start(ACME, order("ink"))

    assert receiver.object(ACME).ordered == ["ink"]


async def test_objects_that_nobody_called_for_long_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BATCHES_MAX", 3)
    receiver = Receiver()
    programs = Programs(receiver.deliver)

    for number in range(20):
        await programs.start(Noun(Shop.__name__, f"t{number}"), order("pen"))

    assert len(programs._lanes) <= 3
