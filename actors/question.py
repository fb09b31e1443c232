"""One question to a tenant's data: what is asked, as of when, and where the data is.

It crosses to another process, so it is plain values all through.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgpack

from raydo.actors.lake import Lake
from raydo.pipelining.errors import InvalidArgument, QueryError
from raydo.pipelining.limits import QUERY_HISTORY_S_MAX, QUERY_S_MAX

EVENTS: Final = re.compile(r"\bevents\b", re.IGNORECASE)
_AS_OF: Final = (
    "asOf is a moment: '2026-01-31T12:00:00Z', milliseconds since 1970,"
    ' or {"snapshot_id": "…"} for one of the archive\'s snapshots.'
)
_MOMENT_MS_MAX: Final = 253_402_300_799_999  # the end of the year 9999
_SNAPSHOT_MAX: Final = 2**63 - 1


class AsOf(NamedTuple):
    """The past that a question is about: a moment, or a snapshot of the archive."""

    ms: int | None = None
    snapshot_id: int | None = None


PRESENT: Final = AsOf()


@dataclass(frozen=True, slots=True)
class Question:
    """Ask the database at `path`, and the archive at `lake` if there may be one."""

    path: Path
    zone: str
    sql: str
    params: Any = None
    limit: int | None = None
    as_of: AsOf = PRESENT
    lake: Lake | None = field(default=None)
    shape: Sequence[Any] | None = None  # what to make of the rows; see `shapes`
    week_start: str = "monday"

    @property
    def heavy(self) -> bool:
        """Whether the answer may need the archive; a guess, for who comes first."""
        if self.lake is None:
            return False
        return self.as_of != PRESENT or EVENTS.search(str(self.sql)) is not None

    @property
    def seconds(self) -> float:
        """How long the answer may take."""
        return QUERY_HISTORY_S_MAX if self.heavy or self.shape is not None else QUERY_S_MAX

    @property
    def sqlite_seconds(self) -> float:
        """How long SQLite alone may take; a metric's statement is ours, and runs to its end."""
        return QUERY_S_MAX if self.shape is None else QUERY_HISTORY_S_MAX

    def encode(self) -> bytes:
        """Pack the question.

        Raises:
            InvalidArgument: a parameter is no plain value.
            QueryError: a value cannot be sent.
        """
        lake = self.lake
        fields = {
            "path": str(self.path),
            "zone": self.zone,
            "sql": self.sql,
            "params": dict(self.params) if isinstance(self.params, Mapping) else self.params,
            "limit": self.limit,
            "as_of": list(self.as_of),
            "lake": lake and [str(lake.folder), lake.namespace, dict(lake.properties)],
            "shape": self.shape,
            "week_start": self.week_start,
        }
        try:
            packed: bytes = msgpack.packb(fields)
        except UnicodeEncodeError:
            raise QueryError("The query holds a lone surrogate.") from None
        except OverflowError:
            raise QueryError("A number of the query has more than 64 bits.") from None
        except (TypeError, ValueError):
            raise InvalidArgument("params is a list for ? or an object for :name.") from None
        return packed


def decode(packed: bytes) -> Question:
    """Unpack a question."""
    fields = msgpack.unpackb(packed, strict_map_key=False)
    lake = fields.pop("lake")
    return Question(
        **{
            **fields,
            "path": Path(fields["path"]),
            "as_of": AsOf(*fields["as_of"]),
            "lake": lake and Lake(Path(lake[0]), lake[1], lake[2]),
        }
    )


def parse_as_of(value: object) -> AsOf:
    """Read the `asOf` of a request.

    Raises:
        InvalidArgument: it is none of the three things that it can be.
    """
    if value is None:
        return PRESENT
    if isinstance(value, Mapping) and set(value) == {"snapshot_id"}:
        return AsOf(snapshot_id=_whole(value["snapshot_id"], _SNAPSHOT_MAX))
    if isinstance(value, str) and not value.isdecimal():
        return AsOf(ms=_moment_ms(value))
    return AsOf(ms=_whole(value, _MOMENT_MS_MAX))


def _whole(value: object, greatest: int) -> int:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= greatest:
        return value
    raise InvalidArgument(_AS_OF)


def _moment_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return int(moment.timestamp() // 1) * 1000 + moment.microsecond // 1000
    except (ValueError, OverflowError):
        pass
    raise InvalidArgument(_AS_OF)
