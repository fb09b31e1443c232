"""What a Cap'n Web session wants done, done in the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from raydo.gateway.access import Entry
from raydo.gateway.programs import Programs
from raydo.pipelining.capnweb.session import Session
from raydo.pipelining.capnweb.work import Await, Run
from raydo.pipelining.errors import RaydoError, TimedOut
from raydo.pipelining.frame import Reply
from raydo.pipelining.limits import CALL_TIMEOUT_S


class Worker:
    """Deliver one session's programs, await what its gateway's methods returned."""

    def __init__(
        self,
        session: Session,
        programs: Programs,
        changed: Callable[[], None],
        entry: Entry,
    ) -> None:
        self._session = session
        self._entry = entry
        self._programs = programs
        self._changed = changed  # called when something has come back
        self._runs: set[asyncio.Task[None]] = set()
        self._awaits: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin all work that there is. What is for one object keeps its order."""
        while work := self._session.work():  # a refusal may bring more
            for item in work:
                if isinstance(item, Await):
                    self._add(self._awaits, self._await(item))
                else:
                    self._start(item)

    def _start(self, run: Run) -> None:
        try:
            caller = self._entry.check_program(run.noun, run.program)
            future = self._programs.start(run.noun, run.program, caller.by)
        except RaydoError as error:
            self._session.answer(run.ticket, error)
            self._changed()
        else:
            self._add(self._runs, self._run(run, future))

    def _add(self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def drain(self) -> None:
        """Work until nothing is left, nor follows from it."""
        self.start()
        while tasks := self._runs | self._awaits:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            self.start()

    def cancel_awaits(self) -> None:
        """Stop what serves the client alone; calls on objects go on."""
        for task in self._awaits:
            task.cancel()

    async def _run(self, run: Run, future: asyncio.Future[Reply]) -> None:
        outcome: Reply | Exception
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                outcome = await future
        except TimeoutError:
            outcome = TimedOut(
                f"{run.noun} had no answer within {CALL_TIMEOUT_S:g} s. It may have been applied."
            )
        except Exception as error:  # noqa: BLE001  # the session tells who is to hear of it
            outcome = error
        self._session.answer(run.ticket, outcome)
        self._changed()

    async def _await(self, item: Await) -> None:
        try:
            value = await item.awaitable
        except asyncio.CancelledError:
            self._session.finish(item.ticket, error=TimedOut("This call was given up."))
            raise
        except Exception as error:  # noqa: BLE001  # the session tells who is to hear of it
            self._session.finish(item.ticket, error=error)
        else:
            self._session.finish(item.ticket, value)
        self._changed()
