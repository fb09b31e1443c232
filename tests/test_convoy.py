from __future__ import annotations

import asyncio
import tracemalloc
from typing import Any

import httpx
import msgpack
import pytest
from support.together import together

from raydo.pipelining.errors import ConnectionLost, InvalidArgument, ObjectFailed, TooLarge
from raydo.pipelining.frame import Call, Entry, Outcome, Program, Value, encode_envelope
from raydo.pipelining.limits import CONVOY_BYTES_MAX, CONVOY_FRAMES_MAX, CONVOY_MEMBERS_MAX
from raydo.pipelining.links import Link, linked, put_in, read_convoy
from raydo.pipelining.program import Fail


async def test_a_promise_of_another_object_costs_no_second_round_trip() -> None:
    async with together() as (wire, socket):
        here, there = wire.shop("here"), wire.shop("there")

        assert await here.echo(there.days(7)[2]["dau"]) == [2]

        assert socket.messages == [[there.noun, here.noun]]
        assert wire.receiver.calls == ["days", "echo"]


async def test_promises_of_several_objects_and_of_their_arguments_are_one_message() -> None:
    async with together() as (wire, socket):
        a, b, c, d = (wire.shop(name) for name in "abcd")

        both = d.echo(c.echo(b.echo(a.price("four"))[0], a.price("x")), b.price("to"))
        assert await both == [[4, 1], 2]

        assert len(socket.messages) == 1
        assert {noun.id for noun in socket.messages[0]} == set("abcd")


async def test_many_that_need_one_value_share_its_call() -> None:
    async with together() as (wire, socket):
        size = wire.shop("there").price("four")
        shops = [wire.shop(str(number)) for number in range(CONVOY_FRAMES_MAX * 2)]

        found = await asyncio.gather(*(shop.echo(size) for shop in shops))

        assert found == [[4]] * len(shops)
        assert wire.receiver.calls.count("price") == 1
        # Those that no longer fit into the message went with the value itself.
        assert max(map(len, socket.messages)) <= CONVOY_FRAMES_MAX
        assert len(wire.receiver.envelopes) == len(shops) + 1


async def test_earlier_casts_of_both_objects_come_first() -> None:
    async with together() as (wire, socket):
        here, there = wire.shop("here"), wire.shop("there")
        here.order("a")
        there.order("b")

        assert await here.echo(there.list_orders(), here.list_orders()) == [["b"], ["a"]]
        assert len(socket.messages) == 1


async def test_an_error_goes_to_what_depends_on_it_and_to_nothing_else() -> None:
    async with together() as (wire, socket):
        here, there = wire.shop("here"), wire.shop("there")

        failed, fine = await asyncio.gather(
            here.echo(there.broken()), here.price("pen"), return_exceptions=True
        )

        assert isinstance(failed, ObjectFailed)
        assert "shelf" in str(failed)
        assert fine == 3
        assert len(socket.messages) == 1


async def test_a_chain_that_comes_back_to_its_object_waits_for_the_value() -> None:
    async with together() as (wire, _):
        here, there = wire.shop("here"), wire.shop("there")

        assert await here.echo(there.echo(here.price("four"))) == [[4]]
        assert wire.receiver.calls == ["price", "echo", "echo"]


async def test_then_runs_here_so_its_object_is_asked_first() -> None:
    async with together() as (wire, socket):
        here, there = wire.shop("here"), wire.shop("there")

        assert await here.echo(there.days(2).then(len)) == [2]
        assert socket.messages == [[there.noun], [here.noun]]


@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_a_lost_message_is_sent_again_and_applied_once(lost: int) -> None:
    async with together() as (wire, socket):
        socket.lose = [ConnectionLost("cut") for _ in range(lost)]
        here, there = wire.shop("here"), wire.shop("there")

        assert await here.days(there.days(3)[2]["dau"]) == [
            {"date": "2026-01-01", "dau": 0},
            {"date": "2026-01-02", "dau": 1},
        ]
        assert wire.receiver.object(there.noun).days_runs == 1
        assert wire.receiver.object(here.noun).days_runs == 1
        assert not wire.errors


async def test_one_member_that_is_away_is_tried_again_by_itself() -> None:
    async with together() as (wire, socket):
        wire.receiver.faults.append(ConnectionLost("away"))  # the first to be delivered
        here, there = wire.shop("here"), wire.shop("there")

        assert await here.echo(there.price("four")) == [4]
        assert socket.messages[0] == [there.noun, here.noun]
        assert wire.receiver.calls == ["price", "echo"]


async def test_a_value_that_is_too_large_for_the_frame_fails_the_call_alone() -> None:
    program = Program((Value(None), Call(-1, "echo", [], {}, False)), (1,)).encode()

    with pytest.raises(TooLarge):
        Program.decode(put_in(program, {0: Outcome(False, "x" * 40_000_000)}))


async def test_a_queue_under_way_holds_nobody_else_up() -> None:
    async with together() as (wire, _):
        here, there = wire.shop("here"), wire.shop("there")
        wire.receiver.gate = asyncio.Event()
        slow = [asyncio.ensure_future(here.price(str(number))) for number in range(3)]
        await wire.receiver.arrived.wait()
        linked_call = asyncio.ensure_future(here.echo(there.price("four")))
        for _ in range(10):
            await asyncio.sleep(0)
        wire.receiver.gate.set()

        assert await linked_call == [4]
        assert await asyncio.gather(*slow) == [1, 1, 1]


# What comes from anyone


def _envelope(*ops: Any) -> bytes:
    return encode_envelope([Entry(b"s" * 16, 1, 0, Program(ops, (0,)).encode())])


@pytest.mark.parametrize(
    "link",
    [[1, 0, 0, 1, 0, 0], [0, 0, 0, 1, 0, 0], [2, 0, 0, 0, 0, 0], [1, 0, 0, -1, 0, 0], [1, 0], "x"],
)
def test_a_link_goes_from_an_earlier_member_to_a_later_one(link: Any) -> None:
    member = ["Shop", "acme", b""]
    with pytest.raises(InvalidArgument):
        read_convoy([member, member], [link])


def test_a_convoy_has_bounds_and_members_of_one_shape() -> None:
    with pytest.raises(TooLarge):
        read_convoy([["Shop", "acme", b""]] * (CONVOY_MEMBERS_MAX + 1), [])
    for wrong in (["Shop", "acme"], ["Shop", "acme", "text"], 7, [1, 2, b""]):
        with pytest.raises(InvalidArgument):
            read_convoy([wrong], [])


def test_a_link_reaches_only_what_was_left_empty() -> None:
    call = Call(-1, "track", ["x"], {}, False)
    program = Program((Value(None), Value(7), call), (2,)).encode()

    filled = Program.decode(put_in(program, {0: Outcome(True, {"code": "x", "message": "y"})}))
    assert filled.ops == (Fail({"code": "x", "message": "y"}), Value(7), call)
    for at in (1, 2, 9):
        with pytest.raises(InvalidArgument):
            put_in(program, {at: Outcome(False, 1)})


def test_a_value_whose_maker_did_not_answer_is_sent_again() -> None:
    with pytest.raises(ConnectionLost):
        linked(_envelope(Value(None)), [Link(1, 0, 0, 0, 0, 0)], {}, 9)


def test_one_value_in_many_places_is_refused_before_it_is_made_many() -> None:
    places = 1_000
    program = Program((Value(None),) * places, ()).encode()
    value = "x" * 1_000_000

    tracemalloc.start()
    with pytest.raises(TooLarge):
        put_in(program, {at: Outcome(False, value) for at in range(places)})
    packed, links = Outcome(False, None, b"x" * 1_000_000), [Link(1, 0, 0, 0, 0, 0)] * places
    with pytest.raises(ConnectionLost):
        linked(_envelope(Value(None)), links, {(0, 0, 0): packed}, CONVOY_BYTES_MAX)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2 * CONVOY_BYTES_MAX


async def test_answers_that_are_too_much_for_one_message_come_again_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("raydo.gateway.convoy.CONVOY_BYTES_MAX", 60)
    async with together() as (wire, socket):
        here, there = wire.shop("here"), wire.shop("there")

        assert len(await here.days(there.days(3)[2]["dau"])) == 2
        assert wire.receiver.object(there.noun).days_runs == 1
        assert wire.receiver.object(here.noun).days_runs == 1
        assert len(socket.messages) > 1
        assert not wire.errors


# Over HTTP


async def test_a_convoy_that_cannot_be_read_is_refused(gateway: httpx.AsyncClient) -> None:
    for body in ([[], {}], [[["Analytics", "acme"]], []], [[], [[1]]]):
        reply = await gateway.post(
            "/rpc", content=msgpack.packb(body), headers={"content-type": "application/msgpack"}
        )
        assert (reply.status_code, reply.json()["code"]) == (400, "invalid_argument")
