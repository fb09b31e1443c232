"""One process that answers questions, as its owner sees it: ask, wait, and end it if need be."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from raydo.actors.exchange import (
    HEADER,
    QUESTION,
    STOP,
    ended,
    frame,
    pack_question,
    unpack_answer,
)
from raydo.actors.stop import Stop
from raydo.pipelining.errors import RaydoError, Unavailable, decode_error
from raydo.pipelining.limits import QUERY_GRACE_S, QUERY_START_S_MAX

_MODULE: Final = "raydo.actors.answerer"
_ENVIRONMENT: Final = {
    # Arrow's own allocators reserve gigabytes that the limit on memory would count.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "PYTHONDONTWRITEBYTECODE": "1",
}
_IN_LOOP_BYTES_MAX: Final = 256 * 1024  # a larger answer is unpacked on a thread, not in the loop


class Ended(Exception):
    """Say that a process is gone, and what whoever asked it shall hear."""

    def __init__(self, error: RaydoError) -> None:
        super().__init__(error.message)
        self.error = error


class Worker:
    """Own a process; `ask` it one question at a time."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self.asked = 0

    @classmethod
    async def start(cls, folder: Path, *, network: bool) -> Self:
        """Start a process that may write below `folder` alone.

        Raises:
            Unavailable: it did not start.
        """
        starting = asyncio.ensure_future(asyncio.to_thread(_start, folder, network))
        try:
            process, channel = await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_abandon)
            raise
        worker: Self | None = None
        try:
            async with asyncio.timeout(QUERY_START_S_MAX):
                worker = cls(process, *await asyncio.open_unix_connection(sock=channel))
                await worker._read()
        except BaseException as error:
            if worker is None:
                _abandon(starting)
                raise
            await worker.kill()
            if isinstance(error, TimeoutError | asyncio.IncompleteReadError | ConnectionError):
                raise Unavailable("A process for queries did not start.") from error
            raise
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def gone(self) -> bool:
        """Whether the process has ended by itself."""
        return self._reader.at_eof()

    async def ask(self, packed: bytes, seconds: float) -> dict[str, Any]:
        """Send a question and wait for its answer, which takes `seconds` and a grace at most.

        Raises:
            Ended: the process is no more; its `error` is the caller's.
            RaydoError: the answer is an error, and the process is ready for the next question.
        """
        self.asked += 1
        try:
            self._writer.write(frame(QUESTION, pack_question(packed, seconds)))
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    return await self._answer()
            return await self._last_words()
        except TimeoutError:
            await self.kill()
            raise Ended(Stop(seconds).error()) from None
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Ended(ended(await self.kill(), seconds)) from None

    async def settle(self) -> bool:
        """Interrupt the question that nobody waits for any more; tell whether it ended in time."""
        try:
            await self._last_words()
        except RaydoError:
            return True
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            await self.kill()
            return False
        return True

    async def kill(self) -> int:
        """End the process and wait until it is gone; return how it ended."""
        with suppress(ProcessLookupError):
            self._process.kill()
        self._writer.transport.abort()
        return await asyncio.shield(asyncio.to_thread(self._process.wait))

    async def _last_words(self) -> dict[str, Any]:
        self._writer.write(frame(STOP))
        async with asyncio.timeout(QUERY_GRACE_S):
            return await self._answer()

    async def _answer(self) -> dict[str, Any]:
        packed = await self._read()
        if len(packed) > _IN_LOOP_BYTES_MAX:
            answer = await asyncio.to_thread(unpack_answer, packed)
        else:
            answer = unpack_answer(packed)
        if "error" in answer:
            raise decode_error(answer["error"])
        reply: dict[str, Any] = answer["reply"]
        return reply

    async def _read(self) -> bytes:
        length, _ = HEADER.unpack(await self._reader.readexactly(HEADER.size))
        return await self._reader.readexactly(length)


def _start(folder: Path, network: bool) -> tuple[subprocess.Popen[bytes], socket.socket]:
    command = [sys.executable, "-P", "-m", _MODULE, str(folder)]
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [*command, "--network"] if network else command,
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C in the terminal is for the server, which ends this
            env={**os.environ, **_ENVIRONMENT},
        )
    return process, ours


def _abandon(starting: asyncio.Future[tuple[subprocess.Popen[bytes], socket.socket]]) -> None:
    """End a process for which nobody waits any more, on whatever thread is free."""
    if not starting.cancelled() and starting.exception() is None:
        process, channel = starting.result()
        channel.close()
        process.kill()
        asyncio.get_running_loop().run_in_executor(None, process.wait)
