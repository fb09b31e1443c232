"""Service keys, browser keys and tokens: each opens exactly its thing, whichever way it comes."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from test_access import EVENT, SELECT, batch, call, code, connection

from raydo.actors.administration import SERVER, Administration
from raydo.actors.analytics import Analytics
from raydo.actors.keys import matches
from raydo.gateway import verdicts
from raydo.gateway.caller import Caller
from raydo.gateway.tokens import Tokens
from raydo.gateway.verdicts import Verdicts
from raydo.pipelining.errors import Forbidden, InvalidArgument, Overloaded, Unauthorized
from raydo.pipelining.limits import KEY_STALE_S, KEY_VERDICT_S, TOKEN_S_MAX

if TYPE_CHECKING:
    from conftest import Keyed

ORIGIN = "https://shop.example"
TENANT = "acme-1"

# method, path, body, and what must be among a service key's scopes
DOORS: list[tuple[str, str, Any, str]] = [
    ("POST", "/track", EVENT, "ingest"),
    ("POST", "/track/batch", [EVENT], "ingest"),
    ("GET", "/stats", None, "read"),
    ("POST", "/query", SELECT, "read"),
    ("POST", "/admin/tokens", {}, "read"),
    ("POST", "/track/batch?historical=1", [EVENT], "admin"),
    ("POST", "/admin/archive", {}, "admin"),
    ("GET", "/admin/keys", None, "admin"),
    ("POST", "/admin/keys", {"kind": "read"}, "admin"),
    ("GET", "/admin/audit", None, "admin"),
    ("PATCH", "/settings", {"week_start": "sunday"}, "admin"),
    ("GET", "/admin/keys?kind=server", None, "server"),
    ("POST", "/admin/keys", {"kind": "service", "tenants": "*", "scopes": ["read"]}, "server"),
    ("GET", "/admin/audit?kind=server", None, "server"),
    ("GET", "/admin/tenants", None, "server"),
    ("DELETE", "/admin/tokens", None, "server"),
]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "KEY_REFUSAL_S", 0.0)
    monkeypatch.setattr("raydo.gateway.tokens.KEY_REFUSAL_S", 0.0)


async def service(keyed: Keyed, *scopes: str) -> str:
    bounds = {"tenants": "acme-*", "scopes": list(scopes)}
    made = await keyed.keyring.create("service", None, bounds=bounds)
    return str(made["key"])


async def browser(keyed: Keyed) -> str:
    made = await keyed.keyring.create("browser", TENANT, bounds={"origins": [f"{ORIGIN}:443/"]})
    return str(made["key"])


async def token(keyed: Keyed, **asked: Any) -> str:
    admin = await keyed.key("admin", TENANT)
    made = await keyed.ask("POST", "/admin/tokens", admin, json=asked)
    assert made.status_code == 200, made.text
    return str(made.json()["token"])


async def opened(keyed: Keyed, key: str, headers: dict[str, str]) -> set[str]:
    """Say which doors a key opens; at every other one it is told that it may not."""
    opened = set()
    for method, path, body, _ in DOORS:
        response = await keyed.ask(method, path, key, json=body, headers=headers)
        assert response.status_code in {200, 403}, (method, path, response.text)
        if response.status_code == 200:
            opened.add(f"{method} {path} {json.dumps(body)}")
    return opened


def doors(*scopes: str) -> set[str]:
    return {
        f"{method} {path} {json.dumps(body)}"
        for method, path, body, scope in DOORS
        if scope in scopes
    }


@pytest.mark.parametrize("scopes", [("ingest",), ("read",), ("erase",), ("ingest", "read")])
async def test_a_service_key_does_what_its_scopes_say(keyed: Keyed, scopes: tuple[str]) -> None:
    key = await service(keyed, *scopes)
    assert await opened(keyed, key, {"x-tenant": TENANT}) == doors(*scopes)
    for headers in ({}, {"x-tenant": "globex"}, {"x-tenant": "xacme-1"}):
        assert await opened(keyed, key, headers) == set()


async def test_a_service_key_in_frames_and_sessions_is_no_more_than_that(keyed: Keyed) -> None:
    async with connection(keyed, await service(keyed, "ingest")) as client:
        acme = client.stub(Analytics, TENANT)
        assert await acme.track("PageView", {"userId": "alice"})
        for forbidden in (
            acme.dau(7),
            acme.keys.list(),
            client.stub(Analytics, "globex").track("PageView"),
            client.stub(Administration, SERVER).keys.list(),
            client.stub(Administration, SERVER).token_secret(),
        ):
            with pytest.raises(Forbidden):
                await forbidden
    response = await keyed.ask(
        "POST",
        "/rpc",
        content=batch(
            call(0, ["authenticate"], await service(keyed, "read")),
            call(1, ["Analytics"], TENANT),
            call(2, ["getActiveUsers"]),
            ["pull", 3],
            call(2, ["track"], "A"),
            ["pull", 4],
            call(1, ["Analytics"], "globex"),
            ["pull", 5],
            call(1, ["Administration"], "server"),
            ["pull", 6],
        ),
    )
    heard = {message[1]: message for message in map(json.loads, response.text.split("\n"))}
    assert [code(heard[n]) for n in (3, 4, 5, 6)] == [1, *["forbidden"] * 3]


async def test_a_browser_key_only_sends_events_and_from_its_pages_only(keyed: Keyed) -> None:
    key = await browser(keyed)
    assert await opened(keyed, key, {"origin": ORIGIN}) == doors("ingest")
    for headers in ({}, {"origin": "https://evil.example"}, {"origin": f"{ORIGIN}.evil.example"}):
        assert await opened(keyed, key, headers) == set()
    body = {**EVENT, "writeKey": key}
    for origin, status in ((ORIGIN, 200), ("null", 403)):
        sent = await keyed.ask("POST", "/track", json=body, headers={"origin": origin})
        assert sent.status_code == status
    messages = (call(0, ["authenticate"], key), call(1, ["track"], "A"), ["pull", 2])
    for headers, expected in (({"origin": ORIGIN}, str), ({}, "forbidden")):
        reply = await keyed.ask("POST", "/rpc", content=batch(*messages), headers=headers)
        heard = [json.loads(line) for line in reply.text.split("\n")]
        outcome = code(next(message for message in heard if message[1] == 2))
        assert outcome == expected or isinstance(outcome, str) is (expected is str)
    async with connection(keyed, key) as client:  # a program sends no Origin
        with pytest.raises(Forbidden):
            await client.stub(Analytics, TENANT).track("A")


async def test_a_token_reads_its_tenant_for_a_while(keyed: Keyed) -> None:
    text = await token(keyed)
    asking = {door for door in doors("read") if "/admin" not in door}
    assert await opened(keyed, text, {}) == asking
    assert await opened(keyed, text, {"x-tenant": "globex"}) == set()
    async with connection(keyed, text) as client:
        assert await client.stub(Analytics, TENANT).dau(1)
        for forbidden in (
            client.stub(Analytics, TENANT).track("A"),
            client.stub(Analytics, TENANT).audit.list(),
            client.stub(Analytics, "globex").dau(1),
        ):
            with pytest.raises(Forbidden):
                await forbidden
    rows = await keyed.ask("GET", "/admin/audit", await keyed.key("admin", TENANT))
    asked = [row["by"] for row in rows.json()["rows"] if row["action"] == "query"]
    made = [row["detail"]["id"] for row in rows.json()["rows"] if row["action"] == "token_made"]
    assert asked == [f"token:{id_}" for id_ in made]


async def test_changing_the_secret_ends_every_token(keyed: Keyed) -> None:
    text = await token(keyed)
    assert (await keyed.ask("GET", "/stats", text)).status_code == 200
    await keyed.ask("DELETE", "/admin/tokens", await keyed.key("server"))
    assert (await keyed.ask("GET", "/stats", text)).status_code == 401
    assert (await keyed.ask("GET", "/stats", await token(keyed))).status_code == 200


async def test_what_is_no_good_token_is_refused_like_a_wrong_key(keyed: Keyed) -> None:
    secret = bytes(await keyed.backend.administration().token_secret())
    now = int(time.time())
    good: dict[str, Any] = {"iss": "raydo", "aud": "acme", "iat": now, "exp": now + 60, "jti": "x"}
    wrong = [
        jwt.encode(good, b"another secret of thirty-two bytes", "HS256"),
        jwt.encode(good, None, "none"),  # type: ignore[arg-type]
        jwt.encode(good, secret * 2, "HS512"),
        jwt.encode(good | {"exp": now - 1}, secret, "HS256"),
        jwt.encode(good | {"exp": good["exp"] + TOKEN_S_MAX + 1}, secret, "HS256"),
        jwt.encode(good | {"iss": "other"}, secret, "HS256"),
        jwt.encode(good | {"aud": ["acme"]}, secret, "HS256"),
        jwt.encode(good | {"aud": ""}, secret, "HS256"),
        jwt.encode({k: v for k, v in good.items() if k != "jti"}, secret, "HS256"),
        "a.b.c",
        f"{'a' * 5_000}.b.c",
    ]
    assert (await keyed.ask("GET", "/stats", jwt.encode(good, secret, "HS256"))).status_code == 200
    refusal = (await keyed.ask("GET", "/stats", "nonsense")).text
    for text in wrong:
        response = await keyed.ask("GET", "/stats", text)
        assert (response.status_code, response.text) == (401, refusal), text[:80]


async def test_a_token_is_good_for_a_bounded_time() -> None:
    async def secret() -> bytes:
        return b"s" * 32

    tokens = Tokens(secret)
    for lasts_s in (0, TOKEN_S_MAX + 1):
        with pytest.raises(InvalidArgument):
            await tokens.make("acme", lasts_s)
    text = (await tokens.make("acme", 60))["token"]
    assert await tokens.check(text) == Caller("acme", "token", (await tokens.check(text)).key_id)
    later = Tokens(secret, now_s=lambda: time.time() + 61)
    with pytest.raises(Unauthorized):
        await later.check(text)


@pytest.mark.parametrize(
    ("kind", "bounds"),
    [
        ("service", {}),
        ("service", {"tenants": "*"}),
        ("service", {"tenants": "", "scopes": ["read"]}),
        ("service", {"tenants": "*", "scopes": []}),
        ("service", {"tenants": "*", "scopes": ["admin"]}),
        ("service", {"tenants": "*", "scopes": ["read"], "origins": [ORIGIN]}),
        ("browser", {}),
        ("browser", {"origins": []}),
        ("browser", {"origins": ["*"]}),
        ("read", {"scopes": ["read"]}),
    ],
)
async def test_bounds_that_do_not_fit_the_kind_are_refused(
    keyed: Keyed, kind: str, bounds: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument):
        await keyed.keyring.create(kind, None if kind == "service" else "acme", bounds=bounds)


def test_a_star_is_anything_and_nothing_else_is_special() -> None:
    assert matches("acme-*", "acme-1")
    assert matches("acme-*", "acme-")
    assert matches("*", "any\nthing")
    assert matches("a*c", "a.b.c")
    for pattern, tenant in (("acme-*", "acme"), ("a.c", "abc"), ("[ab]", "a"), ("a?", "ab")):
        assert not matches(pattern, tenant)


async def test_a_good_key_stays_good_while_its_object_has_too_much_to_do() -> None:
    from test_verdicts import WRITE, Keeper

    keeper = Keeper()
    keeper.add(WRITE)
    busy = False

    async def find(key: Any) -> Any:
        if busy:
            raise Overloaded("Too much waits.")
        return await keeper.find(key)

    known = Verdicts(find, clock=lambda: keeper.now, now_ms=lambda: 0, sleep=keeper.sleep)
    caller = await known.check(WRITE.text)
    busy = True
    keeper.now += KEY_VERDICT_S
    assert await known.check(WRITE.text) == caller
    keeper.now += KEY_STALE_S
    with pytest.raises(Overloaded):
        await known.check(WRITE.text)
    busy = False
    keeper.keys.clear()
    with pytest.raises(Unauthorized):
        await known.check(WRITE.text)
