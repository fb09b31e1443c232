"""Back a folder up, while it is served or not: every tenant that changed since the last time.

What *the point of a moment* holds: everything that was acknowledged before the moment. The
databases are brought up to date first, by whoever serves the folder; then each tenant is read by
itself, so two tenants' points may be a little apart, and a later moment is never mixed into an
earlier one of the same tenant.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from raydo.actors import tenant
from raydo.actors.backup_point import ELSEWHERE, Point, folder_of
from raydo.actors.claim import FOLDER
from raydo.actors.process import running
from raydo.actors.snapshot import mark_of, take
from raydo.pipelining.errors import RaydoError

if TYPE_CHECKING:
    from raydo.actors.vault import Vault
    from raydo.pipelining.noun import Noun

RUNS: Final = "runs"
_STAGING: Final = "backup-"
DAY_MS: Final = 86_400_000
OnTenant = Callable[["Noun"], None]
Now = Callable[[], int]


@dataclass(slots=True)
class Backed:
    """What one backup did."""

    at_ms: int
    exact: bool
    tenants: int = 0
    changed: int = 0
    bytes: int = 0  # of the tenants that changed
    new_bytes: int = 0  # of them, what the backups did not have
    elsewhere: list[str] = field(default_factory=list)  # whose archive is not in it
    failed: dict[str, str] = field(default_factory=dict)  # whose copy failed, and why


class Backup:
    """Bring what changed in a data folder into a vault."""

    def __init__(self, data: Path, vault: Vault, now_ms: Now | None = None) -> None:
        self._data = data
        self._vault = vault
        self._now_ms = now_ms
        self._points: dict[str, int] | None = None  # the last run's, or nothing yet
        self._last: dict[str, Point] = {}  # of each tenant, so that none is read each minute

    def run(
        self,
        at_ms: int,
        *,
        exact: bool,
        log: bool = False,
        only: Noun | None = None,
        on_tenant: OnTenant = lambda _noun: None,
    ) -> Backed:
        """Back up all tenants, or one, as of now, which is `at_ms`.

        `exact` says that the databases have everything acknowledged before `at_ms`; `log` that
        nobody serves the folder, so that the logs are taken as they are.
        """
        done = Backed(at_ms, exact)
        before = self._last_run()
        points: dict[str, int] = {}
        for noun in [only] if only is not None else list(tenant.tenants(self._data)):
            on_tenant(noun)
            name = _name(noun)
            try:
                points[name] = self._one(noun, before.get(name), done, log=log)
            except (RaydoError, OSError, sqlite3.Error, ValueError) as error:
                if not tenant.folder(self._data, noun).exists():
                    continue  # it was erased meanwhile
                # One tenant's damaged file must not cost all others their backup.
                done.failed[str(noun)] = str(error) or type(error).__name__
                if name in before:
                    points[name] = before[name]
        done.tenants = len(points)
        if only is None and points != before:
            run = {"at_ms": at_ms, "read_ms": self._read_ms(done), "points": points}
            self._vault.write(f"{RUNS}/{at_ms}.json", run)
            self._points = points
        return done

    def _one(self, noun: Noun, last_ms: int | None, done: Backed, *, log: bool) -> int:
        home = tenant.folder(self._data, noun)
        place = folder_of(noun.cls, home.name)
        if last_ms is None:
            last_ms = max(self._vault.moments(place), default=None)
        last = None if last_ms is None else self._point(place, last_ms)
        if last is not None:
            self._last[place] = last
        mark = mark_of(home, log=log)
        if last is not None and last.mark == mark and last_ms is not None:
            self._note(last, done)
            return last_ms
        new_bytes = 0

        def keep(piece: bytes) -> str:
            nonlocal new_bytes
            name, new = self._vault.keep(piece)
            new_bytes += len(piece) if new else 0
            return name

        if last is not None:
            self._vault.trust(last.pieces)
        with _staging(self._data) as staging:
            taken = take(home, keep, Path(staging), last.files if last else (), log=log)
        point = Point(
            object=noun.cls,
            tenant=noun.id,
            at_ms=done.at_ms,
            exact=done.exact,
            seq=taken.seq,
            epoch=taken.epoch,
            schema=taken.schema,
            archive=taken.archive,
            erasures=taken.erasures,
            mark=mark,
            files=taken.files,
            read_ms=self._read_ms(done),
        )
        self._vault.write(f"{place}/{done.at_ms}.json", point.wire())
        self._last[place] = point
        done.changed += 1
        done.bytes += point.size
        done.new_bytes += new_bytes
        self._note(point, done)
        return done.at_ms

    def _read_ms(self, done: Backed) -> int:
        return done.at_ms if self._now_ms is None else self._now_ms()

    def _note(self, point: Point, done: Backed) -> None:
        if point.archive == ELSEWHERE:
            done.elsewhere.append(str(point.noun))

    def _point(self, place: str, at_ms: int) -> Point | None:
        known = self._last.get(place)
        if known is not None and known.at_ms == at_ms:
            return known
        try:
            return Point.read(self._vault.document(f"{place}/{at_ms}.json"))
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None  # it was forgotten, or is of a later form: begin anew

    def _last_run(self) -> dict[str, int]:
        if self._points is None:
            moments = self._vault.moments(RUNS)
            run = self._vault.document(f"{RUNS}/{moments[-1]}.json") if moments else {"points": {}}
            self._points = run["points"]
        return self._points


def forget(vault: Vault, before_ms: int) -> tuple[int, int]:
    """Let go of what is only of use for moments before `before_ms`; return points and pieces.

    The newest point and run before it stay, for they are how things were then. Nobody else may
    write into the vault meanwhile.
    """
    gone = 0
    for moment in _spent(vault.moments(RUNS), before_ms):
        vault.delete(f"{RUNS}/{moment}.json")
    wanted = {
        (name, at_ms)
        for moment in vault.moments(RUNS)
        for name, at_ms in vault.document(f"{RUNS}/{moment}.json")["points"].items()
    }
    named: set[str] = set()
    for place in _places(vault):
        name = place.partition("/")[2]
        spent = set(_spent(vault.moments(place), before_ms))
        for moment in vault.moments(place):
            if moment in spent and (name, moment) not in wanted:
                vault.delete(f"{place}/{moment}.json")
                gone += 1
            else:
                named.update(Point.read(vault.document(f"{place}/{moment}.json")).pieces)
    return gone, vault.sweep(named)


def _spent(moments: list[int], before_ms: int) -> list[int]:
    """List the moments that a later one, before `before_ms` too, stands for."""
    return [moment for moment in moments if moment < before_ms][:-1]


def _places(vault: Vault) -> Iterable[str]:
    for cls in vault.names("tenants"):
        for slug in vault.names(f"tenants/{cls}"):
            yield folder_of(cls, slug)


def _name(noun: Noun) -> str:
    return f"{noun.cls}/{tenant.slug(noun.id)}"


def _staging(data: Path) -> tempfile.TemporaryDirectory[str]:
    """Make room for one database's copy, on the disk that has the room for it; litter goes first."""
    home = data / FOLDER
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for litter in home.glob(f"{_STAGING}*"):  # of a backup that was killed
        pid = litter.name.removeprefix(_STAGING).partition("-")[0]
        if pid.isdigit() and not running(int(pid)):
            shutil.rmtree(litter, ignore_errors=True)
    return tempfile.TemporaryDirectory(prefix=f"{_STAGING}{os.getpid()}-", dir=home)
