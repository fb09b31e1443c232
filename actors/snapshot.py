"""A tenant's files at one moment, read beside whoever writes them.

The database comes from one read transaction. While it is open SQLite cannot be checkpointed past
it, so the files of message ids that it names stay; they are opened then. The archive's catalog is
read last: rows that left the database are in it, and a run that the database does not know yet
means that this was too slow, and everything is read again, as it is when a file vanishes or the
archive moves on meanwhile. The log is left out while anything runs: the database was brought up to
date before.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from raydo.actors import epoch
from raydo.actors.backup_point import ELSEWHERE, IN_FOLDER, NONE, Kept
from raydo.actors.lake import CATALOG_FILE, LAKE_FOLDER, metadata_location
from raydo.actors.storage import DATABASE_FILE
from raydo.actors.tenant import ID_FILE
from raydo.pipelining.errors import Unavailable
from raydo.pipelining.limits import BACKUP_PIECE_BYTES, BACKUP_TRIES_MAX

SEGMENT_SUFFIX: Final = ".seg"
Keep = Callable[[bytes], str]  # keeps a piece, and names it


class Changed(Exception):
    """Say that a file went while it was wanted."""


class Taken(NamedTuple):
    """What was read of a tenant."""

    files: list[Kept]
    seq: int
    epoch: int
    schema: int
    archive: str
    erasures: list[dict[str, Any]]


def mark_of(folder: Path, *, log: bool = False) -> list[int]:
    """Return numbers that change with everything that a backup would hold, with or without the log."""
    segments = sorted(folder.glob(f"*{SEGMENT_SUFFIX}"))
    names = (DATABASE_FILE, f"{DATABASE_FILE}-wal", f"{LAKE_FOLDER}/{CATALOG_FILE}")
    mark = []
    # A segment has its full length from the start, so only its time tells that more is in it.
    for path in (*(folder / name for name in names), *(segments if log else ())):
        try:
            stat = path.stat()
            mark += [stat.st_size, stat.st_mtime_ns]
        except FileNotFoundError:
            mark += [0, 0]
    return [*mark, len(segments)]


def take(
    folder: Path, keep: Keep, staging: Path, before: Sequence[Kept] = (), *, log: bool = False
) -> Taken:
    """Read a tenant's folder, and give its pieces to `keep`.

    `before` is what an earlier point had: files that are never changed are not read again.
    `log` takes the segments too, which is right only while nobody can write them.

    Raises:
        Unavailable: it changed each time.
        DataUnreadable: it is no tenant's folder of ours.
    """
    for _ in range(BACKUP_TRIES_MAX):
        try:
            return _Taking(folder, keep, staging, before)(log=log)
        except (Changed, FileNotFoundError):
            continue
    raise Unavailable(f"{folder} changed each time that it was copied; it will do later.")


class _Taking:
    def __init__(self, folder: Path, keep: Keep, staging: Path, before: Sequence[Kept]) -> None:
        self._folder = folder
        self._keep = keep
        self._staging = staging
        self._before = {(file.path, file.size, file.mtime_ns): file for file in before}
        self._files: list[Kept] = []

    def __call__(self, *, log: bool) -> Taken:
        ids: list[tuple[str, int]] = []
        try:
            with closing(_reader(self._folder / DATABASE_FILE)) as connection:
                connection.execute("BEGIN")
                [(seq,)] = connection.execute("SELECT last_seq FROM _raydo_log")
                [(schema,)] = connection.execute(
                    "SELECT value FROM _raydo_meta WHERE key = 'schema_version'"
                )
                erasures = _erasures(connection)
                [(runs,)] = connection.execute("SELECT coalesce(max(run), 0) FROM _raydo_runs")
                for (name,) in connection.execute("SELECT name FROM _raydo_id_runs"):
                    ids.append((name, os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC)))
                archive, pointer = self._pin(runs)
                copy = self._staging / DATABASE_FILE
                _copy(connection, copy)
            self._staged(copy, DATABASE_FILE)
            for name, handle in ids:
                self._opened(name, handle)
        finally:
            for _, handle in ids:
                os.close(handle)
        number = self._small()
        if log:
            for path in sorted(self._folder.glob(f"*{SEGMENT_SUFFIX}")):
                self._unchanging(path)
        if archive == IN_FOLDER:
            self._archive(pointer)
        return Taken(self._files, seq, number, schema, archive, erasures)

    def _pin(self, runs: int) -> tuple[str, str]:
        """Say where the archive is, and which state of it belongs to the open transaction."""
        home = self._folder / LAKE_FOLDER
        if not (home / CATALOG_FILE).exists():
            return (ELSEWHERE if runs else NONE), ""
        with closing(_reader(home / CATALOG_FILE)) as catalog:
            _copy(catalog, self._staging / CATALOG_FILE)
        pointer = metadata_location(self._staging / CATALOG_FILE)
        if "://" in pointer:
            return ELSEWHERE, pointer
        if pointer and _last_run(Path(pointer)) > runs:
            raise Changed
        return IN_FOLDER, pointer

    def _archive(self, pointer: str) -> None:
        home = self._folder / LAKE_FOLDER
        self._staged(self._staging / CATALOG_FILE, f"{LAKE_FOLDER}/{CATALOG_FILE}")
        for path in sorted(home.rglob("*")):
            if path.is_file() and not path.name.startswith(CATALOG_FILE):
                self._unchanging(path)
        if metadata_location(home / CATALOG_FILE) != pointer:
            raise Changed  # what was dropped since may be missing

    def _small(self) -> int:
        """Keep who it is and the number of its epoch, which is returned."""
        self._whole(ID_FILE, (self._folder / ID_FILE).read_bytes())
        content = (self._folder / epoch.FILE).read_bytes()
        number = epoch.number(content)
        if number is None:  # it was being written
            raise Changed
        self._whole(epoch.FILE, content)
        return number

    def _whole(self, path: str, content: bytes) -> None:
        self._files.append(Kept(path, len(content), 0, [self._keep(content)]))

    def _staged(self, copy: Path, path: str) -> None:
        pieces = [self._keep(piece) for piece in _pieces(copy)]
        self._files.append(Kept(path, copy.stat().st_size, 0, pieces))
        copy.unlink()

    def _unchanging(self, path: Path) -> None:
        name = str(path.relative_to(self._folder))
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._opened(name, handle)
        finally:
            os.close(handle)

    def _opened(self, name: str, handle: int) -> None:
        stat = os.fstat(handle)
        known = self._before.get((name, stat.st_size, stat.st_mtime_ns))
        if known is not None and not name.endswith(SEGMENT_SUFFIX):
            self._files.append(known)
            return
        pieces = [
            self._keep(os.pread(handle, BACKUP_PIECE_BYTES, start))
            for start in range(0, stat.st_size, BACKUP_PIECE_BYTES)
        ]
        self._files.append(Kept(name, stat.st_size, stat.st_mtime_ns, pieces))


def _reader(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
    connection.isolation_level = None
    # Two connections that checkpoint at once can corrupt a file before SQLite 3.51.3.
    connection.execute("PRAGMA wal_autocheckpoint=0")
    return connection


def _erasures(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    try:
        rows = connection.execute("SELECT at_ms, hashes FROM _raydo_erasures ORDER BY n").fetchall()
    except sqlite3.OperationalError:
        return []  # its schema is an older one, and its next activation upgrades it
    listed = [{"at_ms": at_ms, "hashes": json.loads(hashes)} for at_ms, hashes in rows]
    return [each for each in listed if each["hashes"]]


def _copy(source: sqlite3.Connection, path: Path) -> None:
    """Copy a database page by page, so that pieces which did not change are the same pieces."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as target:
        source.backup(target)


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(BACKUP_PIECE_BYTES):
            yield piece


def _last_run(metadata: Path) -> int:
    """Return the last run in the archive, by its present snapshot's own mark."""
    try:
        table = json.loads(metadata.read_bytes())
    except FileNotFoundError:
        return 0  # a copied folder whose archive was never asked: it points to where it was
    current = table.get("current-snapshot-id")
    for snapshot in table.get("snapshots", ()):
        if snapshot["snapshot-id"] == current:
            return int(snapshot.get("summary", {}).get("raydo.run", 0))
    return 0
