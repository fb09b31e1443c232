from __future__ import annotations

import pytest

from raydo.actors.stop import Stop
from raydo.pipelining.errors import QueryLimit


def test_what_runs_is_interrupted() -> None:
    interrupted: list[str] = []
    stop = Stop(5)
    stop.attach(lambda: interrupted.append("first"))

    stop.request()

    assert interrupted == ["first"]
    assert stop.requested


def test_what_would_begin_after_the_end_does_not() -> None:
    stop = Stop(5)
    stop.request()
    with pytest.raises(QueryLimit, match="more than 5 s") as raised:
        stop.attach(lambda: None)
    assert raised.value.detail == {"limit": "time", "max": 5}


def test_what_has_ended_is_left_alone() -> None:
    interrupted: list[str] = []
    stop = Stop(5)
    stop.attach(lambda: interrupted.append("first"))
    stop.detach()
    stop.request()
    assert not interrupted
