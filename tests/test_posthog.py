"""PostHog's shapes, and what becomes of them."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from support.sent import rows, taken

from raydo.gateway.delivery import Asked, Delivery
from raydo.gateway.posthog import read_batch
from raydo.pipelining.errors import Forbidden

UUID = "0190b5c2-0000-7000-8000-000000000001"


def read(body: Any) -> Delivery:
    return read_batch(json.dumps(body).encode(), Asked())


def shaped(event: dict[str, Any]) -> dict[str, Any]:
    [item] = read({"api_key": "K", "batch": [event]}).items
    found: dict[str, Any] = json.loads(item)
    return found


SHAPES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"event": "Signup", "distinct_id": "a", "uuid": UUID, "properties": {"plan": "pro"}},
        {"event": "Signup", "userId": "a", "messageId": UUID, "properties": {"plan": "pro"}},
    ),
    (
        {"event": "$pageview", "properties": {"distinct_id": "a", "token": "K", "$current_url": "/"}},
        {"event": "PageView", "userId": "a",
         "properties": {"distinct_id": "a", "$current_url": "/"}},
    ),
    (
        {"event": "$screen", "distinct_id": "a", "session_id": "s"},
        {"event": "ScreenView", "userId": "a", "properties": {"$session_id": "s"}},
    ),
    (
        {"event": "$set", "distinct_id": "a", "$set": {"plan": "pro"}},
        {"event": "$identify", "userId": "a", "properties": {"traits": {"plan": "pro"}}},
    ),
    (
        {"event": "$identify", "distinct_id": "a",
         "properties": {"$anon_distinct_id": "x", "$set": {"n": 1}, "$set_once": {"m": 2}}},
        {"event": "$identify", "userId": "a", "anonymousId": "x",
         "properties": {"$anon_distinct_id": "x", "$set_once": {"m": 2}, "traits": {"n": 1}}},
    ),
    (
        {"event": "$groupidentify", "distinct_id": "a",
         "properties": {"$group_type": "company", "$group_key": "g", "$group_set": {"n": 1}}},
        {"event": "$group", "userId": "a",
         "properties": {"groupType": "company", "groupId": "g", "traits": {"n": 1}}},
    ),
    (
        {"event": "$create_alias", "distinct_id": "old",
         "properties": {"distinct_id": "old", "alias": "new"}},
        {"event": "$alias", "userId": "new", "properties": {"previousId": "old"}},
    ),
    (
        {"event": "a", "distinct_id": "x", "properties": {"$process_person_profile": False}},
        {"event": "a", "anonymousId": "x", "properties": {"$process_person_profile": False}},
    ),
    (
        {"event": "a", "distinct_id": "x", "options": {"process_person_profile": False}},
        {"event": "a", "anonymousId": "x"},
    ),
    (
        {"event": "a", "distinct_id": "x", "properties": {"$is_identified": False}},
        {"event": "a", "anonymousId": "x", "properties": {"$is_identified": False}},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("event", "shape"), SHAPES, ids=lambda value: str(value)[:30])
def test_each_kind_of_event_keeps_its_meaning(event: dict[str, Any], shape: dict[str, Any]) -> None:
    assert shaped(event) == shape


@pytest.mark.parametrize(
    "body",
    [
        {"api_key": "K", "batch": [{"event": "a", "distinct_id": "u"}]},
        {"api_key": "K", "event": "a", "distinct_id": "u"},
        {"event": "a", "properties": {"token": "K", "distinct_id": "u"}},
        {"batch": [{"event": "a", "distinct_id": "u", "api_key": "K"}] * 2},
        [{"event": "a", "properties": {"token": "K", "distinct_id": "u"}}],
    ],
    ids=str,
)
def test_the_key_is_found_wherever_it_stands_and_is_not_kept(body: Any) -> None:
    delivery = read(body)
    assert delivery.key == "K"
    assert delivery.items
    assert not any(b'"K"' in item for item in delivery.items)


def test_events_of_two_keys_are_not_taken_together() -> None:
    with pytest.raises(Forbidden):
        read([{"event": "a", "distinct_id": "u", "api_key": key} for key in "KL"])


async def test_newer_sdks_hear_of_each_event_by_its_uuid(gateway: httpx.AsyncClient) -> None:
    batch = [
        {"event": "a", "uuid": "u1", "distinct_id": "x", "timestamp": "2026-01-01T00:00:00Z"},
        {"event": "a", "uuid": "u2", "distinct_id": ""},
        {"event": "a", "uuid": "u3", "distinct_id": "x", "timestamp": "never"},
    ]
    for _ in range(2):  # what comes again was taken before, and is not to come a third time
        reply = await gateway.post("/i/v1/analytics/events", json={"batch": batch})
        results = reply.json()["results"]
        assert {name: each["result"] for name, each in results.items()} == {
            "u1": "ok", "u2": "drop", "u3": "drop",
        }  # fmt: skip
        assert "distinct_id" in results["u2"]["details"]
    assert taken(await rows(gateway), "id") == [("u1",)]


@pytest.mark.parametrize("path", ["/batch", "/batch/", "/capture/", "/i/v0/ai/batch/"])
async def test_older_sdks_are_answered_with_or_without_the_slash(
    gateway: httpx.AsyncClient, path: str
) -> None:
    event = {"event": "a", "distinct_id": "x"}
    reply = await gateway.post(path, json={"api_key": "K", "batch": [event, {"event": "b"}]})
    told = reply.json()
    assert reply.status_code == 200
    assert (told["status"], told["accepted"], told["rejected"][0]["index"]) == (1, 1, 1)


async def test_there_are_no_feature_flags_and_that_is_said(gateway: httpx.AsyncClient) -> None:
    for path in ("/flags/?v=4", "/decide/?v=3"):
        reply = await gateway.post(path, json={"api_key": "K"})
        assert (reply.status_code, reply.json()["featureFlags"]) == (200, {})
