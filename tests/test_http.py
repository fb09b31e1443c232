from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgpack
import pytest
from support.receiver import Receiver
from support.shop import Shop

import raydo
from raydo.actors.analytics import Analytics
from raydo.pipelining.connection import Connection
from raydo.pipelining.errors import (
    ConnectionLost,
    Forbidden,
    InvalidArgument,
    NotConnected,
    Overloaded,
    RaydoError,
    RemoteError,
    TimedOut,
    encode_error,
)
from raydo.pipelining.http import HttpTransport
from raydo.pipelining.later import wait
from raydo.pipelining.noun import Noun

SHOP = Noun("Shop", "acme/日本")


class Gateway:
    """A server that speaks as POST /rpc does; `refusals` are answered instead, one each."""

    def __init__(self) -> None:
        self.receiver = Receiver()
        self.requests: list[tuple[str, dict[str, str], Noun]] = []
        self.refusals: list[tuple[int, bytes, dict[str, str]]] = []
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self.answer(*gateway.answer(self.path, dict(self.headers), body))

            def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(
        self, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        cls, tenant, envelope = msgpack.unpackb(body)
        self.requests.append((path, headers, Noun(cls, tenant)))
        if self.refusals:
            return self.refusals.pop(0)
        answer = asyncio.run(self.receiver.deliver(Noun(cls, tenant), envelope))
        return 200, answer, {"content-type": "application/msgpack"}

    def refuse(self, status: int, error: RaydoError) -> None:
        body = json.dumps({"success": False, **encode_error(error)}).encode()
        self.refusals.append((status, body, {"content-type": "application/json"}))


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    gateway = Gateway()
    thread = threading.Thread(target=gateway.server.serve_forever, args=(0.01,))
    thread.start()
    yield gateway
    gateway.server.shutdown()
    thread.join()
    gateway.server.server_close()


def connection(url: str, key: str | None = None) -> Connection:
    async def transport() -> HttpTransport:
        return HttpTransport(url, key)

    return Connection(transport)


async def test_a_chain_is_one_request(gateway: Gateway) -> None:
    async with connection(gateway.url + "/", key="rk_secret") as connected:
        shop = connected.stub(Shop, SHOP.id)
        shop.order("pen")
        found = await asyncio.gather(shop.days(7)[0]["dau"], shop.list_orders()[0])

    assert found == [0, "pen"]
    [(path, headers, noun)] = gateway.requests
    assert (path, noun) == ("/rpc", SHOP)
    assert headers["content-type"] == "application/msgpack"
    assert headers["authorization"] == "Bearer rk_secret"


def test_synchronous_code_speaks_to_a_gateway_too(gateway: Gateway) -> None:
    with connection(gateway.url):
        assert wait(Shop("acme").days(7)[3]["dau"]) == 3


async def test_the_gateways_error_is_raised_as_what_it_is(gateway: Gateway) -> None:
    gateway.refuse(403, Forbidden("not with this key"))
    async with connection(gateway.url) as connected:
        with pytest.raises(Forbidden, match="not with this key"):
            await connected.stub(Shop, "acme").runs()


async def test_a_busy_gateway_is_asked_again(gateway: Gateway) -> None:
    gateway.refuse(503, Overloaded("busy"))
    gateway.refusals.append((502, b"<html>proxy", {}))
    async with connection(gateway.url) as connected:
        assert await connected.stub(Shop, "acme").price("pen") == 3
    assert len(gateway.requests) == 3


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind", "retry_after_s"),
    [
        (500, b"oops", {}, RemoteError, None),
        (404, b"[1]", {}, RemoteError, None),
        (404, b'{"code": 7}', {}, RemoteError, None),
        (200 + 99, b"", {}, RemoteError, None),
        (503, b"{}", {"retry-after": "3"}, ConnectionLost, 3.0),
        (429, b"", {"retry-after": "soon"}, ConnectionLost, None),
        (503, b'{"code":"overloaded","message":"busy"}', {"retry-after": "2"}, Overloaded, 2.0),
        (400, b'{"code":"from_the_future","message":"?"}', {}, RemoteError, None),
    ],
)
async def test_whatever_answers_the_error_is_one_of_ours(
    gateway: Gateway,
    status: int,
    body: bytes,
    headers: dict[str, str],
    kind: type[RaydoError],
    retry_after_s: float | None,
) -> None:
    gateway.refusals.append((status, body, headers))
    transport = HttpTransport(gateway.url)

    with pytest.raises(kind) as caught:
        await transport.send(SHOP, b"")

    assert caught.value.retry_after_s == retry_after_s
    await transport.close()


async def test_nobody_there_is_a_lost_connection_with_the_address() -> None:
    transport = HttpTransport("http://127.0.0.1:9")

    with pytest.raises(ConnectionLost, match=r"No answer from http://127\.0\.0\.1:9/rpc"):
        await transport.send(SHOP, b"")
    await transport.close()


async def test_a_closed_transport_says_so(gateway: Gateway) -> None:
    transport = HttpTransport(gateway.url)
    await transport.close()

    with pytest.raises(NotConnected):
        await transport.send(SHOP, b"")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", ""])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument, match="http://"):
        HttpTransport(url)


async def test_an_address_where_nobody_listens_is_named_when_time_is_up() -> None:
    async with raydo.connect("http://127.0.0.1:9", timeout_s=0.3) as connection:
        with pytest.raises(TimedOut, match="No answer from http://127"):
            await connection.stub(Analytics, "acme").stats()
