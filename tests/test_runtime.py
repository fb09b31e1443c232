"""`connect`: what each form of it means, and objects in this process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

import raydo
from raydo import Analytics
from raydo.actors.claim import FOLDER
from raydo.actors.clock import FakeClock
from raydo.actors.runtime import connect, serve_runtime
from raydo.actors.settings import Settings
from raydo.pipelining.errors import (
    ConnectionLost,
    DataInUse,
    InvalidArgument,
    NotConnected,
)


async def test_an_embedded_connection_works_in_a_running_loop(tmp_path: Path) -> None:
    async with connect(data=tmp_path):
        acme = Analytics("acme")
        acme.track("PageView", {"userId": "alice"})

        assert await acme.get_dau(7)[0]["dau"] == 1


def test_an_embedded_connection_works_in_synchronous_code(tmp_path: Path) -> None:
    with connect(data=str(tmp_path)) as connection:
        acme = connection.Analytics("acme")
        acme.track("PageView", {"userId": "alice"})

        assert raydo.wait(acme.get_dau(7)[0]["dau"], timeout_s=30) == 1


async def test_a_notebook_connects_by_await_and_closes_later(tmp_path: Path) -> None:
    connection = await connect(data=tmp_path)

    await Analytics("acme").track("PageView")
    await connection.close()

    with pytest.raises(NotConnected):
        Analytics("acme").track("PageView")


def test_two_folders_can_be_open_at_once(tmp_path: Path) -> None:
    with connect(data=tmp_path / "one") as one, connect(data=tmp_path / "two") as two:
        raydo.wait(one.Analytics("acme").track("PageView"))

        assert raydo.wait(two.Analytics("acme").stats())["events"] == {}
        assert raydo.wait(one.Analytics("acme").stats())["events"] == {"PageView": 1}


def test_a_folder_that_is_open_already_is_refused_and_free_after_closing(tmp_path: Path) -> None:
    with (
        connect(data=tmp_path),
        pytest.raises(DataInUse, match="already open in this process"),
        connect(data=tmp_path),
    ):
        pass

    with connect(data=tmp_path) as again:
        assert raydo.wait(again.Analytics("acme").stats())["events"] == {}


async def test_closing_gives_the_folder_up_even_when_casts_still_wait(tmp_path: Path) -> None:
    async with connect(data=tmp_path) as connection:
        for _ in range(100):
            connection.Analytics("acme").track("PageView")

    async with connect(data=tmp_path) as connection:
        assert (await connection.Analytics("acme").stats())["events"] == {"PageView": 100}


async def test_embedded_objects_can_live_in_another_time(tmp_path: Path) -> None:
    clock = FakeClock()
    async with connect(data=tmp_path, clock=clock) as connection:
        acme = connection.Analytics("acme")
        await acme.track("PageView", {"userId": "alice"})
        clock.advance(days=1)

        assert await acme.get_dau(2).map(lambda row: row["dau"]) == [0, 1]


async def test_objects_are_named_by_module_by_class_or_by_the_module_itself(
    tmp_path: Path,
) -> None:
    from support import jar

    for index, given in enumerate(("support.jar", jar, jar.Jar)):
        async with connect(data=tmp_path / str(index), objects=[given]) as connection:
            connection.Jar("acme").put("mint")
            assert await connection.Jar("acme").names() == ["mint"]


def test_a_forgotten_close_still_delivers_what_was_queued(tmp_path: Path) -> None:
    script = (
        "import sys, raydo\n"
        "connection = raydo.connect(data=sys.argv[1]).start()\n"
        "for _ in range(100): raydo.Analytics('acme').track('PageView')\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=60)

    with connect(data=tmp_path) as connection:
        stats = raydo.wait(connection.Analytics("acme").stats())
    assert stats["events"] == {"PageView": 100}


def test_a_client_of_a_gateway_loads_nothing_of_the_server() -> None:
    script = (
        "import sys, raydo\n"
        "raydo.connect('http://127.0.0.1:9')\n"
        "heavy = {'ray', 'pyarrow', 'msgspec', 'sqlite_utils', 'fastapi', 'uvloop'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_an_embedded_runtime_does_not_load_ray(tmp_path: Path) -> None:
    script = (
        "import sys, raydo\n"
        "with raydo.connect(data=sys.argv[1]):\n"
        "    raydo.wait(raydo.Analytics('acme').track('PageView'))\n"
        "sys.exit('ray' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=60)


@pytest.mark.parametrize(
    "arguments",
    [
        {"target": "http://127.0.0.1:8000", "data": "data"},
        {"target": "http://127.0.0.1:8000", "ray": "auto"},
        {"target": "http://127.0.0.1:8000", "clock": FakeClock()},
        {"key": "secret"},
        {"ray": "auto", "clock": FakeClock()},
    ],
)
def test_contradictory_arguments_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        connect(**arguments)  # type: ignore[arg-type]


async def test_a_ray_that_is_not_there_is_said_so_and_nothing_is_held(tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost, match=r"No Ray answers at 127\.0\.0\.1:9"):
        await connect(ray="127.0.0.1:9", data=tmp_path)

    async with connect(data=tmp_path):
        pass


async def test_the_folder_and_what_is_in_it_belong_to_this_user_alone(tmp_path: Path) -> None:
    async with connect(data=tmp_path / "deep" / "data"):
        assert (tmp_path / "deep" / "data" / FOLDER).stat().st_mode & 0o077 == 0


async def test_a_gateway_opens_its_runtime_by_its_settings(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, objects=("support.jar",))

    connection, runtime = await serve_runtime(settings, embedded=True)

    assert await connection.Jar("acme").names() == []
    assert runtime.dashboard_url is None
    with pytest.raises(DataInUse):
        await serve_runtime(settings, embedded=True)
    await connection.close()


async def test_a_cancelled_open_leaves_the_folder_free(tmp_path: Path) -> None:
    opening = asyncio.create_task(connect(data=tmp_path).open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening

    async with connect(data=tmp_path):
        pass


async def test_ray_is_not_started_for_a_folder_that_is_in_use(tmp_path: Path) -> None:
    async with connect(data=tmp_path):
        with pytest.raises(DataInUse, match="already open in this process"):
            await connect(data=tmp_path, ray="local")


def test_ray_is_not_started_for_a_folder_of_another_process(tmp_path: Path) -> None:
    script = (
        "import sys, raydo\n"
        "with raydo.connect(data=sys.argv[1]):\n"
        "    print('open', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"

        with (
            pytest.raises(
                DataInUse, match=rf"process {process.pid} \(embedded\): end that process"
            ),
            connect(data=tmp_path, ray="local"),
        ):
            pass
        process.communicate("")
