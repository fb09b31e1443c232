"""One live object: it takes envelopes, runs their programs, and answers when that is on disk.

Synchronous and alone: a turn runs from its first instruction to its commit with nothing between,
so an object needs no locks. What one turn changed is committed in one transaction together with
the sessions' rows, so a retry after a crash finds either both the effects and their reply, or
neither. An activation that failed to commit is broken for good and must be thrown away: what it
holds in memory may be more than the disk does.

A tenant begins to exist with its first effect. Until then its object lives in a database in
memory; the first turn that has effects is run once more, on disk, and only that run counts.
"""

from __future__ import annotations

import errno
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from raydo.actors import tenant
from raydo.actors.clock import Clock
from raydo.actors.effects import DAY_MS, tidy, write
from raydo.actors.event import fresh_ids
from raydo.actors.object import DurableObject
from raydo.actors.schema import open_database
from raydo.actors.sessions import Sessions
from raydo.actors.state import State
from raydo.pipelining.errors import (
    ActivationBroken,
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

DATABASE_FILE: Final = "tenant.db"
TIDIED: Final = "tidied_day"
NEW_SESSIONS_PER_TIDY: Final = 256  # sessions that may come before the oldest are forgotten

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
    ) -> None:
        self.noun = noun
        self.broken = False
        self._cls = cls
        self._folder = tenant.folder(data, noun)
        self._clock = clock
        self._new_id = fresh_ids(random)
        self._sessions = Sessions()
        self._born = False  # whether the tenant exists on disk
        self._state: State | None = None
        self._object: DurableObject | None = None

    def open(self) -> None:
        """Wake the object, from disk when its tenant exists.

        Raises:
            DataUnreadable: its database is not ours, or of a later version.
            ObjectFailed: its `on_start` raised.
            ActivationBroken, StorageFull: the disk failed.
        """
        self._born = tenant.exists(self._folder)
        with self._breaking():
            state = self._start()
            if not self._born or any(state.mark()):
                self._commit(state)  # what on_start did

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
        if self.broken:
            raise ActivationBroken(f"{self.noun} is broken.")
        if self._state is None:
            self.open()
        with self._breaking():
            return self._turn(entries)

    def close(self) -> None:
        """Let the object sleep: only what is on disk stays."""
        if self._state is not None:
            self._state.database.close()
        self._state = self._object = None

    def _turn(self, entries: Sequence[Entry]) -> list[Answer]:
        state = self._present()
        before, sessions = state.mark(), self._sessions.snapshot() if not self._born else None
        answers = [self._answer(state, entry) for entry in entries]
        if state.mark() == before:
            state.database.rollback()  # it only read
            return answers
        if sessions is not None:
            self._sessions.restore(sessions)
            state = self._be_born()
            answers = [self._answer(state, entry) for entry in entries]
        self._commit(state)
        return answers

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
        self.close()
        tenant.create(self._folder, self.noun)
        self._born = True
        return self._start()

    def _start(self) -> State:
        database = open_database(self._folder / DATABASE_FILE if self._born else None)
        state = self._state = State(self.noun, database, self._new_id, self._clock.now_ms())
        self._sessions.attach(database)
        self._object = new_instance(self._cls)
        self._object._state = state
        self._object.counters = state.counters
        state.alarms.starting(True)
        try:
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

    def _commit(self, state: State) -> None:
        day = state.now_ms // DAY_MS
        due = self._sessions.unknown >= NEW_SESSIONS_PER_TIDY or state.meta.get(TIDIED) != day
        if due:
            state.meta.set(TIDIED, day)
        write(state.database, state.effects(self._sessions))
        if due:
            tidy(state.database, state.now_ms)
            self._sessions.unknown = 0
        state.database.commit()
        state.settle()
        self._sessions.settle()

    @contextmanager
    def _breaking(self) -> Iterator[None]:
        """Let no failure of the disk pass without an end to this activation."""
        try:
            yield
        except BaseException as error:
            self.broken = True
            with suppress(sqlite3.Error):
                self.close()
            if isinstance(error, sqlite3.Error | OSError):
                raise _failure(self.noun, error) from error
            raise


def _failure(noun: Noun, error: sqlite3.Error | OSError) -> ActivationBroken | StorageFull:
    full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    if full or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"{noun}: the disk is full.")
    return ActivationBroken(f"{noun}: the database failed: {error}.")
