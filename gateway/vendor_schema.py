"""What OpenAPI says about the routes of other vendors' clients, and of the script for pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from raydo.gateway.openapi import TEXT, Schema, array, json_of, object_of, operation, query, ref

_OBJECT: Final[Schema] = {"type": "object"}
_OBJECTS: Final = array(_OBJECT)
_KEY: Final = query("writeKey", TEXT, "the key, if neither a header nor the body has it")
_FULL: Final[Schema] = {
    "description": "Over the tenant's quota, which is in `detail`: none was taken",
    "content": json_of(ref("Failure")),
}

_CALLS: Final[dict[str, Schema]] = {
    "track": {"userId": "alice", "event": "Signup", "properties": {"plan": "pro"}},
    "identify": {"userId": "alice", "anonymousId": "b7c1", "traits": {"plan": "pro"}},
    "page": {"userId": "alice", "name": "Pricing", "properties": {"page": "/pricing"}},
    "screen": {"userId": "alice", "name": "Home"},
    "group": {"userId": "alice", "groupId": "acme", "traits": {"seats": 5}},
    "alias": {"userId": "alice", "previousId": "b7c1"},
}
_ENVELOPE: Final[Schema] = {"batch": [{"type": "track", **_CALLS["track"]}]}
_CAPTURE: Final[Schema] = {
    "event": "Signup",
    "distinct_id": "alice",
    "properties": {"plan": "pro"},
}
_MIXPANEL: Final[Schema] = {
    "event": "Signup",
    "properties": {"distinct_id": "alice", "plan": "pro"},
}


def _operation(summary: str, tag: str, body: Schema, answer: Schema) -> Schema:
    described = operation(summary, answer, tag=tag, body=body, parameters=[_KEY])
    described["responses"]["429"] = _FULL
    return described


def _segment() -> Iterator[tuple[str, Schema]]:
    for kind, example in _CALLS.items():
        summary = f"Segment's and RudderStack's {kind}"
        body = json_of(_OBJECT, example)
        yield f"/v1/{kind}", _operation(summary, "segment", body, ref("Tracked"))
    envelope = object_of("batch", batch=_OBJECTS, context=_OBJECT, sentAt=TEXT, writeKey=TEXT)
    for path in ("/v1/batch", "/v1/import"):
        summary = "Many of Segment's calls, each with its `type`; at most 500 KB"
        body = json_of(envelope, _ENVELOPE)
        yield path, _operation(summary, "segment", body, ref("BatchTracked"))


def _posthog() -> Iterator[tuple[str, Schema]]:
    envelope = object_of(api_key=TEXT, batch=_OBJECTS, sent_at=TEXT)
    batch = json_of(envelope, {"api_key": "KEY", "batch": [_CAPTURE]})
    events = json_of(_OBJECT, _CAPTURE)
    results = object_of(results={**_OBJECT, "description": "of each event by its uuid"})
    for path, summary, body, answer in (
        ("/batch/", "PostHog's batches", batch, ref("BatchTracked")),
        ("/i/v0/ai/batch/", "PostHog's batches of AI events", batch, ref("BatchTracked")),
        ("/capture/", "PostHog's events, one or an array", events, ref("BatchTracked")),
        ("/i/v1/analytics/events", "PostHog's batches of newer SDKs", batch, results),
    ):
        yield path, _operation(summary, "posthog", body, answer)
    for path in ("/flags/", "/decide/"):
        summary = "PostHog's feature flags, of which there are none here"
        yield path, operation(summary, _OBJECT, tag="posthog")


def _mixpanel() -> Iterator[tuple[str, Schema]]:
    form = object_of("data", data=TEXT, verbose=TEXT)
    body = {
        **json_of({"oneOf": [_OBJECT, _OBJECTS]}, [_MIXPANEL]),
        "application/x-ndjson": {"schema": TEXT},
        "application/x-www-form-urlencoded": {"schema": form},
    }
    for name, summary in (
        ("track", "Mixpanel's events; answers 1, or JSON with `verbose=1`"),
        ("import", "Mixpanel's import; `strict=1` answers 400 when a record failed"),
        ("engage", "Mixpanel's updates of profiles"),
        ("groups", "Mixpanel's updates of groups"),
    ):
        described = _operation(summary, "mixpanel", body, _OBJECT)
        described["responses"]["200"]["content"]["text/plain"] = {"schema": TEXT}
        yield f"/mixpanel/{name}", described


def operations() -> dict[tuple[str, str], Schema]:
    """Give the operations by path and method."""
    script = operation("The script for web pages", TEXT, tag="pages")
    script["responses"]["200"]["content"] = {"text/javascript": {"schema": TEXT}}
    body = {"text/plain": {"schema": {**TEXT, "description": "an envelope of Segment's"}}}
    events = _operation("What the script sends", "pages", body, ref("BatchTracked"))
    posted = [*_segment(), *_posthog(), *_mixpanel(), ("/raydo", events)]
    return {("/raydo.js", "get"): script} | {(path, "post"): each for path, each in posted}
