"""What an archive run needs outside of its tenant's turn, and the run itself: work for elsewhere.

A run is planned in a turn and settled in later ones; between them files are written and read again,
which takes seconds and a lot of memory, in a Ray task or a thread. Nothing of it is decided here:
the run says which rows it takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from raydo.actors.clock import SystemClock
from raydo.actors.lake_runs import PLANNED, Committed, Run

if TYPE_CHECKING:
    from pathlib import Path

    from raydo.actors.lake import Lake


class Job(NamedTuple):
    """One planned run, and where its rows come from and go to; without a run, just tidy up."""

    lake: Lake
    database: Path
    run: Run | None
    settled_run: int  # the last run of which nothing is left in the database


def run_job(job: Job) -> Committed | None:
    """Tidy the archive up, and bring a run into it; blocks.

    Raises:
        ArchiveMismatch: the archive has other rows as this run; nothing may be deleted.
        StorageFull, Unavailable: not now.
    """
    # Only here, in whatever process this is: a tenant's own never loads them.
    from raydo.actors.lake_archive import archive
    from raydo.actors.lake_compaction import compact
    from raydo.actors.lake_expiry import expire
    from raydo.actors.lake_rows import TenantRows

    assert job.run is None or job.run.state == PLANNED
    if job.settled_run:
        compact(job.lake, settled_run=job.settled_run)
        expire(job.lake, SystemClock().now_ms())
    if job.run is None:
        return None
    return archive(job.lake, job.run, TenantRows(job.database))


def move(lake: Lake) -> None:
    """Let the archive of a folder that was copied be where the folder is; blocks.

    Raises:
        DataUnreadable, FileNotFoundError: its files are not all in the folder.
    """
    from raydo.actors.lake_relocation import relocate

    relocate(lake)
