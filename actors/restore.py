"""Bring tenants back from a backup, as they were at a moment, into a folder that has them not.

A restored tenant goes on as another one than the tenant that was lost, where others could confuse
the two: its epoch is over, so nothing that a survivor of the old one wrote counts; the letters that
it sends from now on have numbers that the old one never gave, and those that were under way have
their old ones, so each is applied once; its seqs go on RESTORED_SEQS further, so a subscriber's
cursor from after the backup misses nothing that comes. It wakes at once, for its timers.

Nothing is seen of a tenant before it is whole and on disk.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from raydo.actors import tenant
from raydo.actors.archiver import move
from raydo.actors.backup import RUNS
from raydo.actors.backup_point import ELSEWHERE, IN_FOLDER, Kept, Point, folder_of
from raydo.actors.claim import FOLDER, Claim
from raydo.actors.disk import OsDisk
from raydo.actors.due import write_due
from raydo.actors.lake import Lake, namespace_of
from raydo.actors.outgoing import FIRST
from raydo.actors.storage import DATABASE_FILE
from raydo.pipelining.errors import DataInUse, DataUnreadable, InvalidArgument
from raydo.pipelining.limits import RESTORED_SEQS

if TYPE_CHECKING:
    from raydo.actors.vault import Vault
    from raydo.pipelining.noun import Noun

_AT_ONCE_MS: Final = 0
_EPOCH_OVER: Final = """UPDATE _raydo_log SET last_seq = last_seq + ?,
    closed_epoch = max(closed_epoch, ?)"""
_FIRST: Final = "INSERT OR REPLACE INTO _raydo_meta VALUES (?, ?)"
OnPoint = Callable[[Point], None]


@dataclass(slots=True)
class Restored:
    """What came back: the points, and whose archive is where it was, outside of the backup."""

    points: list[Point] = field(default_factory=list)

    @property
    def elsewhere(self) -> list[str]:
        """Whose archive is not in the backup."""
        return [str(point.noun) for point in self.points if point.archive == ELSEWHERE]


def choose(vault: Vault, at_ms: int | None = None, only: Noun | None = None) -> list[Point]:
    """Find the newest points with nothing later than `at_ms`: of one tenant, or all there were then.

    Raises:
        InvalidArgument: nothing was kept from so early.
    """
    if only is not None:
        names = [f"{only.cls}/{tenant.slug(only.id)}"]
    else:
        for moment in _until(vault.moments(RUNS), at_ms):
            run = vault.document(f"{RUNS}/{moment}.json")
            if at_ms is None or run.get("read_ms", moment) <= at_ms:
                return [_read(vault, name, at) for name, at in sorted(run["points"].items())]
        names = [
            f"{cls}/{slug}"
            for cls in vault.names("tenants")
            for slug in vault.names(f"tenants/{cls}")
        ]
    found = [point for name in names if (point := _newest(vault, name, at_ms)) is not None]
    if not found:
        raise InvalidArgument("No backup of this was kept from so early, or at all.")
    return found


def erased_since(vault: Vault, point: Point) -> list[dict[str, Any]]:
    """List whom the tenant has forgotten after a point, by the newest one that is kept.

    Give it to `Analytics.erase_again`: what was erased must not come back.
    """
    place = folder_of(point.object, tenant.slug(point.tenant))
    newest = _read(vault, place.partition("/")[2], vault.moments(place)[-1])
    return [each for each in newest.erasures if each not in point.erasures]


def restore(
    vault: Vault,
    points: list[Point],
    data: Path,
    now_ms: int,
    on_point: OnPoint = lambda _point: None,
) -> Restored:
    """Write tenants into a folder that nobody serves.

    Raises:
        DataInUse: somebody serves the folder, or one of the tenants is there already: nothing was done.
        DataUnreadable: a piece of the backup is gone or damaged; tenants before it are restored.
    """
    claim = Claim.alone(data, "embedded")
    try:
        there = [point.noun for point in points if tenant.folder(data, point.noun).exists()]
        if there:
            raise DataInUse(
                f"{there[0]} is in {data} already, and {len(there) - 1} more: nothing was restored."
                " Restore into an empty folder, or move its folder away first."
            )
        done = Restored()
        for point in points:
            on_point(point)
            _bring_back(vault, point, data, now_ms)
            if point.archive == IN_FOLDER:
                # Else whoever opens it first has to; what is wrong there a question will say.
                with suppress(DataUnreadable, FileNotFoundError):
                    move(Lake(tenant.folder(data, point.noun), namespace_of(point.noun)))
            done.points.append(point)
        return done
    finally:
        claim.release()


def _bring_back(vault: Vault, point: Point, data: Path, now_ms: int) -> None:
    disk = OsDisk()
    home = tenant.folder(data, point.noun)
    draft = data / FOLDER / "restore" / home.name
    shutil.rmtree(draft, ignore_errors=True)  # of one that was cut off
    draft.mkdir(parents=True)
    for file in point.files:
        _write(vault, draft, file)
    _begin_anew(draft / DATABASE_FILE, point, now_ms)
    write_due(disk, draft, _AT_ONCE_MS)
    for folder in {draft, *(path for path in draft.rglob("*") if path.is_dir())}:
        disk.sync_folder(folder)
    home.parent.mkdir(parents=True, exist_ok=True)
    draft.rename(home)
    for folder in (home.parent, data):
        disk.sync_folder(folder)
    if tenant.read_id(home) != point.tenant:
        raise DataUnreadable(f"{home} is not {point.noun}: the backup is damaged.")


def _write(vault: Vault, draft: Path, file: Kept) -> None:
    path = draft / file.path
    if draft not in path.parents or ".." in Path(file.path).parts:
        raise DataUnreadable(f"The backup names a file outside of its tenant: {file.path}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as out:
        for name in file.pieces:
            out.write(vault.piece(name))
        out.flush()
        if out.tell() != file.size:
            raise DataUnreadable(f"{file.path} has {out.tell()} bytes of {file.size}.")
        os.fsync(out.fileno())


def _begin_anew(path: Path, point: Point, now_ms: int) -> None:
    """Let nobody take the restored tenant for the one that was lost."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        [(found,)] = connection.execute("PRAGMA quick_check(1)")
        if found != "ok":
            raise DataUnreadable(f"The database of {point.noun} in the backup is damaged: {found}")
        connection.execute("BEGIN IMMEDIATE")
        # Where the log belongs to the point its last records have still to be drained.
        over = 0 if point.has_log else point.epoch
        connection.execute(_EPOCH_OVER, (RESTORED_SEQS, over))
        connection.execute(_FIRST, (FIRST, now_ms))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _newest(vault: Vault, name: str, at_ms: int | None) -> Point | None:
    for moment in _until(vault.moments(f"tenants/{name}"), at_ms):
        point = _read(vault, name, moment)
        if at_ms is None or point.read_ms <= at_ms:
            return point
    return None


def _until(moments: list[int], at_ms: int | None) -> list[int]:
    """List those that began by then, the newest first; it may have been read after that, too."""
    return [moment for moment in reversed(moments) if at_ms is None or moment <= at_ms]


def _read(vault: Vault, name: str, moment: int) -> Point:
    cls, _, slug = name.partition("/")
    try:
        return Point.read(vault.document(f"{folder_of(cls, slug)}/{moment}.json"))
    except FileNotFoundError:
        raise DataUnreadable(
            f"The backup names a point that is gone: {name} at {moment}."
        ) from None
