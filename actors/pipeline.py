"""The way in for events: what a call emits waits here until the call's turn is saved.

An event gets its id here, and a repeated message id is found out here, so that the call can say
"duplicate" and count nothing twice. Events that a call emitted go with it when it raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from raydo.actors.effects import DAY_MS, Emitted
from raydo.actors.event import MADE_ID, Event, NewId, parse
from raydo.actors.idset import IdSet, id_hash
from raydo.actors.links import Identities, links_of
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import EVENT_NAME_BYTES_MAX

EVENT_KIND: Final = "event"


class Pipeline:
    """Take the events of a turn, in order, each once."""

    def __init__(self, ids: IdSet, new_id: NewId, identities: Identities) -> None:
        self.now_ms = 0
        self.new_id = new_id
        self.identities = identities
        self.on_join: Callable[[str, str], object] | None = None  # a person became another's
        self._ids = ids
        self._emitted: list[Emitted] = []
        self.duplicates = 0  # found, and not counted yet
        self.rejected = 0  # events that a call refused by themselves

    def emit(self, kind: str, stream: str, payload: Event | Mapping[str, Any]) -> str:
        """Emit one event and return its id; it is on disk before the caller hears of it.

        With kind "event" the payload is the whole event, `{"event": …, "properties": …}`; with any
        other, the kind is the event's name and the payload its properties. A `messageId` that was
        received within the last seven days changes nothing.

        Raises:
            InvalidEvent: the payload breaks a rule for events.
        """
        if not isinstance(payload, Event):
            whole = payload if kind == EVENT_KIND else {"event": kind, "properties": payload}
            payload = parse(whole, self.now_ms, new_id=self.new_id)
        self.admit([payload], stream)
        return payload.id

    def admit(self, events: Sequence[Event], stream: str) -> list[bool]:
        """Emit events that are parsed already; say for each whether it is new."""
        if not isinstance(stream, str) or not 0 < len(stream.encode()) <= EVENT_NAME_BYTES_MAX:
            raise InvalidArgument(f"A stream's name has 1 to {EVENT_NAME_BYTES_MAX} bytes.")
        given = [id_hash(event.id.encode()) for event in events if not event.flags & MADE_ID]
        if not given:  # ids made here cannot have been seen
            self._take(events, stream)
            return [True] * len(events)
        fresh = iter(self._ids.fresh(given, self.now_ms // DAY_MS))
        new = [bool(event.flags & MADE_ID) or next(fresh) for event in events]
        self.duplicates += new.count(False)
        self._take([event for event, is_new in zip(events, new, strict=True) if is_new], stream)
        return new

    def _take(self, events: Sequence[Event], stream: str) -> None:
        joins = self.identities.join(links_of(events), len(self._emitted))
        self._emitted += [Emitted(event, stream) for event in events]
        if self.on_join is not None:
            for previous, person in joins:
                self.on_join(previous, person)

    def mark(self) -> int:
        """Return where the events of the present call begin."""
        return len(self._emitted)

    def rollback(self, mark: int) -> None:
        """Forget what was emitted since `mark`."""
        del self._emitted[mark:]
        self.identities.rollback(mark)

    def since(self, mark: int) -> list[Emitted]:
        """Return the events after the first `mark`, in order."""
        return self._emitted[mark:]

    def settle(self) -> None:
        """Forget the events: they are on disk."""
        self._emitted.clear()
