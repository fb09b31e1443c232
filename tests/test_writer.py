"""A segment that is written: what a dying process and a failing disk leave behind."""

from __future__ import annotations

import errno

import pytest
from sim.bench import Bench, fill, path, seqs
from sim.disk import Crashed, SimDisk

from raydo.actors.segment import HEADER_BYTES
from raydo.pipelining.errors import ActivationBroken, StorageFull


@pytest.fixture
def bench() -> Bench:
    return Bench()


# A process dies


def test_a_segment_that_was_never_named_is_litter(bench: Bench) -> None:
    fill(bench.open(), 3)
    bench.disk.kill()
    log = bench.open()
    log.append(1, 4, b"")
    bench.disk.crash_at = ("writer.create.after_preallocate", 1)
    with pytest.raises(Crashed):
        log.sync()
    bench.disk.kill()
    assert bench.files()[1].endswith(".new")

    log = bench.open()

    assert seqs(log) == [1, 2, 3]
    assert log.recovery.damage == ()
    log.forget(3)
    assert bench.files() == []


def test_a_torn_last_write_is_cut_off_and_its_seqs_are_given_again(bench: Bench) -> None:
    log = bench.open()
    fill(log, 2, 1)
    end = bench.disk.content(path(1, 1)).rfind(b"3:")
    data = bytearray(bench.disk.content(path(1, 1)))
    data[end - 25 + 3 :] = b"torn".ljust(len(data) - end + 22, b"\0")
    data[-HEADER_BYTES:] = data[:HEADER_BYTES]
    bench.disk.overwrite(path(1, 1), bytes(data))

    log = bench.open()
    assert seqs(log) == [1, 2]
    assert log.recovery.truncated_bytes > 0
    assert log.recovery.damage == ()
    log.append(1, 3, b"another third")
    log.sync()

    found = list(bench.open().records())
    assert [(record.seq, record.epoch) for record in found] == [(1, 1), (2, 1), (3, 2)]
    assert found[2].payload == b"another third"


# The disk fails


@pytest.mark.parametrize("operation", ["write", "sync", "create", "preallocate", "rename"])
def test_an_io_error_breaks_the_log_for_good(bench: Bench, operation: str) -> None:
    log = bench.open()
    log.append(1, 1, b"")
    bench.disk.fail(operation, errno.EIO)

    for attempt in (log.sync, log.sync, log.claim, lambda: log.append(1, 2, b"")):
        with pytest.raises(ActivationBroken):
            attempt()

    assert log.synced_seq == 0
    log.close()


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_an_io_error_in_a_segment_in_use_breaks_the_log_for_good(
    bench: Bench, operation: str
) -> None:
    log = bench.open()
    fill(log, 1)
    log.append(1, 2, b"")
    bench.disk.fail(operation, errno.EIO)

    for attempt in (log.sync, log.sync, lambda: log.append(1, 3, b"")):
        with pytest.raises(ActivationBroken):
            attempt()

    assert (log.synced_seq, seqs(log)) == (1, [1])
    log.close()


def test_what_a_failed_sync_left_in_the_cache_is_on_disk_before_anybody_sees_it(
    bench: Bench,
) -> None:
    log = bench.open()
    fill(log, 1)
    log.append(1, 2, b"maybe")
    bench.disk.fail("sync", errno.EIO)
    with pytest.raises(ActivationBroken):
        log.sync()
    log.close()

    assert seqs(bench.open()) == [1, 2]
    bench.disk.power_loss()

    assert seqs(bench.open()) == [1, 2]


@pytest.mark.parametrize("operation", ["write", "sync", "create", "preallocate", "rename"])
def test_a_full_disk_loses_nothing_and_the_log_resumes_in_order(
    bench: Bench, operation: str
) -> None:
    log = bench.open()
    fill(log, 2)
    log.append(1, 3, b"x" * 3500)  # a segment of its own
    log.append(1, 4, b"")
    bench.disk.fail(operation, errno.ENOSPC)
    with pytest.raises(StorageFull):
        log.sync()
    with pytest.raises(StorageFull):
        log.append(1, 5, b"")
    assert (log.synced_seq, log.last_seq, seqs(log)) == (2, 4, [1, 2])

    assert log.sync() == 4
    fill(log, 1)

    bench.disk.power_loss()
    assert seqs(bench.open()) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_a_segment_in_use_resumes_when_there_is_room_again(bench: Bench, operation: str) -> None:
    log = bench.open()
    fill(log, 2)
    log.append(1, 3, b"three")
    bench.disk.fail(operation, errno.ENOSPC, errno.ENOSPC)
    for _ in range(2):
        with pytest.raises(StorageFull):
            log.sync()

    assert log.sync() == 3

    bench.disk.power_loss()
    assert seqs(bench.open()) == [1, 2, 3]


def test_a_full_disk_is_read_by_a_new_activation(bench: Bench) -> None:
    log = bench.open()
    fill(log, *[10] * 10)
    log.append(1, 101, bytes(9000))
    bench.disk.room = 100
    with pytest.raises(StorageFull):
        log.sync()
    log.close()

    log = bench.open()

    assert seqs(log) == list(range(1, 101))
    log.append(1, 101, b"")
    with pytest.raises(StorageFull):
        log.sync()
    bench.disk.room = None
    assert log.sync() == 101


def test_records_appended_during_a_failing_sync_stay_behind_those_it_held(bench: Bench) -> None:
    log = bench.open()

    class Busy(SimDisk):
        """Lets a turn append while the disk syncs, as another thread would."""

        def sync(self, handle: int) -> None:
            log.append(1, log.last_seq + 1, b"meanwhile")
            super().sync(handle)

    bench.disk.__class__ = Busy
    log.append(1, 1, b"first")
    bench.disk.fail("sync", errno.ENOSPC)
    with pytest.raises(StorageFull):
        log.sync()
    bench.disk.__class__ = SimDisk

    assert log.sync() == 2

    assert [record.payload for record in log.records()] == [b"first", b"meanwhile"]
