"""Who may write a tenant: a fence between one activation and the next.

Each activation takes the next epoch before it writes. The file `epoch` in the tenant's folder
holds the number and who took it; its lock is held as long as the activation lives. A successor
that finds it held doesn't ask: it ends the holder, a host of ours, even one that is frozen. Only
an embedded runtime, which is the user's own process, is never ended; there it is DataInUse.

Where a lock doesn't hold (a network's file system, a holder that nobody could end) the number
still does: `check` compares the file with what was written at `take`, after each sync and inside
each transaction, so an activation that lost its tenant sends no reply.

The file has two slots in sectors of their own, written in turn: a torn write leaves the other.
The lock goes with the open file: a process that forks without `exec` shares it with its child, so
helpers of a host are to be spawned.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from raydo.actors.disk import Disk
from raydo.actors.failure import failure
from raydo.actors.process import OsProcesses, Processes
from raydo.actors.segment import newest_epoch
from raydo.pipelining.errors import ActivationBroken, DataInUse, DataUnreadable
from raydo.pipelining.limits import FENCE_PAUSE_S, FENCE_S_MAX

if TYPE_CHECKING:
    from pathlib import Path

FILE: Final = "epoch"
_SLOT_BYTES: Final = 512
_FILE_BYTES: Final = 2 * _SLOT_BYTES
_SLOT: Final = Struct("<8sQQ?120s")
_CRC: Final = Struct("<I")
_MAGIC: Final = b"raydoep1"


class _Slot(NamedTuple):
    epoch: int
    pid: int
    host: bool  # a host of ours, which a successor may end
    started: str


class Lease:
    """Hold a tenant's folder under one epoch, until `release`."""

    def __init__(self, disk: Disk, folder: Path, handle: int, epoch: int, content: bytes) -> None:
        self.epoch = epoch
        self._disk = disk
        self._folder = folder
        self._handle = handle
        self._content = content

    @classmethod
    def take(
        cls, disk: Disk, folder: Path, *, host: bool, processes: Processes | None = None
    ) -> Lease:
        """Take the tenant in `folder`, which must be there, and end the host that has it.

        `host` says that this process is a host itself, so that a successor may end it.

        Raises:
            DataInUse: an embedded runtime has it, or this process itself, or a process that
                can't be ended or found.
            DataUnreadable: the epoch file is damaged.
            ActivationBroken, StorageFull: the disk fails, or is full.
        """
        processes = processes or OsProcesses()
        try:
            handle = _open(disk, folder)
            try:
                _lock(disk, folder, handle, processes)
                _prepare(disk, folder, handle)
                return cls._next(disk, folder, handle, _me(processes, host=host))
            except BaseException:
                disk.close(handle)
                raise
        except OSError as error:
            raise failure(f"The epoch of {folder}", error) from error

    @classmethod
    def _next(cls, disk: Disk, folder: Path, handle: int, me: _Slot) -> Lease:
        content = disk.read(handle, _FILE_BYTES, 0)
        last = _newest(content)
        if last is None and all(any(slot) for slot in _slots(content)):  # one may be torn, not two
            raise DataUnreadable(f"{folder / FILE} is damaged: its epoch can't be told.")
        if last is not None:
            # A process that was killed, or whose sync failed, may have left the newest slot in the
            # kernel's memory only. It must be on disk before the other one is overwritten.
            disk.write(handle, content, 0)
            disk.step("epoch.settle.before_sync")
            disk.sync(handle)
        # The segments' names help when somebody restored a folder without its epoch file.
        epoch = max(last.epoch if last else 0, newest_epoch(disk.names(folder))) + 1
        disk.write(handle, _encode(me._replace(epoch=epoch)), epoch % 2 * _SLOT_BYTES)
        disk.step("epoch.take.before_sync")
        disk.sync(handle)
        disk.step("epoch.take.after_sync")
        return cls(disk, folder, handle, epoch, disk.read(handle, _FILE_BYTES, 0))

    def check(self) -> None:
        """Make sure that this is still the newest epoch.

        Raises:
            ActivationBroken: it isn't, or the folder is gone, or the lease was released.
        """
        try:
            content = self._disk.read(self._handle, _FILE_BYTES, 0)
            linked = self._disk.linked(self._handle)
        except OSError as error:
            raise failure(f"The epoch of {self._folder}", error) from error
        if content != self._content or not linked:
            newest = _newest(content)
            now = f"epoch {newest.epoch} has it" if newest and linked else "its epoch file is gone"
            raise ActivationBroken(f"Epoch {self.epoch} has lost {self._folder}: {now}.")

    def release(self) -> None:
        """Let go of the folder; a second time does nothing."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            self._disk.close(handle)


def _open(disk: Disk, folder: Path) -> int:
    try:
        return disk.create(folder / FILE)
    except FileExistsError:
        return disk.open(folder / FILE)


def _prepare(disk: Disk, folder: Path, handle: int) -> None:
    """Put the file's name on disk before any epoch is in it: one that is given can't get lost."""
    if _newest(disk.read(handle, _FILE_BYTES, 0)) is None:
        disk.step("epoch.create.before_sync_folder")
        disk.sync_folder(folder)
        if disk.size(handle) < _FILE_BYTES:
            disk.preallocate(handle, _FILE_BYTES)


def _lock(disk: Disk, folder: Path, handle: int, processes: Processes) -> None:
    for _ in range(round(FENCE_S_MAX / FENCE_PAUSE_S)):
        if disk.lock(handle):
            return
        # None: whoever locked it has not written yet.
        if (holder := _newest(disk.read(handle, _FILE_BYTES, 0))) is not None:
            _end(folder, holder, processes)
        processes.pause()
    raise DataInUse(
        f"Another process holds {folder / FILE} and can't be ended from here. Is it on another "
        "machine or in another container, or a child that a host left behind? End it there."
    )


def _end(folder: Path, holder: _Slot, processes: Processes) -> None:
    """End the holder if it is a host that lives; one that doesn't will be replaced in a moment."""
    if processes.started(holder.pid) != holder.started:
        return
    if holder.pid == processes.me() or not holder.host:
        raise DataInUse(
            f"{folder} is in use by process {holder.pid}. Close it there first.",
            detail={"pid": holder.pid},
        )
    try:
        processes.end(holder.pid, holder.started)
    except PermissionError:
        raise DataInUse(
            f"{folder} is in use by process {holder.pid} of another user. End it first.",
            detail={"pid": holder.pid},
        ) from None


def _me(processes: Processes, *, host: bool) -> _Slot:
    pid = processes.me()
    return _Slot(0, pid, host, processes.started(pid) or "")


def _encode(slot: _Slot) -> bytes:
    fixed = _SLOT.pack(_MAGIC, slot.epoch, slot.pid, slot.host, slot.started.encode())
    body = fixed.ljust(_SLOT_BYTES - _CRC.size, b"\0")
    return body + _CRC.pack(crc32(body))


def _decode(block: bytes) -> _Slot | None:
    body, crc = block[: -_CRC.size], block[-_CRC.size :]
    if len(block) != _SLOT_BYTES or not body.startswith(_MAGIC) or _CRC.pack(crc32(body)) != crc:
        return None
    _, epoch, pid, host, started = _SLOT.unpack_from(body)
    return _Slot(epoch, pid, host, started.rstrip(b"\0").decode())


def number(content: bytes) -> int | None:
    """Return the newest epoch that an epoch file's content tells; None when it can't be told."""
    newest = _newest(content)
    return None if newest is None else newest.epoch


def _newest(content: bytes) -> _Slot | None:
    slots = (_decode(slot) for slot in _slots(content))
    return max((slot for slot in slots if slot), default=None)


def _slots(content: bytes) -> tuple[bytes, bytes]:
    return content[:_SLOT_BYTES], content[_SLOT_BYTES:]
