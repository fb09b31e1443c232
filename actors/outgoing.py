"""What an object has told other objects, until they have it: the casts of its calls, on disk.

A cast belongs to the call that makes it, like an event: it is kept when the call returns, on disk
before the reply leaves, and gone when the call raises. What a turn tells one object is a *letter*: one
program, numbered, in a session that only these two have. The receiver applies each number once
(`sessions`), so a letter may be sent again after any crash.

The table keeps the last letter to each object, without its program, so that numbers go on.
"""

from __future__ import annotations

import hashlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from raydo.pipelining.assemble import encode_cast
from raydo.pipelining.errors import OutboxFull, PromiseMisused
from raydo.pipelining.limits import CASTS_PER_FRAME_MAX, FRAME_FILL_BYTES, LETTERS_MAX
from raydo.pipelining.noun import Noun
from raydo.pipelining.program import join_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raydo.actors.database import Database
    from raydo.actors.event import NewId
    from raydo.actors.meta import Meta
    from raydo.pipelining.promise import CastPromise, Promise
    from raydo.pipelining.state import Done

SEED: Final = "outgoing"  # the fact that the sessions' names are made of
FIRST: Final = "outgoing_first"  # the fact that says where numbers begin in a restored copy
TABLE: Final = """CREATE TABLE _raydo_outgoing (
    cls TEXT, id TEXT, n INTEGER, program BLOB, PRIMARY KEY (cls, id, n)
) WITHOUT ROWID"""

Row = tuple[str, str, int, bytes | None]  # without a program: it and those before have arrived


class Letter(NamedTuple):
    """A program for another object, and its number in the session that is `session`."""

    to: Noun
    session: bytes
    n: int
    program: bytes


class Outgoing:
    """Keep what was told, and give it out once it is on disk."""

    def __init__(self, database: Database, meta: Meta, new_id: NewId) -> None:
        self._meta = meta
        self._new_id = new_id
        self._told: list[tuple[Noun, bytes]] = []  # by this turn
        self._last: dict[Noun, int] = {}  # the number of the last letter to each
        self._waiting: dict[Noun, deque[int]] = {}  # numbers of letters that have not arrived
        self._count = 0
        self._ready: list[Letter] = []  # on disk, and nobody has taken them
        self._arrived: dict[Noun, int] = {}  # not written yet
        for cls, id_, n, program in database.run("SELECT * FROM _raydo_outgoing ORDER BY n"):
            self._keep((cls, id_, n, program))

    # What a call does

    def carrier(self, noun: Noun) -> Outward:
        """See `Carriers`: what stubs inside the object send by."""
        return Outward(self, noun)

    def tell(self, noun: Noun, op: bytes) -> None:
        """Let the present call tell an object something.

        Raises:
            OutboxFull: LETTERS_MAX have not arrived yet.
        """
        if self._count + len(self._told) >= LETTERS_MAX:
            raise OutboxFull(f"{self._count:,} casts to other objects have not arrived yet.")
        if self._meta.get(SEED) is None:
            self._meta.set(SEED, self._new_id())
        self._told.append((noun, op))

    def mark(self) -> int:
        """Return where the casts of the present call begin."""
        return len(self._told)

    def rollback(self, mark: int) -> None:
        """Take back the casts since `mark`."""
        del self._told[mark:]

    # What a turn does

    def changes(self) -> list[Row]:
        """List the letters to write, and up to which number others have arrived."""
        arrived: list[Row] = [(*noun, n, None) for noun, n in self._arrived.items()]
        return [*self._letters(), *arrived]

    def settle(self) -> None:
        """Give the letters out: they are on disk."""
        for row in self._letters():
            self._keep(row)
        self._told.clear()
        self._arrived.clear()

    # What the post does

    @property
    def waiting(self) -> bool:
        """Whether any letter has not arrived."""
        return self._count > 0

    @property
    def unsaved(self) -> bool:
        """Whether the disk has still to be told what arrived."""
        return bool(self._arrived)

    @property
    def ready(self) -> bool:
        """Whether there are letters to take."""
        return bool(self._ready)

    def take(self) -> list[Letter]:
        """Take the letters that are to be sent."""
        ready, self._ready = self._ready, []
        return ready

    def arrived(self, noun: Noun, n: int) -> None:
        """Note that an object has its letters up to `n`; the next turn writes it down."""
        waiting = self._waiting.get(noun, deque())
        while waiting and waiting[0] <= n:
            waiting.popleft()
            self._count -= 1
        self._arrived[noun] = n

    def _letters(self) -> Iterator[Row]:
        """Make programs of what was told, each object's in order."""
        by_noun: dict[Noun, list[bytes]] = {}
        for noun, op in self._told:
            by_noun.setdefault(noun, []).append(op)
        for noun, ops in by_noun.items():
            n = max(self._last.get(noun, 0), int(self._meta.get(FIRST) or 0))
            for part in _parts(ops):
                n += 1
                yield (*noun, n, join_program(part, ()))

    def _keep(self, row: Row) -> None:
        noun, n, program = Noun(row[0], row[1]), row[2], row[3]
        self._last[noun] = max(n, self._last.get(noun, 0))
        if program is not None:
            self._count += 1
            self._waiting.setdefault(noun, deque()).append(n)
            self._ready.append(Letter(noun, self._session(noun), n, program))

    def _session(self, noun: Noun) -> bytes:
        name = f"{self._meta.get(SEED)}\0{noun.cls}\0{noun.id}"
        return hashlib.blake2b(name.encode(), digest_size=16).digest()


class Outward:
    """Send a stub's casts from inside an object."""

    def __init__(self, outgoing: Outgoing, noun: Noun) -> None:
        self._outgoing = outgoing
        self._noun = noun

    def cast(self, promise: CastPromise[Any]) -> None:
        """See `Carrier.cast`."""
        self._outgoing.tell(self._noun, encode_cast(promise))

    def pull(self, promise: Promise[Any], done: Done) -> None:
        """See `Carrier.pull`.

        Raises:
            PromiseMisused: always. A turn waits for nobody, so nobody's answer can reach it.
        """
        del done
        raise PromiseMisused(
            f"{promise!r}: inside an object a stub offers casts only. Let the other object cast its"
            " answer back, or ask both from outside."
        )


def write(database: Database, rows: list[Row]) -> None:
    """Write what turns changed, in order, into the open transaction."""
    letters = [row for row in rows if row[3] is not None]
    arrived = [row[:3] for row in rows if row[3] is None]
    if letters:
        database.run_many("INSERT OR REPLACE INTO _raydo_outgoing VALUES (?, ?, ?, ?)", letters)
    if arrived:
        database.run_many("DELETE FROM _raydo_outgoing WHERE (cls, id) = (?, ?) AND n < ?", arrived)
        database.run_many(
            "UPDATE _raydo_outgoing SET program = NULL WHERE (cls, id, n) = (?, ?, ?)", arrived
        )


def _parts(ops: list[bytes]) -> Iterator[list[bytes]]:
    part: list[bytes] = []
    size = 0
    for op in ops:
        if part and (len(part) >= CASTS_PER_FRAME_MAX or size + len(op) > FRAME_FILL_BYTES):
            yield part
            part, size = [], 0
        part.append(op)
        size += len(op)
    yield part
