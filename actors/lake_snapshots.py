"""Snapshots of the archive, and the marks that each of them carries.

A commit of a run puts the run into the snapshot's properties, and every later snapshot, whatever
made it, carries them on: the present snapshot always tells the last run that it contains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.manifest import ManifestEntryStatus

from raydo.actors.lake_table import opened
from raydo.pipelining.limits import LAKE_BATCH_ROWS

if TYPE_CHECKING:
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

    from raydo.actors.lake import Lake

PREFIX: Final = "raydo."
RUN: Final = "raydo.run"
CUT_SEQ: Final = "raydo.cut_seq"
BEFORE_MS: Final = "raydo.before_ms"
DIGEST: Final = "raydo.digest"
ROWS: Final = "raydo.rows"
KIND: Final = "raydo.kind"  # what made the snapshot; the one mark that is not carried on

ARCHIVE: Final = "archive"
COMPACTION: Final = "compaction"
ERASURE: Final = "erasure"


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """One snapshot: when it became the present one, what made it, and the last run it contains."""

    snapshot_id: int
    at_ms: int
    kind: str
    run: int
    cut_seq: int
    before_ms: int
    rows: int
    files: int
    bytes: int


def snapshots(lake: Lake) -> list[SnapshotInfo]:
    """List the snapshots that are kept, oldest first."""
    with opened(lake) as table:
        return [] if table is None else [_info(each) for each in _in_order(table)]


def snapshot_at(table: Table, moment_ms: int) -> SnapshotInfo | None:
    """Return the snapshot that was the present one at `moment_ms`; None when it is not kept.

    It tells what was archived then. Which rows raydo had at a moment is told by `appended_ms`,
    exactly and whatever is kept.
    """
    snapshot = table.snapshot_as_of_timestamp(moment_ms)
    return None if snapshot is None else _info(snapshot)


def marks(snapshot: Snapshot | None) -> dict[str, str]:
    """Return what the next snapshot must carry on."""
    if snapshot is None or snapshot.summary is None:
        return {}
    return {
        name: value
        for name, value in snapshot.summary.additional_properties.items()
        if name.startswith(PREFIX) and name != KIND
    }


def last_run(table: Table) -> int:
    """Return the last run that the present snapshot contains; 0 before the first."""
    return int(marks(table.current_snapshot()).get(RUN, 0))


def snapshot_of(table: Table, run: int) -> Snapshot | None:
    """Return the snapshot by which `run` came in, if it is kept."""
    for snapshot in table.snapshots():
        kind = snapshot.summary.additional_properties.get(KIND) if snapshot.summary else None
        if kind == ARCHIVE and marks(snapshot)[RUN] == str(run):
            return snapshot
    return None


def commit(
    table: Table,
    kind: str,
    *,
    added: Sequence[DataFile],
    removed: Sequence[DataFile] = (),
    more: Mapping[str, str] | None = None,
) -> None:
    """Make the next snapshot: one, in one commit, that carries the marks on.

    Raises:
        CommitFailedException: somebody else made one first, and nothing was done.
        Exception: whether it was done is unknown.
    """
    properties = {**marks(table.current_snapshot()), **(more or {}), KIND: kind}
    with table.transaction() as transaction:
        update = transaction.update_snapshot(snapshot_properties=properties)
        with update.overwrite() if removed else update.merge_append() as files:
            for file in added:
                files.append_data_file(file)
            for file in removed:
                files.delete_data_file(file)


def added_files(table: Table, snapshot: Snapshot) -> list[DataFile]:
    """Return the files that a snapshot brought in, in the order in which they were written."""
    added = [
        entry.data_file
        for manifest in snapshot.manifests(table.io)
        if manifest.has_added_files()
        for entry in manifest.fetch_manifest_entry(table.io)
        if entry.status == ManifestEntryStatus.ADDED and entry.snapshot_id == snapshot.snapshot_id
    ]
    return sorted(added, key=lambda file: file.file_path.rpartition("/")[2])


def live_files(table: Table, snapshot: Snapshot) -> list[DataFile]:
    """Return all files of a snapshot."""
    return [
        entry.data_file
        for manifest in snapshot.manifests(table.io)
        for entry in manifest.fetch_manifest_entry(table.io)
    ]


def read(
    files: FileIO, paths: Sequence[str], columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Read data files, one after the other, in batches."""
    for path in paths:
        with files.new_input(path).open() as stream, pq.ParquetFile(stream) as parquet:
            yield from parquet.iter_batches(LAKE_BATCH_ROWS, columns=columns)


def _in_order(table: Table) -> list[Snapshot]:
    return sorted(table.snapshots(), key=lambda each: each.sequence_number or 0)


def _info(snapshot: Snapshot) -> SnapshotInfo:
    summary = snapshot.summary.additional_properties if snapshot.summary else {}
    return SnapshotInfo(
        snapshot_id=snapshot.snapshot_id,
        at_ms=snapshot.timestamp_ms,
        kind=summary.get(KIND, ""),
        run=int(summary.get(RUN, 0)),
        cut_seq=int(summary.get(CUT_SEQ, 0)),
        before_ms=int(summary.get(BEFORE_MS, 0)),
        rows=int(summary.get("total-records", 0)),
        files=int(summary.get("total-data-files", 0)),
        bytes=int(summary.get("total-files-size", 0)),
    )
