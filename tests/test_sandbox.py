from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.io.pyarrow import PyArrowFileIO
from support.hostile import HISTORICAL, filled

from raydo.actors.sandbox import Sandbox, local_path
from raydo.pipelining.errors import QueryForbidden

IO = PyArrowFileIO()


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    path = tmp_path / "events.parquet"
    pq.write_table(pa.table({"a": [1, 2, 3]}), path)
    pq.write_table(pa.table({"a": ["other"]}), tmp_path / "other.parquet")
    return path


@pytest.fixture
def sandbox(parquet: Path) -> Iterator[Sandbox]:
    sandbox = Sandbox()
    source = sandbox.add_files([f"file://{parquet}"], IO)
    sandbox.lock()
    sandbox.define(f"CREATE VIEW events AS SELECT * FROM {source}")
    yield sandbox
    sandbox.close()


def test_one_select_reads_the_files_and_tells_what_it_read(sandbox: Sandbox, parquet: Path) -> None:
    assert sandbox.run("SELECT sum(a) FROM events WHERE a > $1", {"1": 1}).fetchall() == [(5,)]

    reading = sandbox.reading()
    assert reading.row_groups == 1
    assert reading.bytes
    assert reading.bytes < 2 * parquet.stat().st_size


def test_another_file_cannot_be_opened(sandbox: Sandbox, parquet: Path) -> None:
    for path in (parquet.with_name("other.parquet"), parquet.with_name("*.parquet"), "/etc/passwd"):
        with pytest.raises(duckdb.Error):
            sandbox.run(f"SELECT * FROM read_parquet('{path}')", {})
        with pytest.raises(duckdb.Error):
            sandbox.run(f"SELECT * FROM read_text('{path}')", {})


@pytest.mark.parametrize(
    "statement", ["SELECT 1; SELECT 2", "CREATE TABLE t (a INTEGER)", "SET x = 1"]
)
def test_whatever_is_not_one_select_does_not_run(sandbox: Sandbox, statement: str) -> None:
    with pytest.raises(QueryForbidden):
        sandbox.run(statement, {})


def test_settings_are_locked(sandbox: Sandbox) -> None:
    for statement in (
        "SET memory_limit = '9GB'",
        "SET enable_external_access = true",
        "RESET threads",
    ):
        with pytest.raises(duckdb.Error, match=r"locked|disabled|Cannot"):
            sandbox.engine.execute(statement)


def test_without_its_check_no_statement_changes_a_file_or_reaches_out(
    sandbox: Sandbox, parquet: Path, tmp_path: Path
) -> None:
    """The engine's own guards, alone: what they let through stays in its memory."""
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    for statement in HISTORICAL:
        if "1000000000" in statement:
            continue  # only time and memory end these
        text = filled(statement, parquet, tmp_path / "catalog.db", tmp_path / "tenant.db")
        try:
            rows = sandbox.engine.execute(text.replace("'/tmp/", f"'{tmp_path}/")).fetchall()
        except duckdb.Error:
            continue
        assert "root:" not in repr(rows)

    # COPY over the very file that may be read is what only the kernel can refuse.
    after = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert {path: bytes_ for path, bytes_ in after.items() if path != parquet} == {
        path: bytes_ for path, bytes_ in before.items() if path != parquet
    }


@pytest.mark.parametrize(
    "name", ["a b.parquet", "a'b.parquet", "a[b].parquet", "a*.parquet", "ä{x}.parquet"]
)
def test_a_file_of_any_name_is_read_and_no_other(tmp_path: Path, name: str) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / name)
    pq.write_table(pa.table({"a": [2]}), tmp_path / "ab.parquet")
    sandbox = Sandbox()
    source = sandbox.add_files([str(tmp_path / name)], IO)
    sandbox.lock()
    sandbox.define(f"CREATE VIEW events AS SELECT a FROM {source} AS f")

    assert sandbox.run("SELECT a FROM events", {}).fetchall() == [(1,)]
    assert (sandbox.reading().bytes is None) == bool(set(name) & set("'[*{"))
    sandbox.close()


def test_memory_is_bounded(sandbox: Sandbox) -> None:
    greedy = "SELECT array_agg(repeat('x', 50000000 + a)) FROM events, range(100)"
    with pytest.raises(duckdb.OutOfMemoryException):
        sandbox.run(greedy, {}).fetchall()


def test_only_the_definitions_that_are_needed_are_made() -> None:
    known = (
        "CREATE MACRO _raydo_a() AS 1",
        "CREATE MACRO _raydo_b() AS _raydo_a()",
        "CREATE MACRO _raydo_c() AS 1",
    )
    sandbox = Sandbox()
    sandbox.define_for(known, "SELECT _raydo_b()")
    assert sandbox.engine.execute("SELECT _raydo_b()").fetchall() == [(1,)]
    with pytest.raises(duckdb.Error):
        sandbox.engine.execute("SELECT _raydo_c()")
    sandbox.close()


def test_the_path_of_a_local_file_is_known() -> None:
    assert local_path("/a/b") == local_path("file:///a/b") == "/a/b"
    assert local_path("s3://a/b") is None
