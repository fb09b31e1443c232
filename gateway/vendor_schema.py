"""What OpenAPI says about the routes of other vendors' clients, and of the script for pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

Schema = dict[str, Any]

_FAILURE: Final[Schema] = {"$ref": "#/components/schemas/Failure"}
_OBJECT: Final[Schema] = {"type": "object"}
_OBJECTS: Final[Schema] = {"type": "array", "items": _OBJECT}
_TEXT: Final[Schema] = {"type": "string"}
_KEY: Final[Schema] = {
    "name": "writeKey",
    "in": "query",
    "schema": _TEXT,
    "description": "the key, if it is neither in `Authorization` nor in the body",
}
_TENANT: Final[Schema] = {
    "name": "tenant",
    "in": "query",
    "schema": _TEXT,
    "description": "whose data, on a server without keys",
}

_CALLS: Final[dict[str, Schema]] = {
    "track": {"userId": "alice", "event": "Signup", "properties": {"plan": "pro"}},
    "identify": {"userId": "alice", "anonymousId": "b7c1", "traits": {"plan": "pro"}},
    "page": {"userId": "alice", "name": "Pricing", "properties": {"page": "/pricing"}},
    "screen": {"userId": "alice", "name": "Home"},
    "group": {"userId": "alice", "groupId": "acme", "traits": {"seats": 5}},
    "alias": {"userId": "alice", "previousId": "b7c1"},
}
_ENVELOPE: Final = {"batch": [{"type": "track", **_CALLS["track"]}]}
_CAPTURE: Final = {"event": "Signup", "distinct_id": "alice", "properties": {"plan": "pro"}}
_MIXPANEL: Final = {"event": "Signup", "properties": {"distinct_id": "alice", "plan": "pro"}}


def _answer(description: str, content: Schema) -> Schema:
    return {"description": description, "content": content}


def _json(schema: Schema, example: Any = None) -> Schema:
    media = {"schema": schema} if example is None else {"schema": schema, "example": example}
    return {"application/json": media}


def _operation(summary: str, tag: str, body: Schema | None, answer: Schema) -> Schema:
    operation: Schema = {
        "summary": summary,
        "tags": [tag],
        "parameters": [_KEY, _TENANT],
        "responses": {
            "200": _answer("Taken; `rejected` lists what was not", answer),
            "429": _answer(
                "Over the tenant's quota, see `detail`: none was taken", _json(_FAILURE)
            ),
            "4XX": _answer("Refused as it stands", _json(_FAILURE)),
            "503": _answer("Not now: see Retry-After", _json(_FAILURE)),
        },
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": body}
    return operation


def _ref(name: str) -> Schema:
    return _json({"$ref": f"#/components/schemas/{name}"})


def _segment() -> Iterator[tuple[str, Schema]]:
    for kind, example in _CALLS.items():
        yield (
            f"/v1/{kind}",
            _operation(
                f"Segment's and RudderStack's {kind}",
                "segment",
                _json(_OBJECT, example),
                _ref("Tracked"),
            ),
        )
    envelope: Schema = {
        "type": "object",
        "required": ["batch"],
        "properties": {"batch": _OBJECTS, "context": _OBJECT, "sentAt": _TEXT, "writeKey": _TEXT},
    }
    for path in ("/v1/batch", "/v1/import"):
        summary = "Many of Segment's calls, each with its `type`; at most 500 KB"
        yield path, _operation(summary, "segment", _json(envelope, _ENVELOPE), _ref("BatchTracked"))


def _posthog() -> Iterator[tuple[str, Schema]]:
    batch: Schema = {
        "type": "object",
        "properties": {"api_key": _TEXT, "batch": _OBJECTS, "sent_at": _TEXT},
    }
    example = {"api_key": "KEY", "batch": [_CAPTURE]}
    many = _ref("BatchTracked")
    results = _json({"type": "object", "properties": {"results": _OBJECT}})
    for path in ("/batch/", "/i/v0/ai/batch/"):
        yield path, _operation("PostHog's batches", "posthog", _json(batch, example), many)
    yield "/capture/", _operation("PostHog's events", "posthog", _json(_OBJECT, _CAPTURE), many)
    yield (
        "/i/v1/analytics/events",
        _operation("PostHog's batches of newer SDKs", "posthog", _json(batch, example), results),
    )
    for path in ("/flags/", "/decide/"):
        summary = "PostHog's feature flags, of which there are none here"
        yield path, _operation(summary, "posthog", None, _json(_OBJECT))


def _mixpanel() -> Iterator[tuple[str, Schema]]:
    form = {"type": "object", "properties": {"data": _TEXT, "verbose": _TEXT}, "required": ["data"]}
    for name, summary in (
        ("track", "Mixpanel's events"),
        ("import", "Mixpanel's import; `strict=1` answers 400 when a record failed"),
        ("engage", "Mixpanel's updates of profiles"),
        ("groups", "Mixpanel's updates of groups"),
    ):
        body = {
            **_json({"oneOf": [_OBJECT, _OBJECTS]}, [_MIXPANEL]),
            "application/x-ndjson": {"schema": _TEXT},
            "application/x-www-form-urlencoded": {"schema": form},
        }
        answer = {**_json(_OBJECT), "text/plain": {"schema": _TEXT}}
        yield f"/mixpanel/{name}", _operation(summary, "mixpanel", body, answer)


def operations() -> dict[tuple[str, str], Schema]:
    """Give the operations by path and method."""
    script = _operation(
        "The script for web pages", "pages", None, {"text/javascript": {"schema": _TEXT}}
    )
    events = _operation(
        "What the script sends", "pages", {"text/plain": {"schema": _TEXT}}, _ref("BatchTracked")
    )
    posted = [*_segment(), *_posthog(), *_mixpanel(), ("/raydo", events)]
    return {("/raydo.js", "get"): script} | {(path, "post"): each for path, each in posted}
