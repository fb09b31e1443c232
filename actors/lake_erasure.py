"""A user's rows taken out of the archive, out of every snapshot that is kept, byte by byte.

Files that hold such rows are written anew without them; then the whole history is written anew, so
that each snapshot is what it was but for that user, and everything that no snapshot refers to is
deleted, however young. This is the one operation that changes what the past answers.

A catalog that is not SQL cannot be given another history. There the present rows are committed
without the user's, and all earlier snapshots are dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.manifest import ManifestEntryStatus

from raydo.actors.lake import no_step
from raydo.actors.lake_expiry import sweep
from raydo.actors.lake_history import History, turn
from raydo.actors.lake_relocation import relocate
from raydo.actors.lake_rows import MOMENT
from raydo.actors.lake_snapshots import ERASURE, commit, last_run, live_files, read
from raydo.actors.lake_table import opened
from raydo.actors.lake_writer import Writer
from raydo.pipelining.errors import Unavailable

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile, ManifestEntry
    from pyiceberg.table import Table

    from raydo.actors.lake import Lake, Step

EVER_MS: Final = 2**62  # after any file and any metadata: no query and no run is waited for
_USER_COLUMNS: Final = ("user_id", "anonymous_id")
_TIME_COLUMNS: Final = ("timestamp",)


@dataclass(frozen=True, slots=True)
class Erased:
    """How many rows of the present snapshot went, and how many files were written anew."""

    rows: int = 0
    files: int = 0


def erase(
    lake: Lake,
    users: Collection[str],
    *,
    settled_run: int,
    before_ms: int | None = None,
    keep_history: bool = True,
    step: Step = no_step,
) -> Erased:
    """Take the rows of `users`, by `user_id` or `anonymous_id`, out of the archive, or old ones.

    With `before_ms` it is everybody's rows with an earlier timestamp, and no others.

    No run may be planned or under way; `settled_run` is the last one. Files go at once, so a query
    that was planned before may miss them and must be planned again. It may end at any moment and be
    run again; only when it returns is everything gone.

    Raises:
        Unavailable: the archive has a run that is not settled.
        CommitFailedException: somebody else commits; run it again.
    """
    relocate(lake, step=step)
    with opened(lake) as table:
        if table is None or table.current_snapshot() is None:
            return Erased()
        if last_run(table) != settled_run:
            raise Unavailable("An archive run must be settled before users can be erased.")
        erasure = _Erasure(table, users, before_ms, step)
        erased = erasure.run(keep_history=keep_history and isinstance(table.catalog, SqlCatalog))
        step("erase.before_sweep")
        table.refresh()
        sweep(table, since_ms=EVER_MS, before_ms=EVER_MS)
        return erased


class _Erasure:
    """The rewriting of what some users are in."""

    def __init__(
        self, table: Table, users: Collection[str], before_ms: int | None, step: Step
    ) -> None:
        self._table = table
        self._users = pa.array(sorted(users), pa.string())
        self._before = None if before_ms is None else moment(before_ms)
        self._step = step
        self._replaced: dict[str, list[DataFile]] = {}

    def run(self, *, keep_history: bool) -> Erased:
        current = self._table.current_snapshot()
        assert current is not None, "there is something to erase from"
        present = {file.file_path: file for file in live_files(self._table, current)}
        kept = self._table.snapshots() if keep_history else [current]
        for snapshot in kept:
            for file in live_files(self._table, snapshot):
                self._replace(file)
        gone = [file for path, file in present.items() if path in self._replaced]
        rows = sum(file.record_count for file in gone) - sum(
            new.record_count for file in gone for new in self._replaced[file.file_path]
        )
        if keep_history:
            self._rewrite_history()
        else:
            self._drop_history(gone)
        return Erased(rows, len(self._replaced))

    def _replace(self, file: DataFile) -> None:
        """Write a file anew when the users are in it."""
        path = file.file_path
        if path in self._replaced or not self._holds(path):
            return
        writer = Writer(self._table, "erased", wrote=lambda: self._step("erase.file"))
        self._replaced[path] = writer.write(self._others(path))

    def _holds(self, path: str) -> bool:
        return any(
            pc.any(self._theirs(batch)).as_py()
            for batch in read(
                self._table.io, [path], _USER_COLUMNS if self._before is None else _TIME_COLUMNS
            )
        )

    def _others(self, path: str) -> Iterator[pa.RecordBatch]:
        for batch in read(self._table.io, [path]):
            yield batch.filter(pc.invert(self._theirs(batch)))

    def _theirs(self, batch: pa.RecordBatch) -> pa.Array:
        if self._before is not None:
            return pc.less(batch.column("timestamp"), self._before)
        return theirs(batch, self._users)

    def _rewrite_history(self) -> None:
        """Give every snapshot manifests without the users, even as the bounds of a removed file."""
        table = self._table
        catalog = table.catalog
        assert isinstance(catalog, SqlCatalog), "another catalog keeps the history that it has"

        def replaced(entry: ManifestEntry) -> Sequence[DataFile]:
            if entry.status == ManifestEntryStatus.DELETED:
                return ()
            return self._replaced.get(entry.data_file.file_path, (entry.data_file,))

        history = History(table.io, table.metadata, table.location(), replaced)
        new = history.write(table.metadata_location)
        self._step("erase.before")
        turn(catalog, table.metadata_location, new)
        self._step("erase.after")

    def _drop_history(self, gone: Sequence[DataFile]) -> None:
        """Commit what is left, and then drop every snapshot before it."""
        self._step("erase.before")
        if gone:
            left = [new for file in gone for new in self._replaced[file.file_path]]
            commit(self._table, ERASURE, added=left, removed=gone)
        # The commit names what it removed, with bounds; the next one does not.
        commit(self._table, ERASURE, added=())
        self._step("erase.after")
        current = self._table.metadata.current_snapshot_id
        past = [each.snapshot_id for each in self._table.snapshots()]
        past = [snapshot_id for snapshot_id in past if snapshot_id != current]
        self._table.maintenance.expire_snapshots().by_ids(past).commit()


def theirs(batch: pa.RecordBatch, users: pa.Array) -> pa.Array:
    """Mark the rows of some users; those of nobody are nobody's."""
    masks = [pc.is_in(batch.column(name), users) for name in _USER_COLUMNS]
    return pc.or_(*masks)


def moment(ms: int) -> pa.Scalar:
    """Write a moment as the table has it."""
    return pa.scalar(ms * 1_000, pa.int64()).cast(MOMENT)
