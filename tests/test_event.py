from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydo.actors.event import (
    BOT,
    CLAMPED,
    MADE_ID,
    Event,
    fresh_ids,
    parse,
    parse_all,
    parse_time,
)
from raydo.pipelining.errors import CallerError, InvalidEvent, TooLarge
from raydo.pipelining.limits import (
    EVENT_BYTES_MAX,
    EVENT_DEPTH_MAX,
    EVENT_ID_BYTES_MAX,
    EVENT_NAME_BYTES_MAX,
)

NOW = 1_767_225_600_000  # 2026-01-01T00:00:00Z
DAY = 86_400_000
EARLIEST, LATEST = (datetime.fromisoformat(text) for text in ("1970-01-03", "2400-01-01"))


def made() -> str:
    return "made"


def read(item: Any = None, sent_at_ms: int | None = None, **fields: Any) -> Event:
    return parse(item or {"event": "Signup", **fields}, NOW, sent_at_ms, new_id=made)


def raw(text: str | bytes) -> Event:
    return parse(text if isinstance(text, bytes) else text.encode(), NOW, new_id=made)


def test_a_full_event_becomes_a_row() -> None:
    event = raw(
        '{"event":"PageView","messageId":"m1","userId":"alice","anonymousId":"a1",'
        '"timestamp":"2025-12-31T23:59:59.123456+01:00",'
        '"properties": {"page" : "/pricing"},"context":{"ip":"::1"},"integrations":{},"type":"track"}'
    )

    assert event == Event(
        id="m1",
        event="PageView",
        user_id="alice",
        anonymous_id="a1",
        timestamp_ms=NOW - 3_600_000 - 1_000 + 123,
        received_ms=NOW,
        properties='{"page" : "/pricing"}',  # the very text
        context='{"ip":"::1"}',
        flags=0,
    )


def test_a_name_is_all_that_an_event_needs() -> None:
    event = raw('{"event":"Signup"}')

    assert event == ("made", "Signup", None, None, NOW, NOW, "{}", None, MADE_ID)


def test_explicit_nulls_and_empty_text_count_as_absent() -> None:
    nothing = dict.fromkeys(
        ("userId", "anonymousId", "timestamp", "sentAt", "messageId", "properties", "context")
    )
    empty = dict.fromkeys(("userId", "anonymousId", "timestamp", "sentAt", "messageId"), "")

    assert read(**nothing) == read(**empty) == raw('{"event":"Signup"}')
    assert read(properties={"userId": None, "anonymousId": ""}).user_id is None


@pytest.mark.parametrize(
    ("fields", "user_id", "anonymous_id"),
    [
        ({"userId": "u"}, "u", None),
        ({"user_id": "u"}, "u", None),
        ({"properties": {"userId": "u"}}, "u", None),
        ({"properties": {"user_id": "u"}}, "u", None),
        ({"userId": "top", "properties": {"userId": "inner"}}, "top", None),
        ({"userId": None, "properties": {"userId": "inner"}}, "inner", None),
        ({"userId": "", "properties": {"userId": "inner"}}, "inner", None),
        ({"anonymousId": "a"}, "a", "a"),
        ({"properties": {"anonymousId": "a"}}, "a", "a"),
        ({"anonymous_id": "a", "properties": {"userId": "u"}}, "u", "a"),
        ({"userId": "u", "anonymousId": "a"}, "u", "a"),
        ({"userId": 0}, "0", None),
        ({"userId": 42}, "42", None),
        ({"userId": 42.0}, "42", None),
        ({"userId": 4.5}, "4.5", None),
        ({"userId": 10**18}, "1000000000000000000", None),
        ({"userId": "日本"}, "日本", None),
        ({"userId": "x" * EVENT_ID_BYTES_MAX}, "x" * EVENT_ID_BYTES_MAX, None),
    ],
)
def test_the_user_is_looked_for_at_the_top_then_in_the_properties(
    fields: dict[str, Any], user_id: str, anonymous_id: str | None
) -> None:
    event = read(**fields)

    assert (event.user_id, event.anonymous_id) == (user_id, anonymous_id)


def test_a_message_id_may_be_a_number() -> None:
    assert read(messageId=7).id == "7"
    assert read(message_id="m").id == "m"
    assert read(messageId="m").flags == 0


def test_made_ids_are_marked_and_never_the_same() -> None:
    sources = [fresh_ids(lambda size, n=n: bytes([n]) * size) for n in range(3)]

    ids = [source() for source in sources for _ in range(100)]

    assert len(set(ids)) == 300
    assert {len(made) for made in ids} == {32}


@pytest.mark.parametrize(
    ("timestamp", "milliseconds"),
    [
        ("2025-12-31T00:00:00Z", NOW - DAY),
        ("2025-12-31T02:00:00+02:00", NOW - DAY),
        ("2025-12-30T18:15:00-05:45", NOW - DAY),
        ("2025-12-31 00:00:00+00:00", NOW - DAY),
        ("2025-12-31T00:00:00.999999999Z", NOW - DAY + 999),
        ("20251231T000000Z", NOW - DAY),
        (NOW - DAY, NOW - DAY),
        (NOW - DAY + 0.9, NOW - DAY),
        ("1970-01-01T00:00:00Z", 0),
        (0, 0),
        ("1971-06-01T00:00:00Z", 44_582_400_000),  # imports may lie years back
        ("2026-01-01T23:59:59.999Z", NOW + DAY - 1),
        (NOW + DAY, NOW + DAY),
    ],
)
def test_timestamps_are_exact(timestamp: str | float, milliseconds: int) -> None:
    event = read(timestamp=timestamp)

    assert (event.timestamp_ms, event.flags & CLAMPED) == (milliseconds, 0)
    assert event.received_ms == NOW


@given(
    st.datetimes(min_value=EARLIEST, max_value=LATEST),
    st.integers(-14 * 60, 14 * 60),
)
def test_any_iso_time_is_read_to_the_millisecond(naive: datetime, offset: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=offset)))
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)

    assert parse_time(moment.isoformat()) == since // timedelta(milliseconds=1)


@pytest.mark.parametrize("timestamp", [NOW + DAY + 1, "2026-01-02T00:00:00.001Z", 10**15, 10**30])
def test_a_timestamp_far_ahead_becomes_its_receipt_and_is_marked(timestamp: str | int) -> None:
    event = read(timestamp=timestamp, messageId="m")

    assert (event.timestamp_ms, event.flags) == (NOW, CLAMPED)


def test_sent_at_takes_out_a_clients_wrong_clock() -> None:
    behind = "2020-05-05T12:00:00Z"  # of the client's clock, an event 90 s before it was sent
    event = read(timestamp="2020-05-05T11:58:30Z", sentAt=behind)
    assert event.timestamp_ms == NOW - 90_000

    assert read(sent_at_ms=NOW + 9 * DAY, timestamp=NOW + 9 * DAY - 5).timestamp_ms == NOW - 5
    assert read(sent_at_ms=NOW + 9 * DAY, timestamp=NOW + 9 * DAY - 5).flags == MADE_ID


def test_an_events_own_sent_at_wins_over_its_batchs() -> None:
    event = read(sent_at_ms=NOW - 5_000, timestamp=NOW - 10_000, sentAt=NOW - 1_000)

    assert event.timestamp_ms == NOW - 9_000


def test_a_back_dated_import_stays_where_it_was() -> None:
    assert read(timestamp="2021-03-04T05:06:07Z", sentAt=NOW).timestamp_ms == 1_614_834_367_000


def test_sent_at_without_a_timestamp_changes_nothing() -> None:
    assert read(sentAt="2020-01-01T00:00:00Z").timestamp_ms == NOW
    assert read(sent_at_ms=5).timestamp_ms == NOW


@pytest.mark.parametrize(
    "fields",
    [
        {"context": {"bot": True}},
        {"properties": {"is_bot": True}},
        {"properties": {"is_bot": 1}},
        {"properties": {"is_bot": "1"}},
        {"properties": {"is_bot": "true"}},
        {"context": {"userAgent": "Googlebot/2.1"}},
        {"context": {"user_agent": "Googlebot/2.1"}},
        {"properties": {"userAgent": "Googlebot/2.1"}},
        {"properties": {"$user_agent": "Googlebot/2.1"}},
        {"properties": {"$useragent": "Googlebot/2.1"}},
        {"properties": {"$raw_user_agent": "Googlebot/2.1"}},
    ],
)
def test_bots_are_marked(fields: dict[str, Any]) -> None:
    assert read(**fields).flags & BOT


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"context": {"bot": False}},
        {"context": {"bot": "no"}},
        *({"properties": {"is_bot": no}} for no in (False, 0, "0", "", None, "false", [], {}, 2)),
    ],
)
def test_people_are_not_marked_as_bots(fields: dict[str, Any]) -> None:
    assert not read(**fields).flags & BOT


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("{}", "$.event", "every event has a name"),
        ('{"event":null}', "$.event", "every event has a name"),
        ('{"event":""}', "$.event", "every event has a name"),
        ('{"event":" \\t"}', "$.event", "every event has a name"),
        ('{"event":5}', "$.event", "Expected `str | null`, got `int`"),
        ('{"event":"a\\u0000b"}', "$.event", "NUL"),
        ('{"event":"%s"}' % ("é" * 101), "$.event", "longer than 200 bytes"),
        ('{"event":"a","userId":true}', "$.userId", "got `bool`"),
        ('{"event":"a","userId":{}}', "$.userId", "got `object`"),
        ('{"event":"a","userId":"%s"}' % ("x" * 257), "$.userId", "longer than 256 bytes"),
        ('{"event":"a","userId":"a\\u0000"}', "$.userId", "NUL"),
        ('{"event":"a","userId":%s}' % ("1" * 5000), "$.userId", "out of range"),
        ('{"event":"a","anonymousId":[]}', "$.anonymousId", "got `array`"),
        ('{"event":"a","messageId":"%s"}' % ("x" * 257), "$.messageId", "longer than 256"),
        ('{"event":"a","properties":{"userId":[1]}}', "$.properties.userId", "got `array`"),
        (
            '{"event":"a","properties":{"userId":"%s"}}' % ("x" * 257),
            "$.properties.userId",
            "longer than 256 bytes",
        ),
        ('{"event":"a","properties":[]}', "$.properties", "Expected `object"),
        ('{"event":"a","properties":"x"}', "$.properties", "Expected `object"),
        ('{"event":"a","context":7}', "$.context", "Expected `object"),
        ('{"event":"a","timestamp":"yesterday"}', "$.timestamp", "no time of ISO 8601"),
        ('{"event":"a","timestamp":"2026-01-01T00:00:00"}', "$.timestamp", "lacks its offset"),
        ('{"event":"a","timestamp":"2026-01-01"}', "$.timestamp", "lacks its offset"),
        ('{"event":"a","timestamp":"2026-02-30T00:00:00Z"}', "$.timestamp", "no time"),
        ('{"event":"a","timestamp":"1969-12-31T23:59:59Z"}', "$.timestamp", "start in 1970"),
        ('{"event":"a","timestamp":-1}', "$.timestamp", "start in 1970"),
        ('{"event":"a","timestamp":true}', "$.timestamp", "got `bool`"),
        ('{"event":"a","timestamp":1e999}', "$.timestamp", "out of range"),
        ('{"event":"a","timestamp":5,"sentAt":"soon"}', "$.sentAt", "no time of ISO 8601"),
        (
            '{"event":"a","timestamp":5,"sentAt":"9999-01-01T00:00:00Z"}',
            "$.timestamp",
            "before 1970",
        ),
        ('{"event":"a","properties":{"x":NaN}}', "$", "no JSON"),
        ('{"event":"a","properties":{"x":Infinity}}', "$", "no JSON"),
        ('{"event":"a","properties":{"x":-Infinity}}', "$", "no JSON"),
        ('{"event":"a","properties":{"x":"\\ud800"}}', "$", "no JSON"),
        ('{"event":"a","properties":{"x":01}}', "$", "no JSON"),
        ('{"event":"a"', "$", "no JSON"),
        ('{"event":"a"} {}', "$", "no JSON"),
        ("", "$", "no JSON"),
        ("[]", "$", "Expected `object`, got `array`"),
        ('"Signup"', "$", "Expected `object`, got `str`"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_its_place(text: str, path: str, reason: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        raw(text)

    assert reason in str(refused.value)
    assert str(refused.value).startswith(f"`{path}`: ")
    assert refused.value.detail == {"path": path}


@pytest.mark.parametrize(
    "text",
    [
        b'{"event":"\xff"}',
        b'{"event":"a","properties":{"x":"\xff"}}',
        b'{"event":"a","properties":{"\xc3":1}}',
        b'{"event":"a","context":{"x":"\xed\xa0\x80"}}',
    ],
)
def test_text_that_is_not_utf8_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidEvent):
        raw(text)


def test_names_and_ids_are_measured_in_bytes() -> None:
    assert read(event="é" * 100).event == "é" * 100
    assert len("é" * 100) * 2 == EVENT_NAME_BYTES_MAX
    assert read(userId="😀" * 64).user_id == "😀" * 64


def test_an_event_has_a_largest_size() -> None:
    frame = len('{"event":"a","properties":{"x":""}}')
    fits = {"event": "a", "properties": {"x": "y" * (EVENT_BYTES_MAX - frame)}}
    text = json.dumps(fits, separators=(",", ":"))

    assert len(raw(text).properties) < EVENT_BYTES_MAX
    with pytest.raises(TooLarge, match="32768 bytes"):
        raw(text + " ")
    fits["properties"]["x"] += "y"  # type: ignore[index]
    with pytest.raises(TooLarge):
        read(fits)


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def event_with(field: str, text: str) -> str:
    return f'{{"event":"a","{field}":{text}}}'


def test_nesting_has_a_depth() -> None:
    assert raw(event_with("properties", nested(EVENT_DEPTH_MAX)))
    wide = "[" + ",".join(["{}", "[]"] * 200) + "]"
    quoted = json.dumps("[{" * 100)
    assert raw(event_with("properties", f'{{"x":{wide},"y":{quoted}}}'))

    for levels in (EVENT_DEPTH_MAX + 1, 900, 5_000):
        with pytest.raises(InvalidEvent, match="nested deeper than 64"):
            raw(event_with("properties", nested(levels)))
    with pytest.raises(InvalidEvent, match="nested deeper than 64"):
        raw(event_with("context", nested(EVENT_DEPTH_MAX + 1)))
    with pytest.raises(InvalidEvent, match="nested deeper"):
        raw(event_with("integrations", "[" * 15_000 + "]" * 15_000))


def test_whatever_passes_sqlite_can_read() -> None:
    db = sqlite3.connect(":memory:")
    deep = raw(event_with("properties", nested(EVENT_DEPTH_MAX))).properties
    wild = raw('{"event":"a","properties":{"k\\u0000":"\\ud83d\\ude00\\u0000"}}').properties

    for text in (deep, wild, "{}"):
        assert db.execute("SELECT json_valid(?), json_type(?)", (text, text)).fetchone() == (
            1,
            "object",
        )
    db.close()


@pytest.mark.parametrize(
    "name", ["größe", "a/b", "😀", "it's", "tab\there", 'colon": {x', "back\\"]
)
def test_what_a_property_is_does_not_depend_on_how_its_client_escaped_it(name: str) -> None:
    sent = {name: 1, "list": [name], "in": {name: name}, "plain": "x"}
    plain = json.dumps(sent, ensure_ascii=False)
    escaped = json.dumps(sent).replace("/", "\\/")

    texts = {raw(event_with("properties", text)).properties for text in (plain, escaped)}
    assert texts == {plain}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_dict_with_a_number_that_json_lacks_is_refused(number: float) -> None:
    with pytest.raises(InvalidEvent, match=r"`\$\.properties\.a\[1\]\.b`: .* no number of JSON"):
        read(properties={"a": [1, {"b": number}], "c": None})
    with pytest.raises(InvalidEvent):
        read(timestamp=number)


@pytest.mark.parametrize(
    "item", [None, 5, "Signup", ["a"], {"event": "a", "properties": {"x": object()}}, {1: 2, (): 3}]
)
def test_what_is_no_json_object_is_refused(item: object) -> None:
    with pytest.raises(InvalidEvent):
        parse(item, NOW, new_id=made)  # type: ignore[arg-type]


def test_a_dict_that_holds_itself_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["x"] = endless

    with pytest.raises(InvalidEvent, match="nested deeper"):
        read(properties=endless)


def test_a_lone_surrogate_in_a_dict_is_refused() -> None:
    with pytest.raises(InvalidEvent):
        read(properties={"x": "\ud800"})


def test_a_dict_may_hold_moments() -> None:
    event = read(timestamp=datetime(2025, 12, 31, tzinfo=UTC))
    assert event.timestamp_ms == NOW - DAY
    with pytest.raises(InvalidEvent, match="lacks its offset"):
        read(timestamp=datetime.fromisoformat("2025-12-31"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
SCALARS = st.sampled_from([None, "", "u", 7, 7.5, True, [], "2025-01-01T00:00:00Z", 10**12, -1])


@given(
    st.fixed_dictionaries(
        {"event": st.sampled_from(["Signup", None, 5])},
        optional={
            "properties": st.dictionaries(st.text(), JSON, max_size=3) | SCALARS,
            "context": st.dictionaries(st.text(), JSON, max_size=2) | SCALARS,
            **dict.fromkeys(("userId", "user_id", "timestamp", "sentAt", "messageId"), SCALARS),
        },
    )
)
def test_a_dict_and_its_json_are_the_same_event(item: dict[str, Any]) -> None:
    as_dict, as_bytes = (
        parse_all([form], NOW, new_id=made)[0] for form in (item, json.dumps(item).encode())
    )

    assert type(as_dict) is type(as_bytes)
    if isinstance(as_dict, Event) and isinstance(as_bytes, Event):
        left, right = as_dict._asdict(), as_bytes._asdict()
        for name in ("properties", "context"):
            left[name], right[name] = (json.loads(side[name] or "{}") for side in (left, right))
        assert left == right
        assert left["properties"] == (item.get("properties") or {})


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    for body in (data, b'{"event":"a","properties":' + data + b"}"):
        [parsed] = parse_all([body], NOW, new_id=made)
        assert isinstance(parsed, Event | CallerError)


def test_in_a_batch_a_bad_event_is_refused_alone() -> None:
    good, bad, big = b'{"event":"a"}', b'{"event":5}', b" " * (EVENT_BYTES_MAX + 1)

    parsed = parse_all([good, bad, {"event": "b"}, big, good], NOW, NOW, new_id=made)

    assert [type(each) for each in parsed] == [Event, InvalidEvent, Event, TooLarge, Event]


def test_ids_are_made_only_where_one_is_missing() -> None:
    ids: Iterator[str] = iter(["first", "second"])
    items = [b'{"event":"a"}', b'{"event":"a","messageId":"m"}', b'{"event":5}', b'{"event":"a"}']

    parsed = parse_all(items, NOW, new_id=lambda: next(ids))

    assert [each.id for each in parsed if isinstance(each, Event)] == ["first", "m", "second"]


def test_an_import_keeps_the_receipt_that_it_states() -> None:
    item = {"event": "a", "timestamp": NOW - 9 * DAY, "receivedAt": NOW - 8 * DAY}

    kept = parse(item, NOW, new_id=made, historical=True)
    today = parse(item, NOW, new_id=made)

    assert (kept.timestamp_ms, kept.received_ms) == (NOW - 9 * DAY, NOW - 8 * DAY)
    assert (today.timestamp_ms, today.received_ms) == (NOW - 9 * DAY, NOW)
