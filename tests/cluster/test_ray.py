"""Real Ray: hosts that die, processes that join, folders that are shared or not."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.place import fresh, opened

from raydo.actors import cluster
from raydo.actors.claim import FOLDER, Claim, server_of
from raydo.actors.finder import RayFinder
from raydo.actors.place import machine, socket_folder
from raydo.actors.pool import stop_hosts
from raydo.actors.settings import Settings
from raydo.actors.site import Site, alone
from raydo.pipelining.errors import DataInUse, InvalidArgument
from raydo.pipelining.noun import Noun

pytestmark = pytest.mark.ray


def finder_of(settings: Settings) -> RayFinder:
    """Make one for a runtime whose Ray is there."""

    async def attached() -> Site:
        return alone(settings.data.resolve(), machine())

    return RayFinder(settings, attached)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - another process sets no event here
            await asyncio.sleep(0.01)


async def host_pid(settings: Settings, tenant: str) -> int:
    finder = finder_of(settings)
    counts = await finder.counts(Noun("Analytics", tenant))
    await finder.close()
    return counts["pid"]


async def test_a_killed_host_comes_back_with_everything_that_was_acknowledged(
    ray_settings: Settings,
) -> None:
    tenant = fresh()
    async with opened(ray_settings, on_ray=True) as place:
        acme = place.analytics(tenant)
        await asyncio.gather(*(acme.track("Kept") for _ in range(100)))
        before = await host_pid(ray_settings, tenant)

        os.kill(before, signal.SIGKILL)

        assert (await acme.stats())["events"] == {"Kept": 100}
        assert await host_pid(ray_settings, tenant) != before


async def test_a_host_killed_while_casts_arrive_loses_and_doubles_none(
    ray_settings: Settings,
) -> None:
    tenant = fresh()
    async with opened(ray_settings, on_ray=True) as place:
        acme = place.analytics(tenant)
        await acme.track("First")
        pid = await host_pid(ray_settings, tenant)
        for index in range(2_000):
            acme.track("Sent", {"index": index})
            if index == 1_000:
                await asyncio.sleep(0)
                os.kill(pid, signal.SIGKILL)
        await place.connection.flush()

        assert (await acme.stats())["events"] == {"First": 1, "Sent": 2_000}
        assert place.errors == []


async def test_a_hosts_process_names_its_tenant_and_runs_like_any_other(
    ray_settings: Settings,
) -> None:
    tenant = fresh("acme/eu")
    async with opened(ray_settings, on_ray=True) as place:
        await place.analytics(tenant).stats()
        pid = await host_pid(ray_settings, tenant)
        title = Path(f"/proc/{pid}/cmdline")
        if not title.exists():
            pytest.skip("no /proc on this system")

        await until(lambda: tenant.encode() in title.read_bytes())
        assert os.getpriority(os.PRIO_PROCESS, pid) == 0


JOINER = """
import sys, raydo
with raydo.connect(data=sys.argv[1], ray="local"):
    acme = raydo.Analytics(sys.argv[2])
    acme.track("FromElsewhere")
    print(sorted(raydo.wait(acme.stats())["events"].items()))
"""


@pytest.mark.slow
async def test_another_process_joins_and_leaves_without_stopping_anything(
    ray_settings: Settings,
) -> None:
    tenant = fresh()
    async with opened(ray_settings, on_ray=True) as place:
        acme = place.analytics(tenant)
        await acme.track("FromHere")

        command = [sys.executable, "-c", JOINER, str(ray_settings.data), tenant]
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=120, check=False
        )

        assert done.stdout == "[('FromElsewhere', 1), ('FromHere', 1)]\n", done.stderr
        await acme.track("FromHere")
        assert (await acme.stats())["events"]["FromHere"] == 2


EMBEDDED = """
import sys, raydo
try:
    raydo.connect(data=sys.argv[1]).start()
except raydo.DataInUse as error:
    print(error)
"""


def test_embedded_is_refused_where_ray_serves_and_told_what_to_do(ray_settings: Settings) -> None:
    command = [sys.executable, "-c", EMBEDDED, str(ray_settings.data)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    assert f"in use by process {os.getpid()} (ray, Ray at 127.0.0.1:" in done.stdout
    assert "join it by `raydo.connect()`" in done.stdout


@pytest.mark.slow
async def test_closing_a_folder_ends_its_hosts_and_no_others(
    ray_settings: Settings, tmp_path: Path
) -> None:
    tenant = fresh()
    async with opened(ray_settings, on_ray=True) as kept:
        await kept.analytics(tenant).track("Kept")
        own = replace(ray_settings, data=tmp_path / "data")
        async with opened(own, on_ray=True) as place:
            await place.analytics(tenant).track("Closed")
            pid = await host_pid(own, tenant)

        await until(lambda: not _runs(pid))
        assert (await kept.analytics(tenant).stats())["events"] == {"Kept": 1}
    async with opened(own, on_ray=False) as place:
        assert (await place.analytics(tenant).stats())["events"] == {"Closed": 1}


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_ray_listens_on_this_machine_only_and_asks_for_a_token_of_this_folder(
    ray_settings: Settings,
) -> None:
    here = cluster.current()
    assert here is not None
    assert here.address.startswith("127.0.0.1:")

    token = ray_settings.data / FOLDER / "token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert stat.S_IMODE(socket_folder(ray_settings.data).stat().st_mode) == 0o700
    assert not any(name.startswith("RAY_AUTH") for name in os.environ)


STRANGER = """
import logging, sys, ray
ray.init(address=sys.argv[1], logging_level=logging.CRITICAL)
"""


@pytest.mark.slow
def test_a_process_without_the_token_is_not_let_in(ray_settings: Settings) -> None:
    server = server_of(ray_settings.data)
    assert server is not None
    assert server.address is not None
    environ = {
        **os.environ,
        "HOME": "/nonexistent",  # where Ray would look for a token of this user's
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_NUM_REDIS_GET_RETRIES": "1",
    }

    done = subprocess.run(
        [sys.executable, "-c", STRANGER, server.address],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode != 0
    assert "connect to Ray cluster" in done.stderr or "Authentication" in done.stderr


@pytest.mark.slow
async def test_a_host_that_cannot_open_says_why_instead_of_hanging(
    ray_settings: Settings, tmp_path: Path
) -> None:
    finder = finder_of(replace(ray_settings, data=tmp_path, objects=("no_such_module",)))

    with pytest.raises(InvalidArgument, match="no_such_module"):
        await finder.find(Noun("Analytics", fresh()))
    await finder.close()
    await asyncio.to_thread(stop_hosts, alone(tmp_path))


async def test_a_second_connection_in_this_process_shares_its_ray(ray_settings: Settings) -> None:
    tenant = fresh()
    async with (
        opened(ray_settings, on_ray=True) as one,
        opened(ray_settings, on_ray=True) as two,
    ):
        await one.analytics(tenant).track("PageView")

        assert (await two.analytics(tenant).stats())["events"] == {"PageView": 1}


def test_the_folder_stays_claimed_while_ray_serves_it(ray_settings: Settings) -> None:
    with pytest.raises(DataInUse):
        Claim.alone(ray_settings.data, "embedded")
    Claim.shared(ray_settings.data).release()
