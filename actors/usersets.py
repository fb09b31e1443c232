"""The exact set of users of each 15-minute bucket, humans and bots apart, as roaring bitmaps.

A set that many users visit is large, and every drain adds a few users to it. Rewriting it each
time would cost its whole size per drain; so it is stored as a base and at most a few dozen
additions, and rewritten only when the additions have grown as large as the base (or there are too
many): each user's bits are then written a small number of times, whatever the size of the tenant.

The sets of the buckets in use stay in memory, so that a user who is in already costs no write at
all. That memory is bounded, and only a copy: the owner calls `forget` when a transaction that
added something did not commit.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby, islice
from operator import itemgetter
from typing import Final

from pyroaring import BitMap

from raydo.actors.database import Database
from raydo.pipelining.limits import (
    USER_SET_PARTS_MAX,
    USER_SET_REWRITE_BYTES,
    USER_SETS_BYTES_MAX,
    USER_SETS_HELD_MAX,
    USER_SETS_READ_MAX,
)

TABLES: Final = (
    # id = bucket * 128 + bot * 64 + part; part 0 is the base, the others are additions to it.
    "CREATE TABLE IF NOT EXISTS _raydo_user_sets (id INTEGER PRIMARY KEY, users BLOB NOT NULL)",
)
_PART_BITS: Final = 6
_HELD_OVERHEAD_BYTES: Final = 512  # what a set costs in memory besides its bits

assert 1 << _PART_BITS > USER_SET_PARTS_MAX


def slot_of(bucket: int, bot: bool) -> int:
    """Return the number of the set of a bucket's humans or bots."""
    return bucket << 1 | bot


def bucket_of_slot(slot: int) -> int:
    return slot >> 1


def is_bot_slot(slot: int) -> bool:
    return bool(slot & 1)


@dataclass(slots=True)
class _Writes:
    """What one `add` changes in the table, so that it takes two statements."""

    merged: list[tuple[int, int]] = field(default_factory=list)  # additions now in their base
    rows: list[tuple[int, bytes]] = field(default_factory=list)

    def run(self, database: Database) -> None:
        database.run_many("DELETE FROM _raydo_user_sets WHERE id > ? AND id < ?", self.merged)
        database.run_many("REPLACE INTO _raydo_user_sets VALUES (?, ?)", self.rows)


@dataclass(slots=True)
class _Held:
    """One set in memory, and how it is stored."""

    users: BitMap
    base_bytes: int = 0
    added_bytes: int = 0
    parts: int = 0

    @property
    def memory_bytes(self) -> int:
        return self.base_bytes + self.added_bytes + _HELD_OVERHEAD_BYTES

    def load(self, users: bytes, *, is_base: bool) -> None:
        """Take in one stored row."""
        self.users |= BitMap.deserialize(users)
        if is_base:
            self.base_bytes = len(users)
        else:
            self.added_bytes += len(users)
            self.parts += 1

    def add(self, slot: int, new: BitMap, writes: _Writes) -> None:
        """Take in new users, and say what has to be written."""
        self.users |= new
        addition = new.serialize()
        added_bytes = self.added_bytes + len(addition)
        small = self.base_bytes + added_bytes <= USER_SET_REWRITE_BYTES
        if small or added_bytes > self.base_bytes or self.parts == USER_SET_PARTS_MAX:
            self._rewrite(slot, writes)
        else:
            self.added_bytes = added_bytes
            self.parts += 1
            writes.rows.append((_row(slot) + self.parts, addition))

    def replace(self, slot: int, gone: BitMap, came: BitMap, writes: _Writes) -> None:
        """Take users out and others in, and say what has to be written."""
        self.users -= gone
        self.users |= came
        self._rewrite(slot, writes)

    def _rewrite(self, slot: int, writes: _Writes) -> None:
        if self.parts:
            writes.merged.append((_row(slot), _row(slot + 1)))
        if not self.users:  # whoever was in it is erased
            writes.merged.append((_row(slot) - 1, _row(slot) + 1))
            self.base_bytes = self.added_bytes = self.parts = 0
            return
        self.users.run_optimize()
        base = self.users.serialize()
        self.base_bytes, self.added_bytes, self.parts = len(base), 0, 0
        writes.rows.append((_row(slot), base))


class UserSets:
    """Keep the user sets of all buckets."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held: OrderedDict[int, _Held] = OrderedDict()  # the one unused for longest is first
        self._held_bytes = 0

    def add(self, seen: Mapping[int, BitMap]) -> dict[int, BitMap]:
        """Add users to the sets of their slots, and return those that were not in yet."""
        self._hold(seen)
        added = {}
        writes = _Writes()
        for slot, users in seen.items():
            held = self._held[slot]
            new = users - held.users
            if new:
                before = held.memory_bytes
                held.add(slot, new, writes)
                self._held_bytes += held.memory_bytes - before
                added[slot] = new
        writes.run(self._database)
        self._shrink()
        return added

    def move(self, seen: Mapping[int, Iterable[int]], persons: Mapping[int, int]) -> None:
        """Put others in the place of users, in the buckets that those were seen in."""
        pairs = sorted((bucket, user) for user, buckets in seen.items() for bucket in buckets)
        self._change(
            (slot_of(bucket, bot), BitMap(user for _, user in users), persons)
            for bucket, group in groupby(pairs, key=itemgetter(0))
            for users in (list(group),)
            for bot in (False, True)
        )

    def remove(self, gone: Mapping[int, BitMap]) -> None:
        """Take users out of the sets of slots."""
        self._change((slot, gone[slot], {}) for slot in sorted(gone))

    def expire(self, bucket: int) -> None:
        """Empty the sets of all buckets before one."""
        end = _row(slot_of(bucket, bot=False))
        self._database.run("DELETE FROM _raydo_user_sets WHERE id < ?", (end,))
        self.forget()

    def holds(self, bucket: int, user: int) -> bool:
        """Say whether a user is in a bucket's humans or bots."""
        slots = [slot_of(bucket, bot) for bot in (False, True)]
        self._hold(slots)
        return any(user in self._held[slot].users for slot in slots)

    def read(self, buckets: range, *, bots: bool = True) -> Iterator[tuple[int, BitMap]]:
        """List `(bucket, users)` in order; one bucket may come several times, for a union."""
        row, end = (_row(slot_of(bucket, bot=False)) for bucket in (buckets.start, buckets.stop))
        rows = [(row - 1, b"")]
        while rows:
            rows = self._database.run(
                "SELECT id, users FROM _raydo_user_sets WHERE id > ? AND id < ? ORDER BY id LIMIT ?",
                (rows[-1][0], end, USER_SETS_READ_MAX),
            )
            for row, users in rows:
                slot = row >> _PART_BITS
                if bots or not is_bot_slot(slot):
                    yield bucket_of_slot(slot), BitMap.deserialize(users)

    def _change(self, changes: Iterable[tuple[int, BitMap, Mapping[int, int]]]) -> None:
        """Take users out of the sets of slots, and put in those who stand for them."""
        changes = iter(changes)
        while chunk := list(islice(changes, USER_SETS_HELD_MAX)):
            self._hold(slot for slot, _, _ in chunk)
            writes = _Writes()
            for slot, users, instead in chunk:
                held = self._held[slot]
                gone = users & held.users
                if gone:
                    before = held.memory_bytes
                    came = BitMap([instead[user] for user in gone if user in instead])
                    held.replace(slot, gone, came, writes)
                    self._held_bytes += held.memory_bytes - before
            writes.run(self._database)
            self._shrink()

    def forget(self) -> None:
        """Drop what is in memory: it may differ from what is stored."""
        self._held.clear()
        self._held_bytes = 0

    def _hold(self, slots: Iterable[int]) -> None:
        """Bring the sets of some slots into memory, to where they are evicted last."""
        missing = []
        for slot in slots:
            if slot in self._held:
                self._held.move_to_end(slot)
            else:
                self._held[slot] = _Held(BitMap())
                missing.append(slot)
        rows = self._database.run(
            "SELECT sets.id, users FROM json_each(?) AS base JOIN _raydo_user_sets AS sets"
            " ON sets.id >= base.value AND sets.id < base.value + ?",
            (json.dumps([_row(slot) for slot in missing]), _row(1)),
        )
        for row, users in rows:
            self._held[row >> _PART_BITS].load(users, is_base=row == _row(row >> _PART_BITS))
        self._held_bytes += sum(self._held[slot].memory_bytes for slot in missing)

    def _shrink(self) -> None:
        while self._held_bytes > USER_SETS_BYTES_MAX:
            _, held = self._held.popitem(last=False)
            self._held_bytes -= held.memory_bytes


def _row(slot: int) -> int:
    return slot << _PART_BITS
