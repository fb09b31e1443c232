"""The real log and the real lease on the simulated disk, beside a model that a child can check.

The model is a list of what was promised and a list of what was only appended. After any crash the
log must hold the promised records, then a prefix of the others, and nothing else. What a log
showed after a recovery counts as promised from then on.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from sim.disk import Crashed, SimDisk

from raydo.actors.epoch import Lease
from raydo.actors.log import Log
from raydo.pipelining.errors import ActivationBroken, StorageFull
from raydo.pipelining.noun import Noun

FOLDER = Path("/data/Analytics/acme")
NOUN = Noun("Analytics", "acme")
STEPS = (
    "epoch.create.before_sync_folder",
    "epoch.settle.before_sync",
    "epoch.take.before_sync",
    "epoch.take.after_sync",
    "writer.create.before_draft",
    "writer.create.after_preallocate",
    "writer.create.before_sync",
    "writer.create.before_rename",
    "writer.create.before_sync_folder",
    "writer.create.after_sync_folder",
    "writer.write.before_write",
    "writer.write.before_sync",
    "writer.write.before_mark",
    "writer.write.after_mark",
    "writer.settle.before_sync",
    "writer.settle.before_sync_folder",
    "log.delete.before_unlink",
    "log.delete.before_sync_folder",
)


class OneProcess:
    """Stands for the machine's processes: whoever held a lock before is dead."""

    def me(self) -> int:
        return 1

    def started(self, pid: int) -> str | None:
        return None

    def end(self, pid: int, started: str) -> None:
        raise AssertionError("nobody is there to be ended")

    def pause(self) -> None:
        raise AssertionError("a lock is held by nobody")


class LogWorld:
    def __init__(self, seed: int, label: str) -> None:
        self.label = label  # where it crashes by preference
        self.random = Random(seed)
        self.disk = SimDisk(Random(seed + 1))
        self.promised: list[tuple[int, bytes]] = []
        self.appended: list[tuple[int, bytes]] = []
        self.drained_seq = 0
        self.epoch = 0
        self.blind: set[int] = set()
        self.restart()

    # Life and death

    def open(self) -> None:
        """Start an activation and hold what it recovered against the model."""
        self.lease = Lease.take(self.disk, FOLDER, host=True, processes=OneProcess())
        assert self.lease.epoch > self.epoch, "an epoch was given twice"
        self.epoch = self.lease.epoch
        self.log = Log.open(
            self.disk,
            FOLDER,
            noun=NOUN,
            epoch=self.lease.epoch,
            drained_seq=self.drained_seq,
            check=self.check_lease(self.lease),
            random=self.random.randbytes,
            segment_bytes=(2048, 8192),
        )
        assert self.log.recovery.damage == ()
        found = self.read()
        promised = [record for record in self.promised if record[0] > self.drained_seq]
        more = len(found) - len(promised)
        assert found == promised + self.appended[: max(0, more)]
        self.promised += self.appended[:more]
        self.appended = []
        assert self.log.synced_seq == self.log.last_seq >= self.last_promised()

    def restart(self) -> None:
        """Crash, by the power or the process alone, as often as the recovery crashes too."""
        while True:
            self.disk.failures.clear()
            self.disk.room = None
            self.random.choice((self.disk.kill, self.disk.power_loss))()
            chance = self.random.random()
            if chance < 0.15:
                self.disk.crash_after = self.random.randrange(1, 25)
            elif chance < 0.45:
                self.disk.crash_at = (self.label, 1)
            try:
                self.open()
            except Crashed:
                continue
            if self.random.random() < 0.8:
                return

    def reopen(self) -> None:
        """Throw the activation away, in a process that lives on."""
        self.disk.failures.clear()
        self.disk.room = None
        self.log.close()
        self.lease.release()
        self.open()

    # What an owner does

    def append(self) -> None:
        for _ in range(self.random.choice((1, 1, 1, 2, 5, 20))):
            seq = self.log.last_seq + self.random.choice((1, 1, 1, 3))
            payload = self.random.randbytes(self.random.choice((0, 3, 20, 20, 100, 500)))
            self.log.append(1, seq, payload)
            self.appended.append((seq, payload))

    def sync(self) -> None:
        assert self.log.sync() == self.log.last_seq
        self.promised += self.appended
        self.appended = []

    def drain(self) -> None:
        seqs = [seq for seq, _ in self.read()]
        if seqs:
            self.drained_seq = self.random.choice((seqs[-1], self.random.choice(seqs)))
            self.log.forget(self.drained_seq)

    def hibernate(self) -> None:
        if not self.appended:
            self.drained_seq = max(self.drained_seq, self.log.synced_seq)
            self.log.forget(self.log.synced_seq)
            self.log.close()
            assert [name for name in self.disk.names(FOLDER) if "seg" in name] == []
            self.lease.release()
            self.open()

    def check(self) -> None:
        assert self.read() == [r for r in self.promised if r[0] > self.drained_seq]

    def check_lease(self, lease: Lease) -> Callable[[], None]:
        """Check a lease as the log does; a blind one is asked too early to notice."""
        return lambda: None if lease.epoch in self.blind else lease.check()

    def takeover(self) -> None:
        """Force a second activation alive, as if no lock held, and let the first one write on."""
        stale, stale_epoch = self.log, self.epoch
        if stale.last_seq == stale.synced_seq:
            self.append()
        self.disk.unlock()
        self.open()
        self.log.claim()
        if self.random.random() < 0.5:
            self.append()
            self.sync()
        if self.random.random() < 0.5:
            self.blind.add(stale_epoch)
            stale.sync()
        else:
            with pytest.raises(ActivationBroken):
                stale.sync()
        self.check()

    def failing_sync(self) -> None:
        self.append()
        operation = self.random.choice(("sync", "sync", "write", "rename", "create", "preallocate"))
        self.disk.fail(operation, errno.EIO)
        try:
            self.sync()
        except ActivationBroken:
            self.reopen()
        self.disk.failures.clear()

    def full_disk(self) -> None:
        self.append()
        self.disk.room = self.random.choice((0, 100, 2000))
        if self.random.random() < 0.5:
            self.disk.fail(self.random.choice(("write", "sync")), errno.ENOSPC)
        try:
            self.sync()
        except StorageFull:
            self.disk.failures.clear()
            self.disk.room = None
            try:
                if self.random.random() < 0.5:
                    self.sync()
            except ActivationBroken:  # it was the sync itself that failed
                pass
            if self.appended:
                self.reopen()
        self.disk.failures.clear()
        self.disk.room = None

    def run(self, operations: int) -> None:
        """Do so many things; crash at the label, and now and then anywhere."""
        acts = (self.append, self.append, self.sync, self.sync, self.drain, self.check)
        rare = (
            self.failing_sync,
            self.full_disk,
            self.hibernate,
            self.claim,
            self.reopen,
            self.takeover,
        )
        for _ in range(operations):
            act = self.random.choice(acts if self.random.random() < 0.9 else rare)
            if self.random.random() < 0.08:
                self.disk.crash_at = (self.label, 1)
            elif self.random.random() < 0.03:
                self.disk.crash_after = self.random.randrange(1, 30)
            try:
                act()
            except Crashed:
                self.restart()
        self.disk.crash_at = self.disk.crash_after = None
        self.restart()

    def claim(self) -> None:
        self.log.claim()

    # Helpers

    def read(self) -> list[tuple[int, bytes]]:
        return [(record.seq, record.payload) for record in self.log.records(self.drained_seq)]

    def last_promised(self) -> int:
        return self.promised[-1][0] if self.promised else 0
