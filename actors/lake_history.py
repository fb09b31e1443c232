"""All of a table's metadata written anew, with the same snapshots: for files that moved or changed.

Iceberg has no such operation: a commit only adds to history. So every manifest, manifest list and
the metadata file are written beside the old ones, under new names, and then the catalog is turned
to them by one UPDATE that names what it replaces. Until then nothing has happened, and afterwards
nothing refers to the old files. Only a SQL catalog can be turned so.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pyiceberg.catalog.sql import IcebergTables
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import (
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    read_manifest_list,
    write_manifest,
    write_manifest_list,
)
from pyiceberg.serializers import ToOutputFile
from pyiceberg.table.snapshots import Summary
from sqlalchemy import update
from sqlalchemy.orm import Session

from raydo.pipelining.errors import DataUnreadable

if TYPE_CHECKING:
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import DataFile
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot

Replace = Callable[[ManifestEntry], Sequence["DataFile"]]

_COMPRESSION: Final = "deflate"  # the one that every reader of Avro knows


class _Rewritten(NamedTuple):
    """A manifest written anew, and the bytes of its live data files."""

    manifest: ManifestFile
    live_bytes: int


class History:
    """Write the metadata of a table anew, at `location`; `replace` gives each entry's new files."""

    def __init__(
        self, files: FileIO, metadata: TableMetadata, location: str, replace: Replace
    ) -> None:
        self._files = files
        self._metadata = metadata
        self._location = location
        self._replace = replace
        self._id = uuid.uuid4()
        self._manifests: dict[str, _Rewritten | None] = {}

    def write(self, metadata_location: str) -> str:
        """Write everything and return the new metadata file, which follows `metadata_location`."""
        snapshots = [self._snapshot(snapshot) for snapshot in self._metadata.snapshots]
        metadata = self._metadata.model_copy(
            update={"location": self._location, "snapshots": snapshots, "metadata_log": []}
        )
        version = int(metadata_location.rpartition("/")[2].partition("-")[0]) + 1
        location = self._new(f"{version:05d}-{self._id}.metadata.json")
        ToOutputFile.table_metadata(metadata, self._files.new_output(location))
        return location

    def here(self, path: str) -> str:
        """Return where a file of the table is now.

        Raises:
            DataUnreadable: it is not below the table's location, so nobody knows.
        """
        old = f"{self._metadata.location}/"
        if not path.startswith(old):
            raise DataUnreadable(f"{path} is a file of a table in {old}, and is not in it.")
        return f"{self._location}/{path.removeprefix(old)}"

    def _snapshot(self, snapshot: Snapshot) -> Snapshot:
        listed = read_manifest_list(self._files.new_input(self.here(snapshot.manifest_list)))
        manifests = [new for old in listed if (new := self._manifest(old)) is not None]
        location = self._new(f"snap-{snapshot.snapshot_id}-0-{self._id}.avro")
        with write_manifest_list(
            format_version=self._metadata.format_version,
            output_file=self._files.new_output(location),
            snapshot_id=snapshot.snapshot_id,
            parent_snapshot_id=snapshot.parent_snapshot_id,
            sequence_number=snapshot.sequence_number,
            avro_compression=_COMPRESSION,
        ) as writer:
            writer.add_manifests([each.manifest for each in manifests])
        return snapshot.model_copy(
            update={"manifest_list": location, "summary": _summary(snapshot, manifests)}
        )

    def _manifest(self, old: ManifestFile) -> _Rewritten | None:
        path = old.manifest_path
        if path not in self._manifests:
            self._manifests[path] = self._rewrite(old)
        return self._manifests[path]

    def _rewrite(self, old: ManifestFile) -> _Rewritten | None:
        moved = ManifestFile(*(old[position] for position in range(len(old))))
        moved[0] = self.here(old.manifest_path)
        entries = [
            _with(entry, file)
            for entry in moved.fetch_manifest_entry(self._files, discard_deleted=False)
            for file in self._replace(entry)
        ]
        if not entries:
            return None
        with write_manifest(
            format_version=self._metadata.format_version,
            spec=self._metadata.specs()[old.partition_spec_id],
            schema=self._metadata.schema(),
            output_file=self._files.new_output(
                self._new(f"{self._id}-m{len(self._manifests)}.avro")
            ),
            snapshot_id=old.added_snapshot_id or 0,
            avro_compression=_COMPRESSION,
        ) as writer:
            for entry in entries:
                writer.add_entry(entry)
        new = writer.to_manifest_file()
        new.sequence_number = old.sequence_number
        new.min_sequence_number = old.min_sequence_number
        live = [each for each in entries if each.status != ManifestEntryStatus.DELETED]
        return _Rewritten(new, sum(each.data_file.file_size_in_bytes for each in live))

    def _new(self, name: str) -> str:
        return f"{self._location}/metadata/{name}"


def turn(catalog: SqlCatalog, old: str, new: str) -> None:
    """Let the catalog name another metadata file.

    Raises:
        CommitFailedException: it names another than `old` by now.
    """
    with Session(catalog.engine) as session:
        statement = (
            update(IcebergTables)
            .where(
                IcebergTables.catalog_name == catalog.name,
                IcebergTables.metadata_location == old,
            )
            .values(metadata_location=new, previous_metadata_location=None)
        )
        done: Any = session.execute(statement)
        if done.rowcount != 1:
            raise CommitFailedException(f"The catalog does not name {old} any more.")
        session.commit()


def _with(entry: ManifestEntry, file: DataFile) -> ManifestEntry:
    return ManifestEntry.from_args(
        status=entry.status,
        snapshot_id=entry.snapshot_id,
        sequence_number=entry.sequence_number,
        file_sequence_number=entry.file_sequence_number,
        data_file=file,
    )


def _summary(snapshot: Snapshot, manifests: Sequence[_Rewritten]) -> Summary | None:
    """Count a snapshot's totals anew."""
    if snapshot.summary is None:
        return None
    each = [rewritten.manifest for rewritten in manifests]
    totals = {
        "total-data-files": sum(
            (m.added_files_count or 0) + (m.existing_files_count or 0) for m in each
        ),
        "total-records": sum(
            (m.added_rows_count or 0) + (m.existing_rows_count or 0) for m in each
        ),
        "total-files-size": sum(rewritten.live_bytes for rewritten in manifests),
    }
    properties = {
        **snapshot.summary.additional_properties,
        **{name: str(value) for name, value in totals.items()},
    }
    return Summary(operation=snapshot.summary.operation, **properties)
