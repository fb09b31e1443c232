from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import httpx
import pytest

from raydo.pipelining.limits import EVENT_BYTES_MAX

QUICK_START = b'{"event":"PageView","properties":{"userId":"123","page":"/pricing"}}'
AS_CURL_D = {"content-type": "application/x-www-form-urlencoded"}


async def _rows(gateway: httpx.AsyncClient, sql: str, tenant: str = "default") -> list[list[Any]]:
    response = await gateway.post("/query", json={"sql": sql}, params={"tenant": tenant})
    assert response.status_code == 200, response.text
    return [list(row.values()) for row in response.json()["rows"]]


async def test_the_quick_starts_event_is_taken_as_curl_sends_it(gateway: httpx.AsyncClient) -> None:
    response = await gateway.post("/track", content=QUICK_START, headers=AS_CURL_D)

    assert response.status_code == 200
    body = response.json()
    identity = body.pop("id")
    assert body == {"success": True, "status": 1, "error": None}
    rows = await _rows(gateway, "SELECT id, event, user_id, properties FROM raw_events")
    assert rows == [[identity, "PageView", "123", '{"userId":"123","page":"/pricing"}']]


async def test_an_event_keeps_the_id_it_came_with_and_counts_once(
    gateway: httpx.AsyncClient,
) -> None:
    event = {"event": "a", "messageId": "m1", "userId": "u"}
    for _ in range(2):
        assert (await gateway.post("/track", json=event)).json()["id"] == "m1"
    assert await _rows(gateway, "SELECT count(*) FROM raw_events") == [[1]]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{}", 400, "invalid_event"),
        (b'{"event":7}', 400, "invalid_event"),
        (b'{"event":"a","timestamp":"yesterday"}', 400, "invalid_event"),
        (b'{"event":"a","sentAt":"soon"}', 400, "invalid_event"),
        (b'{"event":"a","x":"' + b"y" * EVENT_BYTES_MAX + b'"}', 413, "too_large"),
        (b"event=a", 400, "invalid_argument"),
        (b"", 400, "invalid_argument"),
        (b'[{"event":"a"}]', 400, "invalid_argument"),
    ],
    ids=["nothing", "number", "time", "sent", "long", "form", "empty", "array"],
)
async def test_a_bad_event_is_the_replys_error(
    gateway: httpx.AsyncClient, body: bytes, status: int, code: str
) -> None:
    response = await gateway.post("/track", content=body)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert (await gateway.get("/admin/tenants")).json() == {"tenants": []}


async def test_tenants_never_see_each_others_events(gateway: httpx.AsyncClient) -> None:
    for tenant in ("acme", "other"):
        await gateway.post("/track", json={"event": tenant}, headers={"x-tenant": tenant})
    for tenant in ("acme", "other"):
        assert await _rows(gateway, "SELECT event FROM raw_events", tenant) == [[tenant]]


BATCH = [{"event": "a", "messageId": "1"}, {"event": ""}, {"event": "b", "messageId": "1"}, {}]


@pytest.mark.parametrize("shape", ["array", "envelope", "lines"])
@pytest.mark.parametrize("compressed", [False, True])
async def test_each_event_of_a_batch_is_judged_by_itself(
    gateway: httpx.AsyncClient, shape: str, compressed: bool
) -> None:
    lines = "\n".join(json.dumps(event) for event in BATCH)
    text = {"array": json.dumps(BATCH), "envelope": json.dumps({"batch": BATCH}), "lines": lines}
    body = text[shape].encode()
    headers = AS_CURL_D | ({"content-encoding": "gzip"} if compressed else {})

    response = await gateway.post(
        "/track/batch", content=gzip.compress(body) if compressed else body, headers=headers
    )

    assert response.status_code == 200
    reply = response.json()
    assert [one["index"] for one in reply["rejected"]] == [1, 3]
    assert {one["code"] for one in reply.pop("rejected")} == {"invalid_event"}
    assert reply == {"success": True, "status": 1, "error": None, "accepted": 1, "duplicates": 1}


async def test_an_empty_batch_is_taken_and_makes_no_tenant(gateway: httpx.AsyncClient) -> None:
    reply = (await gateway.post("/track/batch", content=b"[]")).json()
    assert (reply["accepted"], reply["duplicates"], reply["rejected"]) == (0, 0, [])
    assert (await gateway.get("/admin/tenants")).json() == {"tenants": []}


async def test_the_time_of_sending_takes_out_a_wrong_clock(gateway: httpx.AsyncClient) -> None:
    batch = {
        "batch": [{"event": "a", "timestamp": "2031-01-01T00:00:00Z"}],
        "sentAt": "2031-01-01T00:00:10Z",
    }
    assert (await gateway.post("/track/batch", json=batch)).json()["accepted"] == 1
    sql = "SELECT received_at - timestamp FROM raw_events"
    assert await _rows(gateway, sql) == [[10_000]]


async def test_only_an_import_says_itself_when_an_event_was_received(
    gateway: httpx.AsyncClient,
) -> None:
    event = {"event": "a", "timestamp": 1_500_000_000_000, "receivedAt": "2017-07-14T02:40:05Z"}
    for tenant, query in (("live", {}), ("import", {"historical": "1"})):
        reply = await gateway.post("/track/batch", json=[event], params={"tenant": tenant, **query})
        assert reply.json()["accepted"] == 1

    sql = "SELECT timestamp, received_at FROM raw_events"
    assert await _rows(gateway, sql, "import") == [[1_500_000_000_000, 1_500_000_005_000]]
    [[timestamp, received_at]] = await _rows(gateway, sql, "live")
    assert timestamp == 1_500_000_000_000
    assert received_at > 1_700_000_000_000


async def test_requests_that_arrive_together_share_frames_and_all_count(
    gateway: httpx.AsyncClient, backend: Any
) -> None:
    await gateway.post("/track", json={"event": "first"})
    before = backend.check().stats().frames
    replies = await asyncio.gather(
        *(gateway.post("/track", json={"event": "a", "userId": f"u{n}"}) for n in range(200))
    )
    assert all(reply.status_code == 200 for reply in replies)
    assert len({reply.json()["id"] for reply in replies}) == 200
    assert backend.check().stats().frames - before < 50
    sql = "SELECT count(*) FROM raw_events WHERE event = 'a'"
    assert await _rows(gateway, sql) == [[200]]


async def test_an_unusual_label_or_encoding_is_told_apart_from_a_bad_body(
    gateway: httpx.AsyncClient,
) -> None:
    response = await gateway.post("/track", content=b"x", headers={"content-encoding": "br"})
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media")
    response = await gateway.post(
        "/rpc", content=b'["push"]', headers={"content-type": "application/json"}
    )
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media")
