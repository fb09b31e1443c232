"""The real server as a process: started, killed and started again; and the processes of its hosts.

A host is found by the files that it holds open: whoever has a file of the tenant's folder open is
the tenant's process, whatever Ray calls it at that moment. The folder is this run's own, and only
processes of sessions that this run started are looked at, so nobody else can be hit.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import httpx

from raydo.actors.claim import FOLDER

READY_S_MAX = 180.0
STOP_S_MAX = 60.0
LEAVE_S_MAX = 5.0  # Ray's agents would take a minute to notice that their raylet is gone
PROC = Path("/proc")


class Process(NamedTuple):
    """A process; the moment it started tells it from a later one with the same pid."""

    pid: int
    started: str


class Server:
    """`raydo serve` for one data folder, on one port for the whole run."""

    def __init__(
        self,
        data: Path,
        work: Path,
        options: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.data = data
        self.log = work / "server.log"
        self.sessions = {os.getsid(0)}  # where hosts of a Ray that was there before would be
        self._port = _free_port()
        self._options = options
        self._environ = {**os.environ, **(environ or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it as the README does, in a session of its own."""
        raydo = Path(sys.executable).with_name("raydo")
        command = [str(raydo), "serve", "--port", str(self._port), "--data", str(self.data)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *self._options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ,
                start_new_session=True,
            )
        self.sessions.add(self._process.pid)

    async def ready(self) -> None:
        """Wait until it takes requests.

        Raises:
            RuntimeError: it ended, or is not ready in time.
        """
        assert self._process is not None
        deadline = time.monotonic() + READY_S_MAX
        async with httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
            while time.monotonic() < deadline:
                if (code := self._process.poll()) is not None:
                    raise RuntimeError(f"the server ended with {code}: {self.tail()}")
                with suppress(httpx.TransportError):
                    if (await client.get(f"{self.url}/readyz")).status_code == 200:
                        return
                await asyncio.sleep(0.05)
        raise RuntimeError(f"the server is not ready after {READY_S_MAX:.0f} s: {self.tail()}")

    def kill(self) -> Process:
        """Kill it, and nothing else; return which process that was."""
        assert self._process is not None
        process, self._process = self._process, None
        killed = Process(process.pid, _stat(process.pid)[1])
        process.kill()
        process.wait()
        return killed

    async def stop(self) -> None:
        """Stop it as Ctrl-C does.

        Raises:
            RuntimeError: it did not end in time.
        """
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        try:
            code = await asyncio.to_thread(self._process.wait, STOP_S_MAX)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"the server did not stop: {self.tail()}") from None
        self._process = None
        if code:
            raise RuntimeError(f"the server stopped with {code}: {self.tail()}")

    async def sweep(self) -> int:
        """End the server if it runs, and what its sessions leave behind; count the latter."""
        if self._process is not None:
            self.kill()
        own = self.sessions - {os.getsid(0)}
        deadline = time.monotonic() + LEAVE_S_MAX
        while (left := list(_processes(own))) and time.monotonic() < deadline:  # noqa: ASYNC110 - other processes set no event here
            await asyncio.sleep(0.2)
        return sum(end(process) for process in left)

    def hosts(self, folder: Path) -> list[Process]:
        """Find the processes that have a tenant's folder open."""
        return self._holders(f"{folder}/")

    def processes(self) -> set[Process]:
        """Find the processes that hold the data folder; a host does before it opens its tenant."""
        return set(self._holders(f"{self.data / FOLDER}/"))

    def _holders(self, prefix: str) -> list[Process]:
        return [process for process in _processes(self.sessions) if _holds(process.pid, prefix)]

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-2_000:]


def end(process: Process) -> bool:
    """Kill a process if it is still the same one; tell whether."""
    try:
        descriptor = os.pidfd_open(process.pid)  # before the check: no newcomer can be hit
    except ProcessLookupError:
        return False
    try:
        if _stat(process.pid)[1] != process.started:
            return False
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def _processes(sessions: Collection[int]) -> Iterator[Process]:
    for entry in PROC.iterdir():
        if entry.name.isdecimal() and (pid := int(entry.name)) != os.getpid():
            session, started = _stat(pid)
            if session in sessions:
                yield Process(pid, started)


def _stat(pid: int) -> tuple[int, str]:
    """Read a process's session and start; a session of -1 is none."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return -1, ""
    state, session, started = fields[0], int(fields[3]), fields[19]
    return (-1 if state in "ZX" else session), started


def _holds(pid: int, prefix: str) -> bool:
    with suppress(OSError):  # it ended meanwhile
        for entry in (PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):  # it was closed meanwhile
                if str(entry.readlink()).startswith(prefix):
                    return True
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
