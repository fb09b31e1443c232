"""A tenant's events as a file: NDJSON that every import understands, or Parquet.

    {"messageId":…,"event":…,"userId":…,"anonymousId":…,"timestamp":…,"receivedAt":…,"properties":{…}}

An import of it gives the same answers: order and receipts are the original ones, so who is known by
which id comes out the same. Memory holds one stretch, and for Parquet one row group.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from raydo.actors.export import end_of
from raydo.pipelining.errors import InvalidArgument, RaydoError
from raydo.pipelining.limits import EXPORT_TRIES_MAX, RETRY_MAX_S

if TYPE_CHECKING:
    from raydo.actors.analytics import Analytics
    from raydo.actors.export import Plan
    from raydo.pipelining.stub import Stub

Row = Mapping[str, Any]
MEDIA_TYPES: Final = {
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
_NAMES_A_USER: Final = re.compile(r'"user_?[iI]d"')
_encode: Final = msgspec.json.Encoder().encode


class Format(Protocol):
    """Write rows as one file."""

    def add(self, rows: Sequence[Row]) -> bytes:
        """Return what the file goes on with."""
        ...

    def end(self) -> bytes:
        """Return what it ends with."""
        ...


def format_of(name: str) -> Format:
    """Choose a format.

    Raises:
        InvalidArgument: there is no such one.
    """
    if name == "ndjson":
        return Ndjson()
    if name == "parquet":
        from raydo.gateway.parquet import Parquet

        return Parquet()
    raise InvalidArgument(f"An export is {' or '.join(MEDIA_TYPES)}, not {name!r:.40}.")


class Ndjson:
    """One event a line."""

    def add(self, rows: Sequence[Row]) -> bytes:
        """See `Format`."""
        return b"".join(line_of(row) + b"\n" for row in rows)

    def end(self) -> bytes:
        """See `Format`."""
        return b""


def line_of(row: Row) -> bytes:
    """Write a row of `events` as the event that it was."""
    user_id, anonymous_id = row["user_id"], row["anonymous_id"]
    line: dict[str, Any] = {"messageId": row["id"], "event": row["event"]}
    # An event that had no user says so again, unless its properties would then be asked for one.
    if user_id is not None and (
        user_id != anonymous_id or _NAMES_A_USER.search(row["properties"]) is not None
    ):
        line["userId"] = user_id
    if anonymous_id is not None:
        line["anonymousId"] = anonymous_id
    line |= {"timestamp": row["timestamp"], "receivedAt": row["received_at"]}
    for name in ("properties", "context"):
        if row[name] is not None:
            line[name] = msgspec.Raw(row[name].encode())
    if row["flags"]:
        line["raydoFlags"] = row["flags"]
    return _encode(line)


async def stretches(stub: Stub[Analytics], plan: Plan) -> AsyncIterator[list[Row]]:
    """Read everything that an export takes, by seq.

    Raises:
        RaydoError: it cannot be read.
    """
    after = 0
    while after < plan["cut_seq"]:
        reply = await _read(stub, after, plan)
        rows = reply["rows"]
        if rows:
            yield rows
        after = rows[-1]["seq"] if reply["truncated"] else end_of(after, plan)


async def _read(stub: Stub[Analytics], after: int, plan: Plan) -> Any:
    tries = 0
    while True:
        try:
            return await stub.export_stretch(after, plan)
        except RaydoError as error:
            tries += 1
            if not error.retryable or tries >= EXPORT_TRIES_MAX:
                raise
            await asyncio.sleep(error.retry_after_s or RETRY_MAX_S)


async def written(stub: Stub[Analytics], plan: Plan, made: Format) -> AsyncIterator[bytes]:
    """Write an export, piece by piece.

    Raises:
        RaydoError: it cannot be read.
    """
    async for rows in stretches(stub, plan):
        if piece := await asyncio.to_thread(made.add, rows):
            yield piece
    yield await asyncio.to_thread(made.end)
