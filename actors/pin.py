"""Which rows a query over a tenant's history reads, so that none is missing and none comes twice.

The order is what makes it right: first the read transaction of SQLite is open, then the archive's
snapshot is looked up. A run that was committed before that is in the snapshot, and
the rows that it took are left out of SQLite's side, whether they are deleted there or not. A run
that ended in between is one that this transaction knows nothing of; then the transaction is too
old, and another one is begun.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from raydo.actors.lake import TABLE_NAME, Lake
from raydo.pipelining.errors import DataUnreadable, QueryError, Unavailable
from raydo.pipelining.limits import QUERY_PLANS_KEPT

if TYPE_CHECKING:
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

_TIMESTAMP: Final = 6  # the column's number in the archive's schema
_RUN: Final = "raydo.run"


class Run(NamedTuple):
    """What the tenant's database knows of one archive run."""

    run: int
    cut_seq: int
    before_ms: int
    state: str
    rows: int | None
    max_ms: int | None

    @property
    def archived(self) -> bool:
        """Whether rows of it may have left the database."""
        return self.state != "planned" and self.rows != 0


class File(NamedTuple):
    """A data file of the archive and the moments between which its events lie."""

    location: str
    size: int
    first_us: int | None
    last_us: int | None


class Pinned(NamedTuple):
    """A snapshot of the archive: its files, and the last run that it contains."""

    snapshot_id: int
    run: int
    files: Sequence[File]
    io: FileIO


class TooOld(Unavailable):
    """Say that an archive run ended after the read transaction began."""


@dataclass(frozen=True, slots=True)
class Plans:
    """Remember the files of snapshots, which never change."""

    kept: OrderedDict[tuple[str, int], Pinned]

    def pin(self, lake: Lake, runs: Sequence[Run], snapshot_id: int | None = None) -> Pinned:
        """Look up the present snapshot, or the one that is asked for.

        Raises:
            QueryError: the archive does not keep the snapshot asked for.
            TooOld: the present one has a run that is not among `runs`.
            DataUnreadable: the archive lacks a run whose rows have left the database.
        """
        pinned = self._pinned(lake, snapshot_id)
        if snapshot_id is not None:
            return pinned
        if pinned.run > max((run.run for run in runs), default=0):
            raise TooOld("An archive run ended while the query began.")
        missing = [run.run for run in runs if run.archived and run.run > pinned.run]
        if missing:
            raise DataUnreadable(f"The archive in {lake.home} lacks run {missing[0]}.")
        return pinned

    def _pinned(self, lake: Lake, snapshot_id: int | None) -> Pinned:
        path = lake.catalog_path
        if path is None:
            from raydo.actors.lake_table import opened

            with opened(lake) as table:
                if table is None:
                    raise DataUnreadable(f"There is no archive of {lake.namespace}.")
                return self._of(table, snapshot_id)
        displaced = lake.displaced_from()
        if displaced is not None:
            raise DataUnreadable(f"The archive in {lake.home} still points to {displaced}.")
        location = metadata_location(lake)
        known = self.kept.get((location, snapshot_id or 0))
        if known is None:
            from pyiceberg.table import StaticTable

            known = self._of(StaticTable.from_metadata(location), snapshot_id)
        self.kept[location, snapshot_id or 0] = known
        self.kept.move_to_end((location, snapshot_id or 0))
        while len(self.kept) > QUERY_PLANS_KEPT:
            self.kept.popitem(last=False)
        return known

    def _of(self, table: Table, snapshot_id: int | None) -> Pinned:
        found = (
            table.current_snapshot() if snapshot_id is None else table.snapshot_by_id(snapshot_id)
        )
        if found is None:
            if snapshot_id is None:
                raise DataUnreadable(f"The archive {table.name()} has no snapshot.")
            raise QueryError(f"The archive keeps no snapshot {snapshot_id}.")
        tasks = table.scan(snapshot_id=found.snapshot_id).plan_files()
        files = []
        for task in tasks:
            if task.delete_files:
                raise DataUnreadable(
                    f"Another engine deleted rows of the archive {table.name()} by files of"
                    " deletes; let it rewrite the data files."
                )
            files.append(_file(task.file))
        return Pinned(found.snapshot_id, _last_run(table, found), tuple(files), table.io)


def read_runs(connection: sqlite3.Connection) -> list[Run]:
    """Read the runs in the transaction of a connection, which begins here if it has not."""
    try:
        rows = connection.execute(
            "SELECT run, cut_seq, before_ms, state, rows, max_ts FROM _raydo_runs ORDER BY run"
        )
        return [Run(*row) for row in rows]
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return []


def metadata_location(lake: Lake) -> str:
    """Ask the tenant's own catalog where the table's metadata is, without pyiceberg.

    Raises:
        DataUnreadable: there is no catalog, or no table in it.
    """
    path = lake.catalog_path
    assert path is not None
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        ) as connection:
            found = connection.execute(
                "SELECT metadata_location FROM iceberg_tables"
                " WHERE table_namespace = ? AND table_name = ?",
                (lake.namespace, TABLE_NAME),
            ).fetchone()
    except sqlite3.Error as error:
        raise DataUnreadable(f"The archive's catalog {path} cannot be read: {error}.") from error
    if found is None:
        raise DataUnreadable(f"The archive's catalog {path} has no table {TABLE_NAME}.")
    location: str = found[0]
    return location


def within(files: Sequence[File], first_ms: int, last_ms: int) -> list[File]:
    """Leave out the files whose events all lie outside `first_ms <= timestamp <= last_ms`."""
    return [
        file
        for file in files
        if (file.last_us is None or file.last_us >= first_ms * 1000)
        and (file.first_us is None or file.first_us < (last_ms + 1) * 1000)
    ]


def _last_run(table: Table, snapshot: Snapshot) -> int:
    """Find the run in the snapshot's marks, or in those of what came before it."""
    here: Snapshot | None = snapshot
    while here is not None:
        known = here.summary.additional_properties if here.summary else {}
        if _RUN in known:
            return int(known[_RUN])
        parent = here.parent_snapshot_id
        here = None if parent is None else table.snapshot_by_id(parent)
    return 0


def _file(file: DataFile) -> File:
    lower, upper = (file.lower_bounds or {}), (file.upper_bounds or {})
    return File(
        file.file_path,
        file.file_size_in_bytes,
        _moment_us(lower.get(_TIMESTAMP)),
        _moment_us(upper.get(_TIMESTAMP)),
    )


def _moment_us(bound: bytes | None) -> int | None:
    return None if bound is None else int.from_bytes(bound, "little", signed=True)
