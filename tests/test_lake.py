"""A tenant's archive is named from its folder and its id alone, and no pyiceberg is needed for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.shelf import START_MS, Shelf

from raydo.actors.lake import Lake, namespace_of
from raydo.pipelining.noun import Noun


def test_a_namespace_has_one_level_and_is_the_folders_name() -> None:
    name = namespace_of(Noun("Analytics", "acme.com"))

    assert name.startswith("acme_com-")
    assert "." not in name


def test_two_classes_of_one_tenant_have_two_namespaces() -> None:
    names = {namespace_of(Noun(cls, "acme")) for cls in ("Analytics", "Shop", "Billing")}

    assert len(names) == 3


def test_ids_that_differ_only_in_a_dot_have_two_namespaces() -> None:
    assert namespace_of(Noun("Shop", "a.b")) != namespace_of(Noun("Shop", "a_b"))


def test_the_files_go_into_the_folder_unless_a_warehouse_is_configured(tmp_path: Path) -> None:
    assert Lake(tmp_path, "acme").location == str(tmp_path / "lake" / "events")
    assert Lake(tmp_path, "acme", {"warehouse": "s3://b/w/"}).location == "s3://b/w/acme/events"
    assert Lake(tmp_path, "acme", {"uri": "postgresql://x"}).location is None
    assert Lake(tmp_path, "acme", {"type": "rest"}).catalog_path is None


def test_a_copied_folder_is_displaced_and_the_original_is_not(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "one")
    assert shelf.lake.displaced_from() is None
    shelf.add((START_MS, "u"))
    shelf.run()
    shelf.database.close()
    (tmp_path / "one").rename(tmp_path / "two")

    elsewhere = Lake(tmp_path / "two", shelf.lake.namespace).displaced_from()

    assert elsewhere is not None
    assert elsewhere.startswith(str(tmp_path / "one"))


def test_a_catalog_whose_making_was_cut_short_is_not_displaced(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "catalog.db").touch()

    assert Lake(tmp_path, "acme").displaced_from() is None


def test_planning_and_settling_load_no_pyiceberg() -> None:
    script = """
import sys
import raydo.actors.lake, raydo.actors.lake_runs
print([name for name in ("pyiceberg", "pyarrow", "duckdb", "sqlalchemy") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
