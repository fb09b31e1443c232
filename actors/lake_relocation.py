"""A copied folder's archive: its metadata still names the place it was copied from.

Before anything else is done with it, the metadata is written anew for where it is now. The files
themselves stay as they are, and so do snapshots, their ids and their times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io import load_file_io
from pyiceberg.serializers import FromInputFile

from raydo.actors.lake import no_step
from raydo.actors.lake_history import History, turn
from raydo.actors.lake_table import open_catalog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyiceberg.manifest import DataFile, ManifestEntry

    from raydo.actors.lake import Lake, Step

_PATH: Final = 1  # where a data file's record has its path


def relocate(lake: Lake, *, step: Step = no_step) -> bool:
    """Let a copied folder's archive be where the folder is; tell whether it was elsewhere.

    It may end at any moment and be run again, also twice at once.

    Raises:
        DataUnreadable: its files are not all in the folder.
        FileNotFoundError: some are missing.
    """
    elsewhere = lake.displaced_from()
    if elsewhere is None:
        return False
    catalog = open_catalog(lake)
    assert isinstance(catalog, SqlCatalog), "only the folder's own catalog is ever displaced"
    try:
        _relocate(lake, catalog, elsewhere, step)
    except CommitFailedException:
        if lake.displaced_from() is not None:
            raise
    finally:
        catalog.close()
    return True


def _relocate(lake: Lake, catalog: SqlCatalog, elsewhere: str, step: Step) -> None:
    location = lake.location
    assert location is not None, "a displaced archive is inside its folder"
    files = load_file_io(catalog.properties, location)
    copied = f"{location}/metadata/{elsewhere.rpartition('/')[2]}"
    metadata = FromInputFile.table_metadata(files.new_input(copied))

    def moved(entry: ManifestEntry) -> Sequence[DataFile]:
        entry.data_file[_PATH] = history.here(entry.data_file.file_path)
        return [entry.data_file]

    history = History(files, metadata, location, moved)
    new = history.write(copied)
    step("relocate.before")
    turn(catalog, elsewhere, new)
    step("relocate.after")
