"""What raydo keeps in a tenant's file, and in which version.

The view is temporary: it calls a function that only raydo's connections have, and a file whose
own schema needs that could not be altered by any other tool.

A new database is a copy of one that each process makes once: its tables then cost a tenant's birth
one written file, and it is there whole or not at all.
"""

from __future__ import annotations

import sqlite3
from functools import cache
from pathlib import Path
from typing import Final

from raydo.actors import audit, erasures, idset, jobs, lake_runs, migrations, outgoing, rollups
from raydo.actors.database import Database
from raydo.actors.disk import OsDisk, write_file
from raydo.actors.upgrades import FIRST_VERSION, UPGRADES, upgrade
from raydo.actors.zone import Calendar
from raydo.pipelining.errors import DataUnreadable

SCHEMA_VERSION: Final = UPGRADES[-1].version

_TABLES: Final = (
    """CREATE TABLE raw_events (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        event TEXT NOT NULL,
        user_id TEXT,
        anonymous_id TEXT,
        timestamp INTEGER NOT NULL,
        received_at INTEGER NOT NULL,
        appended_at INTEGER NOT NULL,
        properties TEXT NOT NULL,
        context TEXT,
        stream TEXT NOT NULL,
        flags INTEGER NOT NULL
    )""",
    "CREATE INDEX _raydo_by_timestamp ON raw_events (timestamp)",
    "CREATE TABLE _raydo_meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
    # One row: the last record of the log whose effects are here, the last seq given out, and the
    # last epoch that ended by a drain: a record of it or an earlier one that comes later is void.
    """CREATE TABLE _raydo_log (
        id INTEGER PRIMARY KEY CHECK (id = 1), drained_seq INTEGER NOT NULL,
        last_seq INTEGER NOT NULL, closed_epoch INTEGER NOT NULL
    )""",
    "INSERT INTO _raydo_log VALUES (1, 0, 0, 0)",
    "CREATE TABLE _raydo_counters (key TEXT PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID",
    """CREATE TABLE _raydo_sessions (
        session BLOB PRIMARY KEY,
        last INTEGER NOT NULL,
        acked INTEGER NOT NULL,
        used_ms INTEGER NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE _raydo_replies (
        session BLOB, n INTEGER, reply BLOB, PRIMARY KEY (session, n)
    ) WITHOUT ROWID""",
    """CREATE TABLE _raydo_timers (
        name TEXT PRIMARY KEY,
        spec TEXT NOT NULL,
        zone TEXT NOT NULL,
        next_at_ms INTEGER,
        scheduled_ms INTEGER,
        attempts INTEGER NOT NULL,
        last_error TEXT
    ) WITHOUT ROWID""",
    migrations.TABLE,
    *audit.TABLES,
    *erasures.TABLES,
    outgoing.TABLE,
    jobs.TABLE,
    *rollups.TABLES,
    *idset.TABLES,
    *lake_runs.TABLES,
)
PERSON: Final = """coalesce(
    (SELECT person_id FROM main.merged_ids AS merged WHERE merged.id = user_id), user_id
)"""
VIEWS: Final = (
    f"""CREATE TEMP VIEW events AS
        SELECT seq, id, event, user_id, anonymous_id, timestamp, received_at, properties, context,
            stream, flags, local_date(timestamp) AS date, {PERSON} AS person_id
        FROM main.raw_events""",  # noqa: S608 - ours
)
STORED_COLUMNS: Final = """seq id event user_id anonymous_id timestamp received_at properties context
    stream flags"""
VIEW_COLUMNS: Final = f"{STORED_COLUMNS} date person_id"
RETENTION: Final = "retention"
ROLLED_UP: Final = ("hourly_events", "daily_metrics", RETENTION)  # a read brings them up to date


def open_database(path: Path | None) -> Database:
    """Open a tenant's database, or a new one in memory, with raydo's tables and views.

    Raises:
        DataUnreadable: not a database of raydo's, or one of another version.
        sqlite3.OperationalError: the disk failed, or another process writes here.
        OSError: there was none, and the disk refused it.
    """
    if path is not None and not path.exists():
        write_file(OsDisk(), path, _empty(wal=True))
    try:
        database = Database(path)
    except sqlite3.DatabaseError as error:
        raise _unreadable(path, error) from error
    try:
        if path is None:
            with database.lent() as connection:
                connection.deserialize(_empty(wal=False))
        for statement in VIEWS:
            database.run(statement)
        _bring_up_to_date(database)
    except BaseException as error:
        database.close()
        if isinstance(error, sqlite3.DatabaseError):
            raise _unreadable(path, error) from error
        raise
    return database


@cache
def _empty(*, wal: bool) -> bytes:
    """Return the bytes of a database that has raydo's tables and no rows."""
    database = Database(None)
    database.begin()
    for statement in _TABLES:
        database.run(statement)
    database.run("INSERT INTO _raydo_meta VALUES ('schema_version', ?)", (SCHEMA_VERSION,))
    database.commit()
    with database.lent() as connection:
        image = bytearray(connection.serialize())
    database.close()
    if wal:
        image[_FORMATS] = _WAL
    return bytes(image)


# Whether a file is written by way of a log is in its header; a database in memory can't have one
# (https://www.sqlite.org/fileformat2.html#file_format_version_numbers).
_FORMATS: Final = slice(18, 20)
_WAL: Final = b"\x02\x02"


def _unreadable(path: Path | None, error: sqlite3.DatabaseError) -> Exception:
    if isinstance(error, sqlite3.OperationalError):
        return error  # the disk's fault or another process's, not the file's
    return DataUnreadable(f"{path} is not a readable database: {error}.")


def use_calendar(connection: sqlite3.Connection, calendar: Calendar) -> None:
    """Let `local_date` and `local_hour` follow `calendar` from here on."""
    connection.create_function("local_date", 1, calendar.date, deterministic=True)
    connection.create_function("local_hour", 1, calendar.hour, deterministic=True)


def _bring_up_to_date(database: Database) -> None:
    if not database.run("SELECT 1 FROM main.sqlite_schema WHERE name = '_raydo_meta'"):
        raise DataUnreadable(f"{database.path} holds a database that raydo did not make.")
    rows = database.run("SELECT value FROM _raydo_meta WHERE key = 'schema_version'")
    version = rows[0][0] if rows else None
    if isinstance(version, int) and FIRST_VERSION <= version < SCHEMA_VERSION:
        upgrade(database, version)
    elif version != SCHEMA_VERSION:
        raise DataUnreadable(
            f"{database.path} has schema version {version}; this raydo reads {SCHEMA_VERSION}."
            " Use the raydo that wrote it, or a later one."
        )


class RollupReads:
    """Tell which tables of rollups a statement may read, by name or through a view."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._version = -1
        self._through_views: frozenset[str] = frozenset()

    def of(self, sql: str) -> frozenset[str]:
        """Name the tables that must be up to date before a statement runs."""
        version = self._database.run("PRAGMA schema_version")[0][0]
        if version != self._version:
            self._version = version
            rows = self._database.run(_VIEWS)
            self._through_views = _named("\n".join(sql or "" for (sql,) in rows))
        return _named(sql) | self._through_views


def _named(text: str) -> frozenset[str]:
    small = text.lower()
    return frozenset(name for name in ROLLED_UP if name in small)


_VIEWS: Final = "SELECT sql FROM main.sqlite_schema WHERE type IN ('view', 'trigger')"
