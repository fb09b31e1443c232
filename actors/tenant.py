"""Where a tenant lives on disk: one folder, named so that no id can escape or meet another's.

`data/<class>/<slug>/`, where the slug is a readable part of the id and a hash of the whole of it.
The readable part is for people only; the hash keeps apart what a file system would fold together
(`Acme` and `acme`, two spellings of one accent), and the file `id` inside holds the exact id, so
that a copied folder still knows whose it is.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Final

from raydo.actors.disk import Disk, OsDisk, read_file, write_file
from raydo.pipelining.errors import DataUnreadable, InvalidArgument, InvalidTenant
from raydo.pipelining.limits import TENANT_BYTES_MAX
from raydo.pipelining.noun import Noun
from raydo.pipelining.noun import noun as checked

PREFIX_BYTES_MAX: Final = 60
HASH_BYTES: Final = 10  # 80 bits: two ids of one data folder never meet by chance
ID_FILE: Final = "id"
GONE_SUFFIX: Final = ".gone"  # no tenant's folder ends so: a hash stands there
_DISK: Final = OsDisk()
_UNREADABLE = re.compile(r"[^a-z0-9._-]+")


def slug(tenant: str) -> str:
    """Name a tenant as one path component: `[a-z0-9._-]`, never with a dot in front.

    Raises:
        InvalidTenant: not a tenant id at all (see `pipelining.noun`).
    """
    exact = checked("", tenant).id
    prefix = _UNREADABLE.sub("-", exact.lower())[:PREFIX_BYTES_MAX].strip("-._") or "tenant"
    return f"{prefix}-{blake2b(exact.encode(), digest_size=HASH_BYTES).hexdigest()}"


def folder(data: Path, noun: Noun) -> Path:
    """Return where `noun` lives or would live; touches no disk.

    Raises:
        InvalidArgument: the class's name is no identifier, so it must not become a path.
        InvalidTenant: the id is no tenant id.
    """
    if not noun.cls.isidentifier():
        raise InvalidArgument(f"{noun.cls!r} is no name of a class.")
    return data / noun.cls / slug(noun.id)


def exists(folder: Path, disk: Disk = _DISK) -> bool:
    """Tell whether a tenant was created here."""
    return ID_FILE in disk.names(folder)


def read_id(folder: Path, disk: Disk = _DISK) -> str:
    """Return the exact id of the tenant in `folder`.

    Raises:
        DataUnreadable: there is none, or it is not the one that the folder is named after.
    """
    try:
        tenant = read_file(disk, folder / ID_FILE)[: TENANT_BYTES_MAX + 1].decode()
        named = slug(tenant)
    except (OSError, UnicodeDecodeError, InvalidTenant) as error:
        raise DataUnreadable(f"{folder} holds no tenant: {error}") from None
    if named != folder.name:
        raise DataUnreadable(f"{folder} holds the tenant {tenant!r}, who belongs in {named!r}.")
    return tenant


def create(folder: Path, noun: Noun, disk: Disk = _DISK) -> None:
    """Make the tenant's folder and its `id`, both on disk at return; again, it changes nothing.

    Raises:
        DataUnreadable: the folder belongs to somebody else.
        OSError: the disk refused.
    """
    made = [path.parent for path in folder.parents if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    # The two folders above are synced even when they were there: an earlier process may have
    # made them and stopped before it came to this line. And before the id is there: from then on
    # the tenant exists, and nobody comes here again.
    for path in dict.fromkeys([folder.parent, folder.parent.parent, *made]):
        disk.sync_folder(path)
    if exists(folder, disk):
        if (found := read_id(folder, disk)) != noun.id:
            raise DataUnreadable(f"{folder} belongs to {found!r}, not to {noun.id!r}.")
        disk.sync_folder(folder)
    else:
        write_file(disk, folder / ID_FILE, noun.id.encode())


def vanish(folder: Path, disk: Disk = _DISK) -> None:
    """Let there be no such tenant any more, at once, and then nothing of it.

    Raises:
        OSError: the disk refused; what is left goes with `sweep`.
    """
    gone = folder.with_name(folder.name + GONE_SUFFIX)
    if gone.exists():
        shutil.rmtree(gone)
    disk.rename(folder, gone)
    disk.sync_folder(folder.parent)
    shutil.rmtree(gone)
    disk.sync_folder(folder.parent)


def sweep(data: Path) -> None:
    """Delete what a crash has left of tenants that vanished."""
    for kind in _folders(data):
        for home in _folders(kind):
            if home.name.endswith(GONE_SUFFIX) and not home.name.startswith("."):
                shutil.rmtree(home, ignore_errors=True)


def tenants(data: Path) -> Iterator[Noun]:
    """List every tenant under `data`, by class and slug; whatever else lies there is skipped."""
    for kind in _folders(data):
        if kind.name.isidentifier():
            for home in _folders(kind):
                with suppress(DataUnreadable):
                    yield Noun(kind.name, read_id(home))


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(entry for entry in path.iterdir() if entry.is_dir())
    except OSError:
        return []  # no such folder, or gone meanwhile: nobody lives there
