"""One client's session: messages in, messages and work out, results of the work back in.

The session knows no socket and no event loop. Its shell hands it each message (`receive`), takes
what is to be sent (`messages`) and what is to be done (`work`): programs for durable objects, and
awaitables of the gateway's own objects. What became of them comes back by `answer` and `finish`.

Each message is worked off whole before the next. What is not of the protocol ends the session with
an `abort` that says why; a call that goes wrong is that call's result, and nothing else's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from raydo.pipelining.capnweb.calls import Dispatcher
from raydo.pipelining.capnweb.draft import Drafts
from raydo.pipelining.capnweb.exports import Exports
from raydo.pipelining.capnweb.faults import logger, presentable
from raydo.pipelining.capnweb.imports import Imports
from raydo.pipelining.capnweb.incoming import Incoming, SessionEnded
from raydo.pipelining.capnweb.local import Holds, Local
from raydo.pipelining.capnweb.outgoing import Outgoing
from raydo.pipelining.capnweb.slot import Turns, settled
from raydo.pipelining.capnweb.targets import Remote
from raydo.pipelining.capnweb.wire import decode
from raydo.pipelining.capnweb.work import Await, Run, Work
from raydo.pipelining.errors import ConnectionLost, PromiseMisused, RaydoError, TooLarge
from raydo.pipelining.frame import Reply

_BATCH: Final = (
    "In an HTTP batch the server cannot call the client or wait for it; callbacks, promises and "
    "streams of the client need a WebSocket."
)


class Session:
    """The server's side of one session; `main` is what the client finds as its main object."""

    def __init__(
        self,
        main: Remote | Local,
        *,
        batch: bool = False,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.broken: Exception | None = None  # why it has ended
        self._batch = batch
        self._wake = wake  # called when there is something new to send or to do
        self._turns = turns = Turns()
        self._holds = holds = Holds()
        self._drafts = drafts = Drafts()
        self._work = work = Work(turns, drafts, wake)
        target = main if isinstance(main, Remote) else holds.hold(main)
        self._exports = exports = Exports(settled(turns, target))
        self._outgoing = out = Outgoing(turns, exports, wake)
        self._imports = imports = Imports(turns, out.send, out)
        out.open_pipe, out.pour = imports.open_pipe, imports.pour
        calls = Dispatcher(turns, drafts, holds, work.wait_for)
        self._incoming = Incoming(
            turns=turns,
            exports=exports,
            imports=imports,
            outgoing=out,
            holds=holds,
            calls=calls,
        )
        if batch:
            imports.unreachable = PromiseMisused(_BATCH)

    def receive(self, text: str) -> None:
        """Work off one message."""
        if self.broken is None:
            with self._guarded():
                self._incoming.handle(decode(text))

    def end(self) -> None:
        """Take note that a batch has no more messages: what would wait for the client fails."""
        with self._guarded():
            self._imports.end(PromiseMisused(_BATCH))
            self._incoming.end(PromiseMisused(_BATCH))

    def messages(self) -> list[str]:
        """Take what is to be sent, in this order."""
        return self._outgoing.take()

    def work(self) -> list[Run | Await]:
        """Take what is to be done; programs for one object are delivered in this order."""
        return self._work.take(keep=not self._batch)

    def answer(self, ticket: int, outcome: Reply | Exception) -> None:
        """Take what became of a `Run`."""
        with self._guarded():
            self._work.answer(ticket, outcome)

    def finish(self, ticket: int, value: Any = None, error: BaseException | None = None) -> None:
        """Take the result of an `Await`, or its error."""
        slot = self._work.awaited(ticket)
        with self._guarded():
            if error is not None:
                slot.fail(presentable(error, "A method of the gateway"))
                return
            try:
                self._incoming.give(slot, value)
            except RaydoError as refused:
                slot.fail(refused)

    def close(self, error: Exception | None = None) -> None:
        """End it: the client has gone. What it had asked for before is still `work`."""
        if self.broken is None:
            self._break(error or ConnectionLost("The client has closed the session."))

    @property
    def urgent(self) -> bool:
        """Whether a result is waited for that no work under way will bring."""
        return self._work.urgent

    @property
    def waiting(self) -> bool:
        """Whether there is work that may wait for company."""
        return self._drafts.waiting

    @property
    def busy(self) -> bool:
        """Whether anything is to be done, or under way."""
        return self._work.busy

    @property
    def calls_under_way(self) -> int:
        return self._drafts.calls

    @property
    def unsent_chars(self) -> int:
        return self._outgoing.unsent_chars

    def stats(self) -> dict[str, int]:
        """Count what either side holds of the other; an idle session has one of each."""
        return {"imports": len(self._imports), "exports": len(self._exports)}

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Do one step and what follows from it; whatever goes wrong ends this session alone."""
        if not self._batch:
            self._turns.meter.refill()
        try:
            yield
            self._turns.run()
        except SessionEnded as error:
            self.close(ConnectionLost(str(error)))
        except RaydoError as error:
            self.abort(error)
        except RecursionError:
            self.abort(TooLarge("The message is nested too deep."))
        except Exception as error:  # noqa: BLE001  # logged as ours
            self.abort(presentable(error, "A Cap'n Web session"))

    def abort(self, error: BaseException) -> None:
        """End it and tell the client why."""
        if self.broken is None:
            self._outgoing.abort(error)
            self._break(error)

    def _break(self, error: BaseException) -> None:
        self.broken = error if isinstance(error, Exception) else RaydoError(str(error))
        self._outgoing.closed = True
        gone = ConnectionLost(f"The session has ended: {error}")
        self._exports.clear()
        try:
            self._imports.clear(gone)
            self._incoming.end(gone)
            self._turns.run()
        except Exception:  # noqa: BLE001  # whatever it is, the session is over
            logger.exception("A session did not end cleanly")
            self._turns.clear()
        self._holds.dispose()
        self._wake()
