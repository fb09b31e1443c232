"""What an erasure needs outside of its tenant's turns: reading the archive, and writing it anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from raydo.actors.erasures import PLANNED, Erasure

if TYPE_CHECKING:
    from raydo.actors.lake import Lake
    from raydo.actors.lake_persons import Traces


class EraseJob(NamedTuple):
    """One erasure, and the archive that it goes through."""

    lake: Lake
    erasure: Erasure
    settled_run: int  # the last run of which nothing is left in the database
    others: tuple[str, ...]  # who shares rows with the person, in the database


class Found(NamedTuple):
    """What came of it: what the archive has of the person, or what was changed there."""

    n: int
    ids: tuple[str, ...]
    traces: Traces | None = None
    changed: dict[str, int] | None = None


def run_erasure(job: EraseJob) -> Found:
    """Do what comes next; blocks. It may end at any moment and be done again.

    Raises:
        Unavailable, CommitFailedException: not now.
    """
    from raydo.actors.lake_erasure import erase
    from raydo.actors.lake_persons import traces
    from raydo.actors.lake_snapshots import snapshots

    erasure = job.erasure
    if erasure.state == PLANNED:
        there = traces(job.lake, erasure.ids, job.others) if erasure.ids else None
        return Found(erasure.n, erasure.ids, traces=there)
    done = erase(job.lake, erasure.ids, settled_run=job.settled_run, before_ms=erasure.before_ms)
    kept = len(snapshots(job.lake)) if done.files else 0
    changed = {"rows_archive": done.rows, "files": done.files, "snapshots": kept}
    return Found(erasure.n, erasure.ids, changed=changed)
