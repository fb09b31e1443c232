"""The fence: one epoch writes, whoever held the tenant before is ended or told."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
from sim.disk import SimDisk

from raydo.actors.disk import OsDisk
from raydo.actors.epoch import Lease
from raydo.actors.log import Log
from raydo.actors.process import OsProcesses
from raydo.actors.segment import SegmentId, file_name
from raydo.pipelining.errors import (
    ActivationBroken,
    DataInUse,
    DataUnreadable,
    StorageFull,
)
from raydo.pipelining.noun import Noun

FOLDER = Path("/data/Analytics/acme")


class Machine:
    """Processes by pid; a killed one lets go of its locks after some pauses."""

    def __init__(self, disk: SimDisk, alive: dict[int, str], *, dies_after: int = 2) -> None:
        self.disk = disk
        self.alive = alive
        self.current = 1
        self.killed: list[int] = []
        self.dies_after = dies_after

    def me(self) -> int:
        return self.current

    def started(self, pid: int) -> str | None:
        return self.alive.get(pid)

    def end(self, pid: int, started: str) -> None:
        if self.alive.get(pid) == "of another user":
            raise PermissionError
        if self.alive.get(pid) == started:
            self.killed.append(pid)
            del self.alive[pid]

    def pause(self) -> None:
        self.dies_after -= 1
        if self.dies_after == 0:
            self.disk.unlock()


@pytest.fixture
def disk() -> SimDisk:
    return SimDisk(Random(1))


@pytest.fixture
def machine(disk: SimDisk) -> Machine:
    return Machine(disk, {1: "monday", 2: "tuesday"})


def take(disk: SimDisk, machine: Machine, pid: int, *, host: bool = True) -> Lease:
    machine.current = pid
    return Lease.take(disk, FOLDER, host=host, processes=machine)


def test_each_lease_has_the_next_epoch(disk: SimDisk, machine: Machine) -> None:
    epochs = []
    for _ in range(5):
        lease = take(disk, machine, 1)
        lease.check()
        epochs.append(lease.epoch)
        lease.release()
        disk.power_loss()

    assert epochs == [1, 2, 3, 4, 5]


def test_a_host_that_holds_the_tenant_is_ended_and_its_successor_waits_for_its_lock(
    disk: SimDisk, machine: Machine
) -> None:
    old = take(disk, machine, 1)

    new = take(disk, machine, 2)

    assert machine.killed == [1]
    assert (old.epoch, new.epoch) == (1, 2)
    new.check()


def test_a_lease_notices_a_newer_epoch_even_when_no_lock_held(
    disk: SimDisk, machine: Machine
) -> None:
    old = take(disk, machine, 1)
    old.check()
    disk.unlock()
    new = take(disk, machine, 2)

    with pytest.raises(ActivationBroken, match="epoch 2 has it"):
        old.check()
    new.check()


def test_a_pid_that_was_given_anew_is_left_alone(disk: SimDisk, machine: Machine) -> None:
    for host in (True, False):
        machine.dies_after = 2
        take(disk, machine, 1, host=host)
        machine.alive[1] += "'s successor"

        take(disk, machine, 2).release()

    assert machine.killed == []


def test_an_embedded_runtime_is_never_ended(disk: SimDisk, machine: Machine) -> None:
    lease = take(disk, machine, 1, host=False)

    with pytest.raises(DataInUse, match="process 1") as caught:
        take(disk, machine, 2)

    assert caught.value.detail == {"pid": 1}
    lease.check()


def test_a_process_does_not_end_itself(disk: SimDisk, machine: Machine) -> None:
    lease = take(disk, machine, 1)

    with pytest.raises(DataInUse):
        take(disk, machine, 1)

    lease.release()
    assert take(disk, machine, 1).epoch == 2
    assert machine.killed == []


def test_a_host_of_another_user_is_in_use(disk: SimDisk, machine: Machine) -> None:
    machine.alive[1] = "of another user"
    take(disk, machine, 1)

    with pytest.raises(DataInUse, match="another user"):
        take(disk, machine, 2)


def test_a_lock_that_nobody_lets_go_is_in_use_after_a_while(
    disk: SimDisk, machine: Machine
) -> None:
    machine.dies_after = 10**9
    take(disk, machine, 1)

    with pytest.raises(DataInUse, match="another machine"):
        take(disk, machine, 2)
    assert machine.killed == [1]


def test_a_released_lease_is_broken_and_released_once(disk: SimDisk, machine: Machine) -> None:
    lease = take(disk, machine, 1)
    lease.release()
    lease.release()

    with pytest.raises(ActivationBroken):
        lease.check()
    assert disk.open_handles() == 0


def test_a_failed_take_leaves_no_file_open(disk: SimDisk, machine: Machine) -> None:
    for operation, code, expected in (
        ("preallocate", errno.ENOSPC, StorageFull),
        ("sync", errno.EIO, ActivationBroken),
        ("lock", errno.EIO, ActivationBroken),
    ):
        disk.fail(operation, code)
        with pytest.raises(expected):
            take(disk, machine, 1)
        assert disk.open_handles() == 0


def test_a_lease_ends_with_its_folder(disk: SimDisk, machine: Machine) -> None:
    lease = take(disk, machine, 1)
    disk.unlink(FOLDER / "epoch")

    with pytest.raises(ActivationBroken, match="gone"):
        lease.check()


def test_a_lost_epoch_file_does_not_give_an_epoch_twice(disk: SimDisk, machine: Machine) -> None:
    disk.overwrite(FOLDER / file_name(SegmentId(8, 1)), b"")

    assert take(disk, machine, 1).epoch == 9


def test_one_damaged_slot_leaves_the_other_and_two_are_refused(
    disk: SimDisk, machine: Machine
) -> None:
    for _ in range(2):
        take(disk, machine, 1).release()
    data = bytearray(disk.content(FOLDER / "epoch"))
    data[512 + 20] ^= 1  # epoch 1's
    disk.overwrite(FOLDER / "epoch", bytes(data))
    take(disk, machine, 1).release()
    assert take(disk, machine, 1).epoch == 4

    disk.unlock()
    data = bytearray(disk.content(FOLDER / "epoch"))
    data[20] ^= 1
    data[512 + 20] ^= 1
    disk.overwrite(FOLDER / "epoch", bytes(data))
    with pytest.raises(DataUnreadable, match="damaged"):
        take(disk, machine, 1)


# Real processes

HOLDER = """
import os, signal, sys
from pathlib import Path
from raydo.actors.disk import OsDisk
from raydo.actors.epoch import Lease
from raydo.actors.log import Log
from raydo.pipelining.noun import Noun

folder, host = Path(sys.argv[1]), sys.argv[2] == "host"
lease = Lease.take(OsDisk(), folder, host=host)
log = Log.open(OsDisk(), folder, noun=Noun("Analytics", "acme"), epoch=lease.epoch, drained_seq=0,
               check=lease.check, random=os.urandom)
log.append(1, 1, b"acknowledged")
log.sync()
log.append(1, 2, b"not acknowledged")
sys.stdout.write("ready\\n")
sys.stdout.flush()
signal.pause()
"""


def hold(folder: Path, role: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, str(folder), role]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("frozen", [False, True], ids=["alive", "frozen"])
def test_a_host_is_ended_though_it_is_frozen_and_what_it_acknowledged_is_there(
    tmp_path: Path, frozen: bool
) -> None:
    with hold(tmp_path, "host") as process:
        if frozen:
            process.send_signal(signal.SIGSTOP)

        lease = Lease.take(OsDisk(), tmp_path, host=True)

        assert process.wait(10) == -signal.SIGKILL
    log = Log.open(
        *(OsDisk(), tmp_path),
        noun=Noun("Analytics", "acme"),
        epoch=lease.epoch,
        drained_seq=0,
        check=lease.check,
        random=os.urandom,
    )
    assert [record.payload for record in log.records()] == [b"acknowledged"]
    assert lease.epoch == 2
    lease.release()


def test_an_embedded_process_is_named_and_lives_on(tmp_path: Path) -> None:
    with hold(tmp_path, "embedded") as process:
        with pytest.raises(DataInUse, match=str(process.pid)):
            Lease.take(OsDisk(), tmp_path, host=True)
        assert process.poll() is None
        process.kill()


def test_a_process_is_known_by_its_start() -> None:
    processes = OsProcesses()
    mine = processes.started(processes.me())
    assert mine == processes.started(os.getpid())

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        other = processes.started(child.pid)
        assert other
        assert other != mine
        processes.end(child.pid, "another start")
        assert child.poll() is None
        processes.end(child.pid, other)
        assert child.wait(10) == -signal.SIGKILL
    assert processes.started(child.pid) is None
    processes.end(child.pid, other)


def test_a_pause_is_short() -> None:
    before = time.monotonic()
    OsProcesses().pause()
    assert time.monotonic() - before < 5
