"""The questions that turns have asked, answered beside them, and the answers that waited for them.

One pool of processes serves all objects of this process; it starts with the first question.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydo.actors.archiver import move
from raydo.actors.asks import Asking
from raydo.actors.workers import Workers
from raydo.pipelining.errors import RaydoError, Unavailable
from raydo.pipelining.evaluate import finish
from raydo.pipelining.frame import APPLIED, Answer, encode_answers
from raydo.pipelining.limits import QUERY_WORKERS

if TYPE_CHECKING:
    from raydo.actors.elsewhere import Elsewhere
    from raydo.actors.question import Question

_log = logging.getLogger("raydo")


class Inquiries:
    """Finish answers; lives in one event loop."""

    def __init__(
        self,
        data: Path,
        elsewhere: Elsewhere,
        *,
        workers: int = QUERY_WORKERS,
        network: bool = False,
    ) -> None:
        self._elsewhere = elsewhere
        self._workers = Workers(data, workers, network=network)

    async def answer(self, answers: Sequence[Answer | Asking]) -> bytes:
        """Answer what an envelope's answers wait for, and encode them."""
        return encode_answers(await asyncio.gather(*map(self._finished, answers)))

    def stats(self) -> dict[str, int]:
        """Count the processes and the questions; see `Workers.stats`."""
        return self._workers.stats()

    async def close(self) -> None:
        """End all processes, whatever they do."""
        await self._workers.close()

    async def _finished(self, answer: Answer | Asking) -> Answer:
        if isinstance(answer, Answer):
            return answer
        found = await asyncio.gather(*map(self._found, answer.questions))
        # On a thread: an answer may have many megabytes.
        return Answer(APPLIED, await asyncio.to_thread(finish, answer.unfinished, found))

    async def _found(self, question: Question) -> Any:
        try:
            if question.lake is not None and question.heavy:
                await self._settle_down(question)
            return await self._workers.run(question)
        except RaydoError as error:
            return error
        except Exception as error:  # noqa: BLE001 - the caller must hear of it
            _log.exception("A query could not be answered")
            return Unavailable(f"The query could not be answered: {type(error).__name__}.")

    async def _settle_down(self, question: Question) -> None:
        """Let the archive of a folder that was copied be where the folder is."""
        lake = question.lake
        assert lake is not None
        if await asyncio.to_thread(lake.displaced_from) is not None:
            await self._elsewhere(move, lake)
