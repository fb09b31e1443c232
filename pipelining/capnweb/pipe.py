"""A stream from the client, collected: its content is a value like any other once it has ended."""

from __future__ import annotations

from typing import Any

from raydo.pipelining.capnweb.local import Local
from raydo.pipelining.capnweb.slot import Slot, Turns
from raydo.pipelining.capnweb.values import PeerError
from raydo.pipelining.errors import InvalidArgument, TooLarge
from raydo.pipelining.limits import CAPNWEB_PIPE_BYTES_MAX
from raydo.pipelining.method import call


class Pipe(Local):
    """The end that the client writes to."""

    def __init__(self, turns: Turns) -> None:
        self.content = Slot(turns)
        self.taken = False  # somebody reads it; only one may
        self._chunks: list[Any] = []
        self._bytes = 0

    @call
    def write(self, chunk: Any) -> None:
        """Take the next piece: text or bytes.

        Raises:
            InvalidArgument: neither, or after the end. TooLarge: more than can be collected.
        """
        if self.content.known:
            raise InvalidArgument("This stream has ended.")
        if not isinstance(chunk, (str, bytes)):
            raise InvalidArgument("A stream to this server consists of text or bytes.")
        self._bytes += len(chunk)
        if self._bytes > CAPNWEB_PIPE_BYTES_MAX:
            error = TooLarge(f"A stream has at most {CAPNWEB_PIPE_BYTES_MAX:,} bytes.")
            self.fail(error)
            raise error
        self._chunks.append(chunk)

    @call
    def close(self) -> None:
        """End it well."""
        if self.content.known:
            return
        if all(isinstance(chunk, bytes) for chunk in self._chunks):
            self.content.settle(b"".join(self._chunks))
        elif all(isinstance(chunk, str) for chunk in self._chunks):
            self.content.settle("".join(self._chunks))
        else:
            self.content.settle(self._chunks)

    @call
    def abort(self, reason: Any = None) -> None:
        """End it badly."""
        self.fail(reason if isinstance(reason, PeerError) else PeerError("Error", str(reason)))

    def dispose(self) -> None:
        self.fail(PeerError("Error", "The stream was let go before its end."))

    def fail(self, error: Exception) -> None:
        """Give up what has come so far."""
        self._chunks.clear()
        if not self.content.known:
            self.content.fail(error)
