"""The log: what it keeps, what it costs, and what it may delete."""

from __future__ import annotations

import threading
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sim.bench import NOUN, Bench, fill, seqs

from raydo.actors.disk import OsDisk
from raydo.actors.log import Log
from raydo.actors.segment import Record
from raydo.pipelining.errors import DataUnreadable, TooLarge
from raydo.pipelining.limits import RECORD_BYTES_MAX, SEGMENT_BYTES_FIRST


@pytest.fixture
def bench() -> Bench:
    return Bench()


# What a log keeps


def test_what_was_synced_is_read_back_by_the_next_activation(bench: Bench) -> None:
    log = bench.open()
    log.append(3, 1, b"one")
    log.append(0, 5, b"")
    assert log.sync() == 5

    bench.disk.power_loss()
    log = bench.open()

    assert list(log.records()) == [Record(1, 1, 3, b"one"), Record(5, 1, 0, b"")]
    assert (log.synced_seq, log.last_seq) == (5, 5)
    assert log.recovery.damage == ()
    assert log.recovery.truncated_bytes == 0


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 126), st.binary(max_size=3000)), max_size=4), max_size=8
    )
)
@settings(max_examples=30, deadline=None)
def test_any_records_come_back_in_order_over_many_segments_and_epochs(
    writes: list[list[tuple[int, bytes]]],
) -> None:
    bench = Bench()
    expected: list[Record] = []
    for write in writes:
        log = bench.open()
        for kind, payload in write:
            log.append(kind, log.last_seq + 1, payload)
            expected.append(Record(log.last_seq, bench.epoch, kind, payload))
            if kind % 2:
                log.sync()
        log.sync()
        bench.disk.power_loss()

    assert list(bench.open().records()) == expected


def test_what_was_only_appended_is_gone_after_a_crash(bench: Bench) -> None:
    log = bench.open()
    fill(log, 1)
    log.append(1, 2, b"never synced")
    assert log.pending_bytes > 0

    bench.disk.kill()

    assert seqs(bench.open()) == [1]


def test_records_shows_only_what_is_synced_and_only_behind_the_given_seq(bench: Bench) -> None:
    log = bench.open()
    fill(log, 3, 3)
    log.append(1, 7, b"pending")

    assert seqs(log) == [1, 2, 3, 4, 5, 6]
    assert seqs(log, 4) == [5, 6]
    assert seqs(log, 6) == []


def test_a_folder_that_only_reads_gets_no_file(bench: Bench) -> None:
    log = bench.open()

    assert seqs(log) == []
    assert log.sync() == 0
    log.close()
    assert bench.files() == []


def test_seqs_only_grow(bench: Bench) -> None:
    log = bench.open(drained_seq=10)

    with pytest.raises(AssertionError):
        log.append(1, 10, b"")
    log.append(1, 11, b"")
    with pytest.raises(AssertionError):
        log.append(1, 11, b"")


def test_a_record_over_the_limit_is_refused_and_the_log_goes_on(bench: Bench) -> None:
    log = bench.open()

    with pytest.raises(TooLarge):
        log.append(1, 1, bytes(RECORD_BYTES_MAX + 1))

    fill(log, 1)
    assert seqs(log) == [1]


# What it costs


def test_a_write_costs_one_sync_however_many_records_share_it(bench: Bench) -> None:
    log = bench.open(segment_bytes=(64 * 1024, 64 * 1024))
    fill(log, 1)
    before = bench.disk.syncs

    fill(log, 500)

    assert bench.disk.syncs == before + 1
    assert log.stats.records == 501
    assert log.stats.fsyncs == bench.disk.syncs


def test_an_open_log_holds_one_file_open(bench: Bench) -> None:
    log = bench.open()
    assert bench.disk.open_handles() == 0

    fill(log, *[10] * 60)

    assert log.stats.segments > 3
    assert bench.disk.open_handles() == 1
    log.close()
    assert bench.disk.open_handles() == 0


def test_segments_start_small_and_double_to_a_bound(bench: Bench) -> None:
    log = bench.open(segment_bytes=(4096, 16384))
    fill(log, *[10] * 200)

    sizes = [len(bench.disk.content(path)) for path in bench.disk.paths()]

    assert sizes[:4] == [4096, 8192, 16384, 16384]
    assert set(sizes[4:]) == {16384}
    assert SEGMENT_BYTES_FIRST <= 64 * 1024


def test_a_write_larger_than_any_segment_gets_one_of_its_size(bench: Bench) -> None:
    log = bench.open()
    fill(log, 1)
    log.append(1, 2, bytes(100_000))
    log.sync()
    fill(log, 1)

    assert [len(record.payload) for record in bench.open().records()][1] == 100_000


# Forgetting


def test_forget_deletes_whole_segments_oldest_first_and_keeps_the_one_in_use(
    bench: Bench,
) -> None:
    log = bench.open()
    fill(log, *[10] * 40)
    segments = bench.files()
    kept_from = 250

    log.forget(kept_from)

    assert bench.files() == segments[-len(bench.files()) :]
    assert 1 < len(bench.files()) < len(segments)
    assert [seq for seq in seqs(log) if seq > kept_from] == list(range(251, 401))
    log.forget(400)
    assert bench.files() == segments[-1:]


def test_a_log_whose_records_are_all_forgotten_leaves_nothing_when_it_closes(bench: Bench) -> None:
    log = bench.open()
    fill(log, *[10] * 20)
    log.forget(200)

    log.close()

    assert bench.files() == []
    log = bench.open(drained_seq=200)
    assert (log.last_seq, log.recovery.damage) == (200, ())


def test_a_log_that_closes_keeps_what_is_not_forgotten(bench: Bench) -> None:
    log = bench.open()
    fill(log, 5)
    log.forget(4)

    log.close()

    assert seqs(bench.open(drained_seq=4), 4) == [5]


def test_forgetting_past_what_is_synced_is_a_bug_that_stops_here(bench: Bench) -> None:
    log = bench.open()
    fill(log, 2)
    log.append(1, 3, b"")

    with pytest.raises(AssertionError):
        log.forget(3)


def test_a_database_that_has_more_than_the_log_is_refused(bench: Bench) -> None:
    fill(bench.open(), 5)

    with pytest.raises(DataUnreadable, match=r"up to 9, but the log .* ends at 5") as caught:
        bench.open(drained_seq=9)

    assert caught.value.detail == {"drained_seq": 9, "log_seq": 5}
    assert seqs(bench.open(drained_seq=5), 5) == []


def test_a_database_that_has_gone_back_misses_what_the_log_forgot(bench: Bench) -> None:
    log = bench.open()
    fill(log, *[10] * 40)
    log.forget(250)
    first = seqs(log)[0]
    log.close()

    [damage] = bench.open(drained_seq=100).recovery.damage

    assert (damage.first_seq, damage.last_seq) == (101, first - 1)


def test_turns_append_while_the_writer_syncs(tmp_path: Path) -> None:
    random = Random(1).randbytes
    log = Log.open(
        *(OsDisk(), tmp_path),
        noun=NOUN,
        epoch=1,
        drained_seq=0,
        check=lambda: None,
        random=random,
    )
    done = threading.Event()

    def turns() -> None:
        for seq in range(1, 5001):
            log.append(1, seq, b"%d" % seq)
        done.set()

    thread = threading.Thread(target=turns)
    thread.start()
    while not done.is_set():
        log.sync()
    thread.join()
    log.sync()
    log.close()

    again = Log.open(
        *(OsDisk(), tmp_path),
        noun=NOUN,
        epoch=2,
        drained_seq=0,
        check=lambda: None,
        random=random,
    )
    assert [record.payload for record in again.records()] == [b"%d" % n for n in range(1, 5001)]
