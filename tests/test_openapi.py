"""schemathesis reads what the server says of itself, and tries to make it fail."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest
from crash.server import Server

EXAMPLES = 10  # of each operation, in each phase
WAIT_S = 400.0


@pytest.mark.slow
async def test_nothing_that_the_documentation_invites_makes_the_server_fail(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", tmp_path, ["--embedded"])
    try:
        server.start()
        await server.ready()
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("st")), "run", f"{server.url}/openapi.json",
            "--checks", "not_a_server_error", "--phases", "examples,coverage,fuzzing",
            "--mode", "all", "--max-examples", str(EXAMPLES), "--seed", "7",
            "--generation-deterministic",
            "--suppress-health-check", "all", "--warnings", "off", "--continue-on-failure",
            "--request-timeout", "60", "--no-color",
            cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(WAIT_S):
            said = (await process.communicate())[0].decode()
        assert process.returncode == 0, said[-8_000:]
        told = re.search(r"Selected: (\d+)/(\d+)\s+Tested: (\d+)", said)
        assert told
        assert len(set(told.groups())) == 1, "some operations were not tried"
        await server.stop()
    finally:
        await server.sweep()
