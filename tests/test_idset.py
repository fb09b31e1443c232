"""Message ids: known exactly for their window, whatever is merged, dropped, undone, or crashes.

The crash tests run the real structure over files and a database on disk, and end it at every step
it names: by a kill, which keeps what the kernel has, and by a power cut, which may undo each
unsynced file operation on its own and take SQLite back to its last checkpoint.
"""

from __future__ import annotations

import errno
import random
import shutil
import sqlite3
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from raydo.actors import idset
from raydo.actors.database import Database
from raydo.actors.disk import OsDisk
from raydo.actors.idrun import Merge
from raydo.actors.idset import IdSet, id_hash
from raydo.pipelining.errors import DataUnreadable

DAY = 20_000
GROUPS = 4
SEEDS = 20  # of each group
OPERATIONS = 120


def key(n: int) -> bytes:
    return id_hash(str(n).encode())


def keys(*numbers: int) -> list[bytes]:
    return [key(n) for n in numbers]


class Opened:
    """An IdSet with its database, and short words for what a caller does."""

    def __init__(self, folder: Path, disk: OsDisk | None = None) -> None:
        self.folder = folder
        self.database = Database(folder / "tenant.db")
        self.database.run("PRAGMA synchronous=OFF")  # what a power cut takes is decided below
        self.ids = IdSet(self.database, disk or OsDisk(), folder)
        self.database.begin()
        self.ids.create()
        self.database.run("CREATE TABLE IF NOT EXISTS drained (seq INTEGER)")
        self.database.commit()
        self.ids.load()

    def drain(self, hashes: list[bytes], day: int = DAY, seq: int = 0) -> None:
        self.database.begin()
        self.ids.drain(hashes, day)
        self.database.run("DELETE FROM drained")
        self.database.run("INSERT INTO drained VALUES (?)", (seq,))
        self.database.commit()
        self.ids.committed()

    def receive(self, *numbers: int, day: int = DAY) -> list[bool]:
        answers = self.ids.fresh(keys(*numbers), day)
        new = [n for n, fresh in zip(numbers, answers, strict=True) if fresh]
        self.drain(keys(*new), day)
        return answers

    def merge(self) -> bool:
        merge = self.ids.merge_due()
        if merge is None:
            return False
        merge.run()
        self.adopt(merge)
        return True

    def adopt(self, merge: Merge) -> None:
        self.database.begin()
        self.ids.adopt(merge)
        self.database.commit()
        self.ids.committed()

    @property
    def drained_seq(self) -> int:
        rows = self.database.run("SELECT seq FROM drained")
        return int(rows[0][0]) if rows else 0

    @property
    def files(self) -> list[str]:
        return sorted(f.name for f in self.folder.iterdir() if idset._is_run(f.name))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make files out of a few ids, so that a test sees many."""
    monkeypatch.setattr(idset, "IDS_TAIL_MAX", 8)


def test_an_id_is_new_once(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    assert opened.receive(1, 2, 1) == [True, True, False]
    assert opened.receive(2, 3) == [False, True]


def test_an_id_is_known_before_it_is_drained(tmp_path: Path) -> None:
    ids = Opened(tmp_path).ids
    assert ids.fresh(keys(1), DAY) == [True]
    assert ids.fresh(keys(1), DAY) == [False]


def test_a_call_that_raises_takes_back_its_own_ids_and_no_others(tmp_path: Path) -> None:
    ids = Opened(tmp_path).ids
    ids.fresh(keys(1), DAY)
    mark = ids.mark()
    ids.fresh(keys(1, 2, 3), DAY)

    ids.rollback(mark)

    assert ids.fresh(keys(1, 2, 3), DAY) == [False, True, True]


def test_how_to_take_back_is_kept_until_the_drain_and_no_longer(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    opened.receive(*range(100))
    assert opened.ids.mark() == 0
    assert not any(opened.ids.fresh(keys(*range(100)), DAY))


@pytest.mark.usefixtures("small")
def test_an_id_is_known_for_seven_days_whether_in_memory_or_in_a_file(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    opened.receive(*range(8), day=DAY)
    opened.receive(100, day=DAY)
    assert opened.files

    assert opened.receive(0, 100, 1_000, day=DAY + 7) == [False, False, True]
    assert opened.receive(0, 100, day=DAY + 7) == [False, False]
    assert opened.receive(0, 100, day=DAY + 8) == [True, True]


@pytest.mark.usefixtures("small")
def test_a_day_is_dropped_whole_when_it_is_over_for_seven_days(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    opened.receive(*range(8), day=DAY)
    opened.receive(9, day=DAY + 8)
    assert opened.files == ["00000001.ids"]  # a power cut may still bring back what lists it

    opened.ids.checkpointed()

    assert opened.files == []
    assert Opened(tmp_path).receive(*range(8), day=DAY + 8) == [True] * 8


@pytest.mark.usefixtures("small")
def test_a_clock_that_goes_back_makes_no_id_forgotten_early(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    opened.receive(1, day=DAY + 3)
    opened.receive(2, day=DAY - 90)

    assert opened.receive(1, 2, day=DAY + 10) == [False, False]
    assert Opened(tmp_path).receive(1, 2, day=DAY + 10) == [False, False]


def test_few_ids_make_no_file(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    for day in range(DAY, DAY + 30):
        opened.receive(*range(day * 100, day * 100 + 100), day=day)
    assert opened.files == []


@pytest.mark.usefixtures("small")
def test_files_are_merged_and_stay_few(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    merges = 0
    for start in range(0, 8 * 64, 8):
        opened.receive(*range(start, start + 8))
        while opened.merge():
            opened.ids.checkpointed()
            merges += 1

    assert len(opened.files) <= 3 * 3
    assert merges == 16 + 4 + 1  # each id is written once for each level
    assert not any(opened.ids.fresh(keys(*range(8 * 64)), DAY))


@pytest.mark.usefixtures("small")
def test_the_files_of_a_day_that_is_over_become_one(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    for start in range(0, 48, 8):
        opened.receive(*range(start, start + 8))
    opened.receive(*range(100, 108), day=DAY + 1)

    while opened.merge():
        opened.ids.checkpointed()

    assert len(opened.files) == 2
    assert not any(opened.ids.fresh(keys(*range(48), *range(100, 108)), DAY + 1))


@pytest.mark.usefixtures("small")
def test_a_merge_that_its_day_does_not_outlive_changes_nothing(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    for start in range(0, 32, 8):
        opened.receive(*range(start, start + 8))
    merge = opened.ids.merge_due()
    assert merge is not None
    merge.run()
    opened.receive(99, day=DAY + 8)

    opened.adopt(merge)
    opened.ids.checkpointed()

    assert opened.files == []
    assert opened.receive(0, day=DAY + 8) == [True]


@pytest.mark.usefixtures("small")
def test_a_drain_that_is_rolled_back_leaves_its_ids_known_and_to_be_drained(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    opened.ids.fresh(keys(*range(8)), DAY)
    opened.database.begin()
    opened.ids.drain(keys(*range(8)), DAY)
    opened.database.rollback()
    opened.ids.rolled_back()

    assert not any(opened.ids.fresh(keys(*range(8)), DAY))
    opened.drain(keys(*range(8)))
    opened.ids.checkpointed()
    assert opened.files == ["00000002.ids"]
    assert not any(Opened(tmp_path).ids.fresh(keys(*range(8)), DAY))


class FullDisk(OsDisk):
    full = True

    def write(self, handle: int, data: bytes, offset: int) -> None:
        if self.full:
            super().write(handle, data[: len(data) // 2], offset)
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(handle, data, offset)


@pytest.mark.usefixtures("small")
def test_on_a_full_disk_ids_stay_rows_until_there_is_room_for_files(tmp_path: Path) -> None:
    disk = FullDisk()
    opened = Opened(tmp_path, disk)
    opened.ids.fresh(keys(*range(8)), DAY)
    opened.drain(keys(*range(8)))
    assert opened.files == []
    assert not any(opened.ids.fresh(keys(*range(8)), DAY))
    assert not any(Opened(tmp_path).ids.fresh(keys(*range(8)), DAY))

    disk.full = False
    assert opened.ids.fresh(keys(8), DAY) == [True]
    opened.drain(keys(8))
    assert len(opened.files) == 1
    assert not any(Opened(tmp_path).ids.fresh(keys(*range(9)), DAY))


@pytest.mark.usefixtures("small")
def test_a_file_that_is_gone_or_damaged_is_named(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    opened.receive(*range(8))
    file = tmp_path / opened.files[0]
    whole = file.read_bytes()

    file.write_bytes(whole[:-1])
    with pytest.raises(DataUnreadable, match=r"00000001\.ids is damaged"):
        Opened(tmp_path)
    file.unlink()
    with pytest.raises(DataUnreadable, match=r"00000001\.ids is gone"):
        Opened(tmp_path)


def test_ids_have_128_bits_that_depend_on_every_byte() -> None:
    assert len(id_hash(b"")) == 16
    assert len({id_hash(bytes([n])) for n in range(256)}) == 256


class Crash(Exception):
    pass


class CrashingDisk(OsDisk):
    """A disk that ends the process at the n-th step, and whose power may be cut."""

    def __init__(self, source: random.Random) -> None:
        super().__init__()
        self._source = source
        self.steps_left = source.randrange(1, 60)
        self.crashed_at = ""
        self._open: dict[int, Path] = {}
        self._unsynced: set[Path] = set()
        self._undo: list[tuple[str, Path, bytes]] = []  # what no folder sync has made last

    def step(self, label: str) -> None:
        self.steps_left -= 1
        if self.steps_left <= 0:
            self.crashed_at = label
            raise Crash(label)

    def create(self, path: Path) -> int:
        handle = super().create(path)
        self._open[handle] = path
        self._unsynced.add(path)
        self._undo.append(("create", path, b""))
        return handle

    def sync(self, handle: int) -> None:
        self._unsynced.discard(self._open[handle])

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        if old in self._unsynced:
            self._unsynced = self._unsynced - {old} | {new}
        self._undo.append(("create", new, b""))

    def unlink(self, path: Path) -> None:
        whole = path.read_bytes()
        super().unlink(path)
        self._undo.append(("unlink", path, whole))

    def sync_folder(self, folder: Path) -> None:
        self._undo.clear()

    def cut_power(self) -> None:
        """Lose unsynced bytes, and undo any of the unsynced creations and removals."""
        for path in self._unsynced:
            if path.exists():
                path.write_bytes(path.read_bytes()[: self._source.randrange(40)])
        for operation, path, whole in reversed(self._undo):
            if self._source.random() < 0.5:
                if operation == "create":
                    path.unlink(missing_ok=True)
                else:
                    path.write_bytes(whole)


@dataclass
class Log:
    """The caller's log: what was acknowledged, in order, and how far SQLite surely has it."""

    records: list[tuple[list[bytes], int]] = field(default_factory=list)
    checkpointed_seq: int = 0


class Tenant:
    """One tenant under random work, crashed and recovered, next to a plain model of its ids."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.source = random.Random(seed)
        self.folder = folder
        self.log = Log()
        self.day = DAY
        self.known: dict[bytes, int] = {}  # the model: id -> day
        self.newest = 0
        self.crashes: Counter[str] = Counter()
        self.merge: Merge | None = None
        self.disk = OsDisk()
        self.opened = Opened(folder, self.disk)  # the tables are there before anything can crash
        self.checkpoint()
        self.opened.database.close()
        self.start()

    def start(self) -> None:
        """Recover as a caller does: load, then receive again what the drain had not got to."""
        self.disk = CrashingDisk(self.source)
        self.opened = Opened(self.folder, self.disk)
        self.merge = None
        for hashes, day in self.log.records[self.opened.drained_seq :]:
            assert all(self.opened.ids.fresh(hashes, day)), "a record was found a duplicate"

    def work(self) -> None:
        operations = (self.call, self.call, self.call, self.drain, self.drain, self.compact)
        operations += (self.checkpoint, self.next_day, self.refuse_a_drain)
        try:
            self.source.choice(operations)()
        except Crash as crash:
            self.crashes[str(crash)] += 1
            self.crash(power_cut=self.source.random() < 0.5)

    def call(self) -> None:
        numbers = [self.source.randrange(400) for _ in range(self.source.randrange(1, 12))]
        hashes = keys(*numbers)
        mark = self.opened.ids.mark()
        answers = self.opened.ids.fresh(hashes, self.day)
        today = max(self.day, self.newest)
        known = {key for key, day in self.known.items() if day >= today - 7}
        new = [key for key in dict.fromkeys(hashes) if key not in known]
        firsts = [at == hashes.index(key) for at, key in enumerate(hashes)]
        assert answers == [f and key in new for f, key in zip(firsts, hashes, strict=True)]
        if self.source.random() < 0.2:
            self.opened.ids.rollback(mark)
        elif new:
            self.log.records.append((new, self.day))
            self.known.update(dict.fromkeys(new, today))
            self.newest = today

    def drain(self) -> None:
        ids, database = self.opened.ids, self.opened.database
        database.begin()
        self._drain_some()
        self.disk.step("test.before_commit")
        database.commit()
        self.disk.step("test.after_commit")
        ids.committed()

    def _drain_some(self) -> None:
        drained = self.opened.drained_seq
        upto = self.source.randint(drained, len(self.log.records))
        for hashes, day in self.log.records[drained:upto]:
            self.opened.ids.drain(hashes, day)
        if self.merge is not None and self.merge.output is not None:
            self.opened.ids.adopt(self.merge)
            self.merge = None
        self.opened.database.run("DELETE FROM drained")
        self.opened.database.run("INSERT INTO drained VALUES (?)", (upto,))

    def refuse_a_drain(self) -> None:
        self.opened.database.begin()
        self._drain_some()
        self.opened.database.rollback()
        self.opened.ids.rolled_back()

    def compact(self) -> None:
        self.merge = self.merge or self.opened.ids.merge_due()
        if self.merge is not None and self.merge.output is None:
            self.merge.run()

    def checkpoint(self) -> None:
        self.opened.database.run("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(self.folder / "tenant.db", self.folder / "checkpointed.db")
        self.opened.ids.checkpointed()

    def next_day(self) -> None:
        self.day += self.source.choice((1, 1, 1, 3, 8, -2))

    def crash(self, *, power_cut: bool) -> None:
        self.opened.database.close()
        if power_cut:
            assert isinstance(self.disk, CrashingDisk)
            self.disk.cut_power()
            if self.source.random() < 0.5:
                for suffix in ("-wal", "-shm"):
                    with suppress(FileNotFoundError):
                        (self.folder / f"tenant.db{suffix}").unlink()
                shutil.copy(self.folder / "checkpointed.db", self.folder / "tenant.db")
        self.start()


STEPS = {
    "idrun.before_sync",
    "idrun.before_rename",
    "idrun.before_sync_folder",
    "idrun.written",
    "idset.before_unlink",
    "test.before_commit",
    "test.after_commit",
}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("group", range(GROUPS))
def test_after_any_crash_exactly_the_acknowledged_ids_are_known(tmp_path: Path, group: int) -> None:
    crashes: Counter[str] = Counter()
    for seed in range(group * SEEDS, (group + 1) * SEEDS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        tenant = Tenant(folder, seed)
        for _ in range(OPERATIONS):
            tenant.work()
        tenant.opened.database.close()
        crashes += tenant.crashes
    assert {label for label, times in crashes.items() if times >= 2} == STEPS, crashes


def test_a_checkpoint_of_sqlite_is_all_that_the_power_cut_keeps(tmp_path: Path) -> None:
    # The model of the power cut above: the file alone, without its log, is a whole older state.
    opened = Opened(tmp_path)
    opened.receive(1)
    opened.database.run("PRAGMA wal_checkpoint(TRUNCATE)")
    opened.receive(2)
    shutil.copy(tmp_path / "tenant.db", tmp_path / "older.db")
    older = sqlite3.connect(tmp_path / "older.db")
    assert older.execute("SELECT keys FROM _raydo_ids").fetchall() == [(key(1),)]
    older.close()
