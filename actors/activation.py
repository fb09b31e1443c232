"""One live object: it takes envelopes, runs their programs, and answers when that is on disk.

Synchronous and alone: a turn runs from its first instruction to its last with nothing between, so
an object needs no locks. What one turn changed goes to disk as one, together with what its sessions
remember of it, so a retry after a crash finds either both the effects and their reply, or neither.
An activation whose disk failed is broken for good and must be thrown away: what it holds in memory
may be more than the disk does. A full disk is no such failure: the turn is taken back and run once
more, its calls with effects are refused, and whoever only reads gets an answer.

A tenant begins to exist with its first effect. Until then its object lives in a database in
memory; the first turn that has effects is run once more, on disk, and only that run counts.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from raydo.actors import firing, tenant
from raydo.actors.archiver import Job
from raydo.actors.clock import Clock
from raydo.actors.disk import Disk, OsDisk
from raydo.actors.due import read_due, write_due
from raydo.actors.event import fresh_ids
from raydo.actors.failure import failure, full
from raydo.actors.lake import Lake, namespace_of
from raydo.actors.lake_runs import PLANNED, Committed
from raydo.actors.migrations import migrate
from raydo.actors.object import DurableObject
from raydo.actors.sessions import Sessions
from raydo.actors.state import Mark, State, TurnFull
from raydo.actors.storage import DATABASE_FILE, Storage
from raydo.pipelining.errors import (
    ActivationBroken,
    ArchiveMismatch,
    CallerError,
    ObjectFailed,
    RaydoError,
    StorageFull,
)
from raydo.pipelining.evaluate import evaluate
from raydo.pipelining.frame import (
    APPLIED,
    Answer,
    Entry,
    Failure,
    Program,
    Reply,
    decode_envelope,
    encode_answers,
    pack_error,
)
from raydo.pipelining.noun import Noun
from raydo.pipelining.stub import new_instance

if TYPE_CHECKING:
    from raydo.actors.damage import Damage
    from raydo.actors.idrun import Merge
    from raydo.actors.process import Processes

_log = logging.getLogger("raydo")


class Activation:
    """Hold one live object and its state."""

    def __init__(
        self,
        noun: Noun,
        cls: type[DurableObject],
        data: Path,
        *,
        clock: Clock,
        random: Callable[[int], bytes],
        disk: Disk | None = None,
        host: bool = False,
        processes: Processes | None = None,
    ) -> None:
        self.noun = noun
        self.broken = False
        self._cls = cls
        self._folder = tenant.folder(data, noun)
        self._clock = clock
        self._random = random
        self._new_id = fresh_ids(random)
        self._disk = disk or OsDisk()
        self._host = host  # whether a successor may end this process
        self._processes = processes
        self._sessions = Sessions()
        self._born = False  # whether the tenant exists on disk
        self._due_ms: int | None = None  # what the folder's `due` file says
        self._state: State | None = None
        self._object: DurableObject | None = None

    def open(self) -> None:
        """Wake the object, from disk when its tenant exists.

        Raises:
            DataInUse: another process has it.
            DataUnreadable: its files are not ours, or of a later version, or end too early.
            ObjectFailed: its `on_start` raised.
            ActivationBroken, StorageFull: the disk failed.
        """
        with self._breaking():
            self._born = tenant.exists(self._folder, self._disk)
            state = self._start()
            if any(state.mark()):
                self._save(state)  # what on_start did
            else:
                state.storage.end_read()

    @property
    def damage(self) -> tuple[Damage, ...]:
        """What the tenant's log has lost and nobody has accepted yet."""
        return self._state.storage.damage if self._state is not None else ()

    def apply(self, envelope: bytes) -> bytes:
        """Apply an envelope; what it changed is on disk when this returns.

        Raises:
            InvalidArgument, TooLarge: it is no envelope.
            ActivationBroken, StorageFull: throw this activation away; nothing may be known of it.
        """
        return encode_answers(self.run(decode_envelope(envelope)))

    def run(self, entries: Sequence[Entry]) -> list[Answer]:
        """Apply the entries of one turn; what they changed is on disk when this returns.

        Raises:
            ActivationBroken, StorageFull: throw this activation away; nothing may be known of it.
        """
        self._wake()
        with self._breaking():
            return self._turn(entries)

    @property
    def next_due_ms(self) -> int | None:
        """When the next timer is due; a tenant that doesn't exist has none."""
        return self._state.alarms.next_due_ms if self._state is not None and self._born else None

    def fire(self) -> int | None:
        """Run the timers that are due, each as a turn of its own; return `next_due_ms`.

        At most TIMERS_PER_FIRE of them: the next may be due already.

        Raises:
            StorageFull: there is no room now; what did not run stays due.
            ActivationBroken: throw this activation away; what did not run is due on disk.
            DataInUse, DataUnreadable, ObjectFailed: it does not wake.
        """
        state = self._wake()
        if self._born:
            for name in state.alarms.due():
                with self._breaking(but=StorageFull):
                    self._fire(name)
            with self._breaking(but=StorageFull):
                self._tell_due(state)
        return self.next_due_ms

    @property
    def drain_due(self) -> bool:
        """Whether turns should wait for a drain."""
        return self._state is not None and self._state.storage.drain_due

    @property
    def drained(self) -> bool:
        """Whether the database has everything that was acknowledged."""
        return self._state is None or self._state.storage.drained

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
                self._state.storage.drain()
        finally:
            if self._state is not None:  # else it broke
                self._drained(self._state)

    def merge_due(self) -> Merge | None:
        """Return files of message ids that should become one; `run` it on any thread."""
        return self._state.storage.merge_due() if self._state is not None else None

    @property
    def archive_due(self) -> bool:
        """Whether there may be an archive run to be done or finished."""
        return self._state is not None and self._born and self._state.has_run

    def archive_job(self) -> Job | None:
        """Return the planned run, for an `Archiver`; None when there is nothing for one to do."""
        state = self._wake()
        run = state.runs.unfinished()
        if run is None or run.state != PLANNED:
            return None
        lake = Lake(self._folder, namespace_of(self.noun))
        return Job(lake, self._folder / DATABASE_FILE, run, state.runs.settled)

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
        state.has_run = not done
        return done

    def close(self) -> None:
        """Let the object sleep: drain, and let go of everything but its folder.

        Raises:
            StorageFull, ActivationBroken: not all is drained; nothing is lost.
        """
        state, self._state, self._object = self._state, None, None
        if state is not None:
            try:
                state.storage.close()
            except (sqlite3.Error, OSError) as error:
                raise failure(self.noun, error) from error

    def abandon(self) -> None:
        """Let go of everything as the end of the process would."""
        self.broken = True
        state, self._state, self._object = self._state, None, None
        if state is not None:
            state.storage.abandon()

    def crash(self) -> None:
        """Let a successor have the tenant, and close nothing that would tidy up."""
        self.broken = True
        if self._state is not None:
            self._state.storage.release()

    def _wake(self) -> State:
        if self.broken:
            raise ActivationBroken(f"{self.noun} is broken.")
        if self._state is None:
            self.open()
        return self._present()

    def _fire(self, name: str) -> None:
        state = self._present()
        before = state.mark()
        try:
            firing.fire(state, self._object, name)
            self._end(state, before)
        except (StorageFull, TurnFull) as error:
            state.undo(before)
            raise full(error) from error

    def _turn(self, entries: Sequence[Entry]) -> list[Answer]:
        state = self._present()
        before, born = state.mark(), self._born
        try:
            answers = [self._answer(state, entry) for entry in entries]
            if state.mark() != before and not self._born:
                self._sessions.rollback()
                state = self._be_born()
                before = state.mark()
                answers = [self._answer(state, entry) for entry in entries]
            self._end(state, before)
        except (StorageFull, TurnFull) as error:
            if not born:  # what its `on_start` has made is gone, too
                raise full(error) from error
            return self._reads_only(state, before, entries, full(error))
        return answers

    def _reads_only(
        self, state: State, before: Mark, entries: Sequence[Entry], error: StorageFull
    ) -> list[Answer]:
        """Take the turn back, and run it again without its effects."""
        state.undo(before)
        self._sessions.rollback()
        state.refusal = error
        try:
            answers = [self._answer(state, entry) for entry in entries]
            self._end(state, before)
        finally:
            state.refusal = None
        return answers

    def _end(self, state: State, before: Mark) -> None:
        if state.mark() == before:
            state.storage.end_read()
            self._drained(state)
            self._sessions.settle(drained=state.storage.drained)
        else:
            self._save(state)

    def _present(self) -> State:
        assert self._state is not None
        self._state.set_time(self._clock.now_ms())
        return self._state

    def _answer(self, state: State, entry: Entry) -> Answer:
        known = self._sessions.answer(entry)
        if known is not None:
            return known
        before = state.mark()
        reply = self._reply(state, entry.program)
        self._sessions.applied(entry, reply, effects=state.mark() != before)
        return Answer(APPLIED, reply)

    def _reply(self, state: State, program: bytes) -> bytes:
        try:
            return evaluate(Program.decode(program), self._object, state.call).encode()
        except CallerError as error:  # no program at all
            return Reply((), (Failure(0, pack_error(error)[0]),)).encode()

    def _be_born(self) -> State:
        state, self._state = self._state, None
        if state is not None:
            state.storage.abandon()
        tenant.create(self._folder, self.noun, self._disk)
        self._born = True
        return self._start()

    def _start(self) -> State:
        storage = self._storage()
        state = self._state = State(self.noun, storage, self._new_id, self._clock.now_ms())
        self._sessions.attach(storage.database)
        self._object = new_instance(self._cls)
        self._object._state = state
        self._object.counters = state.counters
        state.alarms.starting(True)
        try:
            migrate(state, self._object)
            state.call(self._object.on_start)
        except RaydoError:
            raise
        except Exception as error:
            _log.warning("%s.on_start raised", self.noun.cls, exc_info=error)
            kind = type(error).__name__
            raise ObjectFailed(f"on_start: {kind}: {error}", detail={"type": kind}) from error
        finally:
            state.alarms.starting(False)
        return state

    def _storage(self) -> Storage:
        if not self._born:
            return Storage.in_memory(self._disk, self._folder)
        self._due_ms = read_due(self._disk, self._folder)
        return Storage.open(
            self._disk,
            self._folder,
            self.noun,
            host=self._host,
            processes=self._processes,
            random=self._random,
        )

    def _save(self, state: State) -> None:
        due_ms = state.alarms.next_due_ms
        if self._born and due_ms is not None and (self._due_ms is None or due_ms < self._due_ms):
            self._tell_due(state)  # first, so that a crash in between can only wake it early
        state.storage.save(state.effects(self._sessions))
        state.settle()
        if self._born:
            self._tell_due(state)
        self._sessions.settle(drained=state.storage.drained)

    def _tell_due(self, state: State) -> None:
        """Say in the folder when the object must wake."""
        due_ms = state.alarms.next_due_ms
        if due_ms != self._due_ms:
            write_due(self._disk, self._folder, due_ms)
            self._due_ms = due_ms

    def _drained(self, state: State) -> None:
        state.drained()
        if state.storage.drained:
            self._sessions.drained()

    @contextmanager
    def _breaking(
        self, but: type[BaseException] | tuple[type[BaseException], ...] = ()
    ) -> Iterator[None]:
        """Let no failure of the disk pass without an end to this activation."""
        try:
            yield
        except but:
            raise
        except BaseException as error:
            self.abandon()
            if isinstance(error, sqlite3.Error | OSError):
                raise failure(self.noun, error) from error
            raise


def _settle(state: State, committed: Committed | None) -> bool:
    if committed is not None:
        return state.runs.settle(committed, state.now_ms)
    return state.runs.clear()
