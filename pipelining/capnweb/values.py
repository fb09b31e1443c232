"""What Cap'n Web can say that JSON cannot, as Python values.

Plain Python stands for whatever it can: datetime for a Date, bytes for Uint8Array, int for BigInt.
The rest are the classes here. They reach the gateway's own objects as they are; for a durable
object `plain` turns them into data that it can keep.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from raydo.pipelining.errors import InvalidArgument


class Undefined:
    """JavaScript's `undefined`, of which there is one."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNDEFINED"

    def __bool__(self) -> bool:
        return False


UNDEFINED: Final = Undefined()


class PeerError(Exception):
    """A JavaScript error: its name, its message, and its other properties."""

    def __init__(self, name: str, message: str, props: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.name = name
        self.message = message
        self.props = props or {}


@dataclass(frozen=True, slots=True)
class FarDate:
    """A Date that no datetime can hold: an invalid one (None), or one beyond the years 1 to 9999."""

    ms: float | None


class TypedBytes(bytes):
    """The bytes of a typed array or an ArrayBuffer; `kind` is its name in JavaScript."""

    kind: str

    @staticmethod
    def of(data: bytes, kind: str) -> TypedBytes:
        typed = TypedBytes(data)
        typed.kind = kind
        return typed


@dataclass(frozen=True, slots=True)
class Url:
    href: str


@dataclass(frozen=True, slots=True)
class Headers:
    pairs: list[list[str]]


@dataclass(frozen=True, slots=True)
class Request:
    url: str
    init: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Response:
    body: Any
    init: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Blob:
    """A Blob whose bytes have all arrived."""

    mime: str
    data: bytes


def plain(value: Any) -> Any:
    """Give the data that stands for a foreign value at a durable object.

    Raises:
        InvalidArgument: a date that nothing there can hold.
    """
    form = _PLAIN.get(type(value))
    return value if form is None else form(value)


def _date(value: FarDate) -> None:
    if value.ms is not None:
        raise InvalidArgument("A date lies in the years 1 to 9999.")


_PLAIN: Final[dict[type, Callable[[Any], Any]]] = {
    Undefined: lambda _: None,
    FarDate: _date,
    PeerError: lambda error: {**error.props, "name": error.name, "message": error.message},
    TypedBytes: bytes,
    Url: lambda url: url.href,
    Headers: lambda headers: dict(headers.pairs),
    Request: lambda request: {**request.init, "url": request.url},
    Response: lambda response: {**response.init, "body": response.body},
    Blob: lambda blob: blob.data,
}
