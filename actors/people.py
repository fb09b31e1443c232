"""Who is who: user ids as text, the small numbers that stand for them, and when each was seen.

Each text gets a number once; `person` is the number that counts for it, its own until two ids
turn out to be one human. Only persons' numbers are ever in a bucket's set of users.

Per person a roaring bitmap lists the buckets in which it was seen: its first one is when the
person truly began, and a merge has to touch those buckets and no others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from pyroaring import BitMap

from raydo.actors.database import Database
from raydo.actors.lookups import lookups
from raydo.pipelining.limits import LOOKUP_KEYS_MAX, USERS_CACHED_MAX

TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS _raydo_users (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, person INTEGER NOT NULL
    )""",
    "CREATE TABLE IF NOT EXISTS _raydo_seen (person INTEGER PRIMARY KEY, buckets BLOB NOT NULL)",
)
_SEEN_AFTER: Final = (
    "SELECT person, buckets FROM _raydo_seen WHERE person > ? ORDER BY person LIMIT ?"
)
_UNSEEN: Final = "FROM _raydo_users WHERE person NOT IN (SELECT person FROM _raydo_seen)"
_BIAS: Final = 1 << 31  # bitmaps hold unsigned numbers, and a bucket before 1970 is negative


class People:
    """Keep the users' dictionary, and the buckets that each person was seen in."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._persons: dict[str, int] = {}  # the ones that came in first are forgotten first
        self._last_id = -1  # unknown

    def persons(self, names: Collection[str]) -> dict[str, int]:
        """Return the person of each name; names not met before become persons of their own."""
        known = self._persons
        persons = {name: known[name] for name in names if name in known}
        missing = [name for name in names if name not in persons]
        if missing:
            found = self._find(missing)
            found.update(self._create([name for name in missing if name not in found]))
            persons.update(found)
            self._remember(found)
        return persons

    def find(self, names: Collection[str]) -> dict[str, int]:
        """Return the person of each name that came up before."""
        return self._find(list(names))

    def person(self, name: str) -> int | None:
        """Return the person of a name, or None when it never came up."""
        return self._find([name]).get(name)

    def saw(self, buckets: Mapping[int, Sequence[int]]) -> None:
        """Record the buckets that persons were seen in."""
        before = dict(self._seen(sorted(buckets)))
        alone: dict[tuple[int, ...], bytes] = {}  # most new users are new in the same few buckets
        rows = []
        for person in sorted(buckets):
            key = tuple(buckets[person])
            if person in before:
                rows.append((person, _blob(BitMap.deserialize(before[person]), key)))
                continue
            if key not in alone:
                alone[key] = _blob(BitMap(), key)
            rows.append((person, alone[key]))
        self._database.run_many("REPLACE INTO _raydo_seen VALUES (?, ?)", rows)

    def seen(self, person: int) -> list[int]:
        """List the buckets in which a person was seen, oldest first."""
        rows = self._seen([person])
        return [biased - _BIAS for _, blob in rows for biased in BitMap.deserialize(blob)]

    def merge(self, moves: Sequence[tuple[str, str]], groups: Collection[str]) -> dict[int, int]:
        """Let names count for the persons of other names; return the numbers that change.

        `groups` are those of the first names that further ones count for, by `merged_ids`.
        """
        persons = self.persons(list({name for move in moves for name in move}))
        numbers = {persons[name]: persons[into] for name, into in moves}
        self._database.run_many(
            "UPDATE _raydo_users SET person = ? WHERE name = ?",
            [(persons[into], name) for name, into in moves],
        )
        self._database.run_many(
            "UPDATE _raydo_users SET person = ?"
            " WHERE name IN (SELECT id FROM merged_ids WHERE person_id = ?)",
            [(persons[into], name) for name, into in moves if name in groups],
        )
        self._persons.update((name, persons[into]) for name, into in moves)
        if groups:
            self._persons.clear()  # it may have any of theirs
        return numbers

    def unite(self, numbers: Mapping[int, int]) -> dict[int, list[int]]:
        """Let persons have been seen where others were; list the buckets of those others."""
        seen = {
            person: [biased - _BIAS for biased in BitMap.deserialize(blob)]
            for person, blob in self._seen(sorted(numbers))
        }
        self._database.run_many(
            "DELETE FROM _raydo_seen WHERE person = ?", [(person,) for person in seen]
        )
        united: defaultdict[int, set[int]] = defaultdict(set)
        for person, buckets in seen.items():
            united[numbers[person]].update(buckets)
        self.saw({person: sorted(buckets) for person, buckets in united.items()})
        return seen

    def unsee(self, buckets: Mapping[int, Collection[int]]) -> None:
        """Let persons not have been seen in some buckets."""
        for person, blob in list(self._seen(sorted(buckets))):
            left = BitMap.deserialize(blob) - BitMap(b + _BIAS for b in buckets[person])
            if left:
                row = (person, left.serialize())
                self._database.run("REPLACE INTO _raydo_seen VALUES (?, ?)", row)
            else:
                self._database.run("DELETE FROM _raydo_seen WHERE person = ?", (person,))

    def expire(self, bucket: int) -> None:
        """Let nobody have been seen before a bucket; forget who was not seen since."""
        last = -1
        while rows := self._database.run(_SEEN_AFTER, (last, LOOKUP_KEYS_MAX)):
            last = rows[-1][0]
            for person, blob in rows:
                seen = BitMap.deserialize(blob)
                before = seen.rank(bucket + _BIAS - 1)
                if before == len(seen):
                    self._database.run("DELETE FROM _raydo_seen WHERE person = ?", (person,))
                elif before:
                    seen.remove_range(0, bucket + _BIAS)
                    row = (person, seen.serialize())
                    self._database.run("REPLACE INTO _raydo_seen VALUES (?, ?)", row)
        self._database.run(
            f"DELETE FROM main.merged_ids WHERE id IN (SELECT name {_UNSEEN})"  # noqa: S608
        )
        self._database.run(f"DELETE {_UNSEEN}")
        self.forget()

    def remove(self, names: Collection[str]) -> None:
        """Forget names, and what they are known by."""
        self._database.run_many(
            "DELETE FROM _raydo_users WHERE name = ?", [(name,) for name in names]
        )
        self.forget()

    def forget(self) -> None:
        """Drop what is in memory: it may differ from what is stored."""
        self._persons.clear()
        self._last_id = -1

    def _find(self, names: Sequence[str]) -> dict[str, int]:
        return dict(
            row
            for marks, keys in lookups(names)
            for row in self._database.run(
                f"SELECT name, person FROM _raydo_users WHERE name IN ({marks})",  # noqa: S608 - question marks
                keys,
            )
        )

    def _seen(self, persons: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        for marks, keys in lookups(persons):
            yield from self._database.run(
                f"SELECT person, buckets FROM _raydo_seen WHERE person IN ({marks})",  # noqa: S608 - question marks
                keys,
            )

    def _create(self, names: Sequence[str]) -> dict[str, int]:
        if self._last_id < 0:
            rows = self._database.run("SELECT coalesce(max(id), 0) FROM _raydo_users")
            self._last_id = rows[0][0]
        persons = {name: self._last_id + n for n, name in enumerate(names, start=1)}
        self._database.run_many(
            "INSERT INTO _raydo_users VALUES (?, ?, ?)",
            [(person, name, person) for name, person in persons.items()],
        )
        self._last_id += len(names)
        return persons

    def _remember(self, persons: Mapping[str, int]) -> None:
        self._persons.update(persons)
        excess = len(self._persons) - USERS_CACHED_MAX
        if excess > 0:
            for name in list(self._persons)[:excess]:
                del self._persons[name]


def _blob(seen: BitMap, buckets: Iterable[int]) -> bytes:
    seen.update([bucket + _BIAS for bucket in buckets])
    return seen.serialize()
