"""The directory with real hosts in this process, and no Ray around them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from raydo.actors.address import Address, Sockets
from raydo.actors.courier import Courier
from raydo.actors.directory import Directory
from raydo.actors.errand import errand
from raydo.actors.host import Host
from raydo.actors.line import Line
from raydo.actors.place import sweep_sockets
from raydo.actors.pool import Started
from raydo.actors.settings import Settings
from raydo.actors.site import alone
from raydo.pipelining.codec import unpack
from raydo.pipelining.errors import Confined, ConnectionLost, InvalidArgument
from raydo.pipelining.frame import Call, Entry, Program, Reply, decode_answers, encode_envelope
from raydo.pipelining.limits import OFFENCES_MAX
from raydo.pipelining.noun import Noun


def jar(number: int) -> Noun:
    return Noun("Jar", f"t{number}")


class LocalPool:
    """Hosts that are objects of this process, which a test can end as a kill would."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.hosts: dict[str, Host] = {}
        self.sockets: dict[str, Sockets] = {}
        self.started = 0
        self.failure: Exception | None = None

    async def start(self) -> Started:
        if self.failure is not None:
            raise self.failure
        self.started += 1
        name = f"host-{self.started}"
        host = self.hosts[name] = Host(self.settings, alone(self.settings.data), name)
        self.sockets[name] = await host.where()
        return Started(name, self.sockets[name])

    async def running(self) -> list[Started]:
        return [Started(name, self.sockets[name]) for name in self.hosts]

    async def end(self, name: str) -> None:
        if (host := self.hosts.pop(name, None)) is not None:
            await host.close()

    async def kill(self, name: str) -> None:
        """Break a host's connections, and let go of its tenants as its end would."""
        host = self.hosts[name]
        assert host._listener is not None
        assert host._residents is not None
        await host._residents.crash()
        for caller in list(host._listener.callers):
            caller.abort()


class Town:
    """A directory, its hosts, and a courier who asks it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.pool = LocalPool(settings)
        self.directory = Directory(settings, alone(settings.data), pool=self.pool)
        self.courier = Courier(self)
        self.line: Line | None = None

    async def find(self, noun: Noun) -> Address:
        return Sockets(*unpack(await self.ask(errand("find", noun)))).address()

    async def ask(self, payload: bytes) -> bytes:
        if self.line is None or self.line.lost.is_set():
            self.line = await Line.connect((await self.directory.where()).address())
        return await self.line.request(payload)

    async def call(self, noun: Noun, name: str, *args: object) -> object:
        program = Program((Call(-1, name, list(args), {}, False),), (0,)).encode()
        envelope = encode_envelope([Entry(os.urandom(16), 1, 0, program)])
        [answer] = decode_answers(await self.courier.send(noun, envelope))
        assert isinstance(answer.payload, bytes)
        return Reply.decode(answer.payload).results[0].value

    async def restart(self) -> None:
        """End the directory as a crash would; another takes its place."""
        await self.directory.close()
        self.directory = Directory(self.settings, alone(self.settings.data), pool=self.pool)

    async def homes(self) -> dict[Noun, str]:
        """Tell which host has which object."""
        status = unpack(await self.ask(errand("status")))
        return {Noun(*each["noun"]): host["host"] for host in status for each in host["objects"]}

    async def close(self) -> None:
        await self.courier.close()
        await self.directory.close()
        for name in list(self.pool.hosts):
            await self.pool.end(name)
        sweep_sockets(self.settings.data)


@pytest_asyncio.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    town = Town(Settings(data=tmp_path, max_actors=3, idle_s=600, objects=("support.jar",)))
    yield town
    await town.close()


async def until_up(town: Town, count: int) -> None:
    async with asyncio.timeout(10):
        while len(unpack(await town.ask(errand("status")))) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_objects_get_hosts_of_their_own_and_share_them_when_there_are_no_more(
    town: Town,
) -> None:
    for number in range(3):
        await until_up(town, min(3, number + 2))
        await town.call(jar(number), "names")
    homes = await town.homes()
    assert len(set(homes.values())) == 3

    await asyncio.gather(*(town.call(jar(number), "names") for number in range(3, 30)))
    assert town.pool.started == 3
    homes = await town.homes()
    assert len(homes) == 30
    counts = [list(homes.values()).count(host) for host in set(homes.values())]
    assert max(counts) - min(counts) <= 1


async def test_objects_of_a_dead_host_answer_elsewhere_with_all_that_was_acknowledged(
    town: Town,
) -> None:
    await until_up(town, 2)
    await town.call(jar(1), "put", "a")
    name = (await town.homes())[jar(1)]
    await town.pool.kill(name)

    async with asyncio.timeout(10):
        while True:  # as a client's sender would
            try:
                found = await town.call(jar(1), "names")
            except ConnectionLost:
                await asyncio.sleep(0.01)
            else:
                break
    assert found == ["a"]
    assert (await town.homes())[jar(1)] != name
    await until_up(town, 3)  # and another host takes the place of the dead one


async def test_an_object_asleep_has_no_host_and_wakes_wherever_there_is_room(
    tmp_path: Path,
) -> None:
    town = Town(Settings(data=tmp_path, max_actors=2, idle_s=0.05, objects=("support.jar",)))
    await town.call(jar(1), "put", "a")
    async with asyncio.timeout(10):
        while await town.homes():  # noqa: ASYNC110 - a host sets no event here
            await asyncio.sleep(0.01)

    assert await town.call(jar(1), "names") == ["a"]
    await town.close()


async def test_a_directory_that_comes_back_knows_who_lives_where(town: Town) -> None:
    for number in range(5):
        await town.call(jar(number), "put", "a")
    await until_up(town, 3)
    homes = await town.homes()

    await town.restart()

    for number in range(5):
        assert await town.find(jar(number)) == town.pool.sockets[homes[jar(number)]].address()
        assert await town.call(jar(number), "names") == ["a"]
    assert await town.homes() == homes
    assert town.pool.started == 3


async def test_while_the_directory_is_gone_those_who_know_a_host_go_on(town: Town) -> None:
    await town.call(jar(1), "put", "a")
    await town.directory.close()

    assert await town.call(jar(1), "names") == ["a"]


async def test_a_host_that_cannot_start_is_told_and_tried_again(town: Town) -> None:
    town.pool.failure = InvalidArgument("no such module")
    for _ in range(2):
        with pytest.raises(InvalidArgument, match="no such module"):
            await town.call(jar(1), "names")
    town.pool.failure = None
    assert await town.call(jar(1), "names") == []


async def test_an_object_that_offended_too_often_rests_and_its_neighbours_do_not(
    town: Town,
) -> None:
    await town.call(jar(1), "names")
    for _ in range(OFFENCES_MAX):
        await town.ask(errand("offended", jar(1), reason="a turn ran for 30 s"))
    with pytest.raises(Confined, match="ran for 30 s"):
        await town.find(jar(1))
    assert await town.call(jar(2), "names") == []
