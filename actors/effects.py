"""What a turn changed, as plain data: one record of the log carries it, and a drain writes it.

Counters and timers are their rows as the turn left them, not what was done, and facts their values: to write
a record's effects again changes nothing, and to write several in order is to write the last. What
the object did by SQL of its own is not here; such a turn goes whole into one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgpack

from raydo.actors.audit import Row
from raydo.actors.event import Event
from raydo.actors.idrun import KEY_BYTES
from raydo.pipelining.errors import DataUnreadable

DAY_MS: Final = 86_400_000
EFFECTS: Final = 3  # the kind of a log's record; another encoding takes another number


class Emitted(NamedTuple):
    """One event and the stream that it was emitted to."""

    event: Event
    stream: str


class Effects(NamedTuple):
    """Everything that one turn adds to a tenant, apart from its object's own SQL."""

    now_ms: int
    first_seq: int  # of the events
    seq: int  # the last that the turn takes: one at least
    events: Sequence[Emitted]
    seen: Sequence[bytes]  # hashes of message ids that were new
    counters: Sequence[tuple[str, bytes | None]]  # None deletes
    facts: Sequence[tuple[str, Any]]
    timers: Sequence[tuple[str, tuple[Any, ...] | None]]  # None deletes
    outgoing: Sequence[tuple[str, str, int, bytes | None]]  # see `outgoing.Row`
    jobs: Sequence[tuple[int, bytes | None]]  # None deletes
    sessions: Sequence[tuple[bytes, int, int]]
    replies: Sequence[tuple[bytes, int, bytes | None]]
    audit: Sequence[Row] = ()

    @property
    def day(self) -> int:
        """The day of receipt of its message ids."""
        return self.now_ms // DAY_MS


def encode(effects: Effects) -> bytes:
    """Turn a turn's effects into the payload of a record."""
    seen = b"".join(effects.seen)  # one piece packs faster than many
    packed: bytes = msgpack.packb((seen, *effects._replace(seen=())))
    return packed


def decode(payload: bytes, kind: int) -> Effects:
    """Turn the payload of a record back into effects.

    Raises:
        DataUnreadable: it is of another kind, or none of ours.
    """
    if kind != EFFECTS:
        raise DataUnreadable(f"The log has a record of kind {kind}: it is of a later version.")
    try:
        seen, *fields = msgpack.unpackb(payload, use_list=False)
        effects = Effects(*fields)
        return effects._replace(
            events=[Emitted(Event(*event), stream) for event, stream in effects.events],
            seen=[seen[at : at + KEY_BYTES] for at in range(0, len(seen), KEY_BYTES)],
        )
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise DataUnreadable(f"A record of the log cannot be read: {error}") from None
