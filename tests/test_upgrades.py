"""A folder that an earlier release wrote opens with this one, and nothing in it is lost.

`schemas/` has one folder for each earlier version, as its own code left it when its process was
killed: a part in the database, a part in SQLite's own log, and a part in the log alone.
"""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from raydo.actors import upgrades
from raydo.actors.analytics import Analytics
from raydo.actors.database import Database
from raydo.actors.schema import SCHEMA_VERSION, open_database
from raydo.actors.upgrades import FIRST_VERSION, UPGRADES
from raydo.actors.world import World
from raydo.pipelining.errors import DataUnreadable

SCHEMAS = Path(__file__).parent / "schemas"
NOW_MS = 1_767_225_600_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder of the first version."""
    with tarfile.open(SCHEMAS / f"{FIRST_VERSION}.tar.gz") as packed:
        packed.extractall(tmp_path, filter="data")
    return tmp_path


def database_of(folder: Path) -> Path:
    [path] = folder.glob("Analytics/*/tenant.db")
    return path


def tables(database: Database) -> set[Any]:
    rows = database.run("SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'")
    return {(kind, name, " ".join((sql or "").split())) for kind, name, sql in rows}


def test_all_that_an_earlier_version_was_told_is_there(folder: Path) -> None:
    with World(folder, now_ms=NOW_MS) as world:
        acme = world.stub(Analytics, "acme")
        assert world.wait(acme.settings())["zone"] == "Asia/Kolkata"
        days = world.wait(acme.dau(4))
        assert [(day["dau"], day["events"]) for day in days] == [(2, 2), (2, 2), (1, 1), (1, 1)]
        rows = world.wait(acme.query("SELECT id, person_id FROM events ORDER BY seq"))["rows"]
        assert [row["id"] for row in rows] == ["m1", "m2", "m3", "m4", "m5", "m6"]
        assert world.wait(acme.track("Again", messageId="m6")) == "m6"
        assert world.wait(acme.stats())["events"] == {"PageView": 5, "Signup": 1}


def test_what_it_has_learnt_since_works_with_what_it_knew(folder: Path) -> None:
    with World(folder, now_ms=NOW_MS) as world:
        acme = world.stub(Analytics, "acme")
        world.wait(acme.track("$identify", userId="alice", anonymousId="a1"))
        assert [day["dau"] for day in world.wait(acme.dau(4))] == [2, 2, 1, 1]
        rows = world.wait(acme.query("SELECT DISTINCT person_id AS p FROM events ORDER BY 1"))[
            "rows"
        ]
        assert [row["p"] for row in rows] == ["alice", "bob", "carol"]
    with World(folder, now_ms=NOW_MS) as world:
        assert world.wait(world.stub(Analytics, "acme").active_users(60)) == 2


def test_an_upgraded_file_has_the_tables_of_a_new_one(folder: Path) -> None:
    upgraded, new = open_database(database_of(folder)), open_database(None)
    assert tables(upgraded) == tables(new)
    assert upgraded.run("SELECT value FROM _raydo_meta WHERE key = 'schema_version'") == [
        (SCHEMA_VERSION,)
    ]
    upgraded.close()


def test_an_upgrade_that_is_cut_off_leaves_the_file_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = database_of(folder)
    broken = upgrades.Upgrade(SCHEMA_VERSION, ("CREATE TABLE half (x)", "no SQL at all"))
    monkeypatch.setattr(upgrades, "UPGRADES", (*UPGRADES[:-1], broken))
    with pytest.raises(Exception, match="syntax error"):
        open_database(path)
    monkeypatch.undo()
    database = open_database(path)
    assert not {name for _, name, _ in tables(database)} & {"half"}
    database.close()


def test_a_version_before_the_first_is_refused_and_left_alone(folder: Path) -> None:
    path = database_of(folder)
    database = open_database(path)
    database.run("UPDATE _raydo_meta SET value = ? WHERE key = 'schema_version'", (6,))
    database.commit()
    database.close()
    with pytest.raises(DataUnreadable, match="version 6"):
        open_database(path)


def test_steps_are_in_order_and_each_leads_to_one_version() -> None:
    versions = [step.version for step in UPGRADES]
    assert versions == list(range(FIRST_VERSION + 1, SCHEMA_VERSION + 1))
