"""One thread for Ray's blocking calls, which lives as long as the process.

Ray takes seconds to start and puts its own signal handlers into the main thread, so it must not
start there. Nor on a thread that ends: on Linux Ray's processes are told to die
with the *thread* that started them, and a pool's threads end with their event loop. And what one
thread does is done in order: no two connections start Ray at once.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

T = TypeVar("T")


class Keeper:
    """Run calls one after the other, on a thread that is there for good."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Queue a call; its future is done on the keeper's thread."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # not alive after a fork
                self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
                self._thread.start()
        future: Future[T] = Future()
        self._work.put((future, call))
        return future

    async def run(self, call: Callable[[], T], undo: Callable[[T], None] | None = None) -> T:
        """Run a call; if its caller gives up while it runs, `undo` takes back what it made."""
        future = self.submit(call)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if undo is not None:
                future.add_done_callback(lambda done: _undo(done, undo))
            raise

    def _serve(self) -> None:
        while True:
            future, call = self._work.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
                future.set_exception(error)
            else:
                future.set_result(result)


def _undo(done: Future[T], undo: Callable[[T], None]) -> None:
    if not done.cancelled() and done.exception() is None:
        undo(done.result())


ray_keeper: Final = Keeper("raydo-ray")
