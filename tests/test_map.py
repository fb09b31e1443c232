"""The table of modules in ARCHITECTURE.md is true: each module stands in it, once, and nothing else."""

from __future__ import annotations

import re
from collections import Counter
from fnmatch import filter as matching
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("package", ["pipelining", "actors", "gateway"])
def test_each_module_stands_in_the_map_once(package: str) -> None:
    modules = [path.stem for path in (ROOT / package).glob("*.py") if path.stem != "__init__"]
    found: Counter[str] = Counter()
    for name in _named(package):
        there = matching(modules, name)
        assert there or (ROOT / package / name.rstrip("/")).is_dir(), f"there is no {name}"
        found.update(there)
    assert sorted(set(modules) - set(found)) == []
    assert [name for name, count in found.items() if count > 1] == []


def _named(package: str) -> list[str]:
    rows = re.findall(
        r"^\| (?:`(\w+)/`)? \| [^|]+ \| ([^|]+) \|$",
        (ROOT / "ARCHITECTURE.md").read_text(),
        re.MULTILINE,
    )
    names: list[str] = []
    owner = ""
    for heading, cell in rows:
        owner = heading or owner
        if owner == package:
            names += re.findall(r"`([^`]+)`", cell)
    assert names
    return names
