"""Every step that the code names, in one place: where the simulation crashes, and where it can't."""

from __future__ import annotations

import re
from pathlib import Path

from sim.sqlite import COMMIT_STEP

from raydo import actors

SOURCE = Path(actors.__file__).parent
STEPS = (
    COMMIT_STEP,
    "disk.write_file.before_rename",
    "disk.write_file.before_sync_folder",
    "epoch.create.before_sync_folder",
    "epoch.settle.before_sync",
    "epoch.take.after_sync",
    "epoch.take.before_sync",
    "idrun.before_rename",
    "idrun.before_sync",
    "idrun.before_sync_folder",
    "idrun.written",
    "idset.before_unlink",
    "log.delete.before_sync_folder",
    "log.delete.before_unlink",
    "storage.checkpoint.after",
    "storage.checkpoint.before",
    "storage.close.before_release",
    "storage.commit.after",
    "storage.commit.before",
    "storage.fill",
    "storage.log.after_sync",
    "writer.create.after_preallocate",
    "writer.create.after_sync_folder",
    "writer.create.before_draft",
    "writer.create.before_rename",
    "writer.create.before_sync",
    "writer.create.before_sync_folder",
    "writer.settle.before_sync",
    "writer.settle.before_sync_folder",
    "writer.write.after_mark",
    "writer.write.before_mark",
    "writer.write.before_sync",
    "writer.write.before_write",
)
OF_SLEEP = (
    "idset.before_unlink",
    "log.delete.before_sync_folder",
    "log.delete.before_unlink",
    "storage.checkpoint.after",
    "storage.close.before_release",
)
# Only a crash at the second step makes a start come to the first.
LEADS_TO = {
    "writer.settle.before_sync": "writer.write.before_mark",
    "writer.settle.before_sync_folder": "writer.create.before_sync_folder",
}
# A log is damaged by decay, not by crashes: tests/test_repair.py and tests/test_recovery.py.
OF_DAMAGE = (
    "damage.quarantine.before_rename",
    "damage.quarantine.before_sync_folder",
    "repair.delete.before_unlink",
)


def named_in_source() -> set[str]:
    """Find the steps that the code names, apart from the archive's: tests/test_lake_*.py."""
    paths = [path for path in SOURCE.glob("*.py") if not path.name.startswith("lake")]
    texts = [path.read_text() for path in paths]
    return {label for text in texts for label in re.findall(r'step\("([\w.]+)"\)', text)}


def label_of(seed: int) -> str:
    """Say at which step a seed crashes by preference."""
    return STEPS[seed % len(STEPS)]
