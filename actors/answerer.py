"""The process that answers questions: `python -m raydo.actors.answerer FOLDER`.

It reads questions from its standard input, which is a socket, and writes the answers back; one at
a time. A second thread hears in between that a question's time is over. When the socket ends, so
does the process, at once and whatever it was doing: nobody waits any more.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final

from raydo.actors import confinement
from raydo.actors.answers import Answers
from raydo.actors.exchange import (
    ANSWER,
    HEADER,
    READY,
    STOP,
    frame,
    pack_answer,
    unpack_question,
)
from raydo.actors.fault import out_of_memory
from raydo.actors.question import decode
from raydo.actors.stop import Stop
from raydo.pipelining.errors import encode_error

FRAMES_MAX: Final = 5_000  # of Python's own, for a statement as deep as is allowed


class Answerer:
    """Serve one socket."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._answers = Answers(confinement.confine_thread)
        self._waiting: SimpleQueue[tuple[bytes, Stop, float]] = SimpleQueue()
        self._stop = Stop(0)

    def serve(self) -> None:
        """Answer until the process ends."""
        Thread(target=self._listen, name="listener", daemon=True).start()
        while True:
            packed, stop, seconds = self._waiting.get()
            confinement.limit_time(seconds)
            confinement.limit_memory()
            answer = pack_answer(self._answer(packed, stop))
            confinement.limit_time(0)
            self._channel.sendall(frame(ANSWER, answer))
            self._answers.tidy()

    def _answer(self, packed: bytes, stop: Stop) -> dict[str, Any]:
        try:
            return {"reply": self._answers.answer(decode(packed), stop)}
        except MemoryError:
            return {"error": encode_error(out_of_memory())}
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller must hear of it
            return {"error": encode_error(error)}

    def _listen(self) -> None:
        with self._channel.makefile("rb") as stream:
            while header := stream.read(HEADER.size):
                length, kind = HEADER.unpack(header)
                body = stream.read(length)
                if kind == STOP:
                    self._stop.request()
                    continue
                packed, seconds = unpack_question(body)
                self._stop = Stop(seconds)
                self._waiting.put((packed, self._stop, seconds))
        os._exit(0)


def main() -> None:
    """Confine the process and serve its standard input."""
    folder, network = Path(sys.argv[1]), sys.argv[2:] == ["--network"]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.setrecursionlimit(FRAMES_MAX)
    confinement.confine_process(folder, network=network)
    channel = socket.socket(fileno=0)
    channel.sendall(frame(READY))
    Answerer(channel).serve()


if __name__ == "__main__":
    main()
