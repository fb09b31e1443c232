"""The table is made once, where it belongs, as Iceberg and its readers expect it."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from support.shelf import NAMESPACE, START_MS, Shelf

from raydo.actors.lake import Lake
from raydo.actors.lake_table import PROPERTIES, created, opened
from raydo.pipelining.errors import DataUnreadable


def test_reading_makes_nothing(tmp_path: Path) -> None:
    with opened(Lake(tmp_path, NAMESPACE)) as table:
        assert table is None

    assert list(tmp_path.iterdir()) == []


def test_a_table_is_made_once_and_opened_after_that(tmp_path: Path) -> None:
    lake = Lake(tmp_path, NAMESPACE)
    with created(lake) as table:
        first = table.metadata.table_uuid
    with created(lake) as table:
        assert table.metadata.table_uuid == first
    with opened(lake) as found:
        assert found is not None
        assert found.metadata.table_uuid == first


def test_days_are_partitions_and_no_commit_is_repeated_by_pyiceberg(tmp_path: Path) -> None:
    with created(Lake(tmp_path, NAMESPACE)) as table:
        assert [str(field.transform) for field in table.spec().fields] == ["day"]
        assert [field.source_id for field in table.sort_order().fields] == [6, 1]
        assert table.properties["commit.retry.num-retries"] == "0"
        assert PROPERTIES.items() <= table.properties.items()
        assert table.location() == str(tmp_path / "lake" / "events")


def test_two_that_make_it_at_once_get_the_same(tmp_path: Path) -> None:
    lake = Lake(tmp_path, NAMESPACE)
    barrier = threading.Barrier(4, timeout=20)
    found = []

    def work() -> None:
        barrier.wait()
        with created(lake) as table:
            found.append(table.metadata.table_uuid)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 4
    assert len(set(found)) == 1


def test_a_copied_folder_is_not_opened_as_if_it_were_the_original(tmp_path: Path) -> None:
    with created(Lake(tmp_path / "one", NAMESPACE)):
        pass
    shutil.copytree(tmp_path / "one", tmp_path / "two")

    with (
        pytest.raises(DataUnreadable, match="still points to"),
        opened(Lake(tmp_path / "two", NAMESPACE)),
    ):
        pass


def test_a_shared_catalog_holds_a_namespace_a_tenant(tmp_path: Path) -> None:
    shared = {
        "type": "sql",
        "uri": f"sqlite:///{tmp_path}/shared.db",
        "warehouse": str(tmp_path / "warehouse"),
    }
    shelves = [Shelf(tmp_path / name, shared) for name in ("a", "b")]
    shelves[1].lake = Lake(shelves[1].folder, "other", shared)
    for n, shelf in enumerate(shelves):
        shelf.add(*[(START_MS, "u")] * (n + 1))
        shelf.run()

    assert [len(shelf.archived()) for shelf in shelves] == [1, 2]
    assert not (tmp_path / "a" / "lake").exists()
    catalog = SqlCatalog("raydo", **shared)
    assert sorted(catalog.list_namespaces()) == [(NAMESPACE,), ("other",)]
    catalog.close()


def test_a_warehouse_alone_moves_the_files_and_keeps_the_catalog(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "a", {"warehouse": str(tmp_path / "warehouse")})
    shelf.add((START_MS, "u"))
    shelf.run()

    assert [path.name for path in shelf.files()] == ["catalog.db"]
    assert list((tmp_path / "warehouse" / NAMESPACE / "events" / "data").rglob("*.parquet"))
    assert len(shelf.archived()) == 1
    assert shelf.lake.displaced_from() is None
