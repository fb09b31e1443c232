"""When one object's old events leave for the archive: planned in its turns, done beside them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from raydo.actors.iceberg import STREAM
from raydo.pipelining.limits import LAKE_AGE_S, LAKE_LOOK_ROWS

if TYPE_CHECKING:
    from raydo.actors.lake_runs import Run
    from raydo.actors.state import State

_WRITES: Final = "iceberg_writes"  # a fact of objects that write into their archive themselves
_EVER_MS: Final = 2**53  # after any event


class Upkeep:
    """Plan archive runs; `due` says that one may wait to be done or finished."""

    def __init__(self, state: State) -> None:
        self.age_s: float = LAKE_AGE_S  # how old events are before a weekly run takes them
        # Or perhaps so: a call may have raised, or written into the archive.
        self.due = state.runs.unfinished() is not None or bool(state.meta.get(_WRITES))
        self.tidies = False  # whether the archive wants a look, though no run is planned
        self._state = state
        self._looked_seq = 0  # up to which row it was asked whether there are too many

    def plan(self, before_ms: int, rows_min: int) -> Run | None:
        """Plan a run of the events before a moment, with the call that asks for it."""
        state = self._state
        state.before_statement()
        if state.erasures.waiting and state.erasures.count():
            return None  # what an erasure looks for must not be on its way to somewhere else
        with state.unbroken():
            run = state.runs.plan(before_ms, state.now_ms, rows_min=rows_min)
        if run is not None:
            state.database.note_write()
            self.due = True
        return run

    def tidy(self) -> bool:
        """Have the archive compacted and expired; tell whether there may be anything to do."""
        state = self._state
        state.before_statement()
        self.tidies = not state.runs.tidied(state.now_ms)
        self.due = self.due or self.tidies
        return self.tidies

    def follow(self) -> None:
        """Plan a run for what the present call wrote into the archive, as soon as there may be one."""
        self._state.meta.set(_WRITES, 1)
        self.plan(_EVER_MS, 1)

    def relieve(self, rows_max: int) -> None:
        """Plan a run when more rows are here than that; between two turns.

        Raises:
            StorageFull: there is no room now; nothing is lost.
        """
        state = self._state
        seq = state.transaction.last_seq
        if (
            self.due
            or state.erasures.waiting
            or seq - self._looked_seq < min(LAKE_LOOK_ROWS, rows_max)
        ):
            return
        self._looked_seq = seq
        if state.runs.overfull(rows_max):
            plan = partial(state.runs.plan, 0, state.now_ms, rows_min=1, recent_max=rows_max)
            self.due = state.storage.apart(plan) is not None

    def ended(self, *, done: bool) -> None:
        """Take note of what was done beside the turns."""
        self.due = not done or self._state.runs.unfinished() is not None
        self.tidies = self.tidies and not done
        if done and self._state.meta.get(_WRITES) and not self._state.erasures.waiting:
            self.due = self._state.storage.apart(self._plan_written) is not None

    def _plan_written(self) -> Run | None:
        """Plan a run for what was written while the last one was under way."""
        state = self._state
        if not state.database.run("SELECT 1 FROM raw_events WHERE stream = ? LIMIT 1", (STREAM,)):
            return None
        return state.runs.plan(_EVER_MS, state.now_ms, rows_min=1)
