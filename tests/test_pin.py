from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.archive import DAY_MS, START_MS, Tenant, hourly

from raydo.actors.lake import Lake
from raydo.actors.pin import File, Plans, Run, TooOld, metadata_location, read_runs, within
from raydo.pipelining.errors import DataUnreadable, QueryError

DELETED = Run(1, 10, 10, "deleted", 5, 9)


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenant]:
    tenant = Tenant(tmp_path_factory.mktemp("tenant"))
    tenant.write(hourly(96))
    tenant.archive(START_MS + 2 * DAY_MS)
    yield tenant
    tenant.close()


def plans() -> Plans:
    return Plans(OrderedDict())


def test_the_present_snapshot_is_pinned_with_its_run_and_files(tenant: Tenant) -> None:
    pinned = plans().pin(tenant.lake, [DELETED])

    assert pinned.run == 1
    assert len(pinned.files) == 2
    assert all(Path(file.location).stat().st_size == file.size for file in pinned.files)
    first = min(file.first_us or 0 for file in pinned.files)
    assert first == (START_MS + 3_600_000) * 1000


def test_a_snapshots_files_are_planned_once(tenant: Tenant) -> None:
    kept = plans()
    pinned = kept.pin(tenant.lake, [DELETED])
    assert kept.pin(tenant.lake, [DELETED]) is pinned
    assert kept.pin(tenant.lake, [], pinned.snapshot_id).files == pinned.files


def test_a_run_that_the_transaction_does_not_know_makes_it_too_old(tenant: Tenant) -> None:
    with pytest.raises(TooOld):
        plans().pin(tenant.lake, [])


def test_an_archive_without_a_run_whose_rows_are_gone_is_refused(tenant: Tenant) -> None:
    later = DELETED._replace(run=2)
    with pytest.raises(DataUnreadable, match="lacks run 2"):
        plans().pin(tenant.lake, [DELETED, later])
    planned = later._replace(state="planned", rows=None)
    empty = later._replace(rows=0)
    assert plans().pin(tenant.lake, [DELETED, planned]).run == 1
    assert plans().pin(tenant.lake, [DELETED, empty]).run == 1


def test_a_snapshot_that_is_not_kept_is_an_error(tenant: Tenant) -> None:
    with pytest.raises(QueryError, match="keeps no snapshot 7"):
        plans().pin(tenant.lake, [DELETED], 7)


def test_a_configured_catalog_is_asked_by_pyiceberg(tenant: Tenant) -> None:
    uri = f"sqlite:///{tenant.lake.catalog_path}"
    configured = Lake(tenant.folder, tenant.lake.namespace, {"type": "sql", "uri": uri})
    assert plans().pin(configured, [DELETED])[:3] == plans().pin(tenant.lake, [DELETED])[:3]
    nobody = Lake(tenant.folder, "nobody", {"type": "sql", "uri": uri})
    with pytest.raises(DataUnreadable, match="no archive of nobody"):
        plans().pin(nobody, [DELETED])


def test_a_catalog_that_is_not_there_is_unreadable(tenant: Tenant, tmp_path: Path) -> None:
    with pytest.raises(DataUnreadable, match="cannot be read"):
        metadata_location(Lake(tmp_path, "acme"))
    with pytest.raises(DataUnreadable, match="has no table"):
        metadata_location(Lake(tenant.folder, "nobody"))


def test_files_outside_of_what_is_needed_are_left_out() -> None:
    files = [
        File("a", 1, 1_000, 1_999),
        File("b", 1, 2_000, 2_999),
        File("c", 1, 3_000, 3_500),
        File("d", 1, None, None),
    ]
    assert "".join(file.location for file in within(files, 2, 2)) == "bd"
    assert "".join(file.location for file in within(files, 3, 9)) == "cd"
    assert "".join(file.location for file in within(files, -9, 2)) == "abd"


def test_runs_are_read_where_there_are_any(tenant: Tenant, tmp_path: Path) -> None:
    with sqlite3.connect(tenant.path) as connection:
        [run] = read_runs(connection)
    connection.close()
    assert (run.run, run.state, run.archived) == (1, "deleted", True)
    assert run.max_ms == START_MS + 2 * DAY_MS - 3_600_000
    with sqlite3.connect(tmp_path / "new.db") as connection:
        assert read_runs(connection) == []
    connection.close()
