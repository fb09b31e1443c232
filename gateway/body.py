"""Bodies: read within bounds, decompressed within bounds, and cut into events undecoded.

What a body is follows from its bytes, never from its content type: `curl -d` labels JSON as a
form. Only the outermost layer is parsed here, so each event's own bytes travel on to its object,
which judges them one by one; one bad event then refuses itself and not its batch.
"""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from raydo.gateway.compression import decompress
from raydo.gateway.headers import header
from raydo.pipelining.errors import InvalidArgument, Overloaded, TooLarge
from raydo.pipelining.limits import (
    BATCH_EVENTS_MAX,
    BODIES_BYTES_MAX,
    BODY_BYTES_MAX,
    BODY_INLINE_BYTES_MAX,
    BODY_VALUES_MAX,
)

T = TypeVar("T")
Raw = msgspec.Raw
Unset = msgspec.UnsetType


class _Document(msgspec.Struct):
    """Tell one event from an envelope around many, without looking deeper."""

    event: Raw | Unset = msgspec.UNSET
    batch: list[Raw] | Unset = msgspec.UNSET
    sent_at: str | float | Unset | None = msgspec.field(default=msgspec.UNSET, name="sentAt")
    write_key: str | None = msgspec.field(default=None, name="writeKey")


_document: Final = msgspec.json.Decoder(_Document)
_array: Final = msgspec.json.Decoder(list[Raw])
_value: Final = msgspec.json.Decoder(Raw)


class Batch(NamedTuple):
    """Events as their own JSON bytes, when their sender says it sent them, and with which key."""

    items: list[bytes]
    sent_at: str | float | None = None
    write_key: str | None = None


class Bodies:
    """All bodies that this process holds at one time, bounded together."""

    def __init__(self) -> None:
        self.held_bytes = 0

    @asynccontextmanager
    async def read(self, scope: Scope, receive: Receive) -> AsyncIterator[bytes]:
        """Yield the whole body, decompressed; its bytes count as held until the block ends.

        Raises:
            TooLarge: the body, before or after decompression, is over `BODY_BYTES_MAX`.
            Overloaded: all bodies together are over `BODIES_BYTES_MAX`.
            InvalidArgument: damaged compression. UnsupportedMedia: an unknown one.
        """
        chunks: list[bytes] = []
        size = held = 0
        try:
            async for chunk in _chunks(receive):
                size += len(chunk)
                if size > BODY_BYTES_MAX:
                    raise TooLarge(f"A body has at most {BODY_BYTES_MAX:,} bytes.")
                held += self._hold(len(chunk))
                chunks.append(chunk)
            raw = b"".join(chunks)
            body = await inline(decompress, raw, header(scope, b"content-encoding"))
            if body is not raw:
                held += self._hold(len(body))
            yield body
        finally:
            self.held_bytes -= held

    def _hold(self, size: int) -> int:
        if self.held_bytes + size > BODIES_BYTES_MAX:
            raise Overloaded("Too many request bodies at once; send again in a moment.")
        self.held_bytes += size
        return size


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
        if chunk := message.get("body", b""):
            yield chunk


async def inline(func: Callable[..., T], body: bytes, *args: Any) -> T:
    """Run `func(body, *args)` here if the body is small, else on a thread, so none else waits."""
    if len(body) <= BODY_INLINE_BYTES_MAX:
        return func(body, *args)
    return await asyncio.to_thread(func, body, *args)


def one_event(body: bytes) -> Batch:
    """Take a body that holds exactly one event.

    Raises:
        InvalidArgument: not JSON, not one object, or an envelope of many events.
    """
    body = json_text(body)
    if not body.startswith(b"{"):
        raise InvalidArgument(
            "One event is a JSON object; send arrays and lines of events to /track/batch."
        )
    document: _Document = decode(_document, body)
    if document.event is msgspec.UNSET and document.batch is not msgspec.UNSET:
        raise InvalidArgument('Send {"batch": […]} to /track/batch; /track takes one event.')
    return Batch([body], _sent_at(document), document.write_key)


def many_events(body: bytes) -> Batch:
    """Cut a JSON array, `{"batch": […]}`, newline-delimited JSON or a single event into events.

    Raises:
        InvalidArgument: not JSON, or another shape. TooLarge: over `BATCH_EVENTS_MAX` events.
    """
    body = json_text(body)
    batch = _cut(body)
    if len(batch.items) > BATCH_EVENTS_MAX:
        raise TooLarge(
            f"A batch has at most {BATCH_EVENTS_MAX:,} events; this one has {len(batch.items):,}."
        )
    return batch


def _cut(body: bytes) -> Batch:
    if body.startswith(b"["):
        check_values(body)
        return Batch(_bytes_of(decode(_array, body)))
    if not body.startswith(b"{"):
        raise InvalidArgument('A batch is a JSON array, {"batch": […]}, or one JSON object a line.')
    if _is_lines(body):
        return Batch([line for line in map(bytes.strip, body.split(b"\n")) if line])
    check_values(body)
    document: _Document = decode(_document, body)
    if document.batch is msgspec.UNSET:
        return Batch([body], _sent_at(document), document.write_key)
    return Batch(_bytes_of(document.batch), _sent_at(document), document.write_key)


def _is_lines(body: bytes) -> bool:
    """Tell lines of objects from one object over several lines, by whether the first line ends."""
    first, newline, rest = body.partition(b"\n")
    if not newline or not rest or not first.rstrip().endswith(b"}"):
        return False
    return rest.lstrip().startswith(b"{") or _is_json(first)


def _is_json(text: bytes) -> bool:
    try:
        _value.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def check_values(body: bytes) -> None:
    """Refuse a body of too many values, before it is cut.

    Raises:
        TooLarge: over BODY_VALUES_MAX.
    """
    # Each array element costs an object here, however short it is: `[1,1,1,…` of a full body
    # would take half a gigabyte before its length could be judged.
    if len(body) > BODY_VALUES_MAX and body.count(b",") > BODY_VALUES_MAX:
        raise TooLarge(f"A body holds at most {BODY_VALUES_MAX:,} JSON values.")


def _bytes_of(items: list[Raw]) -> list[bytes]:
    return [bytes(item) for item in items]


def _sent_at(document: _Document) -> str | float | None:
    sent_at = document.sent_at
    return None if isinstance(sent_at, Unset) else sent_at


def json_text(body: bytes) -> bytes:
    """Strip a byte-order mark and space, and make sure that the rest is UTF-8.

    Raises:
        InvalidArgument: it is not, or nothing is left.
    """
    body = body.removeprefix(codecs.BOM_UTF8).strip()
    if not body:
        raise InvalidArgument("The body is empty; it must be JSON.")
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"The body is not UTF-8 (byte {error.start}).") from None
    return body


def decode(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    """Decode JSON.

    Raises:
        InvalidArgument: it is none, or of another shape.
    """
    try:
        return decoder.decode(body)
    except RecursionError:
        raise InvalidArgument("The body's JSON is nested too deeply.") from None
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"The body has another shape: {error}.") from None
    except msgspec.DecodeError as error:
        raise InvalidArgument(f"The body is not JSON: {error}.") from None


def decode_json(body: bytes, cls: type[T]) -> T:
    """Decode a small JSON body, such as a query, into `cls`.

    Raises:
        InvalidArgument: not JSON, or not of this shape.
    """
    value: T = decode(msgspec.json.Decoder(cls), json_text(body))
    return value
