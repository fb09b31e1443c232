"""Who may send events by the routes of other vendors' clients, and from which pages."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from raydo.gateway import origins, verdicts
from raydo.gateway.app import create_app
from raydo.gateway.backend import Backend

if TYPE_CHECKING:
    from conftest import Keyed

CALL = {"type": "track", "event": "a", "userId": "u"}
SHOP = "https://shop.example"
EVIL = "https://evil.example"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "KEY_REFUSAL_S", 0.0)
    monkeypatch.setattr(origins, "ORIGINS_S", 0.0)


def form(value: Any) -> dict[str, str]:
    return {"data": json.dumps(value), "verbose": "1"}


def presented(key: str) -> list[tuple[str, dict[str, Any]]]:
    """Each vendor's way of presenting a key."""
    basic = base64.b64encode(f"{key}:".encode()).decode()
    capture = {"event": "a", "distinct_id": "u"}
    tracked = {"event": "a", "properties": {"distinct_id": "u", "token": key}}
    return [
        ("/v1/batch", {"json": {"batch": [CALL]}, "headers": {"authorization": f"Basic {basic}"}}),
        ("/v1/batch", {"json": {"batch": [CALL], "writeKey": key}}),
        ("/v1/track", {"json": {**CALL, "writeKey": key}}),
        (f"/v1/track?writeKey={key}", {"json": CALL}),
        ("/batch/", {"json": {"batch": [capture], "api_key": key}}),
        ("/capture/", {"json": {**capture, "api_key": key}}),
        ("/capture/", {"json": [{**capture, "api_key": key}]}),
        ("/capture/", {"json": {"event": "a", "properties": {"distinct_id": "u", "token": key}}}),
        ("/i/v1/analytics/events", {"json": {"batch": [capture]},
                                    "headers": {"authorization": f"Bearer {key}"}}),
        ("/mixpanel/track", {"data": form(tracked)}),
        ("/mixpanel/engage", {"data": form({"$token": key, "$distinct_id": "u", "$set": {}})}),
        ("/mixpanel/groups", {"data": form({"$token": key, "$group_id": "g", "$set": {}})}),
        ("/mixpanel/import", {"json": [tracked], "headers": {"authorization": f"Basic {basic}"}}),
        ("/mixpanel/import", {"data": {**form([tracked]), "api_key": key}}),
        (f"/raydo?writeKey={key}", {"json": {"batch": [CALL]}}),
        (f"/track/batch?writeKey={key}", {"json": [{"event": "a"}]}),
    ]  # fmt: skip


async def test_every_vendors_way_of_presenting_a_key_opens_its_tenant_for_writing_alone(
    keyed: Keyed,
) -> None:
    keys = {kind: await keyed.key(kind) for kind in ("write", "admin", "read")}
    ways = {kind: presented(key) for kind, key in keys.items()}
    for kind, expected in (("write", 200), ("admin", 200), ("read", 403)):
        for path, request in ways[kind]:
            reply = await keyed.client.post(path, **request)
            assert reply.status_code == expected, (kind, path, reply.text)
    for path, request in presented(keys["write"][:-4] + "0000") + presented(""):
        reply = await keyed.client.post(path, **request)
        assert (reply.status_code, reply.json()["code"]) == (401, "unauthorized"), path

    told = await keyed.ask("POST", "/query", keys["read"], json={
        "sql": "SELECT count(*) AS n, group_concat(properties) AS kept FROM raw_events"})  # fmt: skip
    [row] = told.json()["rows"]
    assert row["n"] == 2 * len(presented(""))
    assert "raydo_" not in row["kept"]
    assert (await keyed.ask("GET", "/stats", keys["write"])).status_code == 403


async def test_message_ids_are_one_space_for_all_vendors(gateway: httpx.AsyncClient) -> None:
    for path, body in (
        ("/track", {"event": "a", "messageId": "m1"}),
        ("/v1/track", {**CALL, "messageId": "m1"}),
        ("/capture/", {"event": "a", "distinct_id": "u", "uuid": "m1"}),
        ("/mixpanel/track", {"event": "a", "properties": {"distinct_id": "u", "$insert_id": "m1"}}),
    ):
        assert (await gateway.post(path, json=body)).status_code == 200
    assert (await gateway.get("/stats")).json()["events"] == {"a": 1}


async def test_pages_send_only_from_the_origins_that_their_tenant_lists(keyed: Keyed) -> None:
    key, admin = await keyed.key("write"), await keyed.key("admin")
    url = f"/raydo?writeKey={key}"

    async def send(origin: str | None, path: str = url) -> httpx.Response:
        headers = {} if origin is None else {"origin": origin}
        return await keyed.client.post(path, json={"batch": [CALL]}, headers=headers)

    assert (await send(SHOP)).status_code == 403
    await keyed.ask("PATCH", "/settings", admin, json={"origins": [SHOP]})

    for origin in (EVIL, "null", f"{SHOP}.evil.example", "http://shop.example"):
        reply = await send(origin)
        assert (reply.status_code, reply.json()["code"]) == (403, "forbidden")
        assert "access-control-allow-origin" not in reply.headers
    reply = await send(SHOP)
    assert reply.status_code == 200
    assert reply.headers["access-control-allow-origin"] == SHOP
    assert reply.headers["vary"] == "Origin"
    assert (await send(None)).status_code == 200
    assert (await send("http://raydo.example")).status_code == 200  # a page of this server itself

    broken = await keyed.client.post(url, content=b"{", headers={"origin": SHOP})
    assert broken.status_code == 400
    assert broken.headers["access-control-allow-origin"] == SHOP  # so that the page can read why
    in_body = {"batch": [CALL], "writeKey": key}
    reply = await keyed.client.post("/v1/batch", json=in_body, headers={"origin": EVIL})
    assert reply.status_code == 403
    assert (await keyed.ask("GET", "/stats", admin)).json()["events"] == {"a": 3}


async def test_a_browser_key_sends_from_its_own_pages_though_the_tenant_lists_none(
    keyed: Keyed,
) -> None:
    made = await keyed.keyring.create("browser", "acme", bounds={"origins": [SHOP]})
    url = f"/raydo?writeKey={made['key']}"
    for origin, status in ((SHOP, 200), (EVIL, 403), ("http://raydo.example", 403), (None, 403)):
        headers = {} if origin is None else {"origin": origin}
        for method in ("POST", "OPTIONS"):
            reply = await keyed.client.request(method, url, json={"batch": [CALL]}, headers=headers)
            assert reply.status_code in {status, 204 if status == 200 else status}, origin
            assert (reply.headers.get("access-control-allow-origin") == SHOP) == (origin == SHOP)


async def test_a_browser_that_asks_first_hears_what_the_page_may_do(keyed: Keyed) -> None:
    key, admin = await keyed.key("write"), await keyed.key("admin")
    await keyed.ask("PATCH", "/settings", admin, json={"origins": [SHOP]})

    async def ask(origin: str, path: str) -> httpx.Response:
        return await keyed.client.options(path, headers={
            "origin": origin, "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,posthog-sdk-info,x-tenant",
            "access-control-request-private-network": "true",
        })  # fmt: skip

    reply = await ask(SHOP, f"/raydo?writeKey={key}")
    assert reply.status_code == 204
    assert reply.headers["access-control-allow-origin"] == SHOP
    assert "POST" in reply.headers["access-control-allow-methods"]
    allowed = reply.headers["access-control-allow-headers"]
    assert allowed == "authorization,posthog-sdk-info,x-tenant"
    assert reply.headers["access-control-allow-private-network"] == "true"

    for origin, path in ((EVIL, f"/raydo?writeKey={key}"), (SHOP, "/raydo?writeKey=nonsense")):
        reply = await ask(origin, path)
        assert reply.status_code in {401, 403}
        assert "access-control-allow-origin" not in reply.headers
    # Whose key it will be stands in a header or the body, so only the request itself can be judged.
    reply = await ask(EVIL, "/i/v1/analytics/events")
    assert reply.status_code == 204
    assert "access-control-allow-private-network" not in reply.headers
    for path in ("/query", "/stats", "/rpc"):
        assert "access-control-allow-origin" not in (await ask(SHOP, path)).headers


async def test_without_keys_only_pages_of_this_machine_send_whatever_is_listed(
    gateway: httpx.AsyncClient,
) -> None:
    await gateway.patch("/settings", json={"origins": [SHOP]})
    for method in ("POST", "OPTIONS"):
        reply = await gateway.request(method, "/raydo", headers={"origin": SHOP})
        assert reply.status_code == 403
    page = {"origin": "http://localhost:3000"}
    reply = await gateway.post("/raydo", json={"batch": [CALL]}, headers=page)
    assert reply.status_code == 200
    assert reply.headers["access-control-allow-origin"] == "http://localhost:3000"


async def test_the_requests_user_agent_is_taken_for_the_scripts_events_alone(
    backend: Backend,
) -> None:
    transport = httpx.ASGITransport(create_app(backend))
    agent = {"user-agent": 'Mozilla/5.0 "Firefox"'}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for path in ("/raydo", "/v1/batch"):
            await client.post(path, json={"batch": [CALL]}, headers=agent)
        own = {**CALL, "context": {"userAgent": "own", "ip": "1"}}
        await client.post("/raydo", json={"batch": [own]}, headers=agent)
        sql = "SELECT context FROM raw_events ORDER BY seq"
        rows = (await client.post("/query", json={"sql": sql})).json()["rows"]
    first, second, third = (row["context"] and json.loads(row["context"]) for row in rows)
    assert first == {"userAgent": agent["user-agent"]}
    assert second is None
    assert third == {"userAgent": "own", "ip": "1"}


async def test_the_script_is_served_with_a_tag_and_to_every_page(keyed: Keyed) -> None:
    reply = await keyed.client.get("/raydo.js", headers={"origin": EVIL})
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/javascript")
    assert "max-age" in reply.headers["cache-control"]
    assert reply.headers["access-control-allow-origin"] == "*"
    assert "globalPrivacyControl" in reply.text
    again = await keyed.client.get("/raydo.js", headers={"if-none-match": reply.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("path", "bodies"),
    [
        ("/v1/batch", [
            {"batch": [{"type": "page", "anonymousId": "x"}]},
            {"batch": [{"type": "identify", "anonymousId": "x", "userId": "ada"}]},
            {"batch": [{"type": "track", "event": "a", "userId": "old"}]},
            {"batch": [{"type": "alias", "previousId": "old", "userId": "ada"}]},
        ]),
        ("/batch/", [
            {"event": "$pageview", "distinct_id": "x", "properties": {"$is_identified": False}},
            {"event": "$identify", "distinct_id": "ada", "properties": {"$anon_distinct_id": "x"}},
            {"event": "a", "distinct_id": "old"},
            {"event": "$create_alias", "properties": {"distinct_id": "old", "alias": "ada"}},
        ]),
        ("/mixpanel/track", [
            {"event": "a", "properties": {"distinct_id": "$device:x", "$device_id": "x"}},
            {"event": "a", "properties": {"distinct_id": "ada", "$user_id": "ada", "$device_id": "x"}},
            {"event": "a", "properties": {"distinct_id": "old"}},
            {"event": "$merge", "properties": {"$distinct_ids": ["ada", "old"]}},
        ]),
    ],
    ids=["segment", "posthog", "mixpanel"],
)  # fmt: skip
async def test_one_person_is_one_whichever_vendors_client_says_so(
    gateway: httpx.AsyncClient, path: str, bodies: list[Any]
) -> None:
    for body in bodies:
        assert (await gateway.post(path, json=body)).status_code == 200
    sql = "SELECT DISTINCT person_id FROM events"
    rows = (await gateway.post("/query", json={"sql": sql})).json()["rows"]
    assert rows == [{"person_id": "ada"}]
    [today] = (await gateway.get("/dau?days=1")).json()
    assert (today["dau"], today["events"]) == (1, 4)
