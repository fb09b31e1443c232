"""Snapshots that are no longer kept, and the files that nobody can be reading any more.

It takes two expiries to get there. One drops a snapshot from the metadata, once it has not been the
present one for long enough. A later one deletes its files, once no metadata that was the present one
within the grace period refers to them: whoever planned a query before that has ended. pyiceberg
itself deletes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.serializers import FromInputFile

from raydo.actors import lake_files
from raydo.actors.lake import no_step
from raydo.actors.lake_relocation import relocate
from raydo.actors.lake_table import opened
from raydo.pipelining.limits import (
    LAKE_GRACE_S,
    LAKE_LITTER_S,
    LAKE_METADATA_KEPT,
    LAKE_SNAPSHOTS_S,
)

if TYPE_CHECKING:
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata

    from raydo.actors.lake import Lake, Step


@dataclass(frozen=True, slots=True)
class Expired:
    """How many snapshots were dropped, and how many files and bytes were deleted."""

    snapshots: int = 0
    files: int = 0
    bytes: int = 0


def expire(
    lake: Lake,
    now_ms: int,
    *,
    keep_s: float = LAKE_SNAPSHOTS_S,
    grace_s: float = LAKE_GRACE_S,
    litter_s: float = LAKE_LITTER_S,
    step: Step = no_step,
) -> Expired:
    """Drop snapshots that ceased `keep_s` ago; delete files that none had within `grace_s`.

    A file younger than `litter_s` stays in any case: it may belong to a run under way. `grace_s`
    must be longer than any query lasts, and `litter_s` longer than any run.
    """
    relocate(lake, step=step)
    with opened(lake) as table:
        if table is None:
            return Expired()
        files, size = sweep(
            table, since_ms=now_ms - int(grace_s * 1_000), before_ms=now_ms - int(litter_s * 1_000)
        )
        step("expire.swept")
        return Expired(_drop(table, now_ms - int(keep_s * 1_000)), files, size)


def sweep(table: Table, *, since_ms: int, before_ms: int) -> tuple[int, int]:
    """Delete files older than `before_ms` that nothing referred to since `since_ms`.

    Return how many there were, and their bytes.
    """
    recent = _recent(table, since_ms)
    if recent is None:
        return 0, 0
    known = {table.metadata_location, *(each.metadata_file for each in table.metadata.metadata_log)}
    for metadata in recent:
        _refer(table, metadata, known)
    litter = [
        file
        for file in lake_files.stored(table.io, table.location())
        if file.location not in known and file.modified_ms <= before_ms
    ]
    deleted = lake_files.delete(table.io, [file.location for file in litter])
    return deleted, sum(file.size for file in litter)


def _drop(table: Table, before_ms: int) -> int:
    """Drop the snapshots whose successors were there before a moment; return how many."""
    log = table.metadata.snapshot_log
    gone = {entry.snapshot_id for entry, after in pairwise(log) if after.timestamp_ms < before_ms}
    current = table.metadata.current_snapshot_id
    ids = [each.snapshot_id for each in table.snapshots() if each.snapshot_id in gone - {current}]
    if not ids:
        return 0
    try:
        table.maintenance.expire_snapshots().by_ids(ids).commit()
    except CommitFailedException:
        table.refresh()  # somebody else committed; the next expiry drops them
        return 0
    table.refresh()
    return len(ids)


def _recent(table: Table, since_ms: int) -> list[TableMetadata] | None:
    """Return the metadata that was the present one since a moment; None when not all is known."""
    log = table.metadata.metadata_log
    if len(log) >= LAKE_METADATA_KEPT and log[0].timestamp_ms > since_ms:
        return None
    ends = [*(each.timestamp_ms for each in log[1:]), table.metadata.last_updated_ms]
    recent = [table.metadata]
    for entry, end_ms in zip(log, ends, strict=False):
        if end_ms >= since_ms:
            try:
                source = table.io.new_input(entry.metadata_file)
                recent.append(FromInputFile.table_metadata(source))
            except FileNotFoundError:
                return None
    return recent


def _refer(table: Table, metadata: TableMetadata, known: set[str]) -> None:
    """Add every file that some metadata refers to."""
    for snapshot in metadata.snapshots:
        known.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path not in known:
                known.add(manifest.manifest_path)
                entries = manifest.fetch_manifest_entry(table.io)
                known |= {entry.data_file.file_path for entry in entries}
