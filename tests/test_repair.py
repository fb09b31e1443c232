"""What was lost is said in seqs and days, and accepting it leaves a receipt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sim.bench import FOLDER, NOUN, Bench, fill, filled, path, seqs
from sim.disk import Crashed

from raydo.actors.repair import Known, Report, accept, survey
from raydo.pipelining.errors import DataUnreadable, InvalidArgument

DAY_MS = 86_400_000
NOW_MS = 1_767_225_600_000  # 2026-01-01


def received(first_seq: int, last_seq: int | None) -> tuple[int | None, int | None]:
    """A database whose record n was received on day n, of 24 in all."""
    before = (first_seq - 1) * DAY_MS if first_seq > 1 else None
    behind = (last_seq + 1) * DAY_MS if last_seq is not None and last_seq < 24 else None
    return before, behind


def look(bench: Bench, drained_seq: int) -> Report:
    return survey(bench.disk, FOLDER, Known(NOUN, drained_seq, received))


def take_loss(bench: Bench, drained_seq: int) -> tuple[Path, ...]:
    return accept(bench.disk, FOLDER, Known(NOUN, drained_seq, received), NOW_MS)


@pytest.fixture
def hurt() -> Bench:
    """A log of 24 records whose seventh is damaged."""
    bench = filled()
    bench.damage(path(1, 1), bench.disk.content(path(1, 1)).index(b"7:x"))
    return bench


def test_a_whole_log_has_nothing_to_repair() -> None:
    report = look(filled(), 24)

    assert (report.hurt, report.ahead, report.lost_max) == ((), None, 0)
    assert take_loss(filled(), 24) == ()


def test_a_survey_names_seqs_and_days_and_changes_nothing(hurt: Bench) -> None:
    before = hurt.files()

    report = look(hurt, 0)

    [found] = report.hurt
    assert (found.damage.first_seq, found.damage.last_seq) == (7, 7)
    assert (found.first_day, found.last_day) == ("1970-01-07", "1970-01-09")
    assert report.lost_max == 1
    assert hurt.files() == before


def test_an_accepted_loss_leaves_a_receipt_and_no_damage(hurt: Bench) -> None:
    log = hurt.open()
    fill(log, 1)
    log.close()

    [receipt] = take_loss(hurt, 25)

    wire = json.loads(hurt.disk.content(receipt))
    assert wire["segment"] == path(1, 1).name
    assert wire["accepted_at"] == "2026-01-01T00:00:00.000+00:00"
    assert wire["deleted_bytes"] == 4096
    [damage] = wire["damage"]
    assert (damage["first_seq"], damage["last_seq"], damage["lost_max"]) == (7, 7, 1)
    assert (damage["first_day"], damage["last_day"]) == ("1970-01-07", "1970-01-09")
    assert not [name for name in hurt.files() if "damage" in name]
    log = hurt.open(drained_seq=25)
    assert log.recovery.damage == ()
    fill(log, 1)
    assert seqs(log, 25) == [26]
    assert look(hurt, 25).hurt == ()


def test_a_loss_is_not_accepted_while_something_can_still_be_read(hurt: Bench) -> None:
    with pytest.raises(InvalidArgument, match="hasn't got"):
        take_loss(hurt, 20)

    assert seqs(hurt.open()) == [*range(1, 7), *range(8, 25)]


def test_a_loss_at_the_logs_end_is_accepted_when_the_rest_is_drained() -> None:
    bench = filled()
    at = bench.disk.content(path(1, 1)).index(b"21:x")
    data = bytearray(bench.disk.content(path(1, 1)))
    data[at : at + 150] = bytes(150)
    bench.disk.overwrite(path(1, 1), bytes(data))
    log = bench.open()
    assert [(d.first_seq, d.last_seq) for d in log.recovery.damage] == [(21, 24)]
    log.close()

    take_loss(bench, 20)

    log = bench.open(drained_seq=20)
    assert log.recovery.damage == ()
    fill(log, 1)
    assert bench.open(drained_seq=20).recovery.damage == ()


def test_a_segment_that_is_gone_gets_a_receipt_too() -> None:
    bench = filled(60, (2048, 2048))
    names = bench.files()
    bench.disk.unlink(FOLDER / names[1])
    bench.disk.sync_folder(FOLDER)
    assert take_loss(bench, 120) == (), "the database has them"
    [damage] = bench.open().recovery.damage
    assert damage.segment == names[1]

    [receipt] = take_loss(bench, 120)

    assert json.loads(bench.disk.content(receipt))["deleted_blake2b"] is None
    assert bench.open(drained_seq=120).recovery.damage == ()
    assert bench.open(drained_seq=0).recovery.damage == (), "the receipt stands for good"


def test_unknown_losses_are_not_counted_as_none() -> None:
    bench = filled()
    bench.disk.overwrite(path(1, 1), bench.disk.content(path(1, 1))[:900])

    report = look(bench, 0)

    assert report.lost_max is None
    assert report.hurt[0].last_day is None


def test_a_log_that_ends_before_the_database_starts_anew_behind_it() -> None:
    bench = filled(60, (2048, 2048))
    with pytest.raises(DataUnreadable):
        bench.open(drained_seq=130)
    assert look(bench, 130).ahead == (121, 130)

    [receipt] = take_loss(bench, 130)

    assert json.loads(bench.disk.content(receipt))["lost_after_draining"] == {
        "first_seq": 121,
        "last_seq": 130,
    }
    log = bench.open(drained_seq=130)
    fill(log, 1)
    assert seqs(log, 130) == [131]
    assert log.recovery.damage == ()


def test_a_crash_while_a_loss_is_accepted_never_loses_the_receipt() -> None:
    for operations in range(1, 60):
        bench = filled()
        bench.damage(path(1, 1), bench.disk.content(path(1, 1)).index(b"7:x"))
        bench.open()
        bench.disk.crash_after = operations
        try:
            take_loss(bench, 24)
        except Crashed:
            (bench.disk.kill if operations % 2 else bench.disk.power_loss)()
        bench.disk.crash_after = None

        damaged = [name for name in bench.files() if name.endswith((".damaged", ".damage.json"))]
        receipts = [name for name in bench.files() if name.endswith(".receipt.json")]

        assert receipts or len(damaged) == 2
        take_loss(bench, 24)
        assert bench.open(drained_seq=24).recovery.damage == ()
