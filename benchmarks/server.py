"""Start the real server on a free port with an empty data folder, and end it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

READY_S = 90.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Serving(NamedTuple):
    """A server that runs."""

    url: str
    pid: int
    data: Path


@contextmanager
def serving(*options: str) -> Iterator[str]:
    """Run `raydo serve` with `options` and yield its address once `/readyz` answers 200."""
    with running(*options) as server:
        yield server.url


@contextmanager
def running(*options: str) -> Iterator[Serving]:
    """Do the same, and tell its process and folder too."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("raydo")), "serve", "--port", str(port)]
    with tempfile.TemporaryDirectory(prefix="raydo-bench-") as data:
        process = subprocess.Popen(
            [*command, "--data", data, *options],
            stdout=subprocess.DEVNULL,
            env={**os.environ, "RAYDO_DATA": data},
        )
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(f"{url}/readyz", process)
            yield Serving(url, process.pid, Path(data))
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(45)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_until(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return once `url` answers.

    Raises:
        RuntimeError: the server ended, or it takes too long.
    """
    end_s = time.monotonic() + READY_S
    while time.monotonic() < end_s:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with code {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"no server at {url} within {READY_S:.0f} s")
