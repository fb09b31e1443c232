"""An object's own rows in its Iceberg table: written with the call, in the table once, soon after.

A row is an event of the stream `iceberg`: on disk before the call's reply leaves, gone with the call
when it raises, and from then on in `events`. An archive run is planned with it, so the table has it
once, whatever crashes; what is written while a run is under way goes with the next, which follows
at once. A run takes all of the object's events up to then, and `raw_events` has them no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from raydo.pipelining.errors import InvalidArgument, TooLarge
from raydo.pipelining.limits import BATCH_EVENTS_MAX

if TYPE_CHECKING:
    from raydo.actors.state import State

STREAM: Final = "iceberg"
_FIELDS: Final = ("userId", "anonymousId", "timestamp", "messageId")


class Iceberg:
    """Write rows into the object's table, and ask it."""

    def __init__(self, state: State) -> None:
        self._state = state

    def write(self, rows: Iterable[Mapping[str, Any]], kind: str = "row") -> int:
        """Have rows in the table, and return how many; `kind` is what `event` says of them.

        A row is plain data, and its fields are `properties`: `properties ->> 'price'`. Of them
        `timestamp` (now if absent), `userId`, `anonymousId` and `messageId`, by which a row that
        comes again within seven days is left out, have columns of their own.

        Raises:
            InvalidEvent, InvalidArgument: a row is no such thing.
            TooLarge: more than BATCH_EVENTS_MAX.
        """
        from raydo.actors.event import parse

        pipeline = self._state.pipeline
        events = []
        for row in rows:
            if not isinstance(row, Mapping):
                raise InvalidArgument(f"A row is a mapping, not {type(row).__name__}.")
            fields = {name: row[name] for name in _FIELDS if row.get(name) is not None}
            whole = {"event": kind, "properties": dict(row), **fields}
            events.append(parse(whole, pipeline.now_ms, new_id=pipeline.new_id))
            if len(events) > BATCH_EVENTS_MAX:
                raise TooLarge(f"At most {BATCH_EVENTS_MAX:,} rows are written at once.")
        written = sum(pipeline.admit(events, STREAM))
        if written:
            self._state.upkeep.follow()
        return written

    def query(
        self, sql: str, params: object = None, limit: int | None = None, as_of: object = None
    ) -> Any:
        """Ask `events`: the table, and what is on its way there. See `DurableObject.ask`."""
        return self._state.asks.ask(sql, params, limit, as_of)
