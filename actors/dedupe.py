"""Which message ids were received within the last seven days.

The decision falls inside the call that brings the events, so that it can answer "duplicate" and
leave the counters alone; the ids are written with the events, in the same transaction. Between
the two they wait here, in order, so that a call that raises takes its own back and no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Final

from raydo.actors.database import Database
from raydo.pipelining.limits import DEDUPE_DAYS

DAY_MS: Final = 86_400_000
HASH_BYTES: Final = 16  # two of 10^9 ids share a hash with a chance of 10^-21
LOOKUP_IDS_MAX: Final = 500  # ids that one SELECT asks for


class Dedupe:
    """Remember message ids by the day of their receipt."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: dict[bytes, int] = {}

    def fresh(self, ids: Sequence[bytes], now_ms: int) -> list[bool]:
        """Say for each id whether it is new within the window, and remember those that are.

        An id that stands twice in `ids` is new once.
        """
        day = now_ms // DAY_MS
        hashes = [blake2b(key, digest_size=HASH_BYTES).digest() for key in ids]
        seen = self._seen(hashes, day)
        return [self._remember(key, day, seen) for key in hashes]

    def mark(self) -> int:
        """Return where the ids of the present call begin."""
        return len(self._pending)

    def rollback(self, mark: int) -> None:
        """Forget what was remembered since `mark`."""
        while len(self._pending) > mark:
            self._pending.popitem()

    def changes(self) -> list[tuple[bytes, int]]:
        """List the ids to write: hash and day of receipt."""
        return list(self._pending.items())

    def settle(self) -> None:
        """Forget the ids here: they are on disk."""
        self._pending.clear()

    def _remember(self, key: bytes, day: int, seen: set[bytes]) -> bool:
        if key in seen or key in self._pending:
            return False
        self._pending[key] = day
        return True

    def _seen(self, hashes: list[bytes], day: int) -> set[bytes]:
        seen: set[bytes] = set()
        for chunk in _chunks(hashes):
            marks = ", ".join("?" * len(chunk))
            select = f"SELECT hash FROM _raydo_seen_ids WHERE day >= ? AND hash IN ({marks})"  # noqa: S608 - question marks
            seen.update(row[0] for row in self._database.run(select, (day - DEDUPE_DAYS, *chunk)))
        return seen


def _chunks(hashes: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(hashes), LOOKUP_IDS_MAX):
        yield hashes[start : start + LOOKUP_IDS_MAX]
