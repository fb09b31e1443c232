"""Whoever reads Iceberg or Parquet reads a tenant's archive, without raydo, and agrees row for row."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.shelf import NAMESPACE, Shelf, merged, scattered

from raydo.actors.lake_erasure import erase
from raydo.actors.lake_snapshots import snapshots

pytestmark = pytest.mark.slow

COLUMNS = """seq, id, event, user_id, anonymous_id, epoch_ms("timestamp"), epoch_ms(received_at),
    appended_ms, properties, context, stream, flags"""

PYICEBERG = """
import json, sys
from pyiceberg.catalog.sql import SqlCatalog

catalog = SqlCatalog("raydo", uri=f"sqlite:///{sys.argv[1]}/lake/catalog.db")
table = catalog.load_table((sys.argv[2], "events"))
answers = {}
for snapshot in table.snapshots():
    rows = table.scan(snapshot_id=snapshot.snapshot_id).to_arrow().sort_by("seq")
    columns = [rows[name] for name in rows.column_names]
    answers[snapshot.snapshot_id] = [
        [value.timestamp() * 1000 if hasattr(value, "timestamp") else value for value in row]
        for row in zip(*(column.to_pylist() for column in columns))
    ]
assert "raydo" not in sys.modules
print(json.dumps(answers))
"""

DUCKDB = """
import json, sys
import duckdb
from pyiceberg.catalog.sql import SqlCatalog

catalog = SqlCatalog("raydo", uri=f"sqlite:///{sys.argv[1]}/lake/catalog.db")
table = catalog.load_table((sys.argv[2], "events"))
answers = {}
for snapshot in table.snapshots():
    tasks = table.scan(snapshot_id=snapshot.snapshot_id).plan_files()
    files = [task.file.file_path for task in tasks]
    rows = duckdb.execute(f"SELECT {sys.argv[3]} FROM read_parquet(?) ORDER BY seq", [files])
    answers[snapshot.snapshot_id] = rows.fetchall()
assert "raydo" not in sys.modules
print(json.dumps(answers))
"""


@pytest.fixture(params=["runs", "merged", "erased"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    shelf = scattered(tmp_path / "acme")
    if request.param != "runs":
        merged(shelf)
    if request.param == "erased":
        erase(shelf.lake, ["u3"], settled_run=shelf.runs.settled)
    return shelf


def asked(shelf: Shelf, script: str, *arguments: str) -> dict[int, list[tuple[Any, ...]]]:
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, str(shelf.folder), NAMESPACE, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {
        int(snapshot_id): [tuple(row) for row in rows]
        for snapshot_id, rows in json.loads(done.stdout).items()
    }


def expected(shelf: Shelf) -> dict[int, list[tuple[Any, ...]]]:
    answers = {each.snapshot_id: shelf.archived(each.snapshot_id) for each in snapshots(shelf.lake)}
    assert list(answers.values())[-1] == shelf.events()
    return answers


def test_pyiceberg_and_duckdb_in_another_process_agree_at_every_snapshot(shelf: Shelf) -> None:
    pytest.importorskip("duckdb")
    answers = expected(shelf)

    assert asked(shelf, PYICEBERG) == answers
    assert asked(shelf, DUCKDB, COLUMNS) == answers


PRUNED = """
import json, sys
from pyiceberg.catalog.sql import SqlCatalog

catalog = SqlCatalog("raydo", uri=f"sqlite:///{sys.argv[1]}/lake/catalog.db")
table = catalog.load_table((sys.argv[2], "events"))
day = "timestamp >= '2025-10-10T00:00:00+00:00'"
print(json.dumps({"1": [[len(list(table.scan(day).plan_files()))]]}))
"""


def test_one_days_question_opens_one_days_files(tmp_path: Path) -> None:
    assert asked(scattered(tmp_path / "acme"), PRUNED) == {1: [(1,)]}
