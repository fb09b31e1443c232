"""The Python client over one WebSocket, to a gateway on a port of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
import pytest_asyncio
from starlette.types import Message, Receive, Scope, Send
from support.npm import serving
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed

import raydo
from raydo.actors.analytics import Analytics
from raydo.gateway import verdicts
from raydo.gateway.app import create_app
from raydo.gateway.backend import Backend
from raydo.pipelining import websocket as module
from raydo.pipelining.errors import (
    ConnectionLost,
    Forbidden,
    InvalidArgument,
    NotConnected,
    TimedOut,
    TooLarge,
    Unauthorized,
    UnknownMethod,
)
from raydo.pipelining.noun import Noun
from raydo.pipelining.websocket import FRAMES, WebSocketTransport

if TYPE_CHECKING:
    from conftest import Keyed


class Wire:
    """A gateway whose sockets can be cut, after a message came or before its answer leaves."""

    def __init__(self, backend: Backend) -> None:
        self.app = create_app(backend)
        self.sockets = 0
        self.received = 0
        self.requests = 0
        self.cut_answers = 0  # so many answers to come are lost, and their sockets with them

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.sockets += scope["type"] == "websocket"
        self.requests += scope["type"] == "http"

        async def heard() -> Message:
            message = await receive()
            self.received += message["type"] == "websocket.receive"
            return message

        async def said(message: Message) -> None:
            if message["type"] == "websocket.send" and self.cut_answers:
                self.cut_answers -= 1
                await send({"type": "websocket.close", "code": 1011})
                raise OSError("cut")
            await send(message)

        await self.app(scope, heard, said)


@pytest.fixture
def wire(backend: Backend) -> Wire:
    return Wire(backend)


@pytest_asyncio.fixture
async def url(wire: Wire) -> AsyncIterator[str]:
    async with serving(wire) as host:
        yield f"ws://{host}"


async def test_the_same_stubs_work_and_a_chain_is_one_message(url: str, wire: Wire) -> None:
    async with raydo.connect(url) as connection:
        acme = connection.stub(Analytics, "acme")
        acme.track("PageView", {"userId": "alice"})
        assert await acme.get_dau(7)[0]["dau"] == 1
        assert wire.received == 1
        assert len(await acme.get_dau(7).map(lambda day: day["date"])) == 7
        with pytest.raises(InvalidArgument):
            await acme.dau(-1)
        with pytest.raises(UnknownMethod):
            await connection.Analytics("acme").nope()
        globex = connection.stub(Analytics, "globex")
        assert await asyncio.gather(acme.active_users(), globex.active_users()) == [1, 0]
    assert wire.sockets == 1


async def test_whatever_a_cut_connection_swallows_is_applied_once(url: str, wire: Wire) -> None:
    async with raydo.connect(url) as connection:
        acme = connection.stub(Analytics, "acme")
        for round_ in range(5):
            wire.cut_answers = 1
            for _ in range(20):
                acme.track("A", {"round": round_})
            assert await acme.track("B")
        assert (await acme.stats())["events"] == {"A": 100, "B": 5}
        assert connection.stats().retries >= 5
    assert wire.sockets >= 6


async def test_synchronous_code_uses_it_from_several_threads(url: str) -> None:
    def work(name: str) -> int:
        acme = raydo.Analytics("acme")
        for _ in range(50):
            acme.track(name)
        count = raydo.wait(acme.counters.get(f"event:{name}"), timeout_s=20)
        assert isinstance(count, int)
        return count

    def run() -> list[int]:
        with raydo.connect(url), ThreadPoolExecutor() as threads:
            return list(threads.map(work, "abcd"))

    assert await asyncio.to_thread(run) == [50] * 4


async def test_no_answer_in_time_is_told_and_a_cancelled_call_leaves_the_socket_whole(
    url: str, wire: Wire
) -> None:
    async with raydo.connect(url, timeout_s=0.2) as connection:
        acme = connection.stub(Analytics, "acme")
        assert await acme.active_users() == 0
        wire.cut_answers = 1_000
        with pytest.raises(TimedOut):
            await acme.active_users()
        wire.cut_answers = 0
    async with raydo.connect(url) as connection:
        acme = connection.stub(Analytics, "acme")
        given_up = asyncio.create_task(_value(acme.active_users()))
        await asyncio.sleep(0)
        given_up.cancel()
        assert await acme.active_users() == 0


async def _value(promise: Any) -> Any:
    return await promise


async def test_a_gateway_that_is_not_there_is_a_lost_connection() -> None:
    transport = WebSocketTransport("ws://127.0.0.1:9")
    with pytest.raises(ConnectionLost):
        await transport.send(Noun("Analytics", "acme"), b"")
    await transport.close()
    with pytest.raises(NotConnected):
        await transport.send(Noun("Analytics", "acme"), b"")


async def test_an_answer_that_does_not_come_is_a_lost_connection(backend: Backend) -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": FRAMES})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    async with serving(silent) as host:
        transport = WebSocketTransport(f"ws://{host}", timeout_s=0.1)
        with pytest.raises(ConnectionLost, match=r"not within 0\.1 s"):
            await transport.send(Noun("Analytics", "acme"), b"")
        await transport.close()


async def test_what_is_no_answer_ends_the_socket() -> None:
    async def babbling(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": FRAMES})
        await receive()
        await send({"type": "websocket.send", "text": "hello"})
        await receive()

    async with serving(babbling) as host:
        transport = WebSocketTransport(f"ws://{host}")
        with pytest.raises(ConnectionLost, match="no answer"):
            await transport.send(Noun("Analytics", "acme"), b"")
        await transport.close()


async def test_a_message_that_no_gateway_takes_is_refused_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BODY_BYTES_MAX", 100)
    with pytest.raises(TooLarge):
        await WebSocketTransport("ws://127.0.0.1:9").send(Noun("Analytics", "acme"), b"x" * 100)
    with pytest.raises(InvalidArgument):
        WebSocketTransport("http://127.0.0.1:9")


@pytest.mark.parametrize("message", ["text", b"\xc1", msgpack.packb(["x"]), msgpack.packb([])])
async def test_what_is_no_frame_closes_the_socket_with_the_reason(
    url: str, message: str | bytes
) -> None:
    async with open_socket(f"{url}/rpc", subprotocols=[FRAMES]) as socket:  # type: ignore[list-item]
        await socket.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1002


async def test_a_numbered_message_that_is_no_frame_is_refused_under_its_number(url: str) -> None:
    async with open_socket(f"{url}/rpc", subprotocols=[FRAMES]) as socket:  # type: ignore[list-item]
        await socket.send(msgpack.packb([7, 2]))
        number, failed, error = msgpack.unpackb(await socket.recv())  # type: ignore[arg-type]
        assert (number, failed, error["code"]) == (7, 1, "invalid_argument")


@pytest.mark.parametrize("scheme", ["ws", "http"])
async def test_a_tenants_promise_in_anothers_call_is_one_message(
    url: str, wire: Wire, scheme: str
) -> None:
    async with raydo.connect(url.replace("ws", scheme, 1)) as connection:
        a, b = connection.stub(Analytics, "a"), connection.stub(Analytics, "b")
        await a.track("x", userId="u")
        await b.track("x", userId="u")
        before = (wire.received, wire.requests)

        assert len(await b.dau(a.dau(1)[0]["dau"])) == 1

        after = (wire.received, wire.requests)
        assert sum(after) - sum(before) == 1


async def test_a_socket_asks_for_the_key_again_and_again(
    keyed: Keyed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts, "KEY_REFUSAL_S", 0.0)
    async with serving(keyed.app) as host:
        url = f"ws://{host}"
        for wrong in (None, "nonsense"):
            async with raydo.connect(url, key=wrong) as connection:
                with pytest.raises(Unauthorized):
                    await connection.stub(Analytics, "acme").active_users()
        async with raydo.connect(url, key=await keyed.key("write")) as connection:
            acme = connection.stub(Analytics, "acme")
            assert await acme.track("A")
            with pytest.raises(Forbidden):
                await acme.active_users()

            admin = await keyed.key("admin")
            listed = (await keyed.ask("GET", "/admin/keys", admin)).json()["keys"]
            [writing] = [one["id"] for one in listed if one["kind"] == "write"]
            await keyed.ask("DELETE", f"/admin/keys/{writing}", admin)
            with pytest.raises(Unauthorized):
                await acme.track("A")
