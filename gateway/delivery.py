"""What a vendor's request brings, once it is read: events in our own shape, and who sent them.

A module for each vendor turns a body into this, without I/O. What it cannot turn is refused alone,
by its place in the body, in the words of the vendor's own fields; everything else about an event is
judged where every event is, in its tenant's object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from raydo.actors.event_checks import invalid, refused
from raydo.actors.tallies import Ingested, Rejected
from raydo.pipelining.errors import CallerError, Forbidden, TooLarge
from raydo.pipelining.limits import BATCH_EVENTS_MAX

T = TypeVar("T")
Raw = msgspec.Raw
Unset = msgspec.UnsetType
Field = Raw | Unset  # a field of JSON as it was sent, or none
Fields = dict[str, Raw]

_EMPTY: Final = (Raw(b"null"), Raw(b'""'))
_EMPTY_CHARS: Final = 4
_NO_FIELDS: Final = Raw(b"{}")
_fields: Final = msgspec.json.Decoder(Fields).decode
_text: Final = msgspec.json.Decoder(str).decode
encode: Final = msgspec.json.Encoder().encode


class Shape(msgspec.Struct, gc=False):
    """An event in our own shape; fields are carried as they were sent."""

    event: Any
    properties: Any = msgspec.UNSET
    user: Field = msgspec.field(name="userId", default=msgspec.UNSET)
    anonymous: Field = msgspec.field(name="anonymousId", default=msgspec.UNSET)
    timestamp: Any = msgspec.UNSET
    sent: Field = msgspec.field(name="sentAt", default=msgspec.UNSET)
    message: Field = msgspec.field(name="messageId", default=msgspec.UNSET)
    context: Any = msgspec.UNSET


class Asked(NamedTuple):
    """What a request says beside its body."""

    query: Mapping[str, str] = {}
    headers: Mapping[bytes, bytes] = {}

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


@dataclass(slots=True)
class Delivery:
    """Events and where in the body each stood; the key and the time of sending, if it told them."""

    count: int = 0  # of what the body holds, refused or not
    items: list[bytes] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    refused: list[Rejected] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)  # what the vendor calls each
    key: str | None = None
    sent_at: str | float | None = None
    asked: Asked = field(default_factory=Asked)

    def tell(self, done: Ingested) -> Told:
        """Say of the whole body what became of it; the object saw only what could be turned."""
        later: list[Rejected] = [
            {**each, "index": self.places[each["index"]]} for each in done["rejected"]
        ]
        ids: list[str | None] = [None] * self.count
        for place, name in zip(self.places, done["ids"], strict=True):
            ids[place] = name
        rejected = sorted(self.refused + later, key=lambda each: each["index"])
        return Told(done["accepted"], done["duplicates"], rejected, ids)


class Told(NamedTuple):
    """What became of everything in a body, by its place there."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]
    ids: list[str | None]


class Turned(NamedTuple):
    """One item of a body, turned; `key` and `name` as it tells them."""

    shape: Shape
    key: str | None = None
    name: str | None = None


def deliver(
    items: Sequence[T],
    turn: Callable[[T], Turned],
    name_of: Callable[[T], Field] = lambda _: msgspec.UNSET,
) -> Delivery:
    """Turn every item, or refuse it alone; `name_of` tells what the vendor calls a refused one.

    Raises:
        TooLarge: over `BATCH_EVENTS_MAX`. Forbidden: they name several keys.
    """
    if len(items) > BATCH_EVENTS_MAX:
        raise TooLarge(
            f"A batch has at most {BATCH_EVENTS_MAX:,} events; this one has {len(items):,}."
        )
    delivery = Delivery(len(items))
    keys: set[str] = set()
    for place, item in enumerate(items):
        name = None
        try:
            turned = _turned(item, turn)
        except CallerError as error:
            delivery.refused.append({"index": place, "code": error.code, "error": error.message})
            name = _name(item, name_of)
        else:
            delivery.items.append(encode(turned.shape))
            delivery.places.append(place)
            name = turned.name
            if turned.key:
                keys.add(turned.key)
        delivery.names.append(name)
    delivery.key = one_key(keys)
    return delivery


def _name(item: T, name_of: Callable[[T], Field]) -> str | None:
    try:
        return text(name_of(item))
    except (CallerError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _turned(item: T, turn: Callable[[T], Turned]) -> Turned:
    try:
        return turn(item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(error, "$") from None


def one_key(keys: Iterable[str]) -> str | None:
    """Give the key that all of a request's events name.

    Raises:
        Forbidden: they name several, so they are for several tenants.
    """
    different = set(keys)
    if len(different) > 1:
        raise Forbidden("The events of one request name different keys; send them apart.")
    return different.pop() if different else None


def given(value: Field) -> bool:
    """Tell whether a field is there and holds something."""
    if value is msgspec.UNSET:
        return False
    assert isinstance(value, Raw)
    return len(value) > _EMPTY_CHARS or value not in _EMPTY


def first(*values: Field) -> Field:
    """Give the first field that holds something."""
    for value in values:
        if given(value):
            return value
    return msgspec.UNSET


def opened(value: Field) -> Raw:
    """Give a field that may be left out, as an object to look into."""
    return value if isinstance(value, Raw) and given(value) else _NO_FIELDS


def fields(value: Field, path: str) -> Fields:
    """Open an object one level deep; what is absent is empty.

    Raises:
        InvalidEvent: it is no object.
    """
    if not given(value):
        return {}
    assert isinstance(value, Raw)
    try:
        return _fields(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(error, path) from None


def text(value: Field) -> str | None:
    """Give a field's text; None where it is none."""
    if not given(value):
        return None
    assert isinstance(value, Raw)
    try:
        return _text(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def require(value: Field, path: str, reason: str) -> None:
    """Refuse what lacks a field.

    Raises:
        InvalidEvent: it does.
    """
    if not given(value):
        raise refused(path, reason)
