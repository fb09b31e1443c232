"""A gateway with keys: who gets in, to what, and that nothing tells which tenants there are."""

from __future__ import annotations

import base64
import json
from itertools import product
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from support.rpc import Socket

from raydo.actors.administration import SERVER, Administration
from raydo.actors.analytics import Analytics
from raydo.gateway import capnweb_socket, verdicts
from raydo.gateway.rpc import MSGPACK
from raydo.pipelining.codec import pack
from raydo.pipelining.connection import Connection
from raydo.pipelining.errors import Forbidden, Unauthorized
from raydo.pipelining.http import HttpTransport
from raydo.pipelining.transport import Transport

if TYPE_CHECKING:
    from conftest import Keyed

EVENT = {"event": "PageView", "userId": "alice"}
SELECT = {"sql": "SELECT 1 AS one"}

# What each kind of key may do: method, path, body, and the kinds that are let in.
DOORS: list[tuple[str, str, Any, str]] = [
    ("POST", "/track", EVENT, "write admin server"),
    ("POST", "/track/batch", [EVENT], "write admin server"),
    ("POST", "/track/batch?historical=1", [EVENT], "admin server"),
    ("GET", "/stats", None, "read admin server"),
    ("GET", "/dau", None, "read admin server"),
    ("POST", "/query", SELECT, "read admin server"),
    ("POST", "/admin/archive", {}, "admin server"),
    ("GET", "/admin/keys", None, "admin server"),
    ("POST", "/admin/keys", {"kind": "read"}, "admin server"),
    ("POST", "/admin/keys", {"kind": "server"}, "server"),
    ("GET", "/admin/keys?kind=server", None, "server"),
    ("GET", "/admin/tenants", None, "server"),
]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "KEY_REFUSAL_S", 0.0)


async def test_each_route_opens_for_the_kinds_of_keys_that_it_is_for(keyed: Keyed) -> None:
    keys = {kind: await keyed.key(kind) for kind in ("write", "read", "admin", "server")}
    for method, path, body, kinds in DOORS:
        for kind, key in keys.items():
            response = await keyed.ask(method, path, key, json=body)
            expected = 200 if kind in kinds.split() else 403
            assert response.status_code == expected, (path, kind, response.text)


async def test_without_a_good_key_every_route_says_the_same_whatever_tenant_is_named(
    keyed: Keyed,
) -> None:
    await keyed.ask("POST", "/track", await keyed.key("write"), json=EVENT)
    forged = (await keyed.key("admin"))[:-4] + "0000"
    elsewhere = (await keyed.key("admin", "nobody"))[:-4] + "0000"
    answers = set()
    for method, path, body, _ in DOORS:
        for key, tenant in product((None, "nonsense", forged, elsewhere), ("acme", "nobody")):
            response = await keyed.ask(method, path, key, json=body, headers={"x-tenant": tenant})
            answers.add((key is None, response.status_code, response.text))
    assert {status for _, status, _ in answers} == {401}
    assert len(answers) == 2  # one sentence for no key, one for a wrong one


async def test_a_key_for_another_tenant_tells_nothing_of_that_one(keyed: Keyed) -> None:
    await keyed.ask("POST", "/track", await keyed.key("write", "globex"), json=EVENT)
    key = await keyed.key("admin")
    answers = {
        (await keyed.ask("GET", f"/stats?tenant={tenant}", key)).text
        for tenant in ("globex", "nobody")
    }
    [answer] = answers
    assert json.loads(answer)["code"] == "forbidden"
    assert (await keyed.ask("GET", "/stats?tenant=acme", key)).status_code == 200


async def test_a_wrong_key_makes_no_tenant(keyed: Keyed) -> None:
    server = await keyed.key("server")
    before = (await keyed.ask("GET", "/admin/tenants", server)).json()
    forged = (await keyed.key("write", "acme"))[:-4] + "0000"
    for tenant in ("ghost", "acme"):
        named = base64.urlsafe_b64encode(tenant.encode()).decode().rstrip("=")
        key = forged.replace("YWNtZQ", named)
        assert (await keyed.ask("POST", "/track", key, json=EVENT)).status_code == 401
    after = (await keyed.ask("GET", "/admin/tenants", server)).json()
    added = {one["tenant"] for one in after["tenants"]} - {
        one["tenant"] for one in before["tenants"]
    }
    assert added == {"acme"}  # which got a key above


async def test_a_key_is_understood_wherever_clients_put_it(keyed: Keyed) -> None:
    key = await keyed.key("write")
    basic = base64.b64encode(f"{key}:".encode()).decode()
    for headers, body in (
        ({"authorization": f"Bearer {key}"}, EVENT),
        ({"authorization": f"Basic {basic}"}, EVENT),
        ({}, {**EVENT, "writeKey": key}),
    ):
        response = await keyed.ask("POST", "/track", headers=headers, json=body)
        assert response.status_code == 200, response.text
    batch = {"batch": [EVENT, EVENT], "writeKey": key}
    assert (await keyed.ask("POST", "/track/batch", json=batch)).json()["accepted"] == 2

    read = await keyed.key("read")
    assert (await keyed.ask("GET", "/stats", read)).json()["events"] == {"PageView": 5}
    for wrong in ("Bearer", "Basic ?", "Digest x"):
        response = await keyed.ask("GET", "/stats", headers={"authorization": wrong})
        assert response.status_code == 401


async def test_the_key_says_whose_events_they_are(keyed: Keyed) -> None:
    for tenant in ("acme", "globex"):
        await keyed.ask("POST", "/track", await keyed.key("write", tenant), json=EVENT)
    stats = await keyed.ask("GET", "/stats", await keyed.key("read", "globex"))
    assert stats.json()["events"] == {"PageView": 1}


async def test_keys_are_made_listed_and_revoked_over_http(keyed: Keyed) -> None:
    admin = await keyed.key("admin")
    body = {"kind": "write", "name": "the shop", "expires_in_s": 3600}
    made = (await keyed.ask("POST", "/admin/keys", admin, json=body)).json()
    assert (made["kind"], made["tenant"], made["name"]) == ("write", "acme", "the shop")
    assert (await keyed.ask("POST", "/track", made["key"], json=EVENT)).status_code == 200

    listed = (await keyed.ask("GET", "/admin/keys", admin)).json()["keys"]
    assert made["key"] not in json.dumps(listed)
    assert [one["id"] for one in listed if one["name"] == "the shop"] == [made["id"]]

    revoked = await keyed.ask("DELETE", f"/admin/keys/{made['id']}", admin)
    assert revoked.json()["revoked_ms"] is not None
    assert (
        await keyed.ask("POST", "/track", made["key"], json=EVENT)
    ).status_code == 401  # at once


async def test_a_tenants_administrator_cannot_touch_anybody_elses_keys(keyed: Keyed) -> None:
    admin = await keyed.key("admin")
    for path, body in (
        ("/admin/keys", {"kind": "read", "tenant": "globex"}),
        ("/admin/keys", {"kind": "server"}),
        ("/admin/archive", {"tenant": "globex"}),
    ):
        assert (await keyed.ask("POST", path, admin, json=body)).status_code == 403


async def test_with_keys_the_server_answers_under_any_host_name(keyed: Keyed) -> None:
    for path in ("/healthz", "/readyz", "/", "/docs"):
        response = await keyed.ask("GET", path, headers={"host": "raydo.example"})
        assert response.status_code == 200, path


class OverApp(HttpTransport):
    """Post to an application of this process."""

    def __init__(self, keyed: Keyed, key: str | None) -> None:
        super().__init__("http://raydo.example", key)
        transport = httpx.ASGITransport(keyed.app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, headers=self._client.headers)


def connection(keyed: Keyed, key: str | None) -> Connection:
    async def open_() -> Transport:
        return OverApp(keyed, key)

    return Connection(open_, default=False)


async def test_python_stubs_do_what_the_key_is_for(keyed: Keyed) -> None:
    async with connection(keyed, await keyed.key("write")) as client:
        acme = client.stub(Analytics, "acme")
        assert await acme.track("PageView", {"userId": "alice"})
        for forbidden in (
            acme.dau(7),
            acme.counters.get("event:PageView"),
            acme.keys.list(),
            client.stub(Analytics, "globex").track("PageView"),
            client.stub(Administration, SERVER).keys.list(),
        ):
            with pytest.raises(Forbidden):
                await forbidden
    async with connection(keyed, await keyed.key("read")) as client:
        acme = client.stub(Analytics, "acme")
        assert await acme.get_dau(7)[0]["dau"] == 1
        assert await acme.counters.get("event:PageView") == 1
        with pytest.raises(Forbidden):
            await acme.track("PageView")
    async with connection(keyed, await keyed.key("server")) as client:
        assert await client.stub(Analytics, "globex").dau(1)
        assert await client.stub(Administration, SERVER).keys.list()
    async with connection(keyed, None) as client:
        with pytest.raises(Unauthorized):
            await client.stub(Analytics, "acme").dau(1)


async def test_a_tenant_that_is_called_as_the_server_is_no_administrator(keyed: Keyed) -> None:
    async with connection(keyed, await keyed.key("admin", SERVER)) as client:
        with pytest.raises(Forbidden):
            await client.stub(Administration, SERVER).keys.list()
        assert await client.stub(Analytics, SERVER).keys.list()


async def test_a_frame_of_an_unknown_object_is_refused_by_its_kind(keyed: Keyed) -> None:
    response = await keyed.ask(
        "POST",
        "/rpc",
        await keyed.key("write"),
        content=pack(["Nobody", "acme", pack([[b"s" * 16, 1, 0, b"\x92\x90\x90"]])]),
        headers={"content-type": MSGPACK},
    )
    assert (response.status_code, response.json()["code"]) == (404, "unknown_object")


# Cap'n Web


def batch(*messages: Any) -> bytes:
    return "\n".join(map(json.dumps, messages)).encode()


def call(on: int, path: list[str], *args: Any) -> Any:
    return ["push", ["pipeline", on, path, list(args)]]


async def rpc(keyed: Keyed, *messages: Any, key: str | None = None, path: str = "/rpc") -> Any:
    response = await keyed.ask("POST", path, key, content=batch(*messages))
    assert response.status_code == 200, response.text
    return {message[1]: message for message in map(json.loads, response.text.split("\n"))}


def code(message: Any) -> Any:
    return message[2][4]["code"] if message[0] == "reject" else message[2]


async def test_a_session_authenticates_and_goes_on_in_the_same_request(keyed: Keyed) -> None:
    key = await keyed.key("read")
    heard = await rpc(
        keyed,
        call(0, ["authenticate"], key),
        call(1, ["getActiveUsers"]),
        ["pull", 2],
        call(1, ["track"], "A"),
        ["pull", 3],
        call(0, ["Analytics"], "acme"),
        call(4, ["getActiveUsers"]),
        ["pull", 5],
    )
    assert [code(heard[number]) for number in (2, 3, 5)] == [0, "forbidden", "unauthorized"]


async def test_a_wrong_key_opens_nothing(keyed: Keyed) -> None:
    heard = await rpc(
        keyed, call(0, ["authenticate"], "nonsense"), call(1, ["getActiveUsers"]), ["pull", 2]
    )
    assert code(heard[2]) == "unauthorized"


async def test_the_servers_key_opens_every_tenant(keyed: Keyed) -> None:
    heard = await rpc(
        keyed,
        call(0, ["authenticate"], await keyed.key("server")),
        call(1, ["Analytics"], "acme"),
        call(2, ["getActiveUsers"]),
        ["pull", 3],
    )
    assert code(heard[3]) == 0


async def test_a_key_in_the_headers_opens_its_tenant_under_each_name(keyed: Keyed) -> None:
    key = await keyed.key("write")
    heard = await rpc(
        keyed,
        call(0, ["Analytics"], "acme"),
        call(1, ["track"], "A", {"userId": "x"}),
        ["pull", 2],
        call(1, ["getActiveUsers"]),
        ["pull", 3],
        call(1, ["counters", "get"], "event:A"),
        ["pull", 4],
        call(0, ["Analytics"], "globex"),
        ["pull", 5],
        key=key,
    )
    assert heard[2][0] == "resolve"
    assert [code(heard[number]) for number in (3, 4, 5)] == ["forbidden"] * 3

    heard = await rpc(keyed, call(0, ["track"], "A"), ["pull", 1], key=key, path="/rpc?tenant=acme")
    assert heard[1][0] == "resolve"
    response = await keyed.ask("POST", "/rpc?tenant=globex", key, content=b"")
    assert response.status_code == 403


async def test_a_map_does_not_get_around_the_key(keyed: Keyed) -> None:
    key = await keyed.key("write")
    heard = await rpc(
        keyed,
        call(0, ["Analytics"], "acme"),
        call(1, ["track"], "A"),
        ["push", ["remap", 2, [], [["import", 1]], [["pipeline", -1, ["getDAU"], [7]]]]],
        ["pull", 3],
        key=key,
    )
    assert code(heard[3]) == "forbidden"


async def test_an_open_socket_ends_with_its_key(
    keyed: Keyed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capnweb_socket, "KEY_VERDICT_S", 0.01)
    made = await keyed.keyring.create("read", "acme")
    socket = await Socket(keyed.app).accepted()
    socket.say(call(0, ["authenticate"], made["key"]), call(1, ["getActiveUsers"]), ["pull", 2])
    assert await socket.hear() == ["resolve", 2, 0]

    admin = await keyed.key("admin")
    await keyed.ask("DELETE", f"/admin/keys/{made['id']}", admin)

    assert (await socket.hear())[0] == "abort"
    assert (await socket.hear())["type"] == "websocket.close"
    await socket.task
