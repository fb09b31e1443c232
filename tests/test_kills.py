"""`kill -9` at each step of an object's life: birth, work, sleep, wake, timer, drain, and sleep again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

STEPS = {
    "epoch.take.before_sync",  # it begins, or wakes where it moved to
    "disk.write_file.before_rename",  # when it must wake is being written
    "storage.log.after_sync",  # a turn is on disk, and not answered yet
    "storage.commit.before",  # a drain
    "storage.checkpoint.after",  # it falls asleep
    "log.delete.before_unlink",
    "storage.close.before_release",
}


@pytest.mark.slow
def test_killed_at_any_step_an_object_loses_no_event_and_no_timer_and_doubles_none(
    tmp_path: Path,
) -> None:
    tests = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-m", "support.victim", str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(tests)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == {}
    assert {label for label, _ in found["steps"]} >= STEPS
    assert len(found["steps"]) > 60
