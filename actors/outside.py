"""What goes on beside an object's turns, at its own wish: letters are carried, jobs are done.

Both are on disk before they begin, and their ends come back as something to do between two turns.
An activation that is no more is told nothing: its successor has read the disk, and begins again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import WeakSet

from raydo.actors.jobs import do, order_of
from raydo.actors.post import Post
from raydo.pipelining.codec import unpack
from raydo.pipelining.errors import RaydoError
from raydo.pipelining.limits import JOB_RETRIES_MAX, JOB_RETRY_FIRST_S

if TYPE_CHECKING:
    from raydo.actors.activation import Activation
    from raydo.actors.elsewhere import Elsewhere
    from raydo.actors.jobs import Work
    from raydo.actors.resident import Resident
    from raydo.pipelining.noun import Noun
    from raydo.pipelining.transport import Transport

T = TypeVar("T")
_log = logging.getLogger("raydo")


class Chores(Protocol):
    """Do something with a resident's activation between two turns."""

    def __call__(self, resident: Resident, do: Callable[[Activation], T], /) -> Awaitable[T]: ...


class Outside:
    """Carry and do what residents' activations give out."""

    def __init__(self, transport: Transport, elsewhere: Elsewhere, chores: Chores) -> None:
        self._transport = transport  # to other objects
        self._elsewhere = elsewhere
        self._chores = chores
        self._posts: WeakSet[Post] = WeakSet()
        self._jobs: set[asyncio.Task[None]] = set()

    def look(self, resident: Resident) -> None:
        """Begin what the object's last turn has put on disk."""
        activation = resident.activation
        if activation is None or not activation.gives_out:
            return
        if letters := activation.letters():
            self._post(resident, activation).send(letters)
        for job in activation.jobs():
            resident.working += 1
            task = asyncio.create_task(self._do(resident, activation, job))
            self._jobs.add(task)
            task.add_done_callback(self._jobs.discard)

    async def finish(self) -> None:
        """Return when nothing is under way."""
        while True:
            posts = [post for post in self._posts if not post.idle]
            if not posts and not self._jobs:
                return
            await asyncio.gather(*(post.finish() for post in posts))
            if self._jobs:
                await asyncio.wait(self._jobs)

    def stop(self) -> None:
        """Let go of everything: it is on disk."""
        for post in self._posts:
            post.stop()
        for task in self._jobs:
            task.cancel()

    def _post(self, resident: Resident, activation: Activation) -> Post:
        if resident.post is None or resident.posted is not activation:
            if resident.post is not None:
                resident.post.stop()
            arrived = partial(self._arrived, resident, activation)
            resident.post = Post(resident.noun, self._transport, arrived)
            resident.posted = activation
            self._posts.add(resident.post)
        return resident.post

    async def _arrived(
        self, resident: Resident, activation: Activation, noun: Noun, n: int
    ) -> None:
        await self._back(resident, activation, lambda present: present.arrived(noun, n))

    async def _do(self, resident: Resident, activation: Activation, job: Work) -> None:
        try:
            result, error = await self._result(job)
            await self._back(
                resident, activation, lambda present: present.job_ended(job.n, result, error)
            )
        except RaydoError as failure:
            _log.warning("The end of %s waits for the next start: %s", job.function, failure)
        finally:
            resident.working -= 1

    async def _result(self, job: Work) -> tuple[Any, str | None]:
        """Do a job, and again when it raises; give its result, or its last error."""
        pause_s = JOB_RETRY_FIRST_S
        for attempt in range(JOB_RETRIES_MAX + 1):
            try:
                return unpack(await self._elsewhere(do, order_of(job))), None
            except Exception as error:  # noqa: BLE001 - whatever it was, it is the job's
                _log.warning("%s raised: %s", job.function, error)
                if attempt == JOB_RETRIES_MAX:
                    return None, str(error)
            await asyncio.sleep(pause_s)
            pause_s *= 2
        raise AssertionError

    async def _back(
        self, resident: Resident, activation: Activation, tell: Callable[[Activation], None]
    ) -> None:
        def note(present: Activation) -> None:
            if present is activation:
                tell(present)

        if resident.activation is activation:
            await self._chores(resident, note)
