from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from raydo.actors.database import Database, Rows
from raydo.actors.schema import SCHEMA_VERSION, open_database, use_calendar
from raydo.actors.zone import Calendar
from raydo.pipelining.errors import DataUnreadable, QueryError, QueryForbidden, StorageFull


class Turn:
    """A turn of one call."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.open = False

    def before_statement(self, _sql: str = "", /) -> None:
        if not self.open:
            self.open = True
            self.database.savepoint()

    def take_back(self) -> None:
        self.database.take_back()

    def end(self) -> None:
        if self.open:
            self.database.keep()
        self.open = False


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(tmp_path / "tenant.db")
    database.commit()
    use_calendar(database.connection, Calendar("UTC"))
    yield database
    database.close()


@pytest.fixture
def turn(database: Database) -> Turn:
    turn = Turn(database)
    database.serve(turn)
    return turn


def committed(database: Database, query: str) -> list[tuple[object, ...]]:
    """What another process would see."""
    assert database.path is not None
    with sqlite3.connect(database.path) as other:
        rows = other.execute(query).fetchall()
    other.close()
    return rows


def test_commits_reach_the_disk_synced_through_the_write_ahead_log(database: Database) -> None:
    assert database.run("PRAGMA journal_mode") == [("wal",)]
    assert database.run("PRAGMA synchronous") == [(2,)]  # FULL
    assert database.run("PRAGMA foreign_keys") == [(1,)]


def test_sql_gives_rows_as_dicts(database: Database, turn: Turn) -> None:
    database.sql("CREATE TABLE items (sku TEXT, count INTEGER)")
    database.sql("INSERT INTO items VALUES (?, ?)", "pen", 3)
    database.sql("INSERT INTO items VALUES (:sku, :count)", {"sku": "ink", "count": 1})

    rows = database.sql("SELECT * FROM items WHERE count > ?", 0)

    assert rows == [{"sku": "pen", "count": 3}, {"sku": "ink", "count": 1}]
    assert rows.first() == {"sku": "pen", "count": 3}
    assert database.sql("SELECT sku FROM items WHERE sku = ?", "pen").one() == {"sku": "pen"}


def test_one_insists_on_one_row_and_first_does_not() -> None:
    assert Rows().first() is None
    for rows in (Rows(), Rows([{"a": 1}, {"a": 2}])):
        with pytest.raises(QueryError, match="exactly one row"):
            rows.one()


def test_nothing_is_visible_outside_before_the_turn_commits(database: Database, turn: Turn) -> None:
    database.sql("CREATE TABLE items (sku TEXT)")
    database.sql("INSERT INTO items VALUES ('pen')")
    turn.end()

    assert committed(database, "SELECT name FROM sqlite_master WHERE name = 'items'") == []

    database.commit()
    assert committed(database, "SELECT * FROM items") == [("pen",)]


def test_the_first_statement_of_a_call_opens_its_savepoint(database: Database, turn: Turn) -> None:
    assert not database.in_transaction
    database.sql("SELECT 1")
    assert turn.open
    assert database.in_transaction


def test_a_call_that_wrote_is_told_from_one_that_read(database: Database, turn: Turn) -> None:
    database.sql("SELECT * FROM raw_events")
    turn.end()
    assert database.writes == 0

    database.sql("CREATE TABLE items (sku TEXT)")  # changes no row, and yet the file
    turn.end()
    assert database.writes == 1

    database.sql("INSERT INTO items VALUES ('pen')")
    turn.end()
    assert database.writes == 2

    database.sql("DELETE FROM items WHERE sku = 'ink'")
    turn.end()
    assert database.writes == 2

    database.sql("INSERT INTO items VALUES ('ink')")
    database.take_back()
    turn.end()
    assert database.writes == 2


def test_rows_of_raydos_own_are_no_writes_of_the_object(database: Database, turn: Turn) -> None:
    database.sql("SELECT 1")
    database.run_many("INSERT INTO _raydo_meta VALUES (?, ?)", [("a", 1), ("b", 2)])
    turn.end()
    assert database.writes == 0


REFUSED = [
    ("BEGIN", "Each call is one transaction"),
    ("COMMIT", "Each call is one transaction"),
    (" end;", "Each call is one transaction"),
    ("ROLLBACK TO x", "Each call is one transaction"),
    ("SAVEPOINT mine", "Each call is one transaction"),
    ("RELEASE _raydo_call", "Each call is one transaction"),
    ("/* now */ COMMIT", "Each call is one transaction"),
    ("/* now */ RELEASE _raydo_call", "raydo's own"),
    ("ATTACH ':memory:' AS other", "one database, its own"),
    ("DETACH main", "one database, its own"),
    ("PRAGMA journal_mode=DELETE", "PRAGMA journal_mode"),
    ("PRAGMA writable_schema=1", "PRAGMA writable_schema"),
    ("PRAGMA user_version=7", "PRAGMA user_version"),
    ("INSERT INTO raw_events (seq) VALUES (1)", "pipeline.emit"),
    ("UPDATE raw_events SET event = 'x'", "pipeline.emit"),
    ("DELETE FROM RAW_EVENTS", "pipeline.emit"),
    ("DROP TABLE raw_events", "pipeline.emit"),
    ("ALTER TABLE raw_events ADD COLUMN x", "pipeline.emit"),
    ("CREATE INDEX mine ON raw_events (event)", "pipeline.emit"),
    ("CREATE TRIGGER t AFTER INSERT ON raw_events BEGIN SELECT 1; END", "pipeline.emit"),
    ("CREATE TABLE events (id)", "pipeline.emit"),
    ("DROP INDEX _raydo_by_timestamp", "raydo's own"),
    ("SELECT * FROM _raydo_meta", "raydo's own"),
    ("SELECT count(*) FROM _RAYDO_SESSIONS", "raydo's own"),
    ("DELETE FROM _raydo_timers", "raydo's own"),
    ("CREATE TABLE _raydo_mine (x)", "raydo's own"),
    ("CREATE VIEW _raydo_mine AS SELECT 1", "raydo's own"),
    ("CREATE TEMP TABLE t (x)", "would not survive"),
    ("CREATE TEMP VIEW v AS SELECT 1", "would not survive"),
    ("DROP VIEW events", "would not survive"),
    ("SELECT load_extension('x')", "Extensions"),
]


@pytest.mark.parametrize(("statement", "reason"), REFUSED)
def test_an_objects_sql_cannot_touch_what_is_not_its_own(
    database: Database, turn: Turn, statement: str, reason: str
) -> None:
    with pytest.raises(QueryForbidden, match=reason):
        database.sql(statement)


def test_raydos_prepared_statements_open_no_way_for_the_same_text(
    database: Database, turn: Turn
) -> None:
    database.begin()
    for statement in ("SELECT * FROM _raydo_meta", "COMMIT", "BEGIN"):
        database.run(statement)  # prepared, and kept
        with pytest.raises(QueryForbidden):
            database.sql(statement)


def test_an_object_reads_events_and_describes_its_tables(database: Database, turn: Turn) -> None:
    assert database.sql("SELECT * FROM raw_events") == []
    assert database.sql("SELECT * FROM daily_metrics") == []
    database.sql("CREATE TABLE items (sku TEXT)")
    assert database.sql("PRAGMA table_info(items)").one()["name"] == "sku"
    assert database.sql("PRAGMA foreign_keys").one() == {"foreign_keys": 1}


def test_no_statement_runs_outside_of_a_call(database: Database) -> None:
    with pytest.raises(QueryForbidden, match="inside a call only"):
        database.sql("SELECT 1")
    with pytest.raises(QueryForbidden, match="inside a call only"):
        database.utils["items"].insert({"sku": "pen"})


def test_commits_of_sqlite_utils_stay_inside_the_turn(database: Database, turn: Turn) -> None:
    items = database.utils["items"]
    items.insert({"sku": "pen", "count": 1}, pk="sku")
    items.upsert({"sku": "pen", "count": 5}, pk="sku")
    items.insert_all({"sku": f"s{n}", "count": n} for n in range(250))
    items.transform(rename={"count": "quantity"})
    database.utils.conn.commit()
    with database.utils.conn:
        database.utils.execute("INSERT INTO items VALUES ('ink', 2)")
    with database.utils.atomic():
        database.utils.execute("INSERT INTO items VALUES ('cap', 2)")
    database.utils.begin()
    database.utils.commit()
    turn.end()

    assert database.sql("SELECT count(*) AS n FROM items").one() == {"n": 253}
    assert committed(database, "SELECT name FROM sqlite_master WHERE name = 'items'") == []


def test_a_rollback_takes_back_the_call_and_no_more(database: Database, turn: Turn) -> None:
    database.utils["items"].insert({"sku": "pen"})
    turn.end()

    database.utils["items"].insert({"sku": "ink"})
    database.utils.conn.rollback()
    database.utils["items"].insert({"sku": "cap"})
    with pytest.raises(sqlite3.OperationalError), database.utils.conn:
        database.utils.execute("INSERT INTO items VALUES ('tip')").execute("INSERT INTO nowhere")

    assert [row["sku"] for row in database.sql("SELECT sku FROM items")] == ["pen"]


def test_a_script_runs_whole_inside_the_turn(database: Database, turn: Turn) -> None:
    database.utils.executescript(
        """
        CREATE TABLE items (sku TEXT DEFAULT ';');
        CREATE TRIGGER twice AFTER INSERT ON items WHEN new.sku = 'a' BEGIN
            INSERT INTO items VALUES ('b'); SELECT 1;
        END;
        INSERT INTO items VALUES ('a');
        """
    )
    turn.end()
    assert [row["sku"] for row in database.sql("SELECT sku FROM items")] == ["a", "b"]
    assert committed(database, "SELECT name FROM sqlite_master WHERE name = 'items'") == []


def test_full_text_search_of_sqlite_utils_works(database: Database, turn: Turn) -> None:
    notes = database.utils["notes"]
    notes.insert_all([{"text": "a red pen"}, {"text": "blue ink"}])
    notes.enable_fts(["text"], create_triggers=True)
    notes.insert({"text": "red ink"})
    assert len(list(notes.search("red"))) == 2


def test_a_disk_that_fails_is_told_from_the_objects_own_errors(
    database: Database, turn: Turn
) -> None:
    database.sql("CREATE TABLE items (sku TEXT NOT NULL)")
    with pytest.raises(sqlite3.IntegrityError):
        database.sql("INSERT INTO items VALUES (NULL)")

    [(pages,)] = database.run("PRAGMA page_count")
    database.run(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StorageFull):
        database.sql("INSERT INTO items VALUES (?)", "x" * 1_000_000)


def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tenant.db"
    database = open_database(path)
    database.run("UPDATE _raydo_meta SET value = ? WHERE key = 'schema_version'", (99,))
    database.commit()
    database.close()

    with pytest.raises(DataUnreadable, match=f"version 99; this raydo reads {SCHEMA_VERSION}"):
        open_database(path)


def test_a_file_that_is_not_ours_is_refused_and_left_alone(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    with pytest.raises(DataUnreadable, match="not a readable database"):
        open_database(garbage)
    assert garbage.read_bytes().startswith(b"not a database")

    theirs = tmp_path / "theirs.db"
    with sqlite3.connect(theirs) as other:
        other.execute("CREATE TABLE mine (x)")
    other.close()
    with pytest.raises(DataUnreadable, match="did not make"):
        open_database(theirs)


def test_a_new_database_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "tenant.db"
    path.with_name("tenant.db.new").write_bytes(b"as far as a process came that was killed")
    database = open_database(path)
    assert committed(database, "SELECT value FROM _raydo_meta") == [(SCHEMA_VERSION,)]
    assert database.run("PRAGMA journal_mode") == [("wal",)]
    database.close()
    assert [each.name for each in tmp_path.iterdir()] == ["tenant.db"]


def test_an_empty_file_is_not_taken_for_a_new_database(tmp_path: Path) -> None:
    path = tmp_path / "tenant.db"
    path.touch()
    with pytest.raises(DataUnreadable, match="did not make"):
        open_database(path)


def test_a_closed_database_lets_go_of_its_transaction_though_a_cursor_is_kept(
    tmp_path: Path,
) -> None:
    path = tmp_path / "tenant.db"
    database = Database(path)
    database.run_many("CREATE TABLE kept (x)", [()])
    cursor = database.connection.own_cursor()
    cursor.execute("SELECT 1 UNION SELECT 2").fetchone()

    database.close()

    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert other.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    other.close()
