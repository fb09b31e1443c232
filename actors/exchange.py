"""What a pool and its processes say to each other: frames on a socket, one question at a time."""

from __future__ import annotations

import signal
import struct
from typing import Any, Final

import msgpack

from raydo.actors.fault import out_of_memory
from raydo.actors.stop import Stop
from raydo.pipelining.errors import QueryLimit, RaydoError, Unavailable

HEADER: Final = struct.Struct(">IB")  # the length of what follows, and what it is
READY: Final = 0
QUESTION: Final = 1
STOP: Final = 2
ANSWER: Final = 3
_SECONDS: Final = struct.Struct(">d")


def frame(kind: int, body: bytes = b"") -> bytes:
    """Pack one frame."""
    return HEADER.pack(len(body), kind) + body


def pack_question(packed: bytes, seconds: float) -> bytes:
    """Put the time that a question may take before it."""
    return _SECONDS.pack(seconds) + packed


def unpack_question(body: bytes) -> tuple[bytes, float]:
    """Take the time off a question."""
    return body[_SECONDS.size :], float(_SECONDS.unpack_from(body)[0])


def pack_answer(answer: dict[str, Any]) -> bytes:
    """Pack `{"reply"}` or `{"error"}`; texts may hold what is no Unicode, as in SQLite."""
    packed: bytes = msgpack.packb(answer, unicode_errors="surrogatepass")
    return packed


def unpack_answer(packed: bytes) -> dict[str, Any]:
    """Unpack what `pack_answer` made."""
    answer: dict[str, Any] = msgpack.unpackb(
        packed, strict_map_key=False, unicode_errors="surrogatepass"
    )
    return answer


def ended(code: int, seconds: float) -> RaydoError:
    """Make the error of a question whose process ended with the exit code `code`."""
    if code == -signal.SIGALRM:
        return Stop(seconds).error()
    if code >= 0:
        return Unavailable("The process that answers queries ended.")
    error = out_of_memory()
    name = signal.Signals(-code).name
    return QueryLimit(
        f"{error.message} Its process ended by {name}.", detail={**error.detail, "signal": name}
    )
