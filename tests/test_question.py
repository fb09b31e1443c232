from __future__ import annotations

from pathlib import Path

import pytest

from raydo.actors.lake import Lake
from raydo.actors.question import PRESENT, AsOf, Question, decode, parse_as_of
from raydo.pipelining.errors import InvalidArgument, QueryError

PATH = Path("/data/acme/tenant.db")
LAKE = Lake(PATH.parent, "acme", {"warehouse": "s3://bucket"})


@pytest.mark.parametrize(
    "question",
    [
        Question(PATH, "UTC", "SELECT 1"),
        Question(PATH, "UTC", "SELECT ?", [1, None, 1.5, "x", b"\x00"], 5, AsOf(ms=7), LAKE),
        Question(PATH, "UTC", "SELECT :a", {"a": 1}, None, AsOf(snapshot_id=2**62), LAKE),
    ],
)
def test_a_question_arrives_as_it_was_sent(question: Question) -> None:
    assert decode(question.encode()) == question


@pytest.mark.parametrize("params", [[object()], [1 << 70], ["\ud800"], [{1}]])
def test_what_cannot_be_sent_is_refused_before_a_process_is_taken(params: object) -> None:
    with pytest.raises((InvalidArgument, QueryError)):
        Question(PATH, "UTC", "SELECT ?", params).encode()


@pytest.mark.parametrize(
    ("value", "as_of"),
    [
        (None, PRESENT),
        (1_767_225_600_000, AsOf(ms=1_767_225_600_000)),
        ("1767225600000", AsOf(ms=1_767_225_600_000)),
        ("2026-01-01T00:00:00Z", AsOf(ms=1_767_225_600_000)),
        ("2026-01-01T01:00:00.5+01:00", AsOf(ms=1_767_225_600_500)),
        ({"snapshot_id": "8313220783735247723"}, AsOf(snapshot_id=8_313_220_783_735_247_723)),
        ({"snapshot_id": 5}, AsOf(snapshot_id=5)),
    ],
)
def test_as_of_is_a_moment_or_a_snapshot(value: object, as_of: AsOf) -> None:
    assert parse_as_of(value) == as_of


@pytest.mark.parametrize(
    "value",
    [
        *(-1, 1.5, True, "", "yesterday", "2026-01-01", "2026-01-01T00:00:00", "²", [], {}, 10**15),
        *({"snapshot_id": None}, {"snapshot_id": "x"}, {"snapshot_id": 1, "more": 2}, "9" * 30),
    ],
)
def test_as_of_of_another_form_is_refused(value: object) -> None:
    with pytest.raises(InvalidArgument, match="asOf is a moment"):
        parse_as_of(value)


def test_only_a_question_about_events_that_may_be_archived_is_heavy() -> None:
    assert not Question(PATH, "UTC", "SELECT * FROM events").heavy
    assert Question(PATH, "UTC", "SELECT * FROM Events", lake=LAKE).heavy
    assert not Question(PATH, "UTC", "SELECT * FROM hourly_events", lake=LAKE).heavy
    assert Question(PATH, "UTC", "SELECT * FROM daily_metrics", as_of=AsOf(1), lake=LAKE).heavy
