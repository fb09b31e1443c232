"""What a session says: its answers and calls as text, and what they give the client to hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from raydo.pipelining.capnweb.exports import Export, Exports
from raydo.pipelining.capnweb.slot import Slot, Turns, settled
from raydo.pipelining.capnweb.targets import Target
from raydo.pipelining.capnweb.wire import encode
from raydo.pipelining.capnweb.writer import Writer
from raydo.pipelining.errors import RaydoError, TooLarge
from raydo.pipelining.limits import CAPNWEB_UNSENT_CHARS_MAX


class Outgoing:
    """Messages that wait to be sent, bounded."""

    def __init__(self, turns: Turns, exports: Exports, wake: Callable[[], None]) -> None:
        self.unsent_chars = 0
        self.closed = False
        self.open_pipe: Callable[[], int]  # the table of imports gives these two
        self.pour: Callable[[int, bytes], None]
        self._turns = turns
        self._exports = exports
        self._wake = wake
        self._messages: list[str] = []
        self._contents: list[tuple[int, bytes]] = []  # to be poured after the next message

    def take(self) -> list[str]:
        messages, self._messages = self._messages, []
        self.unsent_chars = 0
        return messages

    def send(self, message: list[Any]) -> None:
        """Add one message.

        Raises:
            TooLarge: too much waits already.
        """
        if self.closed:
            return
        text = encode(message)
        if self.unsent_chars + len(text) > CAPNWEB_UNSENT_CHARS_MAX:
            raise TooLarge(
                f"More than {CAPNWEB_UNSENT_CHARS_MAX:,} characters of answers wait for the client."
            )
        self._messages.append(text)
        self.unsent_chars += len(text)
        if self._contents and message[0] != "pipe":
            contents, self._contents = self._contents, []
            for pipe, data in contents:
                self.pour(pipe, data)
        self._wake()

    def abort(self, error: BaseException) -> None:
        """Say why the session ends; this is the last message."""
        self._messages.append(encode(["abort", Writer(self).error(error)]))
        self._contents.clear()

    # Answers.

    def pull(self, number: int, export: Export) -> None:
        """Answer with a value once it is whole."""
        export.pulled = True
        export.slot.when_whole(lambda: self._resolve(number, export))

    def _resolve(self, number: int, export: Export) -> None:
        if self._exports.find(number) is not export:
            return  # let go meanwhile
        error = export.slot.failure
        if error is None:
            try:
                self.send(["resolve", number, Writer(self).write(export.slot.value)])
            except RaydoError as refused:
                error = refused
        if error is not None:
            self.send(["reject", number, Writer(self).error(error)])
        if export.passing:
            self._exports.release(number, 1)

    # What a writer needs.

    def export_target(self, target: Target) -> int:
        return self._exports.give(settled(self._turns, target))

    def export_promise(self, slot: Slot) -> int:
        number = self._exports.give(slot)
        self.pull(number, self._exports.get(number))
        return number

    def unexport(self, number: int) -> None:
        self._exports.release(number, 1)

    def send_content(self, data: bytes) -> int:
        pipe = self.open_pipe()
        self._contents.append((pipe, data))
        return pipe
