"""The audit log of one object: who did what to it, and when, in rows that nothing changes.

A row is on disk with the call that it tells of: keys made and revoked, settings, exports, erasures,
restores. *Queries* are remarked: a read must not become a write with a sync of its own, so a
remark waits in memory for the next turn that writes, or for the drain that follows the last turn by
`DRAIN_AFTER_S`. A crash can lose the remarks of that second, and nothing else. Only queries made with
a key are remarked; without keys nobody could say whose they were.

A query's row has the *shape* of its statement, each literal in it a `?`: what it looked for may be
somebody who is erased later, and no row here can be changed. Rows leave, the oldest first, only
when the tenant's `retention_months` say so; over AUDIT_ROWS_MAX queries are no longer remarked, and
a last row says so.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypedDict

from raydo.pipelining.limits import (
    AUDIT_DETAIL_CHARS_MAX,
    AUDIT_REMARKS_MAX,
    AUDIT_ROWS_MAX,
)

if TYPE_CHECKING:
    from raydo.actors.database import Database

FLOOR: Final = "audit_floor_ms"  # the fact before which rows may leave

TABLES: Final = (
    """CREATE TABLE _raydo_audit (
        n INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, by TEXT NOT NULL, action TEXT NOT NULL,
        detail TEXT NOT NULL
    )""",
    """CREATE TRIGGER _raydo_audit_stays BEFORE UPDATE ON _raydo_audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is only ever added to'); END""",
    """CREATE TRIGGER _raydo_audit_kept BEFORE DELETE ON _raydo_audit
        WHEN OLD.at_ms >= coalesce(
            (SELECT value FROM _raydo_meta WHERE key = 'audit_floor_ms'), 0
        )
        BEGIN SELECT RAISE(ABORT, 'the audit log is only ever added to'); END""",
)

LOCAL: Final = "local"  # who calls where there are no keys
ITSELF: Final = "raydo"  # what the object does by its own timers
QUERY: Final = "query"
FULL: Final = "queries no longer recorded"

# Comments, quoted text of all kinds, and numbers: whatever could tell of a person.
_LITERALS: Final = re.compile(
    r"--[^\n]*|/\*.*?(?:\*/|\Z)|'(?:[^']|'')*(?:'|\Z)|\"(?:[^\"]|\"\")*(?:\"|\Z)"
    r"|`[^`]*(?:`|\Z)|\[[^\]]*(?:\]|\Z)|(?<![\w$])\.?\d[\w.]*",
    re.DOTALL,
)
_INSERT: Final = "INSERT INTO _raydo_audit VALUES (?, ?, ?, ?, ?)"

Row = tuple[int, int, str, str, str]


class AuditRow(TypedDict):
    """One row, as it is told: `by` is `kind:key id`, or `local`, `cli` or `raydo` itself."""

    n: int
    at_ms: int
    by: str
    action: str
    detail: dict[str, Any]


class Said(NamedTuple):
    """One row that is not written yet."""

    at_ms: int
    by: str
    action: str
    detail: str


class Audit:
    """Note what is done to one object."""

    def __init__(self, database: Database) -> None:
        self.now_ms = 0
        self.by = ITSELF  # who makes the present call
        self.program: tuple[bytes, int] | None = None  # of which it is a part
        self._database = database
        self._notes: list[Said] = []  # this turn's
        self._remarks: dict[tuple[tuple[bytes, int] | None, str], Said] = {}  # not on disk yet
        [(first, last)] = database.run("SELECT min(n), max(n) FROM _raydo_audit")
        self._first, self._last = first or 1, last or 0

    def note(self, action: str, detail: dict[str, Any]) -> None:
        """Tell of something that the present call does; it is on disk with the call."""
        self._notes.append(Said(self.now_ms, self.by, action, _text(detail)))

    def remark(self, detail: dict[str, Any]) -> None:
        """Tell of a query that somebody with a key makes; a crash may lose it."""
        if self.by in {ITSELF, LOCAL} or self._rows > AUDIT_ROWS_MAX:
            return
        if self._rows == AUDIT_ROWS_MAX:
            self.note(FULL, {"rows": AUDIT_ROWS_MAX})
            return
        said = Said(self.now_ms, self.by, QUERY, _text(detail))
        if len(self._remarks) >= AUDIT_REMARKS_MAX:
            self._notes.append(said)  # so this turn writes
        else:
            self._remarks[self.program, said.detail] = said  # once, though it is asked again

    @property
    def unsaved(self) -> bool:
        """Whether there are remarks that wait for a turn that writes."""
        return bool(self._remarks)

    # As the other parts of a state

    def mark(self) -> int:
        """Return where the notes of the present call begin; remarks are no effects."""
        return len(self._notes)

    def rollback(self, mark: int) -> None:
        """Take back the notes since `mark`."""
        del self._notes[mark:]

    def changes(self) -> list[Row]:
        """List the rows to write."""
        said = sorted([*self._remarks.values(), *self._notes], key=lambda each: each.at_ms)
        return [(n, *each) for n, each in enumerate(said, self._last + 1)]

    def settle(self) -> None:
        """Forget what is on disk."""
        self._last += len(self._remarks) + len(self._notes)
        self._remarks.clear()
        self._notes.clear()

    @property
    def _rows(self) -> int:
        return self._last - self._first + 1 + len(self._remarks) + len(self._notes)

    # Reading, inside a call with all that was acknowledged in the open transaction

    def list(self, before: int | None, limit: int) -> list[AuditRow]:
        """List rows, the latest first, those not written yet too."""
        waiting = [row for row in reversed(self.changes()) if before is None or row[0] < before]
        stored = self._database.run(
            "SELECT * FROM _raydo_audit WHERE n < ? ORDER BY n DESC LIMIT ?",
            (self._last + 1 if before is None else before, limit),
        )
        return [told(row) for row in [*waiting, *stored][:limit]]

    def expire(self, before_ms: int) -> int:
        """Let the rows go that are older than a tenant keeps anything; the floor is set before."""
        [(gone,)] = self._database.run(
            "SELECT count(*) FROM _raydo_audit WHERE at_ms < ?", (before_ms,)
        )
        self._database.run("DELETE FROM _raydo_audit WHERE at_ms < ?", (before_ms,))
        [(first,)] = self._database.run("SELECT min(n) FROM _raydo_audit")
        self._first = first or self._last + 1
        return int(gone)


def write(database: Database, rows: list[Row]) -> None:
    """Write rows into the open transaction."""
    if rows:
        database.run_many(_INSERT, rows)


def told(row: Any) -> AuditRow:
    """Tell a row to whoever asks."""
    n, at_ms, by, action, detail = row
    return {"n": n, "at_ms": at_ms, "by": by, "action": action, "detail": json.loads(detail)}


def shape(sql: object) -> str:
    """Say what a statement asks without what it asks for: its literals are `?`."""
    text = _LITERALS.sub(lambda found: " " if found[0][:2] in {"--", "/*"} else "?", str(sql))
    return " ".join(text.split())[:AUDIT_DETAIL_CHARS_MAX]


def _text(detail: dict[str, Any]) -> str:
    return json.dumps(detail, ensure_ascii=True, separators=(",", ":"))
