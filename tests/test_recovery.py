"""Reading a folder back: another epoch's writes, damage, and what is kept of it."""

from __future__ import annotations

from random import Random

import pytest
from sim.bench import FOLDER, Bench, contents, fill, filled, laid, path, seqs
from sim.disk import Crashed

from raydo.actors.damage import Damage
from raydo.actors.segment import HEADER_BYTES
from raydo.pipelining.errors import ActivationBroken, DataUnreadable
from raydo.pipelining.noun import Noun


@pytest.fixture
def bench() -> Bench:
    return Bench()


# Another epoch


def test_an_older_epoch_may_not_open_a_log(bench: Bench) -> None:
    fill(bench.open(epoch=7), 1)

    for epoch in (6, 7):
        with pytest.raises(ActivationBroken, match="epoch 7"):
            bench.open(epoch=epoch)


def test_what_a_predecessor_writes_after_a_takeover_never_counts(bench: Bench) -> None:
    stale = bench.open()
    fill(stale, 2)
    new = bench.open()
    new.claim()

    fill(stale, 1, *[10] * 30)  # as one would that read the epoch before the takeover
    fill(new, 2)

    assert seqs(new) == [1, 2, 3, 4]
    after = bench.open()
    assert [(record.seq, record.epoch) for record in after.records()] == [
        *((1, 1), (2, 1)),
        *((3, 2), (4, 2)),
    ]
    assert after.recovery.damage == ()
    assert [name for name in bench.files() if name.startswith("log-0000000001")][1:]
    after.forget(4)
    assert not [name for name in bench.files() if name.startswith("log-0000000001")]


def test_a_log_that_was_claimed_keeps_its_predecessor_out_without_a_record(bench: Bench) -> None:
    stale = bench.open()
    fill(stale, 2)
    bench.open().claim()

    fill(stale, 1)

    assert seqs(bench.open()) == [1, 2]


def test_a_fenced_log_promises_nothing_and_makes_no_file(bench: Bench) -> None:
    fenced = False

    def check() -> None:
        if fenced:
            raise ActivationBroken("a newer epoch has it")

    log = bench.open(check=check)
    fill(log, 1)
    before = bench.files()
    fenced = True

    log.append(1, 2, b"")
    with pytest.raises(ActivationBroken):
        log.sync()
    assert (log.synced_seq, seqs(log)) == (1, [1])

    fenced = False
    with pytest.raises(ActivationBroken):
        log.sync()
    other = bench.open(check=check)
    fenced = True
    other.append(1, 9, b"")
    with pytest.raises(ActivationBroken):
        other.sync()
    assert bench.files() == before


def test_another_tenants_log_is_refused(bench: Bench) -> None:
    fill(bench.open(), 1)

    with pytest.raises(DataUnreadable, match="another tenant"):
        bench.open(noun=Noun("Analytics", "globex"))


# Damage


def test_a_flipped_bit_in_every_64_bytes_of_a_log_is_detected() -> None:
    files = contents(filled(40, (2048, 2048)))
    expected = list(laid(files).open().records())
    random = Random(3)
    last = max(files)
    assert len(files) > 2
    for where, data in sorted(files.items()):
        end = data.rfind(b":xxx") + len(":") + 20
        unread = range(end, len(data) - HEADER_BYTES) if where != last else ()
        for block in range(0, len(data), 64):
            at = block + random.randrange(64)
            bench = laid(files)
            bench.damage(where, at)

            log = bench.open()

            found = list(log.records())
            lost = [record for record in expected if record not in found]
            named = [d for d in log.recovery.damage if d.last_seq is not None]
            assert log.recovery.damage or log.recovery.truncated_bytes or at in unread, at
            assert all(any(d.first_seq <= r.seq <= d.last_seq for d in named) for r in lost), at  # type: ignore[operator]
            assert len(lost) <= 1, "a single bit never costs more than its record"


def test_a_log_cut_short_at_any_byte_is_detected_and_nothing_is_invented() -> None:
    files = contents(filled(20, (2048, 2048)))
    expected = list(laid(files).open().records())
    last, data = max(files.items())
    assert len(files) == 2
    for size in range(len(data)):
        bench = laid({**files, last: data[:size]})

        log = bench.open()

        found = list(log.records())
        assert log.recovery.damage, size
        assert found == expected[: len(found)], size
        assert len(found) >= 20, "the segments before it are whole"


def test_damage_is_named_put_aside_and_the_log_goes_on_behind_it() -> None:
    bench = filled()
    at = bench.disk.content(path(1, 1)).index(b"7:x")
    bench.damage(path(1, 1), at)

    log = bench.open()

    [damage] = log.recovery.damage
    assert damage == Damage(path(1, 1).name, at - 25, 25 + 22, 7, 7)
    assert damage.lost_max == 1
    assert bench.files() == [path(1, 1, ".damage.json").name, path(1, 1, ".damaged").name]
    rest = [*range(1, 7), *range(8, 25)]
    assert seqs(log) == rest
    fill(log, 2)
    assert seqs(log) == [*rest, 25, 26]


def test_damage_stays_known_until_it_is_accepted_even_when_its_neighbours_are_gone() -> None:
    bench = filled(60, (2048, 2048))
    names = bench.files()
    assert len(names) > 2
    bench.disk.overwrite(FOLDER / names[0], bytes(2048))  # all of it, both headers too

    log = bench.open()
    [damage] = log.recovery.damage
    assert (damage.segment, damage.first_seq) == (names[0], 1)
    assert seqs(log)[0] == (damage.last_seq or 0) + 1
    fill(log, 1)
    log.forget(log.synced_seq)
    log.close()

    again = bench.open(drained_seq=121)
    assert again.recovery.damage == (damage,)
    assert [name for name in bench.files() if "damage" not in name] == []
    fill(again, 1)
    assert bench.open(drained_seq=121).recovery.damage == (damage,)


def test_a_segment_that_is_gone_is_damage_with_known_bounds() -> None:
    bench = filled(90, (2048, 2048))
    names = bench.files()
    assert len(names) > 3
    bench.disk.unlink(FOLDER / names[1])
    bench.disk.sync_folder(FOLDER)

    log = bench.open()

    [damage] = log.recovery.damage
    assert damage.segment == names[1]
    lost = range(damage.first_seq, (damage.last_seq or 0) + 1)
    assert seqs(log) == [seq for seq in range(1, 181) if seq not in lost]
    assert bench.open().recovery.damage == (damage,)


def test_one_bad_copy_of_a_header_costs_no_record_and_is_reported() -> None:
    for offset in (40, 4096 - 100):
        bench = filled()
        bench.damage(path(1, 1), offset)

        log = bench.open()

        [damage] = log.recovery.damage
        assert damage.lost_max == 0
        assert seqs(log) == list(range(1, 25))


def test_damage_to_the_last_record_is_not_mistaken_for_a_torn_write() -> None:
    bench = filled()
    at = bench.disk.content(path(1, 1)).index(b"24:x")
    bench.damage(path(1, 1), at)

    log = bench.open()

    assert [(d.first_seq, d.last_seq) for d in log.recovery.damage] == [(24, 24)]
    assert log.last_seq == 24, "its seq is not given again"


def test_a_crash_while_damage_is_put_aside_changes_nothing() -> None:
    for operations in range(1, 40):
        bench = filled()
        bench.damage(path(1, 1), bench.disk.content(path(1, 1)).index(b"7:x"))
        bench.disk.crash_after = operations
        try:
            bench.open()
        except Crashed:
            (bench.disk.kill if operations % 2 else bench.disk.power_loss)()
        bench.disk.crash_after = None

        log = bench.open()

        assert [(d.first_seq, d.last_seq) for d in log.recovery.damage] == [(7, 7)]
        assert seqs(log) == [*range(1, 7), *range(8, 25)]
        assert bench.open().recovery.damage == log.recovery.damage


def test_damage_on_a_full_disk_is_reported_and_read_around() -> None:
    bench = filled()
    bench.damage(path(1, 1), bench.disk.content(path(1, 1)).index(b"7:x"))
    bench.disk.room = 0

    for _ in range(2):
        log = bench.open()
        assert [d.first_seq for d in log.recovery.damage] == [7]
        assert len(seqs(log)) == 23
    log.forget(24)
    assert path(1, 1) in bench.disk.paths(), "what is damaged is never deleted"


def test_a_damaged_note_still_says_that_something_is_lost() -> None:
    bench = filled()
    bench.damage(path(1, 1), bench.disk.content(path(1, 1)).index(b"7:x"))
    bench.open()
    bench.damage(path(1, 1, ".damage.json"), 0)

    log = bench.open()

    assert log.recovery.damage[0].lost_max is None
    assert len(seqs(log)) == 23


def test_whatever_is_damaged_each_lost_record_is_named_and_none_is_invented() -> None:
    for seed in range(60):
        random = Random(seed)
        bench = Bench()
        for _ in range(3):
            fill(
                bench.open(segment_bytes=(2048, 4096)), *[random.randrange(1, 9) for _ in range(9)]
            )
            bench.disk.kill()
        expected = list(bench.open().records())
        last = max(bench.disk.paths())
        for _ in range(random.randrange(1, 5)):
            where = random.choice(bench.disk.paths())
            data = bytearray(bench.disk.content(where))
            # The very last write is proven by the mark behind it alone, so one of both is spared.
            end = data.rfind(b":xxx") if where == last else len(data)
            at, size = random.randrange(end - 80), random.choice((1, 1, 4, 40, 400))
            size = min(size, max(1, end - 80 - at))
            data[at : at + size] = random.choice((bytes(size), random.randbytes(size)))
            bench.disk.overwrite(where, bytes(data))

        log = bench.open()

        found = list(log.records())
        lost = [record for record in expected if record not in found]
        damage = log.recovery.damage
        assert found == [record for record in expected if record not in lost], seed
        for record in lost:
            assert any(d.first_seq <= record.seq <= (d.last_seq or 10**9) for d in damage), seed
        fill(log, 2)
        bench.disk.power_loss()
        again = bench.open()
        assert list(again.records())[:-2] == found, seed
        assert [record.seq for record in again.records()][-2:] == [log.last_seq - 1, log.last_seq]
        assert set(again.recovery.damage) >= set(damage), seed
