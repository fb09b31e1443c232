"""Send what an earlier process left in its outbox, each frame under its old session and number.

One frame of a session at a time: those between them only read and were never written down, so the
sender says of all before it that they are settled, as nobody waits for them any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING

from raydo.pipelining.delivery import Sender
from raydo.pipelining.errors import Forbidden, OutcomeUnknown, Unauthorized, decode_error
from raydo.pipelining.frame import Reply
from raydo.pipelining.outgoing_frame import Frame

if TYPE_CHECKING:
    from pathlib import Path

    from raydo.pipelining.journal import Journal
    from raydo.pipelining.kept import KeptFrame
    from raydo.pipelining.noun import Noun
    from raydo.pipelining.outbox import Outbox
    from raydo.pipelining.transport import Transport


def open_journal(path: Path) -> Journal:
    """Open an outbox's file.

    Raises:
        DataInUse: somebody else has it, or it is something else.
    """
    from raydo.pipelining.journal import Journal  # loads SQLite, which few clients need

    return Journal(path)


class Redelivery:
    """Lives in the connection's event loop."""

    def __init__(self, transport: Transport, outbox: Outbox, journal: Journal) -> None:
        self._transport = transport
        self._outbox = outbox
        self._journal = journal
        self._senders: dict[tuple[Noun, bytes], Sender] = {}
        frames = journal.frames()
        for frame in frames:
            outbox.take_kept(frame.casts, frame.bytes)
        self._task = asyncio.create_task(self._run(frames))

    async def _run(self, frames: list[KeptFrame]) -> None:
        for kept in frames:
            outcome = await self._send(kept)
            with self._outbox.lock:
                self._outbox.give(kept.casts, kept.bytes)
                if not isinstance(
                    outcome, Unauthorized | Forbidden
                ):  # with another key it may be taken
                    self._journal.answered(kept.session, kept.n)
            self._report(kept, outcome)

    def _send(self, kept: KeptFrame) -> Awaitable[Reply | Exception]:
        future: asyncio.Future[Reply | Exception] = asyncio.get_running_loop().create_future()
        sender = self._senders.get((kept.noun, kept.session))
        if sender is None:
            sender = self._senders[kept.noun, kept.session] = Sender(
                kept.noun, self._transport, self._outbox, kept.session, lambda: None
            )
        sender.next_n = kept.n
        sender.add(Frame(kept.program, partial(_tell, future), lambda: True, told=True))
        sender.pump()
        return future

    def close(self, error: Exception) -> None:
        """Give up: what is not answered stays in the file."""
        self._task.cancel()
        for sender in self._senders.values():
            sender.abandon(error)

    def _report(self, kept: KeptFrame, outcome: Reply | Exception) -> None:
        where = f"{kept.noun}, of an earlier process"
        if isinstance(outcome, Reply):
            for failure in outcome.failures:
                self._outbox.report(decode_error(failure.error), where)
            for result in outcome.results:
                if result.failed:
                    self._outbox.report(decode_error(result.value), where)
        elif not isinstance(outcome, OutcomeUnknown):  # that one was applied
            self._outbox.report(outcome, where, kept.casts)


def _tell(future: asyncio.Future[Reply | Exception], outcome: Reply | Exception) -> None:
    if not future.done():  # the connection may have been closed meanwhile
        future.set_result(outcome)
