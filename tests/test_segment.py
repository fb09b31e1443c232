"""Segment's shapes, and what becomes of them."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from support.sent import rows, taken

from raydo.gateway.delivery import Asked
from raydo.gateway.segment import read_envelope, reader
from raydo.pipelining.errors import InvalidArgument, TooLarge
from raydo.pipelining.limits import SEGMENT_BATCH_BYTES_MAX

CALLS: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"type": "track", "event": "Signup", "properties": {"plan": "pro"}}, "Signup", {"plan": "pro"}),
    ({"type": "identify", "traits": {"plan": "pro"}}, "$identify", {"traits": {"plan": "pro"}}),
    ({"type": "identify", "context": {"traits": {"plan": "pro"}}}, "$identify",
     {"traits": {"plan": "pro"}}),
    ({"type": "page", "name": "Docs", "category": "Help", "properties": {"page": "/d"}}, "PageView",
     {"page": "/d", "name": "Docs", "category": "Help"}),
    ({"type": "page", "properties": {"page": "/d"}}, "PageView", {"page": "/d"}),
    ({"type": "screen", "name": "Home"}, "ScreenView", {"name": "Home"}),
    ({"type": "group", "groupId": "g1", "traits": {"seats": 5}}, "$group",
     {"groupId": "g1", "traits": {"seats": 5}}),
    ({"type": "alias", "previousId": "anon"}, "$alias", {"previousId": "anon"}),
]  # fmt: skip


def shaped(body: Any, kind: str | None = None) -> list[dict[str, Any]]:
    delivery = reader(kind)(json.dumps(body).encode(), Asked())
    assert delivery.refused == []
    return [json.loads(item) for item in delivery.items]


@pytest.mark.parametrize(("call", "name", "properties"), CALLS, ids=lambda value: str(value)[:30])
def test_each_kind_of_call_is_an_event(
    call: dict[str, Any], name: str, properties: dict[str, Any]
) -> None:
    call = {**call, "userId": "alice", "anonymousId": None, "messageId": "m1"}
    for [event] in (shaped({"batch": [call]}), shaped(call, kind=call["type"])):
        assert (event["event"], event["properties"]) == (name, properties)
        assert (event["userId"], event["anonymousId"], event["messageId"]) == ("alice", None, "m1")


def test_an_envelopes_context_holds_for_each_call_and_a_calls_own_wins() -> None:
    one = {"type": "track", "event": "a", "userId": "u", "context": {"ip": "1", "page": {"a": 1}}}
    two = {"type": "track", "event": "b", "userId": "u"}
    first, second = shaped({"batch": [one, two], "context": {"ip": "2", "locale": "de"}})
    assert first["context"] == {"ip": "1", "locale": "de", "page": {"a": 1}}
    assert second["context"] == {"ip": "2", "locale": "de"}


@pytest.mark.parametrize(
    ("call", "path"),
    [
        ({"type": "track", "event": "a"}, "$.userId"),
        ({"type": "track", "event": "a", "userId": "", "anonymousId": None}, "$.userId"),
        ({"type": "track", "userId": "u"}, "$.event"),
        ({"type": "dance", "userId": "u"}, "$.type"),
        ({"userId": "u", "event": "a"}, "$.type"),
        ({"type": 7, "userId": "u"}, "$.type"),
        ({"type": "group", "userId": "u"}, "$.groupId"),
        ({"type": "alias", "userId": "u"}, "$.previousId"),
        ({"type": "page", "userId": "u", "name": "x", "properties": []}, "$.properties"),
        (["track"], "$"),
        (None, "$"),
    ],
    ids=str,
)
def test_a_call_that_cannot_be_turned_is_refused_alone(call: Any, path: str) -> None:
    good = {"type": "track", "event": "a", "userId": "u"}
    delivery = read_envelope(json.dumps({"batch": [good, call, good]}).encode(), Asked())
    assert (len(delivery.items), delivery.places) == (2, [0, 2])
    [refused] = delivery.refused
    assert (refused["index"], refused["code"]) == (1, "invalid_event")
    assert refused["error"].startswith(f"`{path}`")


def test_a_batch_has_five_hundred_kilobytes_at_most() -> None:
    body = b'{"batch":[]}'
    assert read_envelope(body + b" " * (SEGMENT_BATCH_BYTES_MAX - len(body)), Asked()).items == []
    with pytest.raises(TooLarge, match="512,000"):
        read_envelope(body + b" " * SEGMENT_BATCH_BYTES_MAX, Asked())


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"batch":{}}', b"{", b"\xff", b"null"])
def test_what_is_no_envelope_is_refused_whole(body: bytes) -> None:
    with pytest.raises(InvalidArgument):
        read_envelope(body, Asked())


async def test_a_batch_tells_of_each_item_what_became_of_it(gateway: httpx.AsyncClient) -> None:
    batch = [
        {"type": "track", "event": "a", "userId": "u", "messageId": "m1"},
        {"type": "track", "userId": "u"},
        {"type": "track", "event": "a", "userId": "u", "messageId": "m1"},
        {"type": "track", "event": "b", "userId": "u", "timestamp": "yesterday"},
        {"type": "identify", "userId": 7},
    ]
    reply = await gateway.post("/v1/batch", json={"batch": batch})
    told = reply.json()
    assert reply.status_code == 200
    assert (told["status"], told["accepted"], told["duplicates"]) == (1, 2, 1)
    assert [(each["index"], each["error"][:14]) for each in told["rejected"]] == [
        (1, "`$.event`: eve"),
        (3, "`$.timestamp`:"),
    ]
    assert taken(await rows(gateway), "event", "user_id") == [("a", "u"), ("$identify", "7")]


async def test_one_call_is_taken_at_its_own_path_and_its_fault_is_the_replys(
    gateway: httpx.AsyncClient,
) -> None:
    reply = await gateway.post("/v1/t", json={"event": "a", "userId": "u", "messageId": "m1"})
    assert reply.json() == {"success": True, "status": 1, "error": None, "id": "m1"}
    reply = await gateway.post("/v1/track", json={"event": "a"})
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid_event")
    assert len(await rows(gateway)) == 1


async def test_a_wrong_clock_is_corrected_and_an_old_event_stays_old(
    gateway: httpx.AsyncClient,
) -> None:
    now = datetime.now(UTC)
    fast = now + timedelta(hours=3)  # a client whose clock is three hours ahead
    batch = [
        {
            "type": "track",
            "event": "a",
            "userId": "u",
            "timestamp": (fast - timedelta(minutes=1)).isoformat(),
        }
    ]
    body = gzip.compress(json.dumps({"batch": batch, "sentAt": fast.isoformat()}).encode())
    await gateway.post("/v1/batch", content=body, headers={"content-encoding": "gzip"})
    old = [
        {"type": "track", "event": "b", "userId": "u", "originalTimestamp": "2021-05-01T00:00:00Z"}
    ]
    await gateway.post("/v1/import", json={"batch": old, "sentAt": now.isoformat()})

    corrected, imported = [row["timestamp"] for row in await rows(gateway)]
    minute_ago = (now - timedelta(minutes=1)).timestamp() * 1_000
    assert abs(corrected - minute_ago) < 20_000
    assert abs(imported - datetime(2021, 5, 1, tzinfo=UTC).timestamp() * 1_000) < 20_000
