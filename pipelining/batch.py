"""The calls of one connection to one object: queued in order and emptied into frames.

Casts and awaits enter one queue in the order they were made, from any thread. A cast waits a little
for company; an await empties the queue two iterations of the event loop later, so that the tasks of
`gather`, `wait_for` and `TaskGroup` share its frame. A cast that nobody holds costs no more than its
encoded instruction and a place in the queue.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from raydo.pipelining.assemble import encode_cast
from raydo.pipelining.compile import Compiled, Exits, Item, Mark, compile_queue
from raydo.pipelining.deadline import Deadlines
from raydo.pipelining.delivery import Sender
from raydo.pipelining.derive import Path, anchor, derive, prepare
from raydo.pipelining.errors import (
    Forbidden,
    NotConnected,
    OutboxFull,
    PromiseMisused,
    Unauthorized,
)
from raydo.pipelining.kept import KeptFrame
from raydo.pipelining.limits import CASTS_PER_FRAME_MAX, NESTED_MAX
from raydo.pipelining.linking import Linking
from raydo.pipelining.outgoing_frame import Frame
from raydo.pipelining.promise import CastPromise, Promise
from raydo.pipelining.settle import Told, refuse, report_lost, settle, tell
from raydo.pipelining.state import Pending, Queued, Settled
from raydo.pipelining.urgency import AT_ONCE, LINGERING, Urgency

if TYPE_CHECKING:
    from raydo.pipelining.noun import Noun
    from raydo.pipelining.outbox import Outbox
    from raydo.pipelining.site import Carrier
    from raydo.pipelining.state import Done
    from raydo.pipelining.transport import Transport


class Batch:
    """Made and called in any thread; worked by its loop's own."""

    def __init__(
        self,
        noun: Noun,
        transport: Transport,
        outbox: Outbox,
        *,
        session: bytes,
        loop: asyncio.AbstractEventLoop,
        thread: int,
        by: str = "",
    ) -> None:
        self.noun = noun
        self._session = session
        self._outbox = outbox
        self._loop = loop
        self._queue: deque[Item] = deque()
        self._urgency = Urgency(loop, thread, self._empty)
        self._closed = False
        self._emptying = False
        self._successor: Callable[[Noun], Carrier] | None = None
        self._parked = 0  # awaited, and waiting for other objects' promises
        self._waits_for: Promise[Any] | None = None
        self._deadlines = Deadlines(loop, outbox)
        self._sender = Sender(noun, transport, outbox, session, self._empty, by=by)
        self._transport = transport
        self._linking = Linking(transport, outbox, self._sender)
        self._exits = Exits(self._refuse, self._park, self._linking.find)

    @property
    def idle(self) -> bool:
        """Whether nothing is queued or under way."""
        return not self._queue and not self._parked and self._sender.idle

    def retire(self, successor: Callable[[Noun], Carrier]) -> None:
        """Pass on what still comes here to another batch; this one is idle. The lock is held."""
        self._successor = successor
        self._loop.call_soon_threadsafe(self._deadlines.close)

    def cast(self, promise: CastPromise[Any]) -> None:
        """Queue a cast behind everything that this object was told before.

        Raises:
            OutboxFull: too much waits already; the cast is dropped.
            PromiseMisused: an argument is a promise that has to be fetched elsewhere first.
        """
        if promise._parent is None and not promise._refs:
            op = encode_cast(promise)
            item: Item = (op, weakref.ref(promise), promise._name)
            size = len(op)
        else:
            item, size = promise, len(promise._args)  # compiled later, and kept until then
            self._prepare_cast(promise)
        with self._outbox.lock:
            if self._successor is not None:
                self._successor(self.noun).cast(promise)
                return
            self._check_open()
            self._outbox.take(size)
            if type(item) is tuple:
                self._outbox.write_down(self.noun, promise._name, item[0])
            self._queue.append(item)
            full = len(self._queue) >= CASTS_PER_FRAME_MAX
            self._urgency.raise_to(AT_ONCE if full else LINGERING)

    def _write_frame(self, compiled: Compiled) -> None:
        if self._outbox.journal is not None and compiled.casts:
            n, casts = self._sender.next_n, len(compiled.casts)
            made = (self.noun, self._session, n, compiled.program, casts, compiled.cast_bytes)
            self._outbox.journal.frame(KeptFrame(*made), compiled.plain)

    def cast_again(self, name: str, op: bytes) -> None:
        """Queue a cast that an earlier process left. The lock is held."""
        self._queue.append((op, _nobody, name))
        self._urgency.raise_to(AT_ONCE)

    def _prepare_cast(self, promise: CastPromise[Any]) -> None:
        if prepare(promise):
            raise PromiseMisused(
                "A cast is sent in order and cannot wait for a promise of another object or for "
                "then(); await that promise and pass its value."
            )

    def pull(self, promise: Promise[Any], done: Done) -> None:
        """Find a promise's value and hand it to `done`, possibly in another thread.

        Raises:
            PromiseMisused: it is the element of a map().
            NotConnected: the connection has been closed.
        """
        if promise._scope is not None:
            raise PromiseMisused("An element of map() exists only inside its own function.")
        with self._outbox.lock:
            node, path = anchor(promise)
            then = partial(_local, path, done) if path else done
            state = node._state
            if type(state) is not Settled:
                if self._successor is not None:
                    self._successor(self.noun).pull(promise, done)
                    return
                self._check_open()
                self._ask(node, then)
                return
        then(state)

    def _ask(self, node: Promise[Any], done: Done) -> None:
        """Wait for a node that is not settled, and queue it unless it is queued already."""
        state = node._state
        if type(state) is Pending:
            state.done.append(done)
            if not state.frame:
                self._urgency.raise_to(AT_ONCE)
        else:
            node._state = Pending(done)
            if type(state) is Queued:
                self._urgency.raise_to(AT_ONCE)
            else:
                self._outbox.stats.pulls += 1
                self._enqueue(node)
        self._deadlines.watch(node)

    def _enqueue(self, node: Promise[Any]) -> None:
        first = prepare(node)
        if not first:
            self._append(node)
        elif self._linking.may_bring(first):
            for other in first:
                other._site.carrier().pull(other, _ignore)
            self._append(node)
        else:
            self._park(node)

    def _park(self, node: Promise[Any]) -> None:
        """Queue a promise once what it needs of other objects is here."""
        first = prepare(node)
        missing = len(first)

        def arrived(_: Settled) -> None:
            nonlocal missing
            with self._outbox.lock:
                missing -= 1
                if not missing:
                    self._parked -= 1
                    self._append(node)

        self._parked += bool(first)
        for other in first:
            other._site.carrier().pull(other, arrived)
        if not first:
            self._append(node)

    def _append(self, item: Promise[Any] | Mark) -> None:
        self._queue.append(item)
        self._urgency.raise_to(AT_ONCE)

    def flush(self, done: Mark) -> None:
        """Send what is queued now, and call `done` when all of it is settled."""
        with self._outbox.lock:
            self._append(done)

    def _check_open(self) -> None:
        if self._closed or self._loop.is_closed():
            raise NotConnected("This connection was closed; make another with raydo.connect().")

    def hasten(self) -> None:
        """Compile the queue now, for another object's frame that needs a value of it."""
        if self._urgency.is_here and self._outbox.emptying < NESTED_MAX:
            self._empty()

    def _empty(self) -> None:
        """Compile the queue into frames, as far as they may leave now."""
        if self._emptying:
            return  # a frame that is being compiled needs, by way of others, its own values
        self._emptying = True
        self._outbox.emptying += 1
        try:
            with self._outbox.lock:
                self._urgency.met()
                while self._queue and self._sender.has_room:
                    if not self._move():
                        break
        finally:
            self._emptying = False
            self._outbox.emptying -= 1
        self._sender.pump()

    def _move(self) -> bool:
        """Move the front of the queue on; False if it has to stay."""
        front = self._queue[0]
        if not isinstance(front, (tuple, Promise)):
            self._queue.popleft()
            self._sender.mark(front)
            return True
        compiled = compile_queue(self._queue, self._exits, alone=self._sender.idle)
        if compiled.program:
            settle = partial(self._settle, compiled, self._sender.next_n)
            try:
                self._write_frame(compiled)
            except OutboxFull as error:
                self._loop.call_soon(settle, error)
                return compiled.waits_for is None
            frame = Frame(
                compiled.program,
                settle,
                compiled.wanted,
                aside=compiled.aside,
                told=bool(compiled.casts),
                links=compiled.links,
            )
            self._sender.add(frame)
            if self._linking.is_possible:
                compiled.travels_in(frame, self._transport)
            self._linking.join(frame)
        if compiled.waits_for is not None:
            self._resume_after(compiled.waits_for)
        return compiled.waits_for is None

    def _settle(self, compiled: Compiled, n: int, outcome: Any) -> None:
        kept = False
        journal = self._outbox.journal
        if journal is not None and compiled.casts:
            kept = self._closed  # for whoever opens the outbox next
            if not (kept or isinstance(outcome, Unauthorized | Forbidden)):  # or has another key
                with self._outbox.lock:
                    journal.answered(self._session, n)
        settle(self.noun, self._outbox, compiled, outcome, kept=kept)

    def _refuse(self, promise: Promise[Any], error: Exception) -> None:
        if isinstance(promise, CastPromise):
            self._outbox.give(1, len(promise._args))
        told = refuse(self.noun, self._outbox, promise, error)
        self._loop.call_soon(tell, told)

    def _resume_after(self, node: Promise[Any]) -> None:
        """Empty the queue again once what its front needs has come."""
        if self._waits_for is not node:
            self._waits_for = node
            assert type(node._state) is Pending
            node._state.done.append(self._came)

    def _came(self, _: Settled) -> None:
        self._waits_for = None
        with self._outbox.lock:
            self._urgency.raise_to(AT_ONCE)

    def close(self, error: Exception) -> None:
        """Give up: what is queued or under way fails with `error`. Runs in the loop."""
        self._closed = True
        unsettled = self._deadlines.close()
        self._sender.abandon(error)
        told: Told = []
        lost: list[str] = []
        for item in self._queue:
            match item:
                case (op, kept, name):
                    promise: Promise[Any] | None = kept()
                    if self._outbox.journal is None:
                        lost.append(name)
                    self._outbox.give(1, len(op))
                case Promise():
                    promise = item
                case _:
                    item()
                    continue
            if promise is not None:
                told += refuse(self.noun, self._outbox, promise, error)
        self._queue.clear()
        for promise in unsettled:
            told += refuse(self.noun, self._outbox, promise, error)
        if lost:
            report_lost(self.noun, self._outbox, lost, error)
        tell(told)


def _nobody() -> None:
    """Stand where a reference to a promise would, for a cast whose maker is gone."""


def _ignore(_: Settled) -> None:
    """Ask for a value on another's behalf."""


def _local(path: Path, done: Done, state: Settled) -> None:
    done(derive(path, state))
