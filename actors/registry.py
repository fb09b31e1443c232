"""Which machine of a cluster has which tenant: one Ray actor, with a small file.

Each machine that serves has a data folder and a directory of its own, and needs nobody else for
what it has. Here stands which of them a tenant belongs to, written before the tenant can begin, so
that no tenant ever begins on two. The row stays when the machine is down: its tenants wait for it.
"""

from __future__ import annotations

import logging
import secrets
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from raydo.actors.place import machines
from raydo.actors.site import Site
from raydo.pipelining.errors import DataInUse, NodeDown
from raydo.pipelining.noun import Noun

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE: Final = "registry.db"
SECRET_BYTES: Final = 32
_log = logging.getLogger("raydo")


class Home(NamedTuple):
    """The site that a tenant belongs to, and whether its machine is there."""

    site: Site
    up: bool


class Registry:
    """Remember sites and tenants for good; every method blocks, one at a time."""

    def __init__(
        self, path: Path, keeper: str, alive: Callable[[], frozenset[str]] = machines
    ) -> None:
        self._path = path
        self._keeper = keeper  # the site whose folder has the file
        self._alive = alive
        self._connection: sqlite3.Connection | None = None

    def join(self, site: Site, tenants: Sequence[Noun]) -> Site:
        """Take a site in, or note that it is back, with the tenants in its folder.

        Returns the site with the cluster's secret.

        Raises:
            DataInUse: a site of that name is up elsewhere: the folder was copied.
        """
        with self._database() as database:
            found = database.execute(
                "SELECT machine, data FROM sites WHERE name = ?", (site.name,)
            ).fetchone()
            if found and (found[0], found[1]) != _where(site) and found[0] in self._alive():
                raise DataInUse(
                    f"{site.data} belongs to the same site as {found[1]}, which is served already."
                    " Of a copied folder, delete `.raydo/site.json` and the tenants."
                )
            database.execute(
                "INSERT OR REPLACE INTO sites VALUES (?, ?, ?)", (site.name, *_where(site))
            )
            # A tenant that was looked for and never began keeps its row: whoever was told it goes there.
            rows = [(*noun, site.name) for noun in tenants]
            database.executemany("INSERT OR IGNORE INTO homes VALUES (?, ?, ?)", rows)
            for row in rows:
                if database.execute(_BELONGS, row).fetchone() is None:
                    _log.warning("%s has a folder in %s and belongs elsewhere", row[:2], site.data)
            return self._site(database, site.name)

    def home(self, noun: Noun) -> Home:
        """Return where the tenant belongs; one that is new goes where the fewest are.

        Raises:
            NodeDown: it is new, and no machine is there.
        """
        alive = self._alive()
        with self._database() as database:
            row = database.execute("SELECT site FROM homes WHERE (cls, id) = (?, ?)", noun)
            if (known := row.fetchone()) is not None:
                name = known[0]
            else:
                name = _emptiest(database, alive)
                database.execute("INSERT INTO homes VALUES (?, ?, ?)", (*noun, name))
            site = self._site(database, name)
        return Home(site, site.machine in alive)

    def sites(self) -> list[Home]:
        """List every site, by name."""
        alive = self._alive()
        with self._database() as database:
            names = database.execute("SELECT name FROM sites ORDER BY name").fetchall()
            found = [self._site(database, name) for (name,) in names]
        return [Home(site, site.machine in alive) for site in found]

    def tenants(self, site: str) -> list[Noun]:
        """List the tenants that belong to a site."""
        with self._database() as database:
            rows = database.execute(
                "SELECT cls, id FROM homes WHERE site = ? ORDER BY cls, id", (site,)
            )
            return [Noun(*row) for row in rows.fetchall()]

    def keeper(self) -> str:
        """Name the site whose folder has this registry's file."""
        return self._keeper

    def _database(self) -> sqlite3.Connection:
        """Return the connection; a `with` of it is a transaction, synced at its end."""
        if self._connection is None:
            database = sqlite3.connect(self._path)
            for statement in _SETUP:
                database.execute(statement)
            with database:
                secret = secrets.token_bytes(SECRET_BYTES)
                database.execute("INSERT OR IGNORE INTO secret VALUES (1, ?)", (secret,))
            self._connection = database
        return self._connection

    def _site(self, database: sqlite3.Connection, name: str) -> Site:
        machine, data, secret = database.execute(
            "SELECT machine, data, bytes FROM sites, secret WHERE name = ?", (name,)
        ).fetchone()
        return Site(name, Path(data), machine, secret)


def _where(site: Site) -> tuple[str | None, str]:
    return site.machine, str(site.data)


def _emptiest(database: sqlite3.Connection, alive: frozenset[str]) -> str:
    counted = database.execute(
        """SELECT name, machine, (SELECT count(*) FROM homes WHERE site = name) AS tenants
            FROM sites ORDER BY tenants, name"""
    )
    for name, machine, _ in counted.fetchall():
        if machine in alive:
            return str(name)
    raise NodeDown("No machine of the cluster is there to take a new tenant.")


_BELONGS: Final = "SELECT 1 FROM homes WHERE (cls, id, site) = (?, ?, ?)"
_SETUP: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "CREATE TABLE IF NOT EXISTS sites (name TEXT PRIMARY KEY, machine TEXT, data TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS homes (cls TEXT, id TEXT, site TEXT NOT NULL,
        PRIMARY KEY (cls, id)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS homes_by_site ON homes (site)",
    "CREATE TABLE IF NOT EXISTS secret (id INTEGER PRIMARY KEY CHECK (id = 1), bytes BLOB)",
)
