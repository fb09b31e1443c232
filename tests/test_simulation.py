"""A short run of the simulation of a whole activation; `make sim` runs as long as one likes."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from sim.run import OPERATIONS, Report, run_seeds
from sim.sqlite import COMMIT_STEP
from sim.steps import OF_DAMAGE, STEPS, named_in_source

IN_CI = os.environ.get("CI") == "true"
PARTS = 10  # pytest runs them side by side
SEEDS = 2_000 if IN_CI else 2 * len(STEPS)  # of all parts
CRASHES = 50 if IN_CI else 0  # at each step, at least


@pytest.fixture(scope="session")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the processes of pytest-xdist tell each other what they have counted."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "simulation"
    folder.mkdir(exist_ok=True)
    return folder


def test_every_step_that_the_code_names_is_known_here() -> None:
    assert named_in_source() == {*STEPS, *OF_DAMAGE} - {COMMIT_STEP}


@pytest.mark.parametrize("part", range(PARTS))
def test_what_was_answered_happened_once_whatever_crashes(part: int, counted: Path) -> None:
    report = run_seeds(range(part, SEEDS, PARTS))

    assert not report.failed, next(iter(report.failed.values()))
    assert report.operations >= OPERATIONS * report.seeds
    assert set(report.steps) <= set(STEPS)
    crashes = crashes_of_all(counted, part, report)
    if crashes is not None:
        assert min(crashes.values()) >= CRASHES, crashes


def crashes_of_all(counted: Path, part: int, report: Report) -> Counter[str] | None:
    """Say how often all parts crashed at each step; None while one of them is not done."""
    draft = counted / f"{part}.new"
    draft.write_text(json.dumps(report.crashes))
    draft.rename(counted / f"{part}.json")  # at once whole: another process may look
    paths = list(counted.glob("*.json"))
    if len(paths) < PARTS:
        return None
    crashes = Counter(dict.fromkeys(STEPS, 0))
    for path in paths:
        crashes.update(json.loads(path.read_text()))
    return crashes
