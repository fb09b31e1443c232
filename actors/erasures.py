"""Erasures as the tenant's database knows them: who or what goes, how far it is, and what went.

    planned     in the turn that was asked; a crash from here on only delays it
    restated    the rows have left SQLite, and the rollups say so, in one transaction
    rewritten   the archive's files and all its snapshots are without them; the ids are forgotten here
    done        the file was written anew and the log is gone: no byte is left

What arrives of an erased person after the plan is new, and stays: an erasure has a `cut_seq`. Of a
person that is gone its hashes are kept, with the moment, so that whoever restores an older copy can
erase again (`again`). An erasure by age (`before_ms`) is what `retention_months` plans, and with `EVER_MS` the whole tenant goes: its archive, then its folder, by
one rename, so that there is a tenant or none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, TypedDict

if TYPE_CHECKING:
    from raydo.actors.database import Database

PLANNED: Final = "planned"
RESTATED: Final = "restated"
REWRITTEN: Final = "rewritten"
DONE: Final = "done"
EVER_MS: Final = 2**53  # after any event: the tenant itself goes

TABLES: Final = (
    """CREATE TABLE _raydo_erasures (
        n INTEGER PRIMARY KEY, state TEXT NOT NULL, at_ms INTEGER NOT NULL, by TEXT NOT NULL,
        cut_seq INTEGER NOT NULL, before_ms INTEGER, ids TEXT, hashes TEXT NOT NULL,
        receipt TEXT NOT NULL, done_ms INTEGER
    )""",
)


@dataclass(frozen=True, slots=True)
class Erasure:
    """One row of `_raydo_erasures`; `ids` are the person's until the archive is without them."""

    n: int
    state: str
    at_ms: int
    by: str
    cut_seq: int
    before_ms: int | None
    ids: tuple[str, ...]
    hashes: tuple[str, ...]
    receipt: Mapping[str, int]
    done_ms: int | None

    @property
    def whole(self) -> bool:
        """Whether the tenant itself goes."""
        return self.before_ms == EVER_MS


class Erased(TypedDict):
    """How far an erasure is, and what it has changed: rows by layer, files, snapshots, buckets, …"""

    n: int
    state: str
    at_ms: int
    done_ms: int | None
    before_ms: int | None
    hashes: list[str]
    receipt: dict[str, int]


class Erasures:
    """Plan erasures, follow them, list them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.waiting = bool(self._open())  # or perhaps so: a call may have raised

    def plan(
        self,
        now_ms: int,
        by: str,
        cut_seq: int,
        *,
        ids: Sequence[str] = (),
        hashes: Sequence[str] = (),
        before_ms: int | None = None,
    ) -> Erasure:
        """Begin one, inside the open transaction, unless the same one waits already."""
        for known in self._open():
            if known.state == PLANNED and (known.ids, known.before_ms) == (tuple(ids), before_ms):
                return known
        self._database.begin()
        self._database.run(
            "INSERT INTO _raydo_erasures (state, at_ms, by, cut_seq, before_ms, ids, hashes,"
            " receipt) VALUES (?, ?, ?, ?, ?, ?, ?, '{}')",
            (PLANNED, now_ms, by, cut_seq, before_ms, json.dumps(ids), json.dumps(hashes)),
        )
        self.waiting = True
        [(n,)] = self._database.run("SELECT max(n) FROM _raydo_erasures")
        return self.get(n)

    def next(self) -> Erasure | None:
        """Return the one to go on with: the file is written anew once for all that wait for it."""
        found = sorted(
            self._open(), key=lambda each: (not each.whole, each.state == REWRITTEN, each.n)
        )
        self.waiting = bool(found)
        return found[0] if found else None

    def count(self) -> int:
        """Count those that are not done."""
        return len(self._open())

    def move(self, n: int, state: str, receipt: Mapping[str, int], **more: Any) -> None:
        """Let one be further, with what that changed."""
        known = self.get(n)
        sums = {**known.receipt}
        for name, count in receipt.items():
            sums[name] = sums.get(name, 0) + count
        changes = {"state": state, "receipt": json.dumps(sums), **more}
        names = ", ".join(f"{name} = ?" for name in changes)
        self._database.begin()
        self._database.run(
            f"UPDATE _raydo_erasures SET {names} WHERE n = ?",  # noqa: S608 - names of ours
            (*changes.values(), n),
        )

    def get(self, n: int) -> Erasure:
        """Return one."""
        [row] = self._database.run(f"{_SELECT} WHERE n = ?", (n,))
        return _erasure(row)

    def all(self) -> list[Erasure]:
        """Return all of them, the oldest first."""
        return [_erasure(row) for row in self._database.run(f"{_SELECT} ORDER BY n")]

    def _open(self) -> list[Erasure]:
        rows = self._database.run(f"{_SELECT} WHERE state <> ? ORDER BY n", (DONE,))
        return [_erasure(row) for row in rows]


def hash_of(tenant: str, user_id: str) -> str:
    """Name an id without saying it; the same id of another tenant has another hash."""
    return hashlib.sha256(f"{tenant}\0{user_id}".encode()).hexdigest()


def told(erasure: Erasure) -> Erased:
    """Tell an erasure to whoever asks; not whose it is."""
    return {
        "n": erasure.n,
        "state": erasure.state,
        "at_ms": erasure.at_ms,
        "done_ms": erasure.done_ms,
        "before_ms": erasure.before_ms,
        "hashes": list(erasure.hashes),
        "receipt": dict(erasure.receipt),
    }


def marks(values: Iterable[object]) -> str:
    """Write as many question marks as there are values."""
    return ", ".join("?" for _ in values)


def _erasure(row: Sequence[Any]) -> Erasure:
    n, state, at_ms, by, cut_seq, before_ms, ids, hashes, receipt, done_ms = row
    return Erasure(
        n,
        state,
        at_ms,
        by,
        cut_seq,
        before_ms,
        tuple(json.loads(ids or "[]")),
        tuple(json.loads(hashes)),
        json.loads(receipt),
        done_ms,
    )


_COLUMNS: Final = ", ".join(each.name for each in fields(Erasure))
_SELECT: Final = f"SELECT {_COLUMNS} FROM _raydo_erasures"  # noqa: S608 - names of ours
