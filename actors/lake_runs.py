"""The archive's runs as the tenant's database knows them; plain SQL, inside the tenant's turn.

A run is `(run, cut_seq, before_ms)`: the rows of `raw_events` with `seq <= cut_seq` and
`timestamp < before_ms` that no earlier run has. It is *planned* in one turn, written to the archive
in another process, *committed* here when the archive was read again and agreed, and *deleted* when
the last of its rows has left SQLite. There is one unfinished run at most, so all rows that match are
its own, and none of them changes while it lasts: seqs only grow, so whatever comes later is for the
next run, however old its timestamp.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Any, Final, TypedDict
from zlib import crc32

from raydo.pipelining.errors import ArchiveMismatch, InvalidArgument
from raydo.pipelining.limits import (
    LAKE_AGE_S,
    LAKE_DELETE_ROWS,
    LAKE_GRACE_S,
    LAKE_RECENT_ROWS_MAX,
    LAKE_ROWS_MIN,
    LAKE_SNAPSHOTS_S,
    LAKE_SPREAD_QUARTERS,
)

if TYPE_CHECKING:
    from raydo.actors.database import Database

PLANNED: Final = "planned"
COMMITTED: Final = "committed"
DELETED: Final = "deleted"
DAY_MS: Final = 86_400_000

TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS _raydo_runs (
        run INTEGER PRIMARY KEY, cut_seq INTEGER NOT NULL, before_ms INTEGER NOT NULL,
        state TEXT NOT NULL, rows INTEGER, digest TEXT, first_seq INTEGER, last_seq INTEGER,
        snapshot_id INTEGER, started_ms INTEGER NOT NULL, committed_ms INTEGER,
        min_ts INTEGER, max_ts INTEGER
    )""",
)

# By then the last weekly timer has dropped every snapshot but the present one, and their files.
_TIDIED_MS: Final = (LAKE_SNAPSHOTS_S + LAKE_GRACE_S + 15 * 86_400) * 1_000
_COVERED: Final = "raw_events INDEXED BY _raydo_by_timestamp WHERE timestamp < ? AND seq <= ?"
_DELETE: Final = f"DELETE FROM raw_events WHERE seq IN (SELECT seq FROM {_COVERED} LIMIT ?)"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Run:
    """One row of `_raydo_runs`; from `rows` on it is None until the run is committed."""

    run: int
    cut_seq: int
    before_ms: int
    state: str
    rows: int | None
    digest: str | None
    first_seq: int | None
    last_seq: int | None
    snapshot_id: int | None
    started_ms: int
    committed_ms: int | None
    min_ts: int | None
    max_ts: int | None


@dataclass(frozen=True, slots=True)
class Committed:
    """What the archive has of a run, read again from there; no snapshot when there were no rows."""

    run: int
    snapshot_id: int | None
    rows: int
    digest: str
    first_seq: int | None
    last_seq: int | None
    min_ts: int | None
    max_ts: int | None


class ArchiveRun(TypedDict):
    """One run of the archive: `planned`, `committed`, or `deleted` when its rows have left SQLite."""

    run: int
    state: str
    rows: int | None
    snapshot_id: int | None
    before_ms: int
    committed_ms: int | None


class Runs:
    """Plan runs, settle them, list them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def plan(
        self,
        before_ms: int,
        now_ms: int,
        *,
        rows_min: int = LAKE_ROWS_MIN,
        recent_max: int = LAKE_RECENT_ROWS_MAX,
    ) -> Run | None:
        """Begin a run of what is older than `before_ms`, or go on with the unfinished one.

        When more than `recent_max` rows would stay, it takes younger ones too, until half as many
        stay. None means that fewer than `rows_min` rows are due. Everything that was acknowledged
        must be in the open transaction.

        Raises:
            InvalidArgument: `rows_min` or `recent_max` is no such number.
        """
        if rows_min < 1 or recent_max < 1:
            raise InvalidArgument("An archive run has one row at least, and leaves one at most.")
        unfinished = self.unfinished()
        if unfinished is not None:
            return unfinished
        before_ms = max(before_ms, self._overflow(recent_max))
        cut_seq = self._database.run("SELECT max(seq) FROM raw_events")[0][0]
        if cut_seq is None or not self._has(before_ms, cut_seq, rows_min):
            return None
        self._database.begin()
        self._database.run(
            "INSERT INTO _raydo_runs (cut_seq, before_ms, state, started_ms) VALUES (?, ?, ?, ?)",
            (cut_seq, before_ms, PLANNED, now_ms),
        )
        return self.unfinished()

    def settle(self, committed: Committed, now_ms: int, *, rows: int = LAKE_DELETE_ROWS) -> bool:
        """Mark a run as committed and delete the first of its rows; tell whether it is finished.

        Again, it goes on deleting. When the process ended in between, `clear` does the rest.

        Raises:
            ArchiveMismatch: the run was committed with other rows than these.
        """
        run = self._get(committed.run)
        if run is None or (run.state != PLANNED and run.digest != committed.digest):
            raise ArchiveMismatch(
                f"Run {committed.run} of the archive is not the one that was planned here."
            )
        if run.state == PLANNED:
            self._database.begin()
            self._database.run(_COMMIT, (*astuple(committed)[1:], now_ms, COMMITTED, run.run))
        return self.clear(rows)

    def clear(self, rows: int = LAKE_DELETE_ROWS) -> bool:
        """Delete some rows of the committed run; tell whether no more are left.

        One that is planned meanwhile has nothing to delete yet.
        """
        run = self.unfinished()
        if run is None or run.state != COMMITTED:
            return True
        self._database.begin()
        self._database.run(_DELETE, (run.before_ms, run.cut_seq, rows))
        if self._has(run.before_ms, run.cut_seq, 1):
            return False
        self._database.run("UPDATE _raydo_runs SET state = ? WHERE run = ?", (DELETED, run.run))
        return True

    def unfinished(self) -> Run | None:
        """Return the run that is not deleted yet."""
        rows = self._database.run(f"{_SELECT} WHERE state <> ?", (DELETED,))
        assert len(rows) <= 1, "two unfinished runs"
        return Run(*rows[0]) if rows else None

    def list(self) -> list[Run]:
        """Return every run, oldest first."""
        return [Run(*row) for row in self._database.run(f"{_SELECT} ORDER BY run")]

    @property
    def settled(self) -> int:
        """The last run of which nothing is left here; 0 before the first."""
        rows = self._database.run("SELECT max(run) FROM _raydo_runs WHERE state = ?", (DELETED,))
        return rows[0][0] or 0

    def tidied(self, now_ms: int) -> bool:
        """Tell whether the archive has nothing left to expire."""
        rows = self._database.run("SELECT max(committed_ms) FROM _raydo_runs")
        latest_ms: int | None = rows[0][0]
        return latest_ms is None or now_ms - latest_ms > _TIDIED_MS

    def overfull(self, recent_max: int = LAKE_RECENT_ROWS_MAX) -> bool:
        """Tell, at once, whether so many rows may be here that a run should be planned."""
        lowest, highest = (self._end(f"{end}(seq)") for end in ("min", "max"))
        return highest - lowest >= recent_max and self._overflow(recent_max) > 0

    def _end(self, what: str) -> int:
        value = self._database.run(f"SELECT {what} FROM raw_events")[0][0]  # noqa: S608
        return value or 0

    def _get(self, run: int) -> Run | None:
        rows: list[tuple[Any, ...]] = self._database.run(f"{_SELECT} WHERE run = ?", (run,))
        return Run(*rows[0]) if rows else None

    def _has(self, before_ms: int, cut_seq: int, rows: int) -> bool:
        found = self._database.run(
            f"SELECT 1 FROM {_COVERED} LIMIT 1 OFFSET ?",  # noqa: S608
            (before_ms, cut_seq, rows - 1),
        )
        return bool(found)

    def _overflow(self, recent_max: int) -> int:
        """Return before when rows must go so that half of `recent_max` stay; 0 when all may."""
        if not self._younger(recent_max):
            return 0
        return self._younger(recent_max // 2) + 1

    def _younger(self, rows: int) -> int:
        """Return the timestamp that only `rows` rows are younger than, or 0."""
        found = self._database.run(
            "SELECT timestamp FROM raw_events ORDER BY timestamp DESC LIMIT 1 OFFSET ?", (rows,)
        )
        return found[0][0] if found else 0


def weekly_before(now_ms: int, age_s: float = LAKE_AGE_S) -> int:
    """Return before when events are due at `now_ms`: whole UTC days, as the files are."""
    return (now_ms - int(age_s * 1_000)) // DAY_MS * DAY_MS


def weekly_at(tenant: str) -> str:
    """Return when on Sundays a tenant's weekly run begins: from four on, spread over some hours."""
    quarter = crc32(tenant.encode()) % LAKE_SPREAD_QUARTERS
    return f"{4 + quarter // 4:02}:{quarter % 4 * 15:02}"


def told(run: Run) -> ArchiveRun:
    """Tell a run to whoever asks."""
    return {
        "run": run.run,
        "state": run.state,
        "rows": run.rows,
        "snapshot_id": run.snapshot_id,
        "before_ms": run.before_ms,
        "committed_ms": run.committed_ms,
    }


_COLUMNS: Final = ", ".join(each.name for each in fields(Run))
_SELECT: Final = f"SELECT {_COLUMNS} FROM _raydo_runs"  # noqa: S608
_COMMIT: Final = """UPDATE _raydo_runs SET snapshot_id = ?, rows = ?, digest = ?, first_seq = ?,
    last_seq = ?, min_ts = ?, max_ts = ?, committed_ms = ?, state = ? WHERE run = ?"""
