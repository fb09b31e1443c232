"""Other processes of this machine: whether one still lives, and its end.

A pid alone names nobody, since the system gives it anew; a pid and the moment that its process
started do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from raydo.pipelining.limits import FENCE_PAUSE_S


class Processes(Protocol):
    """Look at processes and end them."""

    def me(self) -> int: ...

    def started(self, pid: int) -> str | None:
        """Return a text that no other process of this pid shares; None when there is none."""
        ...

    def end(self, pid: int, started: str) -> None:
        """Kill the process if it is the one that started then; PermissionError if we may not."""

    def pause(self) -> None:
        """Give a dying process a moment."""


class OsProcesses:
    """The operating system's processes."""

    def me(self) -> int:
        return os.getpid()

    def started(self, pid: int) -> str | None:
        if sys.platform == "linux":
            return _started_by_proc(pid)
        else:  # noqa: RET505 - mypy leaves out a branch of another platform, not what follows it
            return _started_by_ps(pid)

    def end(self, pid: int, started: str) -> None:
        with suppress(ProcessLookupError):
            if sys.platform == "linux":
                # Opened before the check: then the signal can't hit a newcomer with the same pid.
                descriptor = os.pidfd_open(pid)
                try:
                    if self.started(pid) == started:
                        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                finally:
                    os.close(descriptor)
            elif self.started(pid) == started:
                os.kill(pid, signal.SIGKILL)

    def pause(self) -> None:
        time.sleep(FENCE_PAUSE_S)


def _started_by_proc(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in brackets may hold anything; the start, in ticks since the boot, is the 20th after.
    return f"{boot} {stat.rpartition(')')[2].split()[19]}"


def _started_by_ps(pid: int) -> str | None:
    command = ["/bin/ps", "-o", "lstart=", "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words and a number
    return done.stdout.strip() or None


def running(pid: int) -> bool:
    """Tell whether there is such a process, be it somebody else's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, but it runs
    return True


if TYPE_CHECKING:
    _conforms: Processes = OsProcesses()
