from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest

from raydo.gateway.body import Bodies, many_events, one_event
from raydo.gateway.compression import decompress
from raydo.pipelining.errors import InvalidArgument, Overloaded, TooLarge, UnsupportedMedia
from raydo.pipelining.limits import (
    BATCH_EVENTS_MAX,
    BODIES_BYTES_MAX,
    BODY_BYTES_MAX,
    GZIP_MEMBERS_MAX,
)


def _short(value: object) -> str:
    return str(value)[:30]


ONE = b'{"event":"a"}'
TWO = [b'{"event":"a"}', b'{"event":"b", "x":[1, 2]}']


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b",".join(TWO) + b"]",
        b" \n[ %s , %s ] \n" % tuple(TWO),
        b"\xef\xbb\xbf[" + b",".join(TWO) + b"]",
        b'{"batch":[' + b",".join(TWO) + b"]}",
        b'{\n  "batch": [\n' + b",\n".join(TWO) + b"\n]\n}\n",
        b"\n".join(TWO),
        b"\r\n".join(TWO) + b"\r\n\r\n",
    ],
    ids=["array", "spaced", "bom", "envelope", "pretty", "lines", "crlf-lines"],
)
def test_every_shape_of_a_batch_gives_the_same_untouched_events(body: bytes) -> None:
    assert many_events(body).items == TWO


def test_a_single_event_is_a_batch_of_one() -> None:
    assert many_events(ONE).items == [ONE]
    assert many_events(b'{\n "event": "a"\n}').items == [b'{\n "event": "a"\n}']


def test_a_bad_line_costs_itself_and_not_its_neighbours() -> None:
    assert many_events(b'{"event":"a"}\n{"event":}\n{"event":"b"}').items[1] == b'{"event":}'


def test_an_event_with_a_field_named_batch_is_one_event() -> None:
    assert one_event(b'{"event":"a","batch":[1]}').items == [b'{"event":"a","batch":[1]}']


@pytest.mark.parametrize(("sent_at", "expected"), [(b'"2026-01-31"', "2026-01-31"), (b"5", 5)])
def test_the_time_of_sending_is_found_beside_the_batch_and_in_the_event(
    sent_at: bytes, expected: object
) -> None:
    assert many_events(b'{"batch":[{}],"sentAt":%s}' % sent_at).sent_at == expected
    assert one_event(b'{"event":"a","sentAt":%s}' % sent_at).sent_at == expected


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"event=PageView", "object"),
        (b"[{}]", "/track/batch"),
        (b'{"batch":[{}]}', "/track/batch"),
        (b'{"event":"a"', "not JSON"),
        (b'{"event":NaN}', "not JSON"),
        (b'{"event":"a"}{"event":"b"}', "not JSON"),
        (b'{"event":"\xff"}', "UTF-8"),
        (b'{"event":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "deep"),
    ],
    ids=_short,
)
def test_what_is_no_event_is_refused_with_a_sentence_that_says_why(body: bytes, part: str) -> None:
    with pytest.raises(InvalidArgument, match=part):
        one_event(body)


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"", "empty"),
        (b"1", "array"),
        (b'[{"event":"a"},]', "not JSON"),
        (b'[{"event":Infinity}]', "not JSON"),
        (b'[{"event":"\xff"}]', "UTF-8"),
        (b'{"batch":{}}', "shape"),
        (b"[" * 100_000 + b"]" * 100_000, "deep"),
    ],
    ids=_short,
)
def test_what_is_no_batch_is_refused_with_a_sentence_that_says_why(body: bytes, part: str) -> None:
    with pytest.raises(InvalidArgument, match=part):
        many_events(body)


def test_a_batch_over_its_limit_is_refused_before_its_events_take_memory() -> None:
    assert len(many_events(b"[" + b"1," * (BATCH_EVENTS_MAX - 1) + b"1]").items) == BATCH_EVENTS_MAX
    for body in (b"[" + b"1," * BATCH_EVENTS_MAX + b"1]", b"[" + b"1," * 3_000_000 + b"1]"):
        with pytest.raises(TooLarge):
            many_events(body)


def _bare_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (ONE, None),
        (ONE, b"identity"),
        (gzip.compress(ONE), b"gzip"),
        (gzip.compress(ONE), b"GZIP"),
        (gzip.compress(ONE), None),
        (gzip.compress(ONE[:5]) + gzip.compress(ONE[5:]), b"gzip"),
        (zlib.compress(ONE), b"deflate"),
        (_bare_deflate(ONE), b"deflate"),
        (gzip.compress(zlib.compress(ONE)), b"deflate, gzip"),
    ],
    ids=["none", "same", "gzip", "upper", "sniffed", "members", "deflate", "bare", "both"],
)
def test_every_usual_encoding_is_undone(body: bytes, encoding: bytes | None) -> None:
    assert decompress(body, encoding) == ONE


@pytest.mark.parametrize(
    "body", [gzip.compress(ONE)[:-9], b"no gzip", b""], ids=["cut", "none", "empty"]
)
def test_damaged_compression_is_refused_and_never_read_in_part(body: bytes) -> None:
    with pytest.raises(InvalidArgument, match="gzip"):
        decompress(body, b"gzip")


@pytest.mark.parametrize("encoding", [b"br", b"gzip, gzip, gzip"])
def test_an_unknown_encoding_is_refused_as_such(encoding: bytes) -> None:
    with pytest.raises(UnsupportedMedia):
        decompress(gzip.compress(ONE), encoding)


def test_a_bomb_ends_at_the_limit() -> None:
    bomb = gzip.compress(bytes(BODY_BYTES_MAX + 1))
    assert len(bomb) < 100_000
    with pytest.raises(TooLarge):
        decompress(bomb, b"gzip")
    assert len(decompress(gzip.compress(bytes(BODY_BYTES_MAX)), b"gzip")) == BODY_BYTES_MAX


def test_a_body_of_endless_empty_members_ends_too() -> None:
    with pytest.raises(InvalidArgument, match="members"):
        decompress(gzip.compress(b"") * (GZIP_MEMBERS_MAX + 1), b"gzip")


def _receive(*chunks: bytes) -> Any:
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    waiting = iter([*messages, {"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Any:
        return next(waiting)

    return receive


async def test_a_body_is_held_while_it_is_worked_on_and_not_longer() -> None:
    bodies = Bodies()
    async with bodies.read({"headers": []}, _receive(b'{"event"', b':"a"}')) as body:
        assert body == ONE
        assert bodies.held_bytes == len(ONE)
    assert bodies.held_bytes == 0


async def test_a_body_over_the_limit_is_refused_while_it_arrives() -> None:
    bodies = Bodies()
    with pytest.raises(TooLarge):
        async with bodies.read({"headers": []}, _receive(bytes(BODY_BYTES_MAX), b"1")):
            pass
    assert bodies.held_bytes == 0


async def test_many_bodies_at_once_are_bounded_together() -> None:
    bodies = Bodies()
    bodies.held_bytes = BODIES_BYTES_MAX
    with pytest.raises(Overloaded):
        async with bodies.read({"headers": []}, _receive(b"1")):
            pass
