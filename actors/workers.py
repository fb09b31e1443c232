"""A bounded pool of processes that answer queries, and the queue before it.

Each process answers one question at a time and is kept for the next, while there are any. A question that is over its
time, or needs too much memory, costs its process, and nobody else anything: another one is started
for the next question. Who waits is bounded, by number and by time, and so is what one tenant may
have of the pool; of several processes one is always left to questions that need no archive, which
take milliseconds.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

from raydo.actors.question import Question
from raydo.actors.worker import Ended, Worker
from raydo.pipelining.errors import Overloaded, Unavailable
from raydo.pipelining.limits import (
    QUERY_ANSWERS_MAX,
    QUERY_IDLE_S,
    QUERY_WAIT_S_MAX,
    QUERY_WAITING_MAX,
    QUERY_WORKERS,
)

_RETRY_AFTER_S: Final = 1.0
_COUNTED: Final = ("asked", "cancelled", "ended", "refused", "started")


class _Turn:
    """A question that waits for a process, or has one."""

    def __init__(self, question: Question) -> None:
        self.tenant = question.path
        self.heavy = question.heavy
        self.given: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Workers:
    """Answer questions in at most `size` processes that may write below `folder` alone.

    It belongs to the event loop on which it is used first. `network` is for archives that are not
    on this machine.
    """

    def __init__(
        self,
        folder: Path,
        size: int = QUERY_WORKERS,
        *,
        waiting_max: int = QUERY_WAITING_MAX,
        wait_s_max: float = QUERY_WAIT_S_MAX,
        idle_s: float = QUERY_IDLE_S,
        network: bool = False,
    ) -> None:
        self._folder = folder.absolute()
        self._size = size
        self._waiting_max = waiting_max
        self._wait_s_max = wait_s_max
        self._idle_s = idle_s
        self._network = network
        self._workers: set[Worker] = set()
        self._idle: list[Worker] = []
        self._queue: list[_Turn] = []
        self._busy: Counter[Path] = Counter()
        self._heavy = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._counts: Counter[str] = Counter()
        self._closed = False

    async def run(self, question: Question) -> dict[str, Any]:
        """Answer a question.

        Raises:
            QueryError, QueryForbidden, InvalidArgument: it cannot be answered.
            QueryLimit: it is over a limit, which `detail` names.
            Overloaded: too many wait, or this one waited too long.
            Unavailable: not now.
        """
        packed = question.encode()
        turn = _Turn(question)
        await self._wait(turn)
        self._counts["asked"] += 1
        try:
            worker = await self._worker()
        except BaseException:
            self._give_back(turn)
            raise
        return await self._ask(worker, turn, packed, question.seconds)

    def stats(self) -> dict[str, int]:
        """Count processes, questions that wait, and what became of those that came."""
        return {
            "busy": self._busy.total(),
            "idle": len(self._idle),
            "waiting": len(self._queue),
            **{name: self._counts[name] for name in _COUNTED},
        }

    async def close(self) -> None:
        """End all processes, whatever they do."""
        self._closed = True
        for turn in self._queue:
            turn.given.set_exception(_closed())
        self._queue.clear()
        await asyncio.gather(*(worker.kill() for worker in self._workers))
        self._workers.clear()
        self._idle.clear()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # The queue

    async def _wait(self, turn: _Turn) -> None:
        """Wait until a process may be had."""
        if self._closed:
            raise _closed()
        ahead = sum(each.tenant == turn.tenant for each in self._queue)
        if len(self._queue) >= self._waiting_max or ahead >= max(1, self._waiting_max // 2):
            raise self._overloaded(f"{len(self._queue)} queries wait already.")
        self._queue.append(turn)
        self._admit()
        try:
            async with asyncio.timeout(self._wait_s_max):
                await asyncio.shield(turn.given)
        except BaseException as error:
            self._withdraw(turn)
            if isinstance(error, TimeoutError):
                raise self._overloaded(f"The query waited for {self._wait_s_max:g} s.") from None
            raise

    def _withdraw(self, turn: _Turn) -> None:
        if turn in self._queue:
            self._queue.remove(turn)
            turn.given.cancel()
        elif turn.given.exception() is None:
            self._give_back(turn)  # it was given in the same moment

    def _admit(self) -> None:
        """Give turns to the first in the queue who may have one."""
        for turn in list(self._queue):
            if self._busy.total() >= self._size:
                return
            if self._may(turn):
                self._queue.remove(turn)
                self._busy[turn.tenant] += 1
                self._heavy += turn.heavy
                turn.given.set_result(None)

    def _may(self, turn: _Turn) -> bool:
        """Say whether it would leave enough to others."""
        most = max(1, self._size - 1)
        return self._busy[turn.tenant] < most and not (turn.heavy and self._heavy >= most)

    def _give_back(self, turn: _Turn) -> None:
        self._busy[turn.tenant] -= 1
        self._busy += Counter()  # forget tenants that have none
        self._heavy -= turn.heavy
        self._admit()

    def _overloaded(self, message: str) -> Overloaded:
        self._counts["refused"] += 1
        return Overloaded(message, retry_after_s=_RETRY_AFTER_S)

    # The processes

    async def _worker(self) -> Worker:
        """Take a process that waits, or start one."""
        while self._idle:
            worker = self._idle.pop()
            if not worker.gone:
                return worker
            await self._forget(worker)
        worker = await Worker.start(self._folder, network=self._network)
        self._counts["started"] += 1
        self._workers.add(worker)
        if self._closed:
            await self._forget(worker)
            raise _closed()
        return worker

    async def _ask(
        self, worker: Worker, turn: _Turn, packed: bytes, seconds: float
    ) -> dict[str, Any]:
        settles = False
        try:
            return await worker.ask(packed, seconds)
        except Ended as end:
            await self._forget(worker)
            raise _closed() if self._closed else end.error from None
        except asyncio.CancelledError:
            settles = True
            self._counts["cancelled"] += 1
            self._later(self._settle(worker, turn))
            raise
        finally:
            if not settles:
                self._keep(worker)
                self._give_back(turn)

    def _keep(self, worker: Worker) -> None:
        if worker in self._workers and worker.asked < QUERY_ANSWERS_MAX:
            self._idle.append(worker)
            loop = asyncio.get_running_loop()
            loop.call_later(self._idle_s, self._end_idle, worker, worker.asked)
        elif worker in self._workers:
            self._later(self._forget(worker))

    def _end_idle(self, worker: Worker, asked: int) -> None:
        """End a process that nobody has asked anything since."""
        if worker in self._idle and worker.asked == asked:
            self._idle.remove(worker)
            self._later(self._forget(worker))

    async def _settle(self, worker: Worker, turn: _Turn) -> None:
        """End a question whose caller went away, and only then let another one have its turn."""
        try:
            if await worker.settle():
                self._keep(worker)
            else:
                await self._forget(worker)
        finally:
            self._give_back(turn)

    async def _forget(self, worker: Worker) -> None:
        self._counts["ended"] += 1
        self._workers.discard(worker)
        await worker.kill()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _closed() -> Unavailable:
    return Unavailable("The server is going down, and queries end.")
