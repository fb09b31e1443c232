"""The expressions that stand for one value each: dates, bytes, large numbers, addresses."""

from __future__ import annotations

import binascii
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from raydo.pipelining.capnweb.values import UNDEFINED, FarDate, Headers, TypedBytes, Url
from raydo.pipelining.errors import InvalidArgument, TooLarge
from raydo.pipelining.limits import CAPNWEB_BIGINT_DIGITS_MAX

Form = Callable[[list[Any]], Any]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ELEMENT_BYTES: Final = {
    "ArrayBuffer": 1,
    "DataView": 1,
    "Int8Array": 1,
    "Uint8Array": 1,
    "Uint8ClampedArray": 1,
    "Int16Array": 2,
    "Uint16Array": 2,
    "Int32Array": 4,
    "Uint32Array": 4,
    "Float32Array": 4,
    "BigInt64Array": 8,
    "BigUint64Array": 8,
    "Float64Array": 8,
}


def unknown(expression: Any) -> InvalidArgument:
    """Say that an expression is none."""
    return InvalidArgument(f"This is no expression of Cap'n Web: {expression!r:.200}")


def _bigint(expression: list[Any]) -> int:
    match expression:
        case [_, str(digits)] if digits.removeprefix("-").isdecimal() and digits.isascii():
            if len(digits) > CAPNWEB_BIGINT_DIGITS_MAX:
                raise TooLarge(f"A bigint has at most {CAPNWEB_BIGINT_DIGITS_MAX:,} digits.")
            return int(digits)
    raise unknown(expression)


def _date(expression: list[Any]) -> datetime | FarDate:
    match expression:
        case [_, None]:
            return FarDate(None)
        case [_, int(ms) | float(ms)] if not isinstance(ms, bool):
            try:
                return EPOCH + timedelta(milliseconds=int(ms))
            except OverflowError:
                return FarDate(ms)
    raise unknown(expression)


def _bytes(expression: list[Any]) -> bytes:
    match expression:
        case [_, str(text)]:
            return _decode(text)
        case [_, str(text), str(kind)] if kind in ELEMENT_BYTES:
            data = _decode(text)
            if len(data) % ELEMENT_BYTES[kind]:
                raise InvalidArgument(f"A {kind} cannot have {len(data)} bytes.")
            return TypedBytes.of(data, kind)
    raise unknown(expression)


def _decode(text: str) -> bytes:
    text = text.rstrip("=")
    try:
        return binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except ValueError as error:
        raise InvalidArgument(f"Bytes travel as base64; this is not: {error}.") from None


def _url(expression: list[Any]) -> Url:
    match expression:
        case [_, str(href)]:
            return Url(href)
    raise unknown(expression)


def _headers(expression: list[Any]) -> Headers:
    match expression:
        case [_, list(pairs)] if all(_is_pair(pair) for pair in pairs):
            return Headers(pairs)
    raise unknown(expression)


def _is_pair(pair: Any) -> bool:
    return type(pair) is list and len(pair) == 2 and all(type(part) is str for part in pair)


def _constant(value: Any) -> Form:
    return lambda _expression: value


SPECIAL: Final[dict[str, Form]] = {
    "bigint": _bigint,
    "date": _date,
    "bytes": _bytes,
    "url": _url,
    "headers": _headers,
    "undefined": _constant(UNDEFINED),
    "inf": _constant(float("inf")),
    "-inf": _constant(float("-inf")),
    "nan": _constant(float("nan")),
}
