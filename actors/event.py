"""Read one event as a client sent it, once, and refuse it with a sentence that names the place.

What travels on is a plain tuple in the order of `raw_events`' columns. `properties` and `context`
are the very text that arrived: checked, never built into Python objects, never encoded again. Only
their texts are written without needless escapes, as whoever asks for them writes them.

The rules:

* `user_id` is `userId`, else `anonymousId`; each is looked for at the top level, then in
  `properties`, and may be spelt `user_id` and `anonymous_id`. Numbers become text; null and ""
  count as absent.
* `timestamp` is ISO 8601 with an offset, or milliseconds since 1970; absent, it is the receipt.
  With `sentAt` it becomes `received - (sentAt - timestamp)`, which takes out a client's wrong
  clock. More than a day ahead of its receipt it is the receipt, and marked `CLAMPED`.
* A bot is marked `BOT`, never dropped: `context.bot` is true, or `properties.is_bot` is true, 1,
  "1" or "true", or the event's own user agent is a known bot's (`context.userAgent` or
  `user_agent`, or as vendors' clients have it among the properties).
* Without a `messageId` the event gets a new id and is marked `MADE_ID`: nobody can send it twice.
"""

from __future__ import annotations

from codecs import utf_8_decode
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from itertools import count
from math import isfinite
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from raydo.actors.bots import is_bot
from raydo.actors.event_checks import (
    check_depth,
    check_name,
    check_text,
    invalid,
    plain_texts,
    refuse_non_finite,
    refused,
)
from raydo.pipelining.errors import CallerError, InvalidEvent, TooLarge
from raydo.pipelining.limits import (
    EVENT_BYTES_MAX,
    EVENT_ID_BYTES_MAX,
    EVENT_NAME_BYTES_MAX,
    FUTURE_S_MAX,
    IMPORT_SLACK_BYTES,
)

CLAMPED: Final = 1  # the timestamp lay too far ahead and is the receipt's
BOT: Final = 2
MADE_ID: Final = 4  # the id is ours, so the event cannot be a repetition

_KEPT_FLAGS: Final = range(8)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FUTURE_MS: Final = FUTURE_S_MAX * 1000
_SHORT: Final = EVENT_NAME_BYTES_MAX // 4  # characters that fit, whatever UTF-8 makes of them
_BOT_MARKS: Final = (True, "1", "true")  # 1 equals True

Scalar = str | int | float | None
NewId = Callable[[], str]
T = TypeVar("T")


class Event(NamedTuple):
    """One event, checked; the fields stand in the order of the columns of `raw_events`."""

    id: str
    event: str
    user_id: str | None
    anonymous_id: str | None
    timestamp_ms: int
    received_ms: int
    properties: str  # JSON text of an object
    context: str | None  # the same, or nothing
    flags: int


_ABSENT: Final = msgspec.Raw()
_NOTHING: Final = (_ABSENT, msgspec.Raw(b"null"))


class _Wire(msgspec.Struct, gc=False):
    event: str | None = None
    properties: msgspec.Raw = _ABSENT
    context: msgspec.Raw = _ABSENT
    timestamp: Scalar = None
    sent: Scalar = msgspec.field(name="sentAt", default=None)
    message: Scalar = msgspec.field(name="messageId", default=None)
    message_id: Scalar = None
    user: Scalar = msgspec.field(name="userId", default=None)
    user_id: Scalar = None
    anonymous: Scalar = msgspec.field(name="anonymousId", default=None)
    anonymous_id: Scalar = None
    received: Any = msgspec.field(name="receivedAt", default=None)
    received_at: Any = None
    flags: Any = msgspec.field(name="raydoFlags", default=None)  # of an export


class _Properties(msgspec.Struct, gc=False):
    user: Scalar = msgspec.field(name="userId", default=None)
    user_id: Scalar = None
    anonymous: Scalar = msgspec.field(name="anonymousId", default=None)
    anonymous_id: Scalar = None
    is_bot: Any = None
    agent: Any = msgspec.field(name="$raw_user_agent", default=None)
    agent_of: Any = msgspec.field(name="$user_agent", default=None)
    agent_by: Any = msgspec.field(name="$useragent", default=None)
    agent_own: Any = msgspec.field(name="userAgent", default=None)


class _Context(msgspec.Struct, gc=False):
    bot: Any = None
    agent: Any = msgspec.field(name="userAgent", default=None)
    user_agent: Any = None


_wire = msgspec.json.Decoder(_Wire).decode
_properties = msgspec.json.Decoder(_Properties).decode
_context = msgspec.json.Decoder(_Context).decode
_NO_PROPERTIES: Final = _Properties()
_new: Final = tuple.__new__  # half the time of calling a named tuple


def parse(
    item: bytes | Mapping[str, Any],
    received_ms: int,
    sent_at_ms: int | None = None,
    *,
    new_id: NewId,
    historical: bool = False,
) -> Event:
    """Read one event; `sent_at_ms` is its batch's `sentAt`, and the event's own wins.

    A `historical` event is an import's: its own `receivedAt`, if it has one, is its receipt, and
    the marks that an export gave it (`raydoFlags`) hold.

    Raises:
        InvalidEvent: it breaks a rule; the sentence names the place as `$.path`.
        TooLarge: more than EVENT_BYTES_MAX.
    """
    return _parse(item, received_ms, sent_at_ms, new_id, historical)


def parse_all(
    items: Iterable[bytes | Mapping[str, Any]],
    received_ms: int,
    sent_at_ms: int | None = None,
    *,
    new_id: NewId,
    historical: bool = False,
) -> list[Event | CallerError]:
    """Read a batch: for each item, in order, its event or the error that refuses it alone."""
    parsed: list[Event | CallerError] = []
    for item in items:
        try:
            parsed.append(_parse(item, received_ms, sent_at_ms, new_id, historical))
        except CallerError as error:
            parsed.append(error.with_traceback(None))  # a traceback would keep every frame alive
    return parsed


def _parse(
    item: object, received_ms: int, sent_at_ms: int | None, new_id: NewId, historical: bool
) -> Event:
    # One function for what every event needs, and another one only for what few do: at this
    # size calls would be the greater part of the work.
    wire = _read(item if type(item) is bytes else _encode(item), historical)
    flags = 0
    if historical:
        received_ms, flags = _history(wire, received_ms)
    name, properties, inner, context = wire.event, "{}", _NO_PROPERTIES, None
    if not name or len(name) > _SHORT or "\0" in name or name.isspace():
        check_name(name)
    if wire.properties not in _NOTHING:
        properties, inner = _object(wire.properties, "$.properties", _properties)
        if inner.is_bot is not None and inner.is_bot in _BOT_MARKS:
            flags |= BOT
        agent = inner.agent or inner.agent_of or inner.agent_by or inner.agent_own
        if agent is not None and is_bot(agent):
            flags |= BOT
    if wire.context not in _NOTHING:
        context, about = _object(wire.context, "$.context", _context)
        agent = about.agent or about.user_agent
        if about.bot is True or (agent is not None and is_bot(agent)):
            flags |= BOT
    user_id = _first(wire.user, wire.user_id, inner.user, inner.user_id, "userId")
    anonymous_id = _first(
        wire.anonymous, wire.anonymous_id, inner.anonymous, inner.anonymous_id, "anonymousId"
    )
    timestamp_ms = received_ms
    if wire.timestamp is not None and wire.timestamp != "":
        timestamp_ms, clamped = _timestamp(wire.timestamp, wire.sent, received_ms, sent_at_ms)
        flags |= clamped
    message_id = _first(wire.message, wire.message_id, None, None, "messageId")
    if message_id is None:
        message_id, flags = new_id(), flags | MADE_ID
    event = (
        message_id,
        name,
        user_id or anonymous_id,
        anonymous_id,
        timestamp_ms,
        received_ms,
        properties,
        context,
        flags,
    )
    return _new(Event, event)


def _read(raw: bytes, historical: bool) -> _Wire:
    if len(raw) > EVENT_BYTES_MAX + IMPORT_SLACK_BYTES * historical:
        raise TooLarge(f"An event has at most {EVENT_BYTES_MAX} bytes; this one has {len(raw)}.")
    try:
        return _wire(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(error, "$") from None


def _history(wire: _Wire, now_ms: int) -> tuple[int, int]:
    """Return an import's receipt, and what was noted of the event then."""
    flags = wire.flags & (BOT | CLAMPED) if wire.flags in _KEPT_FLAGS else 0
    return _receipt(wire, now_ms), flags


def _receipt(wire: _Wire, now_ms: int) -> int:
    stated = wire.received_at if wire.received is None else wire.received
    if stated is None or stated == "":
        return now_ms
    if isinstance(stated, bool) or not isinstance(stated, str | int | float):
        raise refused("$.receivedAt", "a time is text or a number")
    return min(parse_time(stated, "$.receivedAt"), now_ms)  # nothing is received in the future


def parse_time(value: str | float, path: str = "$.timestamp") -> int:
    """Turn ISO 8601 with an offset, or milliseconds since 1970, into milliseconds.

    Raises:
        InvalidEvent: neither, or before 1970; the sentence names `path`.
    """
    if isinstance(value, str):
        milliseconds = _iso_ms(value, path)
    elif isinstance(value, float) and not isfinite(value):
        raise refused(path, "a time must be finite")
    else:
        milliseconds = int(value)
    if milliseconds < 0:
        raise refused(path, f"times start in 1970; this is {value!r}")
    return milliseconds


def fresh_ids(random: Callable[[int], bytes]) -> NewId:
    """Make a source of ids of 32 hex characters: 80 random bits, drawn once, and a number."""
    prefix, numbers = random(10).hex(), count()
    return lambda: f"{prefix}{next(numbers):012x}"


def _encode(item: object) -> bytes:
    # An event from a Python stub goes through the same door as one from the network.
    if isinstance(item, bytearray | memoryview):
        return bytes(item)
    if not isinstance(item, Mapping):
        raise InvalidEvent(f"An event is a JSON object, not {type(item).__name__}.")
    try:
        raw = msgspec.json.encode(item if type(item) is dict else dict(item))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise invalid(error, "$") from None
    if b"null" in raw:  # which is also how NaN and Infinity are encoded
        refuse_non_finite(item)
    return raw


def _object(raw: msgspec.Raw, path: str, decode: Callable[[msgspec.Raw], T]) -> tuple[str, T]:
    try:
        found = decode(raw)
        # Decoding checks the encoding too: SQLite would store what it can't read back.
        text = utf_8_decode(raw, "strict", True)[0]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(error, path) from None
    if "{" in text[1:] or "[" in text:
        check_depth(text, path)
    return (plain_texts(text) if "\\" in text else text), found


def _timestamp(
    stated: str | float, sent: Scalar, received_ms: int, sent_at_ms: int | None
) -> tuple[int, int]:
    moment_ms = parse_time(stated)
    if sent is not None and sent != "":
        sent_at_ms = parse_time(sent, "$.sentAt")
    if sent_at_ms is not None:
        moment_ms += received_ms - sent_at_ms
        if moment_ms < 0:
            raise refused("$.timestamp", "sentAt moves it to before 1970")
    if moment_ms > received_ms + _FUTURE_MS:
        return received_ms, CLAMPED
    return moment_ms, 0


def _iso_ms(text: str, path: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise refused(path, f"{text[:40]!r} is no time of ISO 8601") from None
    if moment.tzinfo is None:
        raise refused(path, f"{text[:40]!r} lacks its offset from UTC, such as +01:00 or Z")
    since = moment - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


def _first(top: Scalar, snake: Scalar, inner: Scalar, inner_snake: Scalar, name: str) -> str | None:
    """Return the first of the places where an id may stand that holds one, as text."""
    value, path = top, "$."
    if value is None or value == "":
        value = snake
        if value is None or value == "":
            value, path = inner, "$.properties."
            if value is None or value == "":
                value = inner_snake
                if value is None or value == "":
                    return None
    if type(value) is not str:
        value = str(int(value) if type(value) is float and value.is_integer() else value)
    if len(value) > _SHORT or "\0" in value:
        check_text(value, path + name, EVENT_ID_BYTES_MAX)
    return value
