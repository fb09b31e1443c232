"""What a bad disk does to a tenant's log."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def damage_record(folder: Path, marker: bytes) -> None:
    """Flip a bit of the record that holds `marker`, in whichever segment it lies."""
    for path in folder.glob("*.seg"):
        content = bytearray(path.read_bytes())
        at = content.find(marker)
        if at >= 0:
            content[at] ^= 1
            path.write_bytes(content)
            return
    raise AssertionError(f"no segment in {folder} holds {marker!r}")


def drained_seq(folder: Path) -> int:
    """Read from the database up to which record it has the log."""
    connection = sqlite3.connect(f"{(folder / 'tenant.db').as_uri()}?mode=ro", uri=True)
    [(seq,)] = connection.execute("SELECT drained_seq FROM _raydo_log")
    connection.close()
    return int(seq)
