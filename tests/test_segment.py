"""The format of a segment, and what a reader makes of one that is torn or damaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from struct import pack_into
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raydo.actors.scan import Limit, Scan, scan
from raydo.actors.segment import (
    HEADER_BYTES,
    KIND_MAX,
    RECORD_BYTES,
    Cut,
    Entry,
    Header,
    Record,
    SegmentId,
    decode_header,
    draw_word,
    encode,
    encode_header,
    encode_mark,
    encoded_bytes,
    file_name,
    newest_epoch,
    parse_name,
    records,
    tenant_hash,
)
from raydo.pipelining.errors import DataUnreadable
from raydo.pipelining.noun import Noun

PLAN = Header(
    tenant=tenant_hash(Noun("Analytics", "acme")),
    id=SegmentId(7, 2),
    size=4096,
    filled=HEADER_BYTES,
    base_seq=10,
    after=Cut(SegmentId(7, 1), 1234, 0xDEADBEEF),
    word=b"\x11\x33\x55\x77",
)

payloads = st.binary(max_size=60)
batches = st.lists(st.lists(st.tuples(st.integers(0, KIND_MAX), payloads), min_size=1, max_size=4))


def built(plan: Header = PLAN) -> Header:
    header = decode_header(encode_header(plan))
    assert header is not None
    return header


class Written:
    """A segment as writes leave it, and where each of its records begins."""

    def __init__(self, *writes: Sequence[tuple[int, bytes]], mark: bool = True) -> None:
        size = 2 * HEADER_BYTES + sum(
            RECORD_BYTES + len(payload) for write in writes for _, payload in write
        )
        self.header = built(replace(PLAN, size=size + 2 * RECORD_BYTES))
        self.data = bytearray(encode_header(self.header))
        self.records: list[Record] = []
        self.starts: list[int] = []
        self.crc, seq = self.header.crc, PLAN.base_seq
        for write in writes:
            batch = []
            for kind, payload in write:
                seq += 1
                self.starts.append(len(self.data) + encoded_bytes(batch))
                batch.append(Entry(seq, kind, payload))
                self.records.append(Record(seq, PLAN.id.epoch, kind, payload))
            data, self.crc = encode(batch, self.header, self.crc)
            self.data += data
        self.end = len(self.data)
        if mark:
            self.data += encode_mark(self.header, self.crc, seq)
        self.data += bytes(self.header.size - len(self.data))

    def scan(self, limit: Limit | None = None) -> Scan:
        return scan(bytes(self.data), self.header, limit)

    def found(self, limit: Limit | None = None) -> list[Record]:
        spans = self.scan(limit).spans
        return [r for span in spans for r in records(bytes(self.data), self.header, span)]

    def flip(self, offset: int) -> None:
        self.data[offset] ^= 0x10


def three() -> Written:
    """Three writes: seqs 11 and 12, 13 to 15, 16."""
    return Written(
        [(1, b"eleven"), (2, b"twelve")],
        [(1, b"thirteen"), (1, b"f"), (3, b"fifteen" * 20)],
        [(1, b"sixteen")],
    )


# Names and headers


def test_names_are_read_back_and_others_are_not_ours() -> None:
    assert parse_name(file_name(SegmentId(3, 12))) == (SegmentId(3, 12), "")
    assert parse_name(file_name(SegmentId(10**12, 10**7), ".damaged"))
    assert parse_name("log-0000000003-000012.seg.damage.json.new") == (
        SegmentId(3, 12),
        ".damage.json.new",
    )
    for name in ("tenant.db", "log-3-1.seg", "log-0000000003-000012.seg~", "epoch"):
        assert parse_name(name) is None


def test_the_newest_epoch_is_the_highest_of_any_file() -> None:
    names = ["id", file_name(SegmentId(4, 1)), file_name(SegmentId(12, 1), ".damaged")]

    assert newest_epoch(names) == 12
    assert newest_epoch(["id", "tenant.db"]) == 0


@given(st.binary(min_size=4, max_size=4))
def test_a_word_has_no_zero_byte(random: bytes) -> None:
    assert all(draw_word(random))


def test_a_header_is_read_back_as_it_was_written() -> None:
    for plan in (PLAN, replace(PLAN, after=None)):
        header = built(plan)
        assert replace(header, crc=0) == plan
        assert header.crc


def test_any_flipped_bit_of_a_header_is_noticed() -> None:
    block = encode_header(PLAN)
    for bit in range(8 * HEADER_BYTES):
        broken = bytearray(block)
        broken[bit // 8] ^= 1 << bit % 8
        assert decode_header(bytes(broken)) is None
    assert decode_header(block[:-1]) is None


def test_a_later_version_is_refused_and_not_mistaken_for_damage() -> None:
    block = bytearray(encode_header(PLAN))
    pack_into("<H", block, 8, 2)
    pack_into("<I", block, HEADER_BYTES - 4, crc32(block[:-4]))

    with pytest.raises(DataUnreadable, match="version 2"):
        decode_header(bytes(block))


# Records


@given(batches)
@settings(max_examples=60, deadline=None)
def test_records_are_read_back_as_they_were_written(
    writes: list[list[tuple[int, bytes]]],
) -> None:
    written = Written(*writes)

    found = written.scan()

    assert written.found() == written.records
    assert (found.gaps, found.torn_bytes) == ((), 0)
    assert (found.end, found.crc) == (written.end, written.crc)
    assert found.proven == written.end


@given(batches, st.data())
@settings(max_examples=100, deadline=None)
@pytest.mark.slow
def test_whatever_the_last_write_lost_is_a_torn_tail_and_the_rest_stands(
    writes: list[list[tuple[int, bytes]]], data: st.DataObject
) -> None:
    written = Written(*writes, [(1, b"last"), (1, b"and least" * 9)], mark=False)
    last = written.starts[-2]
    for offset in range(last, written.end):
        if data.draw(st.integers(0, 3)) == 0:
            written.data[offset] = data.draw(st.integers(0, 255))

    found = written.scan()

    assert found.gaps == ()
    assert written.found()[: len(written.records) - 2] == written.records[:-2]
    assert found.end in {last, written.starts[-1], written.end}


def test_without_a_mark_the_last_write_is_unproven() -> None:
    written = Written([(1, b"a")], [(1, b"b"), (1, b"c")], mark=False)

    found = written.scan()

    assert (found.proven, found.end) == (written.starts[1], written.end)


def test_the_records_that_a_segment_was_made_with_are_proven_by_its_header() -> None:
    written = Written([(1, b"a"), (1, b"b")], mark=False)
    written.header = replace(written.header, filled=written.end)
    assert written.scan().proven == written.end

    written.flip(written.starts[1] + RECORD_BYTES)

    [gap] = written.scan().gaps
    assert (gap.start, gap.end) == (written.starts[1], written.end)
    assert (gap.first_seq, gap.last_seq) == (12, None)
    assert written.found() == written.records[:1]


PARTS = {"word": 0, "length": 4, "seq": 8, "previous": 16, "kind": 20, "crc": 21, "payload": 25}


@pytest.mark.parametrize("lost", range(6))
@pytest.mark.parametrize("part", PARTS)
def test_a_damaged_record_is_named_exactly_and_its_neighbours_are_read(
    lost: int, part: str
) -> None:
    written = three()
    written.flip(written.starts[lost] + PARTS[part])

    found = written.scan()

    [gap] = found.gaps
    assert (gap.first_seq, gap.last_seq) == (11 + lost, 11 + lost)
    assert gap.start == written.starts[lost]
    assert gap.end == ([*written.starts, written.end])[lost + 1]
    assert written.found() == [*written.records[:lost], *written.records[lost + 1 :]]
    assert found.last_seq == 16
    assert found.torn_bytes == 0


def test_two_damages_are_two_gaps() -> None:
    written = three()
    written.flip(written.starts[0])
    written.flip(written.starts[3])

    assert [(gap.first_seq, gap.last_seq) for gap in written.scan().gaps] == [(11, 11), (14, 14)]


def test_damage_to_the_end_is_damage_when_the_mark_behind_it_stands() -> None:
    written = three()
    for lost in (3, 4, 5):
        written.flip(written.starts[lost])

    [gap] = written.scan().gaps

    assert (gap.first_seq, gap.last_seq) == (14, 16)
    assert written.found() == written.records[:3]


def test_a_damaged_mark_costs_nothing_but_is_noticed() -> None:
    written = three()
    written.flip(written.end + 9)

    found = written.scan()

    assert written.found() == written.records
    assert found.torn_bytes > 0


def test_a_write_that_was_lost_behind_a_mark_is_damage_when_a_later_one_stands() -> None:
    written = three()
    start, end = written.starts[2], written.starts[5]
    mark = encode_mark(written.header, _previous(written, start), 12)
    written.data[start:end] = mark.ljust(end - start, b"\0")

    [gap] = written.scan().gaps

    assert (gap.first_seq, gap.last_seq) == (13, 15)
    assert written.found() == [*written.records[:2], written.records[5]]


def test_a_torn_write_over_the_mark_leaves_no_trace() -> None:
    written = Written([(1, b"a")], [(1, b"b" * 300), (1, b"c" * 300), (1, b"d" * 300)], mark=False)
    start = written.starts[1]
    mark = encode_mark(written.header, _previous(written, start), 11)
    written.data[start : start + 400] = mark.ljust(400, b"\0")

    found = written.scan()

    assert found.gaps == ()
    assert (found.end, found.proven) == (start, start)
    assert found.torn_bytes > 0
    assert written.found() == written.records[:1]


def test_a_record_out_of_its_place_is_not_taken_for_the_next() -> None:
    """A block of the file that is older or newer than its neighbours has right crcs of its own."""
    written = Written([(1, b"aa")], [(1, b"bb")], [(1, b"cc")])
    _, second, third = written.starts
    other, _ = encode([Entry(12, 1, b"zz")], written.header, 0x1234)
    written.data[second:third] = other

    assert [gap.start for gap in written.scan().gaps] == [second, third]


def test_a_payload_that_looks_like_a_record_of_another_segment_proves_nothing() -> None:
    other = built(replace(PLAN, word=b"\x99\x99\x99\x99"))
    forged, _ = encode([Entry(99, 1, b"forged")], other, 0)
    written = Written([(1, b"a")], [(1, b"b"), (1, forged * 3)], mark=False)
    written.flip(written.starts[1])

    found = written.scan()

    assert found.gaps == ()
    assert written.found() == written.records[:1]


# With a successor


def test_nothing_behind_the_successors_cut_is_read() -> None:
    written = three()
    cut = written.starts[2]

    found = written.scan(Limit(cut, _previous(written, cut), 12))

    assert written.found(Limit(cut, _previous(written, cut), 12)) == written.records[:2]
    assert (found.gaps, found.end, found.torn_bytes) == ((), cut, 0)


def test_what_is_missing_before_the_successors_cut_is_damage() -> None:
    written = three()
    limit = Limit(written.end, written.crc, 16)
    written.data[written.starts[4] :] = bytes(len(written.data) - written.starts[4])

    found = written.scan(limit)

    assert [(gap.first_seq, gap.last_seq) for gap in found.gaps] == [(15, 16)]
    assert (found.end, found.crc, found.last_seq) == limit


def test_a_successor_that_saw_other_bytes_is_noticed() -> None:
    written = three()

    [gap] = written.scan(Limit(written.end, written.crc ^ 1, 16)).gaps

    assert gap.start == gap.end == written.end


def test_a_file_cut_short_is_damage_at_every_length() -> None:
    whole = three()
    for size in range(HEADER_BYTES, whole.header.size):
        written = three()
        del written.data[size:]

        found = written.scan()

        assert found.gaps, size
        kept = sum(end <= size for end in [*whole.starts[1:], whole.end])
        assert written.found() == whole.records[:kept]
        if size < whole.end:
            assert found.gaps[-1].last_seq is None
            assert found.gaps[-1].first_seq == 11 + kept


def _previous(written: Written, start: int) -> int:
    """Return the chain's crc before the record at `start`."""
    return int.from_bytes(written.data[start + 16 : start + 20], "little")
