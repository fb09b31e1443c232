"""One live object: it takes envelopes, runs their programs, and answers when that is on disk.

Synchronous and alone: a turn runs from its first instruction to its last with nothing between, so
an object needs no locks. What one turn changed goes to disk as one, together with what its sessions
remember of it, so a retry after a crash finds either both the effects and their reply, or neither.
A full disk breaks nothing: the turn is taken back and run once more, its calls with effects are
refused, and whoever only reads gets an answer. How the object wakes, breaks and ends is `Life`, and
what is done for it between its turns `Tended`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from raydo.actors import erasing, firing, tenant
from raydo.actors.asks import Asking, asked, texts
from raydo.actors.audit import ITSELF, LOCAL
from raydo.actors.failure import full
from raydo.actors.sessions import Sessions
from raydo.actors.state import Mark, State, TurnFull
from raydo.actors.tended import Tended
from raydo.pipelining.errors import (
    ActivationBroken,
    CallerError,
    RaydoError,
    StorageFull,
    Unavailable,
)
from raydo.pipelining.evaluate import evaluate, finish
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
from raydo.pipelining.unfinished import Unfinished, is_unfinished

if TYPE_CHECKING:
    from raydo.actors.eraser import Found


class Activation(Tended):
    """Run what is asked of one live object."""

    def apply(self, envelope: bytes) -> bytes:
        """Apply an envelope; what it changed is on disk when this returns.

        Raises:
            InvalidArgument, TooLarge: it is no envelope.
            ActivationBroken, StorageFull: throw this activation away; nothing may be known of it.
        """
        entries = decode_envelope(envelope)
        self._wake()
        with self._breaking():
            answers = self._turn(entries)
            return encode_answers(self._finished_here(answer) for answer in answers)

    def run(self, entries: Sequence[Entry]) -> list[Answer | Asking]:
        """Apply the entries of one turn; what they changed is on disk when this returns.

        An answer that needs questions answered first is the caller's to finish.

        Raises:
            ActivationBroken, StorageFull: throw this activation away; nothing may be known of it.
        """
        self._wake()
        with self._breaking():
            return self._asking(self._turn(entries))

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
                    self._own_turn(partial(firing.fire, name=name))
            with self._breaking(but=StorageFull):
                self._tell_due(state)
        return self.next_due_ms

    def job_ended(self, n: int, result: Any, error: str | None) -> None:
        """Tell the object the end of a job, in a turn of its own.

        Raises:
            StorageFull: there is no room now; the job is done again when the object wakes next.
            ActivationBroken: throw this activation away.
        """
        self._wake()
        with self._breaking(but=StorageFull):
            self._own_turn(partial(firing.end_job, n=n, result=result, error=error))

    def settle_erasure(self, found: Found | None) -> None:
        """Let an erasure be one step further, each in a turn of its own.

        Raises:
            StorageFull, Unavailable: not now; it goes on where it is.
            ActivationBroken: throw this activation away.
        """
        state = self._wake()
        if found is not None and state.erasures.get(found.n).whole:
            self._vanish()
            return
        if found is None:
            self._rewrite()
            state = self._wake()
        with self._breaking(but=StorageFull):
            self._own_turn(
                erasing.finish if found is None else partial(erasing.settle, found=found)
            )
            state.erasures.next()
            self._tell_due(state)

    def _vanish(self) -> None:
        """Be nobody's object any more: the tenant ends, and whoever calls next finds none."""
        with self._breaking():
            self.close()
            tenant.vanish(self._folder, self._disk)
        self._born, self._due_ms, self._sessions = False, None, Sessions()

    def _rewrite(self) -> None:
        """Have no byte left of what was deleted: no log, and a database written anew.

        Raises:
            Unavailable: somebody reads the database; again in a moment.
        """
        self.close()
        self._sessions.drained()
        state = self._wake()
        with self._breaking(but=(StorageFull, Unavailable)):
            state.storage.rewrite()

    def _own_turn(self, run: Callable[[State, object], None]) -> None:
        """Run a turn that no caller has asked for."""
        state = self._present()
        before = state.mark()
        state.audit.by = ITSELF
        try:
            run(state, self._object)
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
            state.transaction.end_read()
            self._book(state)
            self._drained(state)
            self._sessions.settle(drained=state.storage.drained)
        else:
            self._save(state)

    def _answer(self, state: State, entry: Entry) -> Answer:
        known = self._sessions.answer(entry)
        if known is not None:
            return known
        before = state.mark()
        state.audit.by = entry.by or LOCAL
        state.audit.program = (entry.session, entry.n)
        reply = self._reply(state, entry.program)
        self._sessions.applied(entry, reply, effects=state.mark() != before)
        return Answer(APPLIED, reply)

    def _asking(self, answers: list[Answer]) -> list[Answer | Asking]:
        """Find the answers that wait for questions, which see all that was acknowledged by now."""
        waiting = {
            at: Unfinished.decode(answer.payload)
            for at, answer in enumerate(answers)
            if isinstance(answer.payload, bytes) and is_unfinished(answer.payload)
        }
        if not waiting:
            return [*answers]
        state = self._present()
        try:
            state.show(texts(waiting.values()))
        except StorageFull:
            return [self._finished_here(answer) for answer in answers]
        self._drained(state)
        found: list[Answer | Asking] = [*answers]
        for at, unfinished in waiting.items():
            found[at] = Asking(unfinished, state.asks.questions(unfinished, self._lake))
        return found

    def _finished_here(self, answer: Answer) -> Answer:
        """Answer what was postponed in the turn after all."""
        if not (isinstance(answer.payload, bytes) and is_unfinished(answer.payload)):
            return answer
        state = self._present()
        unfinished = Unfinished.decode(answer.payload)
        found: list[Any] = []
        for ask in asked(unfinished):
            try:
                found.append(state.call(partial(state.asks.here, ask)))
            except RaydoError as error:
                if isinstance(error, ActivationBroken):
                    raise
                found.append(error)
        state.transaction.end_read()
        self._drained(state)
        return Answer(APPLIED, finish(unfinished, found))

    def _reply(self, state: State, program: bytes) -> bytes:
        try:
            return evaluate(Program.decode(program), self._object, state.call).encode()
        except CallerError as error:  # no program at all
            return Reply((), (Failure(0, pack_error(error)[0]),)).encode()
