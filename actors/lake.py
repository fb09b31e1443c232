"""Where a tenant's archive is: enough to open it in any process, and nothing that needs pyiceberg.

By default it is all inside the tenant's folder: `lake/catalog.db`, an Iceberg catalog in SQLite,
and `lake/events/`, the table's files. With `properties`, which are pyiceberg's own, the catalog,
the files or both are elsewhere: a `warehouse` alone moves the files, a `uri` or `type` the catalog.

Iceberg's metadata holds absolute paths, so a folder that was copied has an archive that still
points to where it was: it is *displaced* until `lake_relocation` has rewritten it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from raydo.actors.tenant import slug

if TYPE_CHECKING:
    from raydo.pipelining.noun import Noun

LAKE_FOLDER: Final = "lake"
CATALOG_FILE: Final = "catalog.db"
TABLE_NAME: Final = "events"
ANALYTICS: Final = "Analytics"

Step = Callable[[str], None]  # names a moment; a test ends the work there


def no_step(_label: str, /) -> None:
    """Go on."""


@dataclass(frozen=True, slots=True)
class Lake:
    """Name one tenant's archive; `properties` are of pyiceberg's catalog."""

    folder: Path
    namespace: str
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """The part of the tenant's folder that is the archive's."""
        return self.folder.resolve() / LAKE_FOLDER

    @property
    def catalog_path(self) -> Path | None:
        """The tenant's own catalog, or None when a shared one is configured."""
        own = "uri" not in self.properties and "type" not in self.properties
        return self.home / CATALOG_FILE if own else None

    @property
    def location(self) -> str | None:
        """Where a new table's files go, or None when the catalog decides."""
        if "warehouse" in self.properties:
            return f"{self.properties['warehouse'].rstrip('/')}/{self.namespace}/{TABLE_NAME}"
        return None if self.catalog_path is None else str(self.home / TABLE_NAME)

    def displaced_from(self) -> str | None:
        """Return the metadata file, at another place, that a copied catalog names; else None."""
        path = self.catalog_path
        if path is None or "warehouse" in self.properties or not path.exists():
            return None
        location = metadata_location(path)
        here = f"{self.home}/"
        return location if location.startswith("/") and not location.startswith(here) else None


def namespace_of(noun: Noun) -> str:
    """Name a tenant's namespace: its slug, which in a catalog that all share is still its own.

    A dot would make two levels of it, so there is none.
    """
    name = slug(noun.id).replace(".", "_")
    return name if noun.cls == ANALYTICS else f"{noun.cls.lower()}_{name}"


def metadata_location(catalog: Path) -> str:
    """Return the file that a tenant's own catalog names as the table's present state, or nothing."""
    with closing(sqlite3.connect(f"{catalog.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            rows = connection.execute("SELECT metadata_location FROM iceberg_tables").fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return ""  # a catalog whose making was cut short
    return rows[0][0] if rows else ""
