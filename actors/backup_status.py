"""When the last backup of a data folder was made: a small file beside its lock, for monitoring.

data/.raydo/backup.json    {"ok_ms", "failed", "to"}
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from raydo.actors.claim import FOLDER
from raydo.actors.disk import OsDisk, write_file

if TYPE_CHECKING:
    from pathlib import Path

_FILE: Final = "backup.json"


@dataclass(frozen=True, slots=True)
class BackupStatus:
    """The moment up to which everything is in a backup; whether the last attempt failed; where to."""

    ok_ms: int
    failed: bool
    to: str


def read_status(data: Path) -> BackupStatus | None:
    """Tell what is known; None when nobody has made a backup."""
    try:
        return BackupStatus(**json.loads((data / FOLDER / _FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def write_status(data: Path, status: BackupStatus) -> None:
    """Leave word of a backup of the whole folder."""
    write_file(OsDisk(), data / FOLDER / _FILE, json.dumps(asdict(status)).encode())
