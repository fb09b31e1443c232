"""Node and the packages of `tests/clients`: there, or the reason why not."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from importlib.util import find_spec
from pathlib import Path

import pytest
import uvicorn
from starlette.types import ASGIApp

CLIENTS = Path(__file__).parents[1] / "clients"


def missing(what: str) -> None:
    """Skip, since this machine lacks something; where everything has to be tested, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}; with CI=true the clients' tests have to run.")
    pytest.skip(what)


def node() -> str:
    """Find node, and make sure that the clients' packages are installed, as the lock file has them."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found is None or npm is None:
        missing("node and npm are not installed")
    if find_spec("websockets") is None:
        missing("the package websockets is not installed, so the server takes no WebSockets")
    assert found is not None
    assert npm is not None
    with (CLIENTS / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may get here at once
        stamp = CLIENTS / "node_modules" / ".package-lock.json"
        if not stamp.exists() or stamp.stat().st_mtime < Path(lock.name).stat().st_mtime:
            done = subprocess.run(
                [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
                cwd=CLIENTS, capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            if done.returncode:
                missing(f"npm ci failed: {done.stderr[-500:]}")
            stamp.touch()
    return found


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an application on a port of this machine, and give its address."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        config = uvicorn.Config(
            app, http="httptools", ws="websockets-sansio", lifespan="off", log_config=None,
            access_log=False, timeout_graceful_shutdown=2,
        )  # fmt: skip
        server = uvicorn.Server(config)
        server.capture_signals = nothing  # type: ignore[method-assign, assignment]
        task = asyncio.create_task(server.serve(sockets=[listener]))
        host, port = listener.getsockname()
        try:
            yield f"{host}:{port}"
        finally:
            server.should_exit = True
            await task


class nothing:  # noqa: N801  # stands where a context manager is called for
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


async def run_node(script: str, *args: str, timeout_s: float = 60) -> str:
    """Run a script of `tests/clients`, and give what it printed."""
    process = await asyncio.create_subprocess_exec(
        node(), str(CLIENTS / script), *args,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(timeout_s):
            out, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        out, errors = await process.communicate()
        pytest.fail(f"{script} did not end: {out.decode()} {errors.decode()}")
    assert process.returncode == 0, errors.decode()
    return out.decode()
