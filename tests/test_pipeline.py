from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from raydo.actors.disk import OsDisk
from raydo.actors.event import MADE_ID, parse
from raydo.actors.idset import IdSet
from raydo.actors.links import Identities
from raydo.actors.merged_ids import MergedIds
from raydo.actors.pipeline import Pipeline
from raydo.actors.schema import open_database
from raydo.pipelining.errors import InvalidArgument, InvalidEvent

NOW_MS = 1_767_225_600_000


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    numbers = count(1)
    database = open_database(tmp_path / "tenant.db")
    ids = IdSet(database, OsDisk(), tmp_path)
    pipeline = Pipeline(ids, lambda: f"made-{next(numbers)}", Identities(MergedIds(database)))
    pipeline.now_ms = NOW_MS
    return pipeline


def test_a_kind_is_the_events_name_and_the_payload_its_properties(pipeline: Pipeline) -> None:
    assert pipeline.emit("OrderPaid", "shop", {"userId": "u1", "total": 12}) == "made-1"

    [(event, stream)] = pipeline.since(0)
    assert (event.event, event.user_id, stream) == ("OrderPaid", "u1", "shop")
    assert event.properties == '{"userId":"u1","total":12}'
    assert event.timestamp_ms == event.received_ms == NOW_MS
    assert event.flags & MADE_ID


def test_the_kind_event_takes_a_whole_event(pipeline: Pipeline) -> None:
    whole = {"event": "PageView", "userId": "u1", "messageId": "m1", "timestamp": NOW_MS - 5}
    assert pipeline.emit("event", "analytics", whole) == "m1"
    [(event, _)] = pipeline.since(0)
    assert (event.event, event.timestamp_ms, event.received_ms) == ("PageView", NOW_MS - 5, NOW_MS)


def test_a_repeated_message_id_is_one_event(pipeline: Pipeline) -> None:
    for _ in range(2):
        assert pipeline.emit("event", "a", {"event": "E", "messageId": "m1"}) == "m1"
    pipeline.emit("event", "a", {"event": "E"})
    pipeline.emit("event", "a", {"event": "E"})
    assert [event.id for event, _ in pipeline.since(0)] == ["m1", "made-1", "made-2"]


def test_a_batch_says_which_events_are_new(pipeline: Pipeline) -> None:
    def event(message: str | None) -> object:
        more = {} if message is None else {"messageId": message}
        return parse({"event": "E", **more}, NOW_MS, new_id=pipeline.new_id)

    assert pipeline.admit([event("a"), event(None), event("b"), event("a")], "s") == [
        True,
        True,
        True,
        False,
    ]
    assert pipeline.admit([event(None), event("b")], "s") == [True, False]
    assert [event.id for event, _ in pipeline.since(0)] == ["a", "made-1", "b", "made-2"]


def test_a_rollback_forgets_the_calls_own_events(pipeline: Pipeline) -> None:
    pipeline.emit("A", "s", {})
    mark = pipeline.mark()
    pipeline.emit("B", "s", {})
    pipeline.rollback(mark)
    assert [event.event for event, _ in pipeline.since(0)] == ["A"]
    pipeline.settle()
    assert pipeline.since(0) == []


def test_a_bad_payload_or_stream_is_refused_and_emits_nothing(pipeline: Pipeline) -> None:
    with pytest.raises(InvalidEvent):
        pipeline.emit("event", "s", {"no": "name"})
    with pytest.raises(InvalidEvent):
        pipeline.emit("", "s", {})
    for stream in ("", "x" * 201, 7):
        with pytest.raises(InvalidArgument, match="stream"):
            pipeline.emit("A", stream, {})  # type: ignore[arg-type]
    assert pipeline.since(0) == []
