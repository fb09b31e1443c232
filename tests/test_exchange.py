from __future__ import annotations

import signal

from raydo.actors.exchange import (
    HEADER,
    STOP,
    ended,
    frame,
    pack_answer,
    pack_question,
    unpack_answer,
    unpack_question,
)
from raydo.pipelining.errors import QueryLimit, Unavailable


def test_a_frame_tells_its_length_and_kind() -> None:
    packed = frame(STOP, b"body")
    assert HEADER.unpack(packed[: HEADER.size]) == (4, STOP)
    assert packed[HEADER.size :] == b"body"


def test_a_question_carries_its_time() -> None:
    assert unpack_question(pack_question(b"question", 1.5)) == (b"question", 1.5)


def test_an_answer_holds_whatever_sqlite_may_hold() -> None:
    answer = {
        "reply": {"rows": [{"a": -(2**63), "b": "\ud800", "c": b"\x00", "d": None, "e": 1.5}]}
    }
    assert unpack_answer(pack_answer(answer)) == answer


def test_the_end_of_a_process_is_told_from_how_it_ended() -> None:
    timed_out, killed, gone = (ended(code, 5) for code in (-signal.SIGALRM, -signal.SIGKILL, 1))
    assert isinstance(timed_out, QueryLimit)
    assert timed_out.detail == {"limit": "time", "max": 5}
    assert isinstance(killed, QueryLimit)
    assert killed.detail["limit"] == "memory"
    assert killed.detail["signal"] == "SIGKILL"
    assert isinstance(gone, Unavailable)
