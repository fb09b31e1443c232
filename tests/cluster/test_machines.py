"""Several machines that serve together: each has its tenants, and everybody reaches all of them."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import httpx
import pytest
from support.machines import CLUSTER, IPS, LOOPBACK

pytestmark = [pytest.mark.ray, pytest.mark.slow]

TENANTS = tuple(f"t{number}" for number in range(4))
ROOT = Path(__file__).parents[1]
GUEST = """
import sys, raydo
with raydo.connect(ray=sys.argv[1], cluster=sys.argv[2]):
    print([raydo.wait(raydo.Analytics(tenant).stats()["events"]["First"]) for tenant in sys.argv[3:]])
"""


def environment() -> dict[str, str]:
    return os.environ | LOOPBACK | {"PYTHONPATH": str(ROOT), "RAY_worker_niceness": "0"}


@contextlib.contextmanager
def process(*arguments: str, log: Path) -> Iterator[subprocess.Popen[str]]:
    with log.open("w") as errors:
        command = [sys.executable, "-m", "support.machines", *arguments]
        pipes: dict[str, int | IO[str]] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(
            command, env=environment(), text=True, stderr=errors, **pipes
        ) as started:  # type: ignore[call-overload]
            try:
                yield started
            finally:
                if arguments:
                    started.terminate()
                else:
                    started.stdin.close()


@contextlib.contextmanager
def gateway(address: str, machine: int, folder: Path) -> Iterator[httpx.Client]:
    """Start a machine's gateway; give a client once it is ready."""
    log = folder / f"gateway-{machine}.log"
    with process(address, IPS[machine], str(folder / f"data-{machine}"), log=log) as started:
        deadline = time.monotonic() + 90
        while not (page := re.search(r"Page +(\S+)", log.read_text())):
            assert started.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        with httpx.Client(base_url=page[1], timeout=60) as client:
            yield client


@pytest.fixture
def ray(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with process(log=tmp_path / "ray.log") as started:
        yield started


def tell(ray: subprocess.Popen[str], word: str) -> None:
    assert ray.stdin is not None
    assert ray.stdout is not None
    ray.stdin.write(f"{word}\n")
    ray.stdin.flush()
    assert ray.stdout.readline() == f"{word}\n"


def events(client: httpx.Client, tenant: str) -> httpx.Response:
    return client.get("/stats", headers={"X-Tenant": tenant})


def once_noticed(client: httpx.Client, tenant: str) -> httpx.Response:
    """Ask until Ray has noticed that the machine is gone; till then other retryable errors come."""
    deadline = time.monotonic() + 60
    while True:
        reply = events(client, tenant)
        if reply.json().get("code") == "node_down" or time.monotonic() > deadline:
            return reply
        assert reply.status_code in {200, 503, 504}, reply.text
        time.sleep(0.1)


def track(client: httpx.Client, tenant: str) -> None:
    reply = client.post("/track", headers={"X-Tenant": tenant}, json={"event": "First"})
    assert reply.status_code == 200, reply.text


def test_a_tenant_is_served_where_its_folder_is_and_waits_for_its_machine(
    ray: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert ray.stdout is not None
    address = ray.stdout.readline().strip()
    with gateway(address, 0, tmp_path) as one:
        with gateway(address, 1, tmp_path) as two:
            for tenant in TENANTS:
                track(one, tenant)
            for client in (one, two):
                for tenant in TENANTS:
                    assert events(client, tenant).json()["events"] == {"First": 1}
            folders = [len([*(tmp_path / f"data-{n}" / "Analytics").iterdir()]) for n in (0, 1)]
            assert folders == [2, 2]
            rows = two.get("/admin/tenants").json()["tenants"]
            nodes = {row["tenant"]: row["node"] for row in rows}
            assert sorted(nodes) == sorted(TENANTS)
            assert len(set(nodes.values())) == 2
            guest = subprocess.run(
                [sys.executable, "-c", GUEST, address, CLUSTER, *TENANTS],
                env=environment(), capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            assert guest.stdout == "[1, 1, 1, 1]\n", guest.stderr

        tell(ray, "down")
        here = [row["tenant"] for row in rows if row["node"] == nodes[first_of(tmp_path, 0)]]
        for tenant in TENANTS:
            if tenant in here:
                assert events(one, tenant).json()["events"] == {"First": 1}
            else:
                reply = once_noticed(one, tenant)
                assert (reply.status_code, reply.json()["code"]) == (503, "node_down")
                assert int(reply.headers["Retry-After"]) > 0
        states = {
            row["tenant"]: row["state"] for row in one.get("/admin/tenants").json()["tenants"]
        }
        assert [tenant for tenant in TENANTS if states[tenant] != "unreachable"] == here
        track(one, "new")

        tell(ray, "up")
        with gateway(address, 1, tmp_path) as two:
            for tenant in TENANTS:
                assert events(one, tenant).json()["events"] == {"First": 1}
                track(two, tenant)
                assert events(one, tenant).json()["events"] == {"First": 2}


def first_of(folder: Path, machine: int) -> str:
    """Name a tenant whose folder a machine has."""
    homes = sorted((folder / f"data-{machine}" / "Analytics").iterdir())
    return (homes[0] / "id").read_text()
