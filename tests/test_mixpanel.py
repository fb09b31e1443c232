"""Mixpanel's shapes, and what becomes of them."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from support.sent import rows, taken

from raydo.gateway.delivery import Asked, Delivery
from raydo.gateway.mixpanel import reader
from raydo.pipelining.errors import InvalidArgument

EVENT = {
    "event": "Signup",
    "properties": {"token": "K", "distinct_id": "a", "time": 1_700_000_000.25,
                   "$insert_id": "i1", "plan": "pro"},
}  # fmt: skip


def read(value: Any, path: str = "track") -> Delivery:
    return reader(path)(json.dumps(value).encode(), Asked())


def shaped(value: Any, path: str = "track") -> dict[str, Any]:
    [item] = read(value, path).items
    found: dict[str, Any] = json.loads(item)
    return found


def event(**properties: Any) -> dict[str, Any]:
    return {"event": "a", "properties": properties}


def test_an_events_own_fields_are_taken_out_of_its_properties() -> None:
    assert shaped(EVENT) == {
        "event": "Signup", "userId": "a", "timestamp": 1_700_000_000_250, "messageId": "i1",
        "properties": {"plan": "pro"},
    }  # fmt: skip
    assert read(EVENT).key == "K"


@pytest.mark.parametrize(
    ("stated", "milliseconds"),
    [(1_700_000_000, 1_700_000_000_000), (1_700_000_000_123, 1_700_000_000_123),
     ("1700000000", 1_700_000_000_000), (0.5, 500), ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z")],
)  # fmt: skip
def test_times_are_in_seconds(stated: Any, milliseconds: Any) -> None:
    assert shaped(event(distinct_id="a", time=stated))["timestamp"] == milliseconds


@pytest.mark.parametrize(
    ("properties", "user", "anonymous"),
    [
        ({"distinct_id": "a"}, "a", None),
        ({"distinct_id": "$device:d"}, None, "$device:d"),
        ({"distinct_id": "$device:d", "$device_id": "d"}, None, "d"),
        ({"distinct_id": "d", "$device_id": "d"}, None, "d"),
        ({"distinct_id": "a", "$device_id": "d", "$user_id": "a"}, "a", "d"),
        ({"$user_id": "a"}, "a", None),
    ],
    ids=str,
)
def test_a_device_is_anonymous_until_a_user_is_known(
    properties: dict[str, Any], user: str | None, anonymous: str | None
) -> None:
    shape = shaped(event(**properties))
    assert (shape.get("userId"), shape.get("anonymousId")) == (user, anonymous)


@pytest.mark.parametrize(
    ("name", "properties", "shape"),
    [
        ("$create_alias", {"distinct_id": "old", "alias": "new"},
         {"event": "$alias", "userId": "new", "properties": {"previousId": "old"}}),
        ("$merge", {"$distinct_ids": ["one", "two"]},
         {"event": "$alias", "userId": "one", "properties": {"previousId": "two"}}),
        ("$identify", {"$identified_id": "a", "$anon_id": "x", "distinct_id": "a"},
         {"event": "$identify", "userId": "a", "anonymousId": "x", "properties": {}}),
    ],
)  # fmt: skip
def test_persons_are_linked(name: str, properties: dict[str, Any], shape: dict[str, Any]) -> None:
    assert shaped({"event": name, "properties": properties}) == shape


@pytest.mark.parametrize(
    ("path", "update", "shape"),
    [
        ("engage", {"$token": "K", "$distinct_id": "a", "$time": 5, "$set": {"n": 1}},
         {"event": "$identify", "userId": "a", "timestamp": 5_000, "properties": {"traits": {"n": 1}}}),
        ("engage", {"$distinct_id": "a", "$add": {"n": 1}},
         {"event": "$identify", "userId": "a", "properties": {"$add": {"n": 1}}}),
        ("groups", {"$group_key": "company", "$group_id": "g", "$set": {"n": 1}},
         {"event": "$group",
          "properties": {"groupId": "g", "groupType": "company", "traits": {"n": 1}}}),
    ],
    ids=str,
)  # fmt: skip
def test_profiles_and_groups_are_events_too(
    path: str, update: dict[str, Any], shape: dict[str, Any]
) -> None:
    assert shaped(update, path) == shape


@pytest.mark.parametrize(
    ("path", "item", "place"),
    [
        ("track", {"properties": {}}, "$.event"),
        ("track", {"event": "a", "properties": 1}, "$.properties"),
        ("track", {"event": "$merge", "properties": {"$distinct_ids": ["one"]}}, "$.properties.$distinct_ids"),
        ("track", {"event": "$merge", "properties": {"$distinct_ids": "ab"}}, "$"),
        ("track", {"event": "$create_alias", "properties": {"alias": "a"}}, "$.properties.distinct_id"),
        ("track", event(time="inf"), "$.properties.time"),
        ("engage", {"$set": {}}, "$.$distinct_id"),
        ("groups", {"$set": {}}, "$.$group_id"),
        ("engage", 7, "$"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_turned_is_refused_alone(path: str, item: Any, place: str) -> None:
    delivery = read([item], path)
    assert delivery.items == []
    assert delivery.refused[0]["error"].startswith(f"`{place}`"), delivery.refused


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(EVENT).encode(),
        json.dumps([EVENT]).encode(),
        (json.dumps(EVENT) + "\n" + json.dumps(EVENT)).encode(),
        urlencode({"data": json.dumps([EVENT]), "verbose": 1, "ip": 0}).encode(),
        urlencode({"verbose": 1, "data": base64.b64encode(json.dumps(EVENT).encode())}).encode(),
    ],
    ids=["one", "array", "lines", "form", "base64"],
)
def test_a_body_is_json_or_lines_or_a_form(body: bytes) -> None:
    delivery = reader("track")(body, Asked())
    assert delivery.key == "K"
    assert json.loads(delivery.items[0])["messageId"] == "i1"


@pytest.mark.parametrize(
    "body", [b"", b"x", b"data=", b"data=%ff", b"data=***", b"data=e30&" + b"a=1&" * 40]
)
def test_what_is_none_of_these_is_refused_whole(body: bytes) -> None:
    with pytest.raises(InvalidArgument):
        reader("track")(body, Asked())


async def test_track_answers_one_and_says_more_when_asked(gateway: httpx.AsyncClient) -> None:
    form = {"data": json.dumps(EVENT)}
    assert (await gateway.post("/mixpanel/track", data=form)).text == "1"
    told = (await gateway.post("/mixpanel/track", data={**form, "verbose": "1"})).json()
    assert (told["status"], told["error"], told["duplicates"]) == (1, None, 1)
    assert taken(await rows(gateway), "id", "user_id") == [("i1", "a")]

    bad = {"data": json.dumps(event(time="soon")), "verbose": "1"}
    reply = await gateway.post("/mixpanel/track", data=bad)
    assert (reply.status_code, reply.json()["status"]) == (400, 0)
    assert "$.timestamp" in reply.json()["error"]


async def test_a_strict_import_tells_which_records_failed_and_keeps_the_rest(
    gateway: httpx.AsyncClient,
) -> None:
    bad = {"event": "b", "properties": {"$insert_id": "i2", "distinct_id": "a", "time": "soon"}}
    lines = "\n".join(map(json.dumps, [EVENT, bad])).encode()
    reply = await gateway.post("/mixpanel/import?strict=1&project_id=7", content=lines)
    told = reply.json()
    assert (reply.status_code, told["code"], told["num_records_imported"]) == (400, 400, 1)
    [failed] = told["failed_records"]
    assert (failed["index"], failed["insert_id"], failed["field"]) == (1, "i2", "timestamp")

    reply = await gateway.post("/mixpanel/import", content=lines)
    assert (reply.status_code, reply.json()["status"]) == (200, "OK")
    assert taken(await rows(gateway), "id") == [("i1",)]
