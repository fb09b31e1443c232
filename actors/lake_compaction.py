"""Small files of one day made one: late events leave many, and each costs a query an open.

The merged files are read again before anything is committed, and one commit puts them in place of
the small ones. So every snapshot, before and after, has the same rows as it had, and each row keeps
the moment at which raydo had it: no answer changes, of no moment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException

from raydo.actors import lake_files
from raydo.actors.lake import no_step
from raydo.actors.lake_digest import tally
from raydo.actors.lake_relocation import relocate
from raydo.actors.lake_rows import COLUMNS
from raydo.actors.lake_snapshots import COMPACTION, commit, last_run, live_files, read
from raydo.actors.lake_table import opened
from raydo.actors.lake_writer import Writer
from raydo.pipelining.errors import ArchiveMismatch
from raydo.pipelining.limits import (
    LAKE_MERGE_BYTES_MAX,
    LAKE_MERGES_MAX,
    LAKE_SMALL_FILE_BYTES,
    LAKE_SMALL_FILES_MIN,
)

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table

    from raydo.actors.lake import Lake, Step


@dataclass(frozen=True, slots=True)
class Compacted:
    """How many files became how many, and the snapshot that has them."""

    before: int
    after: int
    snapshot_id: int


def compact(
    lake: Lake,
    *,
    settled_run: int,
    files_min: int = LAKE_SMALL_FILES_MIN,
    step: Step = no_step,
) -> Compacted | None:
    """Merge the small files of each day that has `files_min` of them, in one snapshot.

    `settled_run` is the last run of which SQLite has nothing left: when the archive has another
    one, it still has to be read again as it was written, and nothing is merged. Nor is it when
    somebody else commits first.

    Raises:
        ArchiveMismatch: the merged files are not what went into them; nothing was committed.
    """
    relocate(lake, step=step)
    with opened(lake) as table:
        snapshot = None if table is None else table.current_snapshot()
        if table is None or snapshot is None or last_run(table) != settled_run:
            return None
        merges = _merges(live_files(table, snapshot), files_min)
        return _Compaction(table, step).run(merges) if merges else None


class _Compaction:
    """One commit of merged files."""

    def __init__(self, table: Table, step: Step) -> None:
        self._table = table
        self._step = step
        self._paths: list[str] = []

    def run(self, merges: Sequence[Sequence[DataFile]]) -> Compacted | None:
        before = [file for merge in merges for file in merge]
        try:
            after = [file for merge in merges for file in self._merge(merge)]
        except Exception:
            lake_files.delete(self._table.io, self._paths)
            raise
        self._step("compact.before")
        try:
            commit(self._table, COMPACTION, added=after, removed=before)
        except CommitFailedException:
            lake_files.delete(self._table.io, self._paths)
            return None
        self._step("compact.after")
        snapshot = self._table.current_snapshot()
        assert snapshot is not None, "a commit makes a snapshot"
        return Compacted(len(before), len(after), snapshot.snapshot_id)

    def _merge(self, files: Sequence[DataFile]) -> list[DataFile]:
        batches = list(read(self._table.io, [file.file_path for file in files]))
        rows = pa.Table.from_batches(batches, COLUMNS)
        ordered = rows.sort_by([("timestamp", "ascending"), ("seq", "ascending")])
        writer = Writer(self._table, "merged", wrote=lambda: self._step("compact.file"))
        try:
            merged = writer.write(ordered.combine_chunks().to_batches())
        finally:
            self._paths += writer.paths
        found = tally(read(self._table.io, writer.paths))
        expected = tally(ordered.to_batches())
        if found.digest != expected.digest or found.rows != sum(f.record_count for f in files):
            raise ArchiveMismatch(
                f"Merging {len(files)} files of {self._table.name()} gave {found.rows} other rows."
            )
        return merged


def _merges(files: Sequence[DataFile], files_min: int) -> list[list[DataFile]]:
    """Choose which files become one: of one day, small, and together no more than fits memory."""
    days: defaultdict[int, list[DataFile]] = defaultdict(list)
    for file in files:
        if file.file_size_in_bytes < LAKE_SMALL_FILE_BYTES:
            days[file.partition[0]].append(file)
    chosen = [
        merge
        for _, small in sorted(days.items())
        if len(small) >= files_min
        for merge in _bounded(small)
    ]
    return chosen[:LAKE_MERGES_MAX]


def _bounded(files: Sequence[DataFile]) -> list[list[DataFile]]:
    merges: list[list[DataFile]] = []
    held: list[DataFile] = []
    for file in sorted(files, key=lambda each: each.file_size_in_bytes):
        if sum(each.file_size_in_bytes for each in [*held, file]) > LAKE_MERGE_BYTES_MAX:
            merges.append(held)
            held = []
        held.append(file)
    return [merge for merge in [*merges, held] if len(merge) > 1]
