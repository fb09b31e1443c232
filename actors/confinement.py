"""What the kernel lets a process that answers queries do, whatever a query made of it.

A process may write below the data folder alone (SQLite's readers share a small file there with its
writer), start no program, signal nobody, and connect nowhere unless the archive is elsewhere. The
thread that works on the archive may write nowhere at all: its threads inherit that. Linux has had
this since 5.13, as Landlock; without it the other guards stand alone. Everywhere memory, time and
priority are bounded.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sqlite3
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

from raydo.pipelining.limits import (
    QUERY_GRACE_S,
    QUERY_MEMORY_BYTES,
    QUERY_NICENESS,
    QUERY_SPARE_S,
    QUERY_SQLITE_BYTES,
)

# Numbers of the kernel's interface, the same on every architecture.
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_ASK_VERSION: Final = 1
_BENEATH_PATH: Final = 1
_NO_NEW_PRIVILEGES: Final = 38

_AUTOGROUP: Final = Path("/proc/self/autogroup")

_EXECUTE: Final = 1 << 0
_WRITE_FILE: Final = 1 << 1
_REMOVE_FILE: Final = 1 << 5
_MAKE_FILE: Final = 1 << 8
_REFER: Final = 1 << 13  # from version 2 on
_TRUNCATE: Final = 1 << 14  # 3
_ALL_WRITES: Final = _WRITE_FILE | sum(1 << bit for bit in range(4, 13))
_CONNECTIONS: Final = 0b11  # 4: bind and connect, of TCP
_SCOPES: Final = 0b11  # 6: abstract sockets and signals, to outside


def confine_process(folder: Path, *, network: bool) -> bool:
    """Confine this process for good; tell whether the kernel helps.

    Call it while there is one thread.
    """
    os.nice(QUERY_NICENESS)
    with suppress(OSError):  # Linux shares cores out by session first, and this has one to itself
        _AUTOGROUP.write_text(str(QUERY_NICENESS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit_sqlite()
    return _restrict(folder, network=network)


def confine_thread() -> bool:
    """Let this thread, and those that it starts, write nowhere."""
    return _restrict(None, network=True)


def limit_memory() -> None:
    """Let the process grow by QUERY_MEMORY_BYTES from here on, and no further."""
    used = _used_bytes()
    if used is not None:
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (used + QUERY_MEMORY_BYTES, most))


def limit_time(seconds: float) -> None:
    """Let the kernel end the process after its deadline, if whoever should have is gone."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    late = seconds + QUERY_GRACE_S + QUERY_SPARE_S if seconds else 0
    signal.setitimer(signal.ITIMER_REAL, late)


def _limit_sqlite() -> None:
    connection = sqlite3.connect(":memory:")
    with suppress(sqlite3.Error):
        connection.execute(f"PRAGMA hard_heap_limit={QUERY_SQLITE_BYTES}")
    connection.close()


def _used_bytes() -> int | None:
    """Return how much memory the limit counts already, where the kernel tells."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return None


def _restrict(folder: Path | None, *, network: bool) -> bool:
    """Take away from this thread what it need not do; `folder` None is no writing anywhere."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "prctl"):
        return False
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)
    if version < 1:
        return False
    files = _EXECUTE | _ALL_WRITES | (_REFER if version >= 2 else 0)
    files |= _TRUNCATE if version >= 3 else 0
    connections = _CONNECTIONS if version >= 4 and not network else 0
    scopes = _SCOPES if version >= 6 else 0
    wanted = struct.pack("=QQQ", files, connections, scopes)
    wanted = wanted[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = libc.syscall(_CREATE_RULESET, wanted, ctypes.c_size_t(len(wanted)), 0)
    if ruleset < 0:
        return False
    try:
        if folder is not None:
            _allow(libc, ruleset, folder, files & (_ALL_WRITES_OF_A_READER | _TRUNCATE))
        libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        return bool(libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


# SQLite makes, fills and removes the file that its readers and writers share.
_ALL_WRITES_OF_A_READER: Final = _WRITE_FILE | _REMOVE_FILE | _MAKE_FILE


def _allow(libc: ctypes.CDLL, ruleset: int, folder: Path, rights: int) -> None:
    place = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", rights, place)
        libc.syscall(_ADD_RULE, ruleset, _BENEATH_PATH, rule, 0)
    finally:
        os.close(place)
