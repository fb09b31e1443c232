"""Segment's HTTP tracking API, which RudderStack speaks as well: `/v1/*`.

A call becomes an event: `track` under its own name, the others as `PageView`, `ScreenView`,
`$identify`, `$group` and `$alias`. What they carry beside properties stands in `properties`: a page's
`name` and `category`, `traits`, `groupId`, `previousId`. An envelope's `context` holds for each of
its calls, whose own fields win; `integrations` say what Segment should forward and are not kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from raydo.actors.event_checks import refused
from raydo.gateway.body import check_values, decode, json_text
from raydo.gateway.delivery import (
    Asked,
    Delivery,
    Field,
    Fields,
    Raw,
    Shape,
    Turned,
    deliver,
    fields,
    first,
    given,
    opened,
    require,
)
from raydo.pipelining.errors import TooLarge
from raydo.pipelining.limits import SEGMENT_BATCH_BYTES_MAX

_SPELT: Final = {  # in full, and as analytics.js does
    "track": "t", "identify": "i", "page": "p", "screen": "s", "group": "g", "alias": "a",
}  # fmt: skip
PATHS: Final = {
    **{f"/v1/{path}": kind for kind, short in _SPELT.items() for path in (kind, short)},
    "/v1/batch": None,
    "/v1/b": None,
    "/v1/import": None,
}


class _Call(msgspec.Struct, gc=False):
    type: str | None = None
    event: Field = msgspec.UNSET
    userId: Field = msgspec.UNSET  # noqa: N815 - these are JSON's names
    anonymousId: Field = msgspec.UNSET  # noqa: N815
    previousId: Field = msgspec.UNSET  # noqa: N815
    groupId: Field = msgspec.UNSET  # noqa: N815
    name: Field = msgspec.UNSET
    category: Field = msgspec.UNSET
    properties: Field = msgspec.UNSET
    traits: Field = msgspec.UNSET
    context: Field = msgspec.UNSET
    timestamp: Field = msgspec.UNSET
    originalTimestamp: Field = msgspec.UNSET  # noqa: N815
    sentAt: Field = msgspec.UNSET  # noqa: N815
    messageId: Field = msgspec.UNSET  # noqa: N815
    writeKey: str | None = None  # noqa: N815


class _Context(msgspec.Struct, gc=False):
    traits: Field = msgspec.UNSET


class _Envelope(msgspec.Struct, gc=False):
    batch: list[Raw]
    context: Field = msgspec.UNSET
    sentAt: str | float | None = None  # noqa: N815
    writeKey: str | None = None  # noqa: N815


_call: Final = msgspec.json.Decoder(_Call).decode
_context: Final = msgspec.json.Decoder(_Context).decode
_envelope: Final = msgspec.json.Decoder(_Envelope)
_raw: Final = msgspec.json.Decoder(Raw)


def reader(kind: str | None) -> Callable[[bytes, Asked], Delivery]:
    """Give what reads a body: of one call of this kind, or of an envelope of many."""
    return read_envelope if kind is None else partial(read_call, kind=kind)


def read_call(body: bytes, asked: Asked, *, kind: str) -> Delivery:
    """Read one call.

    Raises:
        InvalidArgument: not JSON.
    """
    del asked
    raw: Raw = decode(_raw, json_text(body))
    return deliver([raw], partial(_turn, shared={}, kind=kind))


def read_envelope(body: bytes, asked: Asked, context: Fields | None = None) -> Delivery:
    """Read an envelope; `context` holds where neither it nor a call says otherwise.

    Raises:
        InvalidArgument: not JSON, or no envelope. TooLarge: over SEGMENT_BATCH_BYTES_MAX.
    """
    del asked
    if len(body) > SEGMENT_BATCH_BYTES_MAX:
        raise TooLarge(
            f"A batch has at most {SEGMENT_BATCH_BYTES_MAX:,} bytes; this one has {len(body):,}."
        )
    body = json_text(body)
    check_values(body)
    envelope: _Envelope = decode(_envelope, body)
    shared = {**(context or {}), **fields(envelope.context, "$.context")}
    delivery = deliver(envelope.batch, partial(_turn, shared=shared))
    delivery.key = envelope.writeKey or delivery.key
    delivery.sent_at = envelope.sentAt
    return delivery


def _turn(raw: Raw, shared: Fields, kind: str | None = None) -> Turned:
    call = _call(raw)
    kind = kind or call.type
    if kind not in _TURNS:
        raise refused("$.type", f"it is one of {', '.join(_TURNS)}")
    if not (given(call.userId) or given(call.anonymousId)):
        raise refused("$.userId", "each call has a userId or an anonymousId")
    shape = _TURNS[kind](call)
    shape.user, shape.anonymous = call.userId, call.anonymousId
    shape.timestamp = first(call.timestamp, call.originalTimestamp)
    shape.sent, shape.message = call.sentAt, call.messageId
    shape.context = call.context
    if shared:
        shape.context = {**shared, **fields(call.context, "$.context")}
    return Turned(shape, call.writeKey)


def _track(call: _Call) -> Shape:
    require(call.event, "$.event", "every track call names its event")
    return Shape(call.event, call.properties)


def _viewed(event: str, call: _Call) -> Shape:
    named = {
        name: value
        for name, value in (("name", call.name), ("category", call.category))
        if given(value)
    }
    if not named:
        return Shape(event, call.properties)
    return Shape(event, {**fields(call.properties, "$.properties"), **named})


def _identify(call: _Call) -> Shape:
    return Shape("$identify", _with(traits=_traits(call)))


def _group(call: _Call) -> Shape:
    require(call.groupId, "$.groupId", "a group call names the group")
    return Shape("$group", _with(groupId=call.groupId, traits=_traits(call)))


def _traits(call: _Call) -> Field:
    """Find the traits; RudderStack's SDKs put a user's into the context."""
    if given(call.traits):
        return call.traits
    return _context(opened(call.context)).traits


def _alias(call: _Call) -> Shape:
    require(call.previousId, "$.previousId", "an alias call names the id from before")
    return Shape("$alias", _with(previousId=call.previousId))


def _with(**named: Field) -> dict[str, Any]:
    return {name: value for name, value in named.items() if given(value)}


_TURNS: Final[dict[str, Callable[[_Call], Shape]]] = {
    "track": _track,
    "identify": _identify,
    "page": partial(_viewed, "PageView"),
    "screen": partial(_viewed, "ScreenView"),
    "group": _group,
    "alias": _alias,
}
