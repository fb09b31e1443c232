"""When each object's next timer is due: a small file in each folder, and who must wake next.

The file says no later than the database does: it is written before a transaction that makes the
next timer earlier, and after one that makes it later. So a crash between the two can only wake an
object early, which costs a look and nothing else.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from raydo.actors import tenant
from raydo.actors.disk import DRAFT_SUFFIX, Disk, OsDisk, read_file, write_file

if TYPE_CHECKING:
    from raydo.pipelining.noun import Noun

FILE: Final = "due"
_STALE_MAX: Final = 1_024  # entries that no longer hold, beside as many as do


def read_due(disk: Disk, folder: Path) -> int | None:
    """Return when the object in `folder` must wake, in UTC milliseconds; None for never.

    What cannot be read means now: to look costs nothing, and never would lose a timer.
    """
    try:
        return int(read_file(disk, folder / FILE))
    except FileNotFoundError:
        return None
    except ValueError:
        return 0


def write_due(disk: Disk, folder: Path, due_ms: int | None) -> None:
    """Say when the object in `folder` must wake; on disk at return."""
    if due_ms is not None:
        write_file(disk, folder / FILE, b"%d" % due_ms)
        return
    for name in (FILE, FILE + DRAFT_SUFFIX):
        with suppress(FileNotFoundError):
            disk.unlink(folder / name)


def scan(data: Path, disk: Disk | None = None) -> Iterator[tuple[Noun, int]]:
    """List every object with a timer, and when it must wake; opens no database.

    Whatever a crash has left of erased tenants goes.
    """
    disk = disk or OsDisk()
    tenant.sweep(data)
    for noun in tenant.tenants(data):
        due_ms = read_due(disk, tenant.folder(data, noun))
        if due_ms is not None:
            yield noun, due_ms


class Dues:
    """Keep the next due time of each object, and take out those that are due."""

    def __init__(self) -> None:
        self._due: dict[Noun, int] = {}
        self._heap: list[tuple[int, Noun]] = []

    def __len__(self) -> int:
        return len(self._due)

    def get(self, noun: Noun) -> int | None:
        """Return when an object must wake."""
        return self._due.get(noun)

    def set(self, noun: Noun, due_ms: int | None) -> None:
        """Let an object wake at `due_ms`, or never."""
        if due_ms is None:
            self._due.pop(noun, None)
        elif self._due.get(noun) != due_ms:
            self._due[noun] = due_ms
            heapq.heappush(self._heap, (due_ms, noun))
            if len(self._heap) > 2 * len(self._due) + _STALE_MAX:
                self._heap = [(ms, each) for each, ms in self._due.items()]
                heapq.heapify(self._heap)

    def next_ms(self) -> int | None:
        """Return the earliest due time."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take(self, now_ms: int, count: int) -> list[Noun]:
        """Take out at most `count` objects that are due, the earliest first."""
        taken: list[Noun] = []
        while len(taken) < count and (next_ms := self.next_ms()) is not None and next_ms <= now_ms:
            noun = heapq.heappop(self._heap)[1]
            del self._due[noun]
            taken.append(noun)
        return taken
