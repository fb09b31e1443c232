"""Values to expressions: what an answer, an error, or a call of a client's function says.

A list is wrapped once more, since a bare array would be taken for one of the forms. What cannot
travel refuses the whole message, and what it had exported until then is taken back.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any, Final, Protocol

from raydo.pipelining.capnweb.faults import describe
from raydo.pipelining.capnweb.slot import Slot
from raydo.pipelining.capnweb.special import EPOCH
from raydo.pipelining.capnweb.stub import Answer, ClientStub
from raydo.pipelining.capnweb.targets import TARGETS, Target
from raydo.pipelining.capnweb.values import (
    Blob,
    FarDate,
    Headers,
    Request,
    Response,
    TypedBytes,
    Undefined,
    Url,
)
from raydo.pipelining.errors import InvalidArgument, TooLarge
from raydo.pipelining.limits import (
    CAPNWEB_ANSWER_CHARS_MAX,
    CAPNWEB_ANSWER_VALUES_MAX,
    CAPNWEB_BIGINT_DIGITS_MAX,
    CAPNWEB_DEPTH_MAX,
)

SAFE_MAX: Final = 2**53 - 1  # beyond it a JavaScript number is no longer exact
_MS: Final = timedelta(milliseconds=1)


class Exporter(Protocol):
    """The session, as the writer sees it."""

    def export_target(self, target: Target) -> int:
        """Give a number under which the client can call a target."""

    def export_promise(self, slot: Slot) -> int:
        """Give a number under which the client will get a value."""

    def unexport(self, number: int) -> None:
        """Take a number back that was never sent."""

    def send_content(self, data: bytes) -> int:
        """Open a pipe to the client and send bytes through it, after this message."""


class Writer:
    """Write one message."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter
        self._exported: list[int] = []
        self._left = CAPNWEB_ANSWER_VALUES_MAX
        self._chars = CAPNWEB_ANSWER_CHARS_MAX

    def write(self, value: Any) -> Any:
        """Give the expression that stands for a value.

        Raises:
            InvalidArgument, TooLarge: something inside cannot travel.
        """
        try:
            return self._write(value, CAPNWEB_DEPTH_MAX)
        except BaseException:
            for number in self._exported:
                self._exporter.unexport(number)
            raise

    def error(self, error: BaseException) -> list[Any]:
        """Give the expression that stands for an error; what it carries may be left out."""
        name, message, props = describe(error)
        try:
            return (
                ["error", name, message, None, self.write(props)]
                if props
                else [
                    "error",
                    name,
                    message,
                ]
            )
        except (InvalidArgument, TooLarge):
            return ["error", name, message]

    def _write(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise TooLarge(f"An answer has at most {CAPNWEB_ANSWER_VALUES_MAX:,} values.")
        kind = type(value)
        if kind is str:
            self._spend(len(value))
            return value
        if value is None or kind is bool:
            return value
        if kind is int:
            return value if -SAFE_MAX <= value <= SAFE_MAX else _bigint(value)
        if depth <= 0:
            raise TooLarge(f"A value is nested deeper than {CAPNWEB_DEPTH_MAX} levels.")
        write, depth = self._write, depth - 1
        if kind is dict:
            return {
                key if type(key) is str else str(key): write(item, depth)
                for key, item in value.items()
            }
        if kind is list or kind is tuple:
            return [[write(item, depth) for item in value]]
        return self._special(value, depth)

    def _spend(self, chars: int) -> None:
        self._chars -= chars
        if self._chars < 0:
            raise TooLarge(f"An answer has at most {CAPNWEB_ANSWER_CHARS_MAX:,} characters.")

    def _special(self, value: Any, depth: int) -> Any:
        if isinstance(value, bytes):
            self._spend(len(value) * 4 // 3)
        form = _FORMS.get(type(value))
        if form is not None:
            return form(value)
        match value:
            case BaseException():
                name, message, props = describe(value)
                more = [None, self._write(props, depth)] if props else []
                return ["error", name, message, *more]
            case Request(url, init):
                return ["request", url, self._init(init, depth)]
            case Response(body, init):
                return ["response", self._write(body, depth), self._init(init, depth)]
        return self._reference(value, depth)

    def _init(self, init: dict[str, Any], depth: int) -> dict[str, Any]:
        """Write the settings of a request or response, of which only the body is an expression."""
        return {
            key: self._write(item, depth) if key in {"body", "signal"} else item
            for key, item in init.items()
        }

    def _reference(self, value: Any, depth: int) -> Any:
        match value:
            case ClientStub():
                return ["import", value.reference]
            case Blob(mime, data):
                return ["blob", mime, ["readable", self._exporter.send_content(data)]]
            case Answer(slot=slot) | (Slot() as slot):
                return self._slot(slot, depth)
        if isinstance(value, TARGETS):
            number = self._exporter.export_target(value)
            self._exported.append(number)
            return ["export", number]
        raise InvalidArgument(f"A {type(value).__name__} cannot travel to JavaScript.")

    def _slot(self, slot: Slot, depth: int) -> Any:
        if slot.whole and slot.failure is None:
            return self._write(slot.value, depth)
        number = self._exporter.export_promise(slot)
        self._exported.append(number)
        return ["promise", number]


def _bigint(value: int) -> list[str]:
    if value.bit_length() > CAPNWEB_BIGINT_DIGITS_MAX * 3:
        raise TooLarge(f"A number has at most {CAPNWEB_BIGINT_DIGITS_MAX:,} digits.")
    return ["bigint", str(value)]


def _float(value: float) -> Any:
    if value - value == 0:
        return value
    return ["nan"] if value != value else ["inf"] if value > 0 else ["-inf"]  # noqa: PLR0124


def _datetime(value: datetime) -> list[Any]:
    if value.utcoffset() is None:
        raise InvalidArgument("A datetime without a time zone cannot travel; give it one.")
    return ["date", (value - EPOCH) // _MS]


def _bytes(value: bytes) -> list[str]:
    return ["bytes", binascii.b2a_base64(value, newline=False).decode("ascii").rstrip("=")]


_FORMS: Final[dict[type, Callable[[Any], Any]]] = {
    float: _float,
    bytes: _bytes,
    TypedBytes: lambda value: [*_bytes(value), value.kind],
    datetime: _datetime,
    date: date.isoformat,
    FarDate: lambda value: ["date", value.ms],
    Undefined: lambda _: ["undefined"],
    Url: lambda value: ["url", value.href],
    Headers: lambda value: ["headers", value.pairs],
}
