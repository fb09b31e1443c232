"""What one tenant has used, by month: kept in its own database, in the transactions that it makes anyway.

Events are exact: those of a record that a crash left undrained are counted by the drain that its
recovery makes. Of syncs and CPU a crash loses what came after the last commit, a second or so.

CPU is the time of the threads that ran the object's turns, timers, drains and chores, as the kernel
counts it. What serves all tenants alike (the gateway, Ray, the processes of queries and of archive
runs) is nobody's here; `costs` shares it out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from raydo.actors.database import Database

PREFIX: Final = "usage:"  # of the facts that hold it, one for each month
_WRITE: Final = "INSERT OR REPLACE INTO _raydo_meta VALUES (?, ?)"


@dataclass(slots=True)
class Usage:
    """Figures of one object, or of one process's objects, over some time."""

    events: int = 0
    duplicates: int = 0
    rejected: int = 0
    turns: int = 0
    log_bytes: int = 0
    syncs: int = 0
    cpu_s: float = 0.0

    def add(self, **figures: float) -> None:
        """Count up."""
        for name, more in figures.items():
            setattr(self, name, getattr(self, name) + more)


class Ledger:
    """Count what an object uses, and write it down with the transaction that is open anyway."""

    def __init__(self, database: Database) -> None:
        self.now_ms = 0
        self.process = Usage()  # where the process counts what all its objects use
        self._database = database
        self._month = ""
        self._kept = Usage()  # what the database has of the month
        self._pending = Usage()

    def spend(self, **figures: float) -> None:
        """Count what was used, by the names of `Usage`."""
        self._pending.add(**figures)
        self.process.add(**figures)

    def recovered(self, **figures: float) -> None:
        """Count what an earlier process used and could not write down."""
        self._pending.add(**figures)

    def write(self) -> None:
        """Write the month's figures, inside the open transaction."""
        if self._pending == Usage():
            return
        month = month_of(self.now_ms)
        if month != self._month:
            self._month = month
            self._kept = self._stored(month)
        total = Usage(**asdict(self._kept))
        total.add(**asdict(self._pending))
        self._database.run(_WRITE, (PREFIX + month, json.dumps(asdict(total))))

    def committed(self) -> None:
        """What was written is on disk."""
        self._kept.add(**asdict(self._pending))
        self._pending = Usage()

    def _stored(self, month: str) -> Usage:
        rows = self._database.run("SELECT value FROM _raydo_meta WHERE key = ?", (PREFIX + month,))
        return read_usage(rows[0][0]) if rows else Usage()


def month_of(ms: int) -> str:
    """Name the month, of UTC, in which a moment lies."""
    return datetime.fromtimestamp(ms / 1_000, UTC).strftime("%Y-%m")


def read_usage(text: str) -> Usage:
    """Read a month's figures as they are stored; those of a later version are left out."""
    found: Mapping[str, Any] = json.loads(text)
    return Usage(**{name: found[name] for name in asdict(Usage()) if name in found})
