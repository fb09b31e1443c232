"""PostHog's capture API: `/batch/` and `/capture/`, and `/i/v1/analytics/events` of newer SDKs.

An event keeps its name but for those with a meaning of their own: `$pageview` is `PageView`,
`$screen` `ScreenView`, `$identify` and `$set` are `$identify`, `$groupidentify` is `$group` and
`$create_alias` `$alias`. `$set` stands in `properties.traits`. A `distinct_id` is a user's, unless the
event says that it is of nobody known (`$is_identified`, `$process_person_profile`: false): then it is
anonymous, as `$anon_distinct_id` is.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.responses import Response

from raydo.gateway.body import check_values, decode, json_text
from raydo.gateway.delivery import (
    Asked,
    Delivery,
    Field,
    Fields,
    Raw,
    Shape,
    Told,
    Turned,
    deliver,
    fields,
    first,
    given,
    opened,
    require,
    text,
)
from raydo.gateway.replies import success

BATCH: Final = ("/batch", "/capture", "/i/v0/ai/batch")  # with a slash at the end, too
EVENTS: Final = ("/i/v1/analytics/events",)
FLAGS: Final = ("/flags", "/decide")

_FALSE: Final = Raw(b"false")
_IDENTIFY: Final = "$identify"
_NAMES: Final[dict[str | None, str]] = {
    "$pageview": "PageView",
    "$screen": "ScreenView",
    "$set": _IDENTIFY,
    _IDENTIFY: _IDENTIFY,
    "$groupidentify": "$group",
    "$create_alias": "$alias",
}


class _Capture(msgspec.Struct, gc=False):
    event: Field = msgspec.UNSET
    uuid: Field = msgspec.UNSET
    distinct_id: Field = msgspec.UNSET
    timestamp: Field = msgspec.UNSET
    properties: Field = msgspec.UNSET
    options: Field = msgspec.UNSET
    session_id: Field = msgspec.UNSET
    window_id: Field = msgspec.UNSET
    set: Field = msgspec.field(name="$set", default=msgspec.UNSET)
    set_once: Field = msgspec.field(name="$set_once", default=msgspec.UNSET)
    api_key: str | None = None
    token: str | None = None


class _Named(msgspec.Struct, gc=False):
    uuid: Field = msgspec.UNSET


class _Inner(msgspec.Struct, gc=False):
    """What properties say of the event itself."""

    distinct_id: Field = msgspec.UNSET
    token: Field = msgspec.UNSET
    anonymous: Field = msgspec.field(name="$anon_distinct_id", default=msgspec.UNSET)
    identified: Field = msgspec.field(name="$is_identified", default=msgspec.UNSET)
    profile: Field = msgspec.field(name="$process_person_profile", default=msgspec.UNSET)


class _Options(msgspec.Struct, gc=False):
    profile: Field = msgspec.field(name="process_person_profile", default=msgspec.UNSET)


class _Envelope(msgspec.Struct, gc=False):
    batch: list[Raw] | msgspec.UnsetType = msgspec.UNSET
    api_key: str | None = None
    token: str | None = None
    sent_at: str | float | None = None


_capture: Final = msgspec.json.Decoder(_Capture).decode
_named: Final = msgspec.json.Decoder(_Named).decode
_inner: Final = msgspec.json.Decoder(_Inner).decode
_options: Final = msgspec.json.Decoder(_Options).decode
_envelope: Final = msgspec.json.Decoder(_Envelope)
_array: Final = msgspec.json.Decoder(list[Raw])


def read_batch(body: bytes, asked: Asked) -> Delivery:
    """Read an envelope around many events, an array of them, or one.

    Raises:
        InvalidArgument: not JSON, or another shape. TooLarge: too many.
    """
    del asked
    body = json_text(body)
    check_values(body)
    if body.startswith(b"["):
        return deliver(decode(_array, body), _turn, _uuid)
    envelope: _Envelope = decode(_envelope, body)
    one = envelope.batch is msgspec.UNSET
    delivery = deliver([Raw(body)] if one else envelope.batch, _turn, _uuid)  # type: ignore[arg-type]
    delivery.key = envelope.api_key or envelope.token or delivery.key
    delivery.sent_at = envelope.sent_at
    return delivery


def read_events(body: bytes, asked: Asked) -> Delivery:
    """Read what newer SDKs send: when it left is in a header, and so is who sent it.

    Raises:
        InvalidArgument: not JSON, or another shape. TooLarge: too many.
    """
    delivery = read_batch(body, asked)
    delivery.sent_at = asked.header(b"posthog-request-timestamp")
    return delivery


def reply_events(told: Told, delivery: Delivery) -> Response:
    """Say of each event by its uuid whether it was taken; none has to come again."""
    results: dict[str, Any] = {name: {"result": "ok"} for name in delivery.names if name}
    for each in told.rejected:
        if name := delivery.names[each["index"]]:
            results[name] = {"result": "drop", "details": each["error"]}
    return success(
        results=results,
        accepted=told.accepted,
        duplicates=told.duplicates,
        rejected=told.rejected,
    )


def flags() -> Response:
    """Say that there are no feature flags; SDKs that ask go on without."""
    return success(
        flags={}, featureFlags={}, featureFlagPayloads={}, errorsWhileComputingFlags=False
    )


def _uuid(raw: Raw) -> Field:
    return _named(raw).uuid


def _turn(raw: Raw) -> Turned:
    capture = _capture(raw)
    inner = _inner(opened(capture.properties))
    require(capture.event, "$.event", "every event has a name")
    name = text(capture.event)
    distinct = first(capture.distinct_id, inner.distinct_id)
    require(distinct, "$.distinct_id", "every event has a distinct_id")
    shape = Shape(_NAMES.get(name, capture.event), _properties(capture, inner, name))
    shape.message, shape.timestamp = capture.uuid, capture.timestamp
    if name == "$create_alias":
        _link(shape, fields(capture.properties, "$.properties"), distinct)
    elif _is_nobody(capture, inner):
        shape.anonymous = distinct
    else:
        shape.user, shape.anonymous = distinct, inner.anonymous
    return Turned(shape, capture.api_key or capture.token or text(inner.token), text(capture.uuid))


def _is_nobody(capture: _Capture, inner: _Inner) -> bool:
    profile = first(_options(opened(capture.options)).profile, inner.profile)
    return _FALSE in (profile, inner.identified)


def _link(shape: Shape, properties: Fields, distinct: Field) -> None:
    """Make `alias` the person whose id was `distinct_id` before."""
    user = properties.pop("alias", msgspec.UNSET)
    require(user, "$.properties.alias", "an alias names the other id")
    properties.pop("distinct_id", None)
    shape.user = user
    shape.properties = {**properties, "previousId": distinct}


def _properties(capture: _Capture, inner: _Inner, name: str | None) -> Field | Fields:
    """Take properties as they are, or with what stands elsewhere in the event; never the key."""
    added = _added(capture)
    turn = _RENAMED.get(_NAMES.get(name, ""))
    if not (added or turn or given(inner.token)):
        return capture.properties
    found = {**fields(capture.properties, "$.properties"), **added}
    found.pop("token", None)
    for old, new in (turn or {}).items():
        if old in found:
            found[new] = found.pop(old)
    return found


_RENAMED: Final = {
    _IDENTIFY: {"$set": "traits"},
    "$group": {"$group_key": "groupId", "$group_type": "groupType", "$group_set": "traits"},
}


def _added(capture: _Capture) -> Fields:
    named = (
        ("$set", capture.set),
        ("$set_once", capture.set_once),
        ("$session_id", capture.session_id),
        ("$window_id", capture.window_id),
    )
    return {name: value for name, value in named if isinstance(value, Raw) and given(value)}
