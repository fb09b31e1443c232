"""How a live object comes to be, breaks and ends; `Activation` is what is asked of it meanwhile.

A tenant begins to exist with its first effect. Until then its object lives in a database in
memory; the first turn that has effects is run once more, on disk, and only that run counts.
An activation whose disk failed is broken for good and must be thrown away: what it holds in memory
may be more than the disk does.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from raydo.actors import tenant
from raydo.actors.clock import Clock
from raydo.actors.disk import Disk, OsDisk
from raydo.actors.due import read_due, write_due
from raydo.actors.event import fresh_ids
from raydo.actors.failure import failure
from raydo.actors.lake import Lake, namespace_of
from raydo.actors.ledger import Usage
from raydo.actors.migrations import migrate
from raydo.actors.object import DurableObject
from raydo.actors.sessions import Sessions
from raydo.actors.settings import Settings
from raydo.actors.state import State
from raydo.actors.storage import Storage
from raydo.pipelining.errors import ActivationBroken, ObjectFailed, RaydoError
from raydo.pipelining.noun import Noun
from raydo.pipelining.stub import new_instance

if TYPE_CHECKING:
    from raydo.actors.damage import Damage
    from raydo.actors.process import Processes

AT_ONCE_MS: Final = 0
_log = logging.getLogger("raydo")


class Life:
    """Hold one live object and its state, from `open` to `close`."""

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
        settings: Settings | None = None,
        usage: Usage | None = None,
    ) -> None:
        self.noun = noun
        self.broken = False
        self._cls = cls
        self._folder = tenant.folder(data, noun)
        self._settings = settings or Settings()
        self._lake = Lake(self._folder, namespace_of(noun), self._settings.lake)
        self._clock = clock
        self._random = random
        self._new_id = fresh_ids(random)
        self._disk = disk or OsDisk()
        self._host = host  # whether a successor may end this process
        self._processes = processes
        self._usage = usage or Usage()  # of the process
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
                state.transaction.end_read()

    @property
    def damage(self) -> tuple[Damage, ...]:
        """What the tenant's log has lost and nobody has accepted yet."""
        return self._state.storage.damage if self._state is not None else ()

    def close(self) -> None:
        """Let the object sleep: drain, and let go of everything but its folder.

        Raises:
            StorageFull, ActivationBroken: not all is drained; nothing is lost.
        """
        state, self._state, self._object = self._state, None, None
        if state is not None:
            try:
                try:
                    if self._born and state.unsaved:
                        self._save(state)
                    self._tell_due(state, exactly=True)
                except BaseException:
                    state.storage.abandon()  # else nobody could take the tenant again
                    raise
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

    def _present(self) -> State:
        assert self._state is not None
        self._state.set_time(self._clock.now_ms())
        return self._state

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
        state.upkeep.age_s = self._settings.archive_age_s
        storage.transaction.ledger.process = self._usage
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
        self._tell_due_earlier(state)
        accepted = state.pipeline.mark()
        state.storage.save(state.effects(self._sessions))
        self._book(state, accepted)
        state.settle()
        if self._born:
            self._tell_due(state)
        self._sessions.settle(drained=state.storage.drained)

    def _book(self, state: State, accepted: int = 0) -> None:
        """Count what a turn has taken, and what it has refused."""
        pipeline = state.pipeline
        refused = {"duplicates": pipeline.duplicates, "rejected": pipeline.rejected}
        pipeline.duplicates = pipeline.rejected = 0
        state.transaction.ledger.spend(events=accepted, turns=1, **refused)

    def _tell_due(self, state: State, *, exactly: bool = False) -> None:
        """Say in the folder when the object must wake: at once, if others wait for it, or it for a job.

        Earlier than needed does no harm, and a file for each letter would be many.
        """
        busy = state.outgoing.waiting or state.jobs.waiting or state.erasures.waiting
        due_ms = AT_ONCE_MS if busy else state.alarms.next_due_ms
        if self._due_ms == AT_ONCE_MS and not exactly:
            return
        if self._born and due_ms != self._due_ms:
            write_due(self._disk, self._folder, due_ms)
            self._due_ms = due_ms

    def _tell_due_earlier(self, state: State) -> None:
        """Say so before it is on disk, so that a crash in between can only wake the object early."""
        begins = state.outgoing.mark() or state.jobs.mark()
        due_ms = AT_ONCE_MS if begins else state.alarms.next_due_ms
        if self._born and due_ms is not None and (self._due_ms is None or due_ms < self._due_ms):
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
