"""POST /rpc in text: batches, against real objects on disk."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio
from support.rpc import RpcApp
from support.target import Targets

from raydo.actors.analytics import Analytics
from raydo.gateway import programs
from raydo.gateway.backend import Backend
from raydo.pipelining import connection as connections
from raydo.pipelining.codec import pack
from raydo.pipelining.errors import ConnectionLost, Overloaded
from raydo.pipelining.limits import CAPNWEB_LINES_MAX
from raydo.pipelining.method import methods_of
from raydo.pipelining.noun import Noun

Post = Callable[..., Any]


@pytest.fixture
def app(backend: Backend) -> RpcApp:
    return RpcApp(backend, {"/targets": Targets})


@pytest_asyncio.fixture
async def client(app: RpcApp) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


def batch(*messages: Any) -> bytes:
    return "\n".join(
        message if isinstance(message, str) else json.dumps(message) for message in messages
    ).encode()


async def ask(client: httpx.AsyncClient, *messages: Any, path: str = "/rpc") -> list[Any]:
    response = await client.post(path, content=batch(*messages))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    return [json.loads(line) for line in response.text.split("\n")] if response.text else []


def opened(tenant: str) -> Any:
    return ["push", ["pipeline", 0, ["Analytics"], [tenant]]]


def call(on: int, path: list[Any], *args: Any) -> Any:
    return ["push", ["pipeline", on, path, list(args)]]


async def envelopes(backend: Backend, tenant: str) -> int:
    served = backend._served
    assert served is not None
    counts = await served.runtime.counts(Noun("Analytics", tenant))
    return counts["envelopes"]


async def test_a_chain_is_one_request_and_one_envelope(
    client: httpx.AsyncClient, app: RpcApp, backend: Backend
) -> None:
    heard = await ask(client, opened("acme"), call(1, ["getDAU"], 7), ["pull", 2])
    assert [len(message[2][0]) for message in heard] == [7]
    assert (app.requests, await envelopes(backend, "acme")) == (1, 1)

    heard = await ask(
        client,
        opened("acme"),
        call(1, ["getDAU"], 7),
        ["push", ["remap", 2, [], [["import", 1]], [
            ["pipeline", -1, ["counters", "get"], [["pipeline", 0, ["date"]]]],
            {"day": ["pipeline", 0, ["date"]], "n": ["pipeline", 1]}]]],
        ["push", ["pipeline", 3, ["0"]]],
        call(1, ["getDAU"], 1, None, ["pipeline", 4, ["day"]]),
        ["push", ["pipeline", 5, [0, "dau"]]],
        ["pull", 6],
    )  # fmt: skip
    assert heard == [["resolve", 6, 0]]
    assert (app.requests, await envelopes(backend, "acme")) == (2, 2)


async def test_a_thousand_tracks_that_nobody_awaits_are_rows_once_the_reply_is_there(
    client: httpx.AsyncClient, app: RpcApp, backend: Backend
) -> None:
    tracks = [call(1, ["track"], "PageView", {"userId": f"u{n}"}) for n in range(1000)]

    assert await ask(client, opened("acme"), *tracks) == []

    rows = await backend.analytics("acme").query("SELECT count(*) AS n FROM events")
    assert rows["rows"] == [{"n": 1000}]
    assert app.requests == 1
    assert await envelopes(backend, "acme") == 2  # theirs, and the query's


async def test_a_named_tenant_is_the_main_object(client: httpx.AsyncClient) -> None:
    for path, headers in (("/rpc?tenant=acme", {}), ("/rpc", {"x-tenant": "acme"})):
        response = await client.post(
            path, content=batch(call(0, ["getActiveUsers"]), ["pull", 1]), headers=headers
        )
        assert response.text == '["resolve",1,0]'


async def test_a_tenant_cannot_be_named_badly_or_twice(client: httpx.AsyncClient) -> None:
    for path in ("/rpc?tenant=", "/rpc?tenant=a&tenant=b"):
        response = await client.post(path, content=b"")
        assert (response.status_code, response.json()["success"]) == (400, False)


async def test_without_keys_there_is_nothing_to_authenticate(client: httpx.AsyncClient) -> None:
    for arguments in ((), ("secret",)):
        [message] = await ask(client, call(0, ["authenticate"], *arguments), ["pull", 1])
        assert message[0] == "reject"
        assert message[2][4]["code"] == "forbidden"
        assert "Analytics(tenant)" in message[2][2]


async def test_names_of_both_languages_work(client: httpx.AsyncClient) -> None:
    for name in ("getDAU", "get_dau", "dau"):
        [message] = await ask(client, opened("acme"), call(1, [name], 1), ["pull", 2])
        assert message[0] == "resolve"


async def test_the_root_opens_declared_classes_only(client: httpx.AsyncClient) -> None:
    for name in ("Nobody", "Connection", "registered", "__class__", "find"):
        [message] = await ask(client, call(0, [name], "acme"), ["pull", 1])
        assert message[0] == "reject"
        assert message[2][:2] == ["error", "TypeError"]


async def test_an_empty_batch_is_answered_with_nothing(client: httpx.AsyncClient) -> None:
    for body in (b"", b"\n", b"\r\n \n"):
        response = await client.post("/rpc", content=body)
        assert (response.status_code, response.text) == (200, "")


async def test_line_ends_of_every_kind_are_taken(client: httpx.AsyncClient) -> None:
    body = batch(opened("acme"), call(1, ["getActiveUsers"]), ["pull", 2])

    for end in (b"\r\n", b"\n", b"\n\n\n"):
        response = await client.post("/rpc", content=body.replace(b"\n", end) + end)
        assert response.text == '["resolve",2,0]'


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (batch("nonsense"), 400),
        (batch(["nope"]), 400),
        (batch(["pull", 9]), 400),
        (b"\xff", 400),
        (b"[1]\n" * (CAPNWEB_LINES_MAX + 2), 413),
    ],
)
async def test_a_malformed_batch_is_refused_and_has_no_effect(
    client: httpx.AsyncClient, backend: Backend, body: bytes, status: int
) -> None:
    spoiled = batch(opened("acme"), call(1, ["track"], "PageView")) + b"\n" + body

    response = await client.post("/rpc", content=spoiled)

    assert response.status_code == status
    assert response.json()["success"] is False
    assert await backend.analytics("acme").stats() == await backend.analytics("new").stats()


async def test_one_call_that_fails_does_not_fail_the_batch(client: httpx.AsyncClient) -> None:
    heard = await ask(
        client,
        opened("acme"),
        call(1, ["query"], "DROP TABLE events"),
        call(1, ["track"], ""),
        call(1, ["getActiveUsers"]),
        *[["pull", number] for number in (2, 3, 4)],
    )

    outcomes = {message[1]: message for message in heard}
    assert outcomes[4] == ["resolve", 4, 0]
    assert outcomes[2][2][4]["code"] in {"query_forbidden", "query_error"}
    assert outcomes[3][2][:2] == ["error", "TypeError"]


async def test_promises_cross_from_one_tenant_to_another_in_one_request(
    client: httpx.AsyncClient, app: RpcApp
) -> None:
    await ask(client, opened("acme"), call(1, ["track"], "A", {"userId": "x"}))
    heard = await ask(
        client,
        opened("acme"),
        opened("globex"),
        call(1, ["getActiveUsers"]),
        call(2, ["track"], "Report", {"users": ["pipeline", 3]}),
        call(2, ["query"], "SELECT properties FROM events WHERE id = ?", [[["pipeline", 4]]]),
        ["pull", 5],
    )

    assert json.loads(heard[0][2]["rows"][0][0]["properties"]) == {"users": 1}
    assert app.requests == 2


async def test_callbacks_fail_at_once(client: httpx.AsyncClient) -> None:
    [*_, message] = await ask(
        client, call(0, ["twiceLater"], ["export", -1], 2), ["pull", 1], path="/targets"
    )

    assert message[:2] == ["reject", 1]
    assert "WebSocket" in message[2][2]


async def test_what_the_gateway_has_to_wait_for_is_waited_for(client: httpx.AsyncClient) -> None:
    heard = await ask(
        client, call(0, ["echoLater"], ["import", 0]), call(1, ["square"], 4), ["pull", 2],
        path="/targets",
    )  # fmt: skip

    assert heard == [["resolve", 2, 16]]


async def test_msgpack_goes_on_as_it_is(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/rpc",
        content=pack(["Analytics", "acme", pack([])]),
        headers={"content-type": "application/msgpack"},
    )

    assert (response.status_code, response.content) == (200, pack([]))


class Failing:
    """Fail deliveries in the way that is wanted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.errors: list[Exception] = []
        deliver = connections.Connection.deliver

        async def failing(connection: Any, noun: Noun, envelope: bytes) -> bytes:
            if self.errors:
                raise self.errors.pop()
            return await deliver(connection, noun, envelope)

        monkeypatch.setattr(connections.Connection, "deliver", failing)


async def test_calls_that_nobody_awaits_are_never_lost_in_silence(
    client: httpx.AsyncClient, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(monkeypatch)
    failing.errors.append(Overloaded("Too much waits.", retry_after_s=3.0))

    response = await client.post("/rpc", content=batch(opened("acme"), call(1, ["track"], "A")))

    assert (response.status_code, response.json()["code"]) == (503, "overloaded")
    assert response.headers["retry-after"] == "3"
    assert (await backend.analytics("acme").stats())["events"] == {}


async def test_a_program_whose_answer_was_lost_is_applied_once(
    client: httpx.AsyncClient, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(monkeypatch)
    failing.errors.append(ConnectionLost("The host is gone."))

    heard = await ask(client, opened("acme"), call(1, ["track"], "A"), ["pull", 2])

    assert heard[0][0] == "resolve"
    assert (await backend.analytics("acme").stats())["events"] == {"A": 1}


async def test_an_object_that_is_too_busy_is_said_for_each_that_is(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "QUEUE_BYTES_MAX", 10)

    heard = await ask(
        client, opened("acme"), opened("globex"),
        call(1, ["getActiveUsers"]), call(2, ["track"], "A", {"n": ["pipeline", 3]}), ["pull", 4],
    )  # fmt: skip

    assert heard[0][2][4]["code"] == "overloaded"


async def test_a_server_that_stops_says_so(client: httpx.AsyncClient, backend: Backend) -> None:
    await backend.close()

    heard = await ask(client, opened("acme"), call(1, ["getActiveUsers"]), ["pull", 2])

    assert heard[0][2][4] == {"code": "unavailable", "retryable": True}


async def test_a_large_batch_is_read_beside_the_loop(client: httpx.AsyncClient) -> None:
    tracks = [call(1, ["track"], "PageView", {"text": "x" * 1000}) for _ in range(400)]

    heard = await ask(client, opened("acme"), *tracks, call(1, ["stats"]), ["pull", 402])

    assert heard[0][2]["events"] == {"PageView": 400}
    assert "getDAU" in methods_of(Analytics)
