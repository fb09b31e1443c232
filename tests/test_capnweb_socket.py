"""WebSocket /rpc: sessions as long as their sockets, against real objects on disk."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.rpc import RpcApp, Socket
from support.target import Targets

from raydo.gateway import capnweb_socket, programs
from raydo.gateway.backend import Backend
from raydo.pipelining.noun import Noun


@pytest.fixture
def targets() -> Targets:
    return Targets()


@pytest.fixture
def app(backend: Backend, targets: Targets) -> RpcApp:
    return RpcApp(backend, {"/targets": lambda: targets})


def call(on: int, path: list[Any], *args: Any) -> Any:
    return ["push", ["pipeline", on, path, list(args)]]


async def envelopes(backend: Backend) -> int:
    served = backend._served
    assert served is not None
    return (await served.runtime.counts(Noun("Analytics", "acme")))["envelopes"]


@pytest.mark.loops
async def test_a_chain_costs_one_envelope(app: RpcApp, backend: Backend) -> None:
    socket = await Socket(app).accepted()
    socket.say(call(0, ["Analytics"], "acme"), call(1, ["getDAU"], 7))
    await asyncio.sleep(0)
    socket.say(["push", ["pipeline", 2, ["0", "dau"]]], ["pull", 3])

    assert await socket.hear() == ["resolve", 3, 0]
    assert await envelopes(backend) == 1
    await socket.hang_up()


async def test_calls_that_nobody_awaits_linger_for_company(
    app: RpcApp, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raydo.gateway.capnweb_socket.CAST_LINGER_S", 60)
    socket = await Socket(app).accepted()
    socket.say(call(0, ["Analytics"], "acme"))
    for number in range(20):
        socket.say(call(1, ["track"], "A", {"n": number}))
        await asyncio.sleep(0)
    socket.say(call(1, ["stats"]), ["pull", 22])

    assert (await socket.hear())[2]["events"] == {"A": 20}
    assert await envelopes(backend) == 1
    await socket.hang_up()


async def test_without_company_they_leave_all_the_same(app: RpcApp, backend: Backend) -> None:
    socket = await Socket(app).accepted()
    socket.say(call(0, ["Analytics"], "acme"), call(1, ["track"], "A"))

    async with asyncio.timeout(10):
        while not await envelopes(backend):  # noqa: ASYNC110  # nothing tells when it arrives
            await asyncio.sleep(0.001)
    await socket.hang_up()


async def test_what_was_asked_for_is_done_although_the_client_has_hung_up(
    app: RpcApp, backend: Backend
) -> None:
    socket = await Socket(app).accepted()
    socket.say(call(0, ["Analytics"], "acme"), call(1, ["track"], "A"))
    await socket.hang_up()

    assert (await backend.analytics("acme").stats())["events"] == {"A": 1}


async def test_the_server_calls_the_client_and_waits_for_it(app: RpcApp) -> None:
    socket = await Socket(app, "/targets").accepted()
    socket.say(call(0, ["twiceLater"], ["export", -1], 3), ["pull", 1])

    assert [await socket.hear() for _ in range(2)] == [
        ["push", ["pipeline", -1, [], [3]]],
        ["pull", 1],
    ]
    socket.say(["resolve", 1, 9])
    assert [await socket.hear() for _ in range(3)] == [
        ["release", 1, 1],
        ["push", ["pipeline", -1, [], [9]]],
        ["pull", 2],
    ]
    socket.say(["resolve", 2, 81])
    assert [await socket.hear() for _ in range(3)] == [
        ["release", 2, 1],
        ["release", -1, 1],
        ["resolve", 1, 81],
    ]
    await socket.hang_up()


async def test_a_method_that_waits_for_a_client_that_has_gone_is_given_up(
    app: RpcApp, targets: Targets
) -> None:
    socket = await Socket(app, "/targets").accepted()
    socket.say(call(0, ["keep"], ["export", -1]), call(0, ["twiceLater"], ["export", -2], 3))
    assert (await socket.hear())[0] == "push"

    await socket.hang_up()

    assert len(targets.broken) == 1


async def test_what_is_not_of_the_protocol_ends_the_socket_with_the_reason(app: RpcApp) -> None:
    socket = await Socket(app).accepted()
    socket.say(["pull", 42])

    message = await socket.hear()
    closing = await socket.hear()

    assert message[0] == "abort"
    assert message[1][:3] == ["error", "TypeError", "no such export ID: 42"]
    assert closing == {"type": "websocket.close", "code": 3000, "reason": "no such export ID: 42"}
    await asyncio.wait_for(socket.task, 10)


async def test_a_long_reason_is_cut_between_characters(app: RpcApp) -> None:
    socket = await Socket(app).accepted()
    socket.say(["ü" * 300])

    await socket.hear()
    closing = await socket.hear()

    assert 100 < len(closing["reason"].encode()) <= 123


async def test_binary_messages_are_no_capn_web(app: RpcApp) -> None:
    socket = await Socket(app).accepted()
    socket.said.put_nowait({"type": "websocket.receive", "bytes": b"\x90"})

    assert "text" in (await socket.hear())[1][2]
    assert (await socket.hear())["code"] == 3000


async def test_a_tenant_named_badly_is_told_over_the_socket(app: RpcApp) -> None:
    socket = await Socket(app, query="tenant=").accepted()

    assert (await socket.hear())[1][4]["code"] == "invalid_tenant"
    assert (await socket.hear())["code"] == 3000
    await asyncio.wait_for(socket.task, 10)


async def test_a_named_tenant_is_the_main_object(app: RpcApp) -> None:
    socket = await Socket(app, query="tenant=acme").accepted()
    socket.say(call(0, ["getActiveUsers"]), ["pull", 1])

    assert await socket.hear() == ["resolve", 1, 0]
    await socket.hang_up()


async def test_a_client_that_does_not_read_is_not_read_from(
    app: RpcApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capnweb_socket, "CAPNWEB_UNSENT_PAUSE", 10_000)
    socket = await Socket(app, "/targets").accepted()
    socket.reading.clear()
    for number in range(1, 101):
        socket.say(call(0, ["echo"], "x" * 1_000), ["pull", number])
    for _ in range(50):
        await asyncio.sleep(0)
    waiting = socket.said.qsize()
    assert 150 < waiting < 200

    socket.reading.set()

    heard = [await socket.hear() for _ in range(100)]
    assert [message[1] for message in heard] == list(range(1, 101))
    await socket.hang_up()


async def test_a_client_that_asks_faster_than_it_is_served_waits(
    app: RpcApp, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capnweb_socket, "CAPNWEB_PENDING_PAUSE", 10)
    socket = await Socket(app).accepted()
    socket.say(call(0, ["Analytics"], "acme"))
    for _ in range(100):
        socket.say(call(1, ["track"], "A"))
    socket.say(call(1, ["stats"]), ["pull", 102])

    assert (await socket.hear())[2]["events"] == {"A": 100}
    assert 5 < await envelopes(backend) <= 11
    await socket.hang_up()


async def test_order_is_kept_over_many_programs(app: RpcApp, backend: Backend) -> None:
    socket = await Socket(app).accepted()
    socket.say(call(0, ["Analytics"], "acme"))
    for number in range(200):
        socket.say(call(1, ["track"], "A", {"n": number}))
        if number % 7 == 0:
            socket.say(["pull", number + 2])
            await asyncio.sleep(0)
    socket.say(call(1, ["query"], "SELECT properties FROM events ORDER BY seq"), ["pull", 202])
    while (message := await socket.hear())[1] != 202:
        pass

    numbers = [row["properties"] for row in message[2]["rows"][0]]
    assert numbers == [f'{{"n":{number}}}' for number in range(200)]
    await socket.hang_up()


async def test_a_socket_that_breaks_while_it_is_written_to_loses_no_call(
    app: RpcApp, backend: Backend
) -> None:
    socket = await Socket(app).accepted()
    socket.broken = OSError("the peer is gone")
    socket.say(call(0, ["Analytics"], "acme"), call(1, ["track"], "A"), ["pull", 2])

    await asyncio.wait_for(socket.task, 10)

    assert (await backend.analytics("acme").stats())["events"] == {"A": 1}


async def test_a_fault_of_ours_ends_one_socket_and_is_logged(
    app: RpcApp, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    socket = await Socket(app).accepted()
    socket.say(call(0, ["Analytics"], "acme"), call(1, ["track"], "A"))
    socket.said.put_nowait({})

    await asyncio.wait_for(socket.task, 10)

    assert "A Cap'n Web socket failed" in caplog.text
    assert (await backend.analytics("acme").stats())["events"] == {"A": 1}


async def test_a_tenant_that_is_too_busy_rejects_the_call(
    app: RpcApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "QUEUE_BYTES_MAX", 10)
    socket = await Socket(app).accepted()
    socket.say(call(0, ["Analytics"], "acme"), call(1, ["getDAU"], 7), ["pull", 2])

    assert (await socket.hear())[2][4]["code"] == "overloaded"
    await socket.hang_up()
