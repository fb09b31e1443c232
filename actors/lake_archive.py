"""One archive run: rows leave SQLite as files, one commit makes them the table's, and they are read
again.

It may end at any moment and be run again, here or elsewhere, also twice at once: the commit says in
its properties which run it is, and no second commit of a run gets in. A commit that meets another
one never goes on by itself; the table is loaded again and asked what happened. Files of an attempt
that ended early belong to no snapshot, and expiry deletes them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from pyiceberg.exceptions import CommitFailedException
from sqlalchemy.exc import DBAPIError

from raydo.actors import lake_files
from raydo.actors.failure import full, is_full
from raydo.actors.lake import no_step
from raydo.actors.lake_digest import Tally, tally
from raydo.actors.lake_relocation import relocate
from raydo.actors.lake_runs import Committed
from raydo.actors.lake_snapshots import (
    ARCHIVE,
    BEFORE_MS,
    CUT_SEQ,
    DIGEST,
    ROWS,
    RUN,
    added_files,
    commit,
    last_run,
    marks,
    read,
    snapshot_of,
)
from raydo.actors.lake_table import created
from raydo.actors.lake_writer import Writer
from raydo.pipelining.errors import ArchiveMismatch, Unavailable
from raydo.pipelining.limits import LAKE_COMMITS_MAX, LAKE_RUN_S_MAX

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

    from raydo.actors.lake import Lake, Step
    from raydo.actors.lake_rows import RowSource
    from raydo.actors.lake_runs import Run

Stopwatch = Callable[[], float]


def archive(
    lake: Lake,
    run: Run,
    rows: RowSource,
    *,
    step: Step = no_step,
    stopwatch: Stopwatch = time.monotonic,
) -> Committed:
    """Bring a planned run into the archive, unless it is there; return what was read from there.

    Raises:
        ArchiveMismatch: the archive has other rows as this run, or later runs.
        StorageFull: there is no room; nothing was committed.
        Unavailable: others commit all the time, or the run took too long; run it again.
    """
    relocate(lake, step=step)
    try:
        with created(lake) as table:
            step("archive.opened")
            return _Archive(table, run, step, stopwatch).run(rows)
    except (OSError, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
        if is_full(cause):
            raise full(cause) from error
        raise


class _Archive:
    """One attempt at one run."""

    def __init__(self, table: Table, run: Run, step: Step, stopwatch: Stopwatch) -> None:
        self._table = table
        self._run = run
        self._step = step
        self._stopwatch = stopwatch
        self._start_s = stopwatch()

    def run(self, rows: RowSource) -> Committed:
        found = self._find()
        if found is not None:
            return self._read_again(found, tally(rows(self._run)))
        writer = Writer(
            self._table,
            f"run{self._run.run:06d}",
            wrote=lambda: self._step("archive.file"),
        )
        expected = Tally()
        try:
            files = writer.write(_counted(rows(self._run), expected))
            self._step("archive.files")
            self._check_time()
        except Exception:
            lake_files.delete(self._table.io, writer.paths)
            raise
        if not files:
            return self._committed(None, expected)
        found = self._commit(files, expected)
        ours = {file.file_path for file in files}
        if ours.isdisjoint(file.file_path for file in added_files(self._table, found)):
            lake_files.delete(self._table.io, writer.paths)  # another archiver was first
        return self._read_again(found, expected)

    def _find(self) -> Snapshot | None:
        """Return the snapshot by which this run is in the table.

        Raises:
            ArchiveMismatch: it came in differently, or later ones did.
        """
        run, last = self._run, last_run(self._table)
        if last < run.run:
            return None
        found = snapshot_of(self._table, run.run) if last == run.run else None
        if found is None:
            raise ArchiveMismatch(
                f"The archive of {self._table.name()} has run {last} already, so run {run.run} is of"
                " another copy of this tenant."
            )
        known = marks(found)
        if (known[CUT_SEQ], known[BEFORE_MS]) != (str(run.cut_seq), str(run.before_ms)):
            raise ArchiveMismatch(f"The archive has a run {run.run} that ends elsewhere.")
        return found

    def _commit(self, files: list[DataFile], expected: Tally) -> Snapshot:
        more = {
            RUN: str(self._run.run),
            CUT_SEQ: str(self._run.cut_seq),
            BEFORE_MS: str(self._run.before_ms),
            DIGEST: expected.digest,
            ROWS: str(expected.rows),
        }
        for _ in range(LAKE_COMMITS_MAX):
            self._step("archive.commit.before")
            try:
                commit(self._table, ARCHIVE, added=files, more=more)
            except CommitFailedException:
                pass  # somebody else's commit came first: ours, from another archiver, or not
            except Exception:
                # Whether it was done nobody says but the table itself.
                if self._reloaded() is None:
                    raise
            else:
                self._step("archive.commit.after")
            found = self._reloaded()
            if found is not None:
                return found
        raise Unavailable(f"{LAKE_COMMITS_MAX} commits of an archive run met others'.")

    def _reloaded(self) -> Snapshot | None:
        self._table.refresh()
        return self._find()

    def _read_again(self, snapshot: Snapshot, expected: Tally) -> Committed:
        """Compare what the snapshot brought in with what SQLite has.

        Raises:
            ArchiveMismatch: they differ.
        """
        paths = [file.file_path for file in added_files(self._table, snapshot)]
        found = tally(read(self._table.io, paths))
        known = marks(snapshot)[DIGEST]
        if not found.digest == expected.digest == known:
            raise ArchiveMismatch(
                f"Run {self._run.run} of {self._table.name()} has {found.rows} rows in the archive"
                f" (digest {found.digest}, {known} at the commit), and {expected.rows} in the"
                f" database ({expected.digest})."
            )
        self._step("archive.read_again")
        return self._committed(snapshot.snapshot_id, found)

    def _committed(self, snapshot_id: int | None, rows: Tally) -> Committed:
        seqs, times = rows.seqs, rows.times_ms
        return Committed(self._run.run, snapshot_id, rows.rows, rows.digest, *seqs, *times)

    def _check_time(self) -> None:
        if self._stopwatch() - self._start_s > LAKE_RUN_S_MAX:
            raise Unavailable(f"An archive run took more than {LAKE_RUN_S_MAX:.0f} s.")


def _counted(batches: Iterable[pa.RecordBatch], into: Tally) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        into.add(batch)
        yield batch
