"""What is done for a live object between its turns: drains, archive runs, what it gives out.

None of it runs the object's own code. What begins here goes on elsewhere, beside the turns (`turns`,
`outside`), and its end comes back between two of them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from raydo.actors import erasing
from raydo.actors.archiver import Job
from raydo.actors.eraser import EraseJob
from raydo.actors.erasures import REWRITTEN
from raydo.actors.lake_runs import PLANNED, Committed
from raydo.actors.life import Life
from raydo.actors.storage import DATABASE_FILE
from raydo.pipelining.errors import ArchiveMismatch, StorageFull

if TYPE_CHECKING:
    from raydo.actors.idrun import Merge
    from raydo.actors.jobs import Work
    from raydo.actors.lake import Lake
    from raydo.actors.outgoing import Letter
    from raydo.actors.state import State
    from raydo.pipelining.noun import Noun


class Tended(Life):
    """A live object that is looked after."""

    @property
    def gives_out(self) -> bool:
        """Whether there are letters or jobs on disk that nobody has taken."""
        state = self._state
        return state is not None and self._born and (state.outgoing.ready or state.jobs.ready)

    @property
    def born(self) -> bool:
        """Whether the tenant exists on disk."""
        return self._born

    @property
    def owes(self) -> bool:
        """Whether letters have not arrived or jobs are not done."""
        state = self._state
        return state is not None and (state.outgoing.waiting or state.jobs.waiting)

    @property
    def epoch(self) -> int:
        """The number under which it writes; 0 while the tenant does not exist, or it sleeps."""
        return self._state.storage.epoch if self._state is not None else 0

    def spend(self, cpu_s: float) -> None:
        """Count the time of a thread that worked for the object."""
        if self._state is not None:
            self._state.transaction.ledger.spend(cpu_s=cpu_s)

    def lag(self) -> tuple[int, int | None]:
        """Tell how many events the log has and the database hasn't, and since when."""
        state = self._state
        if state is None:
            return 0, None
        tail = state.transaction.tail
        return tail.events, tail.since_ms

    def jobs(self) -> list[Work]:
        """Take the jobs, to be done."""
        return [] if self._state is None else self._state.jobs.take()

    def letters(self) -> list[Letter]:
        """Take them, to be sent."""
        return [] if self._state is None else self._state.outgoing.take()

    def arrived(self, noun: Noun, n: int) -> None:
        """Note that an object has all letters up to `n`; the disk is told with the next turn."""
        if self._state is not None:
            self._state.outgoing.arrived(noun, n)

    @property
    def drain_due(self) -> bool:
        """Whether turns should wait for a drain."""
        return self._state is not None and self._state.storage.drain_due

    @property
    def drained(self) -> bool:
        """Whether the database has everything that was acknowledged."""
        state = self._state
        return state is None or (state.storage.drained and not state.unsaved)

    def drain(self) -> None:
        """Move what waits in the log into the database, between two turns.

        Raises:
            StorageFull: there is no room now; nothing is lost.
            ActivationBroken: throw this activation away.
        """
        if self._state is None:
            return
        try:
            with self._breaking(but=StorageFull):
                if self._born and self._state.unsaved:
                    self._save(self._state)
                self._state.storage.drain()
                if self._cls.archived_above is not None and self._born:
                    self._state.upkeep.relieve(self._cls.archived_above)
        finally:
            if self._state is not None:  # else it broke
                self._drained(self._state)

    def merge_due(self) -> Merge | None:
        """Return files of message ids that should become one; `run` it on any thread."""
        return self._state.storage.merge_due() if self._state is not None else None

    @property
    def archive_due(self) -> bool:
        """Whether there may be an archive run to be done or finished, or an erasure."""
        state = self._state
        return state is not None and self._born and (state.upkeep.due or state.erasures.waiting)

    def wants_archive(self) -> bool:
        """Tell whether a run is, after a crash, too: wake and look."""
        state = self._wake()
        return self._born and state.upkeep.due

    def wants_erasure(self) -> bool:
        """Tell whether an erasure waits, and no run of the archive does, which goes before."""
        state = self._wake()
        waits = self._born and state.erasures.next() is not None
        return waits and state.runs.unfinished() is None

    def erasure_job(self) -> EraseJob | None:
        """Return what is to be done for the next erasure elsewhere; None for what is done here."""
        state = self._wake()
        erasure = state.erasures.next()
        if erasure is None or erasure.state == REWRITTEN:
            return None
        sharing = erasing.others(state, erasure)
        return EraseJob(self._lake, erasure, state.runs.settled, sharing)

    def archive_job(self) -> Job | None:
        """Return the planned run, for an `Archiver`; None when there is nothing for one to do."""
        state = self._wake()
        run = state.runs.unfinished()
        if run is None and state.upkeep.tidies:
            return Job(self._lake, self._folder / DATABASE_FILE, None, state.runs.settled)
        if run is None or run.state != PLANNED:
            return None
        return Job(self._lake, self._folder / DATABASE_FILE, run, state.runs.settled)

    def settle_archive(self, committed: Committed | None) -> bool:
        """Note that a run is in the archive, and let some of its rows go; tell whether all went.

        Raises:
            ArchiveMismatch: the run was another one; nothing is deleted.
            StorageFull: there is no room now; nothing is lost.
            ActivationBroken: throw this activation away.
        """
        state = self._wake()
        with self._breaking(but=(StorageFull, ArchiveMismatch)):
            done = state.storage.apart(partial(_settle, state, committed))
        self._drained(state)
        state.upkeep.ended(done=done)
        return done

    @property
    def displaced(self) -> Lake | None:
        """The archive, when the folder was copied here and it still points to where it was."""
        return None if self._lake.displaced_from() is None else self._lake


def _settle(state: State, committed: Committed | None) -> bool:
    if committed is not None:
        return state.runs.settle(committed, state.now_ms)
    return state.runs.clear()
