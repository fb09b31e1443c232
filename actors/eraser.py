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
    erasure = job.erasure
    if erasure.whole:
        _drop(job.lake)
        return Found(erasure.n, ())
    if not job.settled_run:  # nothing was ever archived
        there, changed = None, _Changed()
    elif erasure.state == PLANNED:
        there, changed = _traces(job), _Changed()
    else:
        there, changed = None, _rewritten(job)
    return Found(erasure.n, erasure.ids, there, changed._asdict())


class _Changed(NamedTuple):
    rows_archive: int = 0
    files: int = 0
    snapshots: int = 0


# Only here, in whatever process this is: a tenant's own never loads what these need.


def _traces(job: EraseJob) -> Traces | None:
    from raydo.actors.lake_persons import traces
    from raydo.actors.lake_relocation import relocate

    relocate(job.lake)
    ids = job.erasure.ids
    return traces(job.lake, ids, job.others) if ids else None


def _rewritten(job: EraseJob) -> _Changed:
    from raydo.actors.lake_erasure import erase
    from raydo.actors.lake_snapshots import snapshots

    erasure, run = job.erasure, job.settled_run
    done = erase(job.lake, erasure.ids, settled_run=run, before_ms=erasure.before_ms)
    kept = len(snapshots(job.lake)) if done.files else 0
    return _Changed(done.rows, done.files, kept)


def _drop(lake: Lake) -> None:
    if lake.properties:  # else it is in the folder, and goes with it
        from raydo.actors.lake_drop import drop

        drop(lake)
