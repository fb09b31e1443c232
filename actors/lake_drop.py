"""The end of a tenant's archive: its table, its namespace and its files, wherever they are."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

from raydo.actors import lake_files
from raydo.actors.lake import TABLE_NAME
from raydo.actors.lake_table import open_catalog

if TYPE_CHECKING:
    from raydo.actors.lake import Lake


def drop(lake: Lake) -> None:
    """Delete everything; again, it changes nothing."""
    if lake.catalog_path is not None and not lake.catalog_path.exists():
        return
    catalog = open_catalog(lake)
    try:
        with suppress(NoSuchTableError, NoSuchNamespaceError):
            table = catalog.load_table((lake.namespace, TABLE_NAME))
            stored = lake_files.stored(table.io, table.location())
            lake_files.delete(table.io, [file.location for file in stored])
            catalog.drop_table((lake.namespace, TABLE_NAME))
        with suppress(NoSuchNamespaceError):
            catalog.drop_namespace(lake.namespace)
    finally:
        catalog.close()
