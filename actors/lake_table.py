"""The table of a tenant's archive: its schema, and the catalog that opens it.

Every row is one event. `seq` is the event's number in the tenant, never given twice; `appended_ms`
is when raydo had it, so that the rows of any past moment can be told from those that came later,
whatever has been archived, merged or expired since.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from pyiceberg.catalog import load_catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import DayTransform, IdentityTransform
from pyiceberg.types import IntegerType, LongType, NestedField, StringType, TimestamptzType
from sqlalchemy.exc import DBAPIError

from raydo.actors.lake import TABLE_NAME
from raydo.actors.lake_files import make_folder
from raydo.pipelining.errors import DataUnreadable
from raydo.pipelining.limits import LAKE_METADATA_KEPT, LAKE_SNAPSHOTS_S

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

    from raydo.actors.lake import Lake

CATALOG_NAME: Final = "raydo"
FILE_IO: Final = "raydo.actors.lake_files.SyncedFileIO"

SCHEMA: Final = Schema(
    NestedField(1, "seq", LongType(), required=True),
    NestedField(2, "id", StringType(), required=True),
    NestedField(3, "event", StringType(), required=True),
    NestedField(4, "user_id", StringType(), required=False),
    NestedField(5, "anonymous_id", StringType(), required=False),
    NestedField(6, "timestamp", TimestamptzType(), required=True),
    NestedField(7, "received_at", TimestamptzType(), required=True),
    NestedField(8, "appended_ms", LongType(), required=True),
    NestedField(9, "properties", StringType(), required=True),
    NestedField(10, "context", StringType(), required=False),
    NestedField(11, "stream", StringType(), required=True),
    NestedField(12, "flags", IntegerType(), required=True),
)
SPEC: Final = PartitionSpec(
    PartitionField(source_id=6, field_id=1000, transform=DayTransform(), name="timestamp_day")
)
ORDER: Final = SortOrder(
    SortField(source_id=6, transform=IdentityTransform()),
    SortField(source_id=1, transform=IdentityTransform()),
)
PROPERTIES: Final = {
    # By itself pyiceberg meets a conflict by committing again, whatever the other commit was.
    "commit.retry.num-retries": "0",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "20",
    "history.expire.max-snapshot-age-ms": str(LAKE_SNAPSHOTS_S * 1_000),
    "write.metadata.previous-versions-max": str(LAKE_METADATA_KEPT),
    # The least and greatest JSON text prune nothing, and would carry user data into the manifests.
    "write.metadata.metrics.column.properties": "counts",
    "write.metadata.metrics.column.context": "counts",
    "write.parquet.compression-codec": "zstd",
}


@contextmanager
def opened(lake: Lake) -> Iterator[Table | None]:
    """Open the table, or give None when nothing was archived yet; a read makes no catalog.

    Raises:
        DataUnreadable: the folder was copied here, and `lake_relocation` has not run yet.
    """
    path = lake.catalog_path
    if path is not None and not path.exists():
        yield None
        return
    with catalog_of(lake) as catalog:
        yield _loaded(catalog, lake)


@contextmanager
def created(lake: Lake) -> Iterator[Table]:
    """Open the table, and make it and its catalog when they are not there.

    Raises:
        DataUnreadable: the folder was copied here, and `lake_relocation` has not run yet.
    """
    if lake.catalog_path is not None:
        make_folder(lake.home)
    with catalog_of(lake) as catalog:
        try:
            table = _loaded(catalog, lake) or _create(catalog, lake)
        except DBAPIError:  # two that make it at once meet in SQLite; the next time it is there
            table = _loaded(catalog, lake) or _create(catalog, lake)
        yield table


@contextmanager
def catalog_of(lake: Lake) -> Iterator[Catalog]:
    """Open the tenant's catalog, or the configured one.

    Raises:
        DataUnreadable: the folder was copied here, and `lake_relocation` has not run yet.
    """
    elsewhere = lake.displaced_from()
    if elsewhere is not None:
        raise DataUnreadable(f"The archive in {lake.home} still points to {elsewhere}.")
    catalog = open_catalog(lake)
    try:
        yield catalog
    finally:
        catalog.close()


def open_catalog(lake: Lake) -> Catalog:
    """Open the catalog as it is; the caller closes it."""
    properties = {"py-io-impl": FILE_IO, **lake.properties}
    path = lake.catalog_path
    if path is None:
        return load_catalog(CATALOG_NAME, **properties)
    properties["uri"] = f"sqlite:///{path}"
    try:
        return SqlCatalog(CATALOG_NAME, **properties)
    except DBAPIError:  # as above
        return SqlCatalog(CATALOG_NAME, **properties)


def _loaded(catalog: Catalog, lake: Lake) -> Table | None:
    try:
        return catalog.load_table((lake.namespace, TABLE_NAME))
    except (NoSuchTableError, NoSuchNamespaceError):
        return None


def _create(catalog: Catalog, lake: Lake) -> Table:
    with suppress(NamespaceAlreadyExistsError):
        catalog.create_namespace(lake.namespace)
    identifier = (lake.namespace, TABLE_NAME)
    try:
        return catalog.create_table(
            identifier,
            schema=SCHEMA,
            location=lake.location,
            partition_spec=SPEC,
            sort_order=ORDER,
            properties=PROPERTIES,
        )
    except TableAlreadyExistsError:
        return catalog.load_table(identifier)
