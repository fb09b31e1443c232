"""Disks that fail or fill up while the process lives on."""

from __future__ import annotations

import errno
import sqlite3
from typing import TYPE_CHECKING

from raydo.pipelining.errors import ActivationBroken, StorageFull

if TYPE_CHECKING:
    from sim.world import World


def heal(world: World) -> None:
    """Let everything work again."""
    world.disk.failures.clear()
    world.disk.room = None
    world.disk.on_step = lambda label: None
    world.files.fail_commit = None
    if world.full:
        world.files.limit_pages(None)
    world.full = world.model.reads_need_room = False


def failing_disk(world: World) -> None:
    """Let an operation fail with EIO: whoever was answered was answered rightly."""
    names = ("sync", "sync", "write", "rename", "create", "preallocate")
    operation = world.random.choice(names)
    world.trace.append(f"EIO on {operation}")
    world.disk.fail(operation, *[0] * world.random.randrange(3), errno.EIO)
    _until_broken(world)


def failing_commit(world: World) -> None:
    """Let SQLite's sync fail, after it has written all that it had to."""
    world.trace.append("EIO on commit")
    world.files.fail_commit = sqlite3.SQLITE_IOERR_FSYNC
    _until_broken(world)


def full_disk(world: World) -> None:
    """Leave no room, or nearly none, for the log and the files of ids."""
    world.full = True
    world.disk.room = world.random.choice((0, 100, 2_000, 20_000))
    world.trace.append(f"{world.disk.room} bytes left")
    if world.random.random() < 0.5:
        operation = world.random.choice(("write", "write", "sync", "create", "preallocate"))
        world.disk.fail(operation, *[0] * world.random.randrange(2), errno.ENOSPC)
    _without_room(world)


def full_database(world: World) -> None:
    """Leave no room for the database: for a commit, or for further pages."""
    world.full = True
    if world.random.random() < 0.5:
        world.trace.append("no room for a commit")
        world.files.fail_commit = sqlite3.SQLITE_FULL
    else:
        pages = world.random.choice((0, 0, 1, 3))
        world.trace.append(f"{pages} pages left")
        world.files.limit_pages(pages)
        world.model.reads_need_room = True
    _without_room(world)


def perhaps_write(world: World) -> None:
    """Write nothing, or to the log, or past it: what is void since then must stay so."""
    chance = world.random.random()
    if chance < 0.35:
        world.send_calls(world.traffic.past_the_log())
    elif chance < 0.7:
        world.send_calls(world.traffic.sure())


def _until_broken(world: World) -> None:
    try:
        for _ in range(3):
            world.send(world.frames(2))
        world.activation.drain()
        world.fire()
    except ActivationBroken:
        world.reopen()
    heal(world)


def _without_room(world: World) -> None:
    """Go on with a full disk: reads are answered, and all is well once there is room."""
    for _ in range(world.random.randrange(1, 6)):
        try:
            if world.random.random() < 0.2:
                world.activation.drain()
            else:
                world.send(world.frames(world.random.choice((1, 2, 3))))
        except StorageFull:
            if world.activation.broken:
                world.reopen()
                break
    heal(world)
    if world.void and world.random.random() < 0.5:
        perhaps_write(world)
        world.disk.crash()


ALL = (None, failing_disk, failing_commit, full_disk, full_database)  # None: it only sleeps
