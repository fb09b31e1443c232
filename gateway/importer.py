"""Import: many tenants' events from one reader, in batches, several calls under way at once.

Events with ids may be sent again, so an import that was cut off is simply run again. What is read
ahead is bounded over all tenants of the file together, however they alternate in it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from raydo.actors.analytics import Analytics
from raydo.gateway.source import Line
from raydo.pipelining.connection import Connection
from raydo.pipelining.limits import (
    IMPORT_BATCH_BYTES,
    IMPORT_BATCH_EVENTS,
    IMPORT_BUFFER_EVENTS_MAX,
    IMPORT_CALLS_MAX,
    IMPORT_REASONS_MAX,
)

OnProgress = Callable[[int], None]


@dataclass(slots=True)
class Tally:
    """Count what became of one tenant's events."""

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0


class Reason(NamedTuple):
    """Say why one line was rejected."""

    line: int
    tenant: str
    error: str


@dataclass(slots=True)
class Report:
    """Tell what an import did, tenant by tenant, and the first few things that it refused."""

    tenants: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    reasons: list[Reason] = field(default_factory=list)

    def total(self) -> Tally:
        """Add all tenants up."""
        tallies = self.tenants.values()
        return Tally(
            sum(tally.accepted for tally in tallies),
            sum(tally.duplicates for tally in tallies),
            sum(tally.rejected for tally in tallies),
        )

    def reject(self, line: Line, error: str) -> None:
        """Note one line that was refused."""
        self.tenants[line.tenant].rejected += 1
        self.reasons.append(Reason(line.number, line.tenant, error))
        self.reasons.sort()
        del self.reasons[IMPORT_REASONS_MAX:]


@dataclass(slots=True)
class _Buffer:
    """One tenant's lines that wait for their call."""

    lines: list[Line] = field(default_factory=list)
    size_bytes: int = 0

    def add(self, line: Line) -> bool:
        """Take a line; say whether it is time to send."""
        self.lines.append(line)
        self.size_bytes += len(line.raw)
        return len(self.lines) >= IMPORT_BATCH_EVENTS or self.size_bytes >= IMPORT_BATCH_BYTES


class Importer:
    """Send the lines of one reader to their tenants' objects."""

    def __init__(self, connection: Connection, on_progress: OnProgress | None = None) -> None:
        self.report: Final = Report()
        self._connection = connection
        self._on_progress = on_progress
        self._buffers: dict[str, _Buffer] = {}
        self._buffered = 0
        self._slots = asyncio.Semaphore(IMPORT_CALLS_MAX)

    async def run(self, lines: Iterable[Line]) -> Report:
        """Send every line and return the report once all are on disk.

        Raises:
            RaydoError: a whole call was refused, such as for an invalid tenant id.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                for line in lines:
                    await self._take(tasks, line)
                for tenant in list(self._buffers):
                    await self._send(tasks, tenant)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None  # one failed call is the whole story
        return self.report

    async def _take(self, tasks: asyncio.TaskGroup, line: Line) -> None:
        if line.error is not None:
            self.report.reject(line, line.error)
            return
        self._buffered += 1
        if self._buffers.setdefault(line.tenant, _Buffer()).add(line):
            await self._send(tasks, line.tenant)
        elif self._buffered >= IMPORT_BUFFER_EVENTS_MAX:
            await self._send(tasks, max(self._buffers, key=self._waiting))

    def _waiting(self, tenant: str) -> int:
        return len(self._buffers[tenant].lines)

    async def _send(self, tasks: asyncio.TaskGroup, tenant: str) -> None:
        lines = self._buffers.pop(tenant).lines
        self._buffered -= len(lines)
        await self._slots.acquire()
        tasks.create_task(self._deliver(tenant, lines))

    async def _deliver(self, tenant: str, lines: list[Line]) -> None:
        try:
            stub = self._connection.stub(Analytics, tenant)
            result = await stub.ingest([line.raw for line in lines], historical=True)
        finally:
            self._slots.release()
        tally = self.report.tenants[tenant]
        tally.accepted += result["accepted"]
        tally.duplicates += result["duplicates"]
        for refused in result["rejected"]:
            self.report.reject(lines[refused["index"]], refused["error"])
        if self._on_progress is not None:
            self._on_progress(len(lines))
